"""A made-up lab and its nightly exports: what stands in each, from a seed. Nothing is written here.

Imitates what RSpace's exporter writes: a new root folder name each night, the form's icon beside each document,
and random names of chemistry, sketch and formula pictures, which stand in the document's text, so that it changes
although nobody edited it ("phantom churn").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import log
from random import Random

from tests.bench import contents
from tests.bench.contents import OFFICE, PICTURES, TEXTS

FIRST_NIGHT = datetime(2026, 1, 5, 2, 30)  # noqa: DTZ001 - a ZIP's times have no zone
FORMS = 6
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a lab is like, and which of its nights are exported."""

    name: str
    nights: tuple[int, ...]  # from 0; those between pass without an export
    documents: int
    churn: float  # share of the documents that are edited or added per night
    phantom: float  # share of the documents with pictures of random names
    paragraphs: int  # of a document, on average
    attachments: float  # per document, on average
    median: int  # bytes of an attachment; their sizes are log-normal
    sigma: float
    longest: int = 64 << 20  # bytes of an attachment
    one_of: int = 0  # bytes of one attachment more, the largest of all; 0 for none

    def scaled(self, scale: float) -> Shape:
        """The same lab with so many documents less or more."""
        documents = max(10, round(self.documents * scale))
        return replace(self, documents=documents, one_of=round(self.one_of * scale))


def _kept_of_a_year() -> tuple[int, ...]:
    back = [*range(7), *range(7, 35, 7), *range(56, 365, 28)]  # 7 daily, 4 weekly, 12 monthly
    return tuple(sorted(364 - days for days in back))


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("seq", tuple(range(14)), 2960, 0.01, 0.1, 11, 0.84, 52_000, 1.4),
        Shape("still", (0, 1, 2), 2960, 0, 0, 11, 0.84, 52_000, 1.4),
        Shape("year", _kept_of_a_year(), 1540, 0.005, 0.1, 11, 0.84, 60_000, 1.4),
        Shape("big", (0,), 5490, 0.01, 0.1, 11, 0.84, 92_000, 1.6, 48 << 20, 200 << 20),
        Shape("many", (0, 1), 34_700, 0.01, 0.1, 18, 0.93, 6_100, 1.0),
    )
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a document."""

    name: str  # with {} where the exporter puts a random number
    kind: str
    key: str
    size: int
    uploaded: datetime
    version: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is on one night."""

    number: int
    title: str
    form: int
    paragraphs: int
    attachments: tuple[Attachment, ...]
    edited: int = -1  # night of the last edit; -1: before the first export
    edits: tuple[tuple[int, int], ...] = ()  # paragraph and its version

    @property
    def phantom(self) -> bool:
        """Whether its text changes with each export."""
        return any("{}" in each.name for each in self.attachments)


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the ZIP; `content` makes its bytes, equal for an equal `same`."""

    name: str
    at: datetime
    same: str
    content: Callable[[], bytes]
    kind: str = ""
    version: int = 0
    unedited: bool = False  # a document that nobody edited and whose text is another one all the same


@dataclass(frozen=True, slots=True)
class Export:
    """One night's export."""

    night: int
    root: str
    members: tuple[Member, ...]


def exports(shape: Shape, seed: int) -> Iterator[Export]:
    """The export of each of the shape's nights."""
    rng = Random(f"{seed}/{shape.name}")
    lab = [_document(rng, shape, number, FIRST_NIGHT - timedelta(days=300)) for number in range(shape.documents)]
    if shape.one_of:
        largest = Attachment("scan-1.tif", "tif", "largest", shape.one_of, FIRST_NIGHT - timedelta(days=9))
        lab[0] = replace(lab[0], attachments=(*lab[0].attachments, largest))
    for night in range(shape.nights[-1] + 1):
        if night:
            lab = _next_day(lab, shape, seed, night)
        if night in shape.nights:
            yield _export(lab, seed, shape, night)


def _document(rng: Random, shape: Shape, number: int, at: datetime, edited: int = -1) -> Document:
    wanted = int(rng.expovariate(1 / shape.attachments) + 0.5)
    files = [_attachment(rng, shape, f"{number}-{i}", at) for i in range(min(wanted, 12))]
    if rng.random() < shape.phantom:
        for i in range(rng.randint(1, 3)):
            prefix = rng.choice(("chemd", "sktch", "math", "annot"))
            key, size = f"{number}-p{i}", rng.randint(1500, 9000)
            files.append(Attachment(prefix + "{}.png", "png", key, size, at))
    title = contents.words(rng, 3).replace(" ", "_")
    paragraphs = rng.randint(max(1, shape.paragraphs // 2), shape.paragraphs * 3 // 2)
    return Document(number, title, rng.randrange(FORMS), paragraphs, tuple(files), edited)


def _attachment(rng: Random, shape: Shape, key: str, at: datetime) -> Attachment:
    kinds = rng.choices((PICTURES, OFFICE, TEXTS), weights=(61, 11, 28))[0]
    kind = rng.choices(kinds, weights=(9, 2) if kinds == OFFICE else None)[0]
    size = min(shape.longest, int(rng.lognormvariate(log(shape.median), shape.sigma)))
    if kinds == TEXTS:
        size = min(size, 2 << 20)
    uploaded = at + timedelta(minutes=rng.randrange(1200))
    return Attachment(f"{contents.words(rng, 2).replace(' ', '-')}-{key}.{kind}", kind, key, size, uploaded)


def _next_day(lab: list[Document], shape: Shape, seed: int, night: int) -> list[Document]:
    """A quarter of the churn are new documents; the rest edits, some with a new or an amended attachment."""
    rng = Random(f"{seed}/{shape.name}/{night}")
    lab = list(lab)
    at = FIRST_NIGHT + timedelta(days=night - 1, hours=6)
    for _ in range(int(shape.churn * len(lab) + rng.random())):
        if rng.random() < 0.25:
            lab.append(_document(rng, shape, len(lab), at, night))
        else:
            number = rng.randrange(len(lab))
            lab[number] = _edited(rng, shape, lab[number], at, night)
    return lab


def _edited(rng: Random, shape: Shape, old: Document, at: datetime, night: int) -> Document:
    edits = dict(old.edits)
    paragraph = rng.randrange(old.paragraphs)
    edits[paragraph] = edits.get(paragraph, 0) + 1
    files = list(old.attachments)
    what = rng.random()
    if what < 0.25:
        files.append(_attachment(rng, shape, f"{old.number}-{night}-{len(files)}", at))
    elif what < 0.5 and files:
        written = [i for i, each in enumerate(files) if each.kind in (*OFFICE, "csv", "txt")]
        chosen = rng.choice(written or range(len(files)))
        files[chosen] = replace(files[chosen], version=files[chosen].version + 1, uploaded=at)
    return replace(old, edits=tuple(sorted(edits.items())), attachments=tuple(files), edited=night)


def _export(lab: Sequence[Document], seed: int, shape: Shape, night: int) -> Export:
    rng = Random(f"{seed}/{shape.name}/{night}/names")
    at = FIRST_NIGHT + timedelta(days=night, minutes=rng.randrange(4))
    secret = "".join(rng.choices(_LETTERS, k=14))
    root = f"RSpace-{at:%Y-%m-%d-%H-%M}-html-bench-{secret}"
    text = f"Exported at {at}\nArchive id {rng.getrandbits(64):016x}\nDocuments {len(lab)}\n".encode()
    members = [
        _empty(f"{root}/", at),
        Member(f"{root}/manifest.txt", at, f"manifest/{night}", lambda: text),
        _empty(f"{root}/resources/", at),
        Member(f"{root}/resources/elements.css", at, "css", contents.css),
    ]
    for document in sorted(lab, key=lambda each: _order(f"{each.title}-{each.number}")):
        members += _folder(document, f"{root}/doc_{document.title}-{document.number}", at, rng, (seed, night))
    return Export(night, root, tuple(members))


def _folder(document: Document, folder: str, at: datetime, rng: Random, when: tuple[int, int]) -> Iterator[Member]:
    """A document's entries, in the order of a directory: no order to speak of, and the same each night."""
    seed, night = when
    yield _empty(f"{folder}/", at)
    number, form, count, edits = document.number, document.form, document.paragraphs, document.edits
    links: list[str] = []
    found: list[tuple[str, Member]] = []
    for each in document.attachments:
        name = each.name.format(rng.getrandbits(48)) if "{}" in each.name else each.name
        if "{}" in each.name or each.kind in ("png", "jpg"):
            links.append(name)
        kind, key, size, version = each.kind, f"{seed}-{each.key}", each.size, each.version
        same = f"{kind}/{key}/{size}/{version}"
        make = partial(contents.attachment, kind, key, size, version)
        found.append((name, Member(f"{folder}/{name}", each.uploaded, same, make, kind, version)))
    text = f"{document.title}-{number}.html"
    same = f"html/{seed}-{number}/{edits}/{links}"
    make = partial(contents.html, f"{seed}-{number}", count, edits, tuple(links))
    unedited = document.phantom and document.edited < night
    found.append((text, Member(f"{folder}/{text}", at, same, make, "html", unedited=unedited)))
    found.append(
        ("icon.png", Member(f"{folder}/form_{form}_icon.png", at, f"icon/{form}", partial(contents.icon, form)))
    )
    yield from (member for _, member in sorted(found, key=lambda each: _order(each[0])))


def _empty(name: str, at: datetime) -> Member:
    return Member(name, at, "", bytes)


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
