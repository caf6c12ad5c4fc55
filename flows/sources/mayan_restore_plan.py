"""What is to be done so that a Mayan document is again what a snapshot tells: values in, steps out.

Pure. A target's document has the shape of document.json (mayan_documents.whole), so that one function compares
and one says what is missing. A restore reads, does what `todo` says, and reads again, until nothing is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from flows.sources import mayan_cabinets
from flows.sources.mayan_cabinets import Labels

Document = Mapping[str, Any]
Pages: TypeAlias = tuple[tuple[int, int], ...]  # of each page: the place of its file in the wish, the page there
NEVER = (
    "ids and UUIDs of documents, files and versions: the target gives new ones",
    "dates and times: everything is as old as its restore",
    "who wrote a comment: the target says the restore's user",
    "exports (version N.pdf): the target makes them from pages",
    "the trash, access control lists, users, roles, workflows, indexes and settings of document types",
)


@dataclass(frozen=True, slots=True)
class File:
    """A file that is to be there."""

    path: str  # in the snapshot
    size: int
    sha256: str
    filename: str
    comment: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is to be there."""

    pages: Pages
    comment: str
    active: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """A document as it is to be: all of the kept one that can come back."""

    label: str
    description: str
    language: str
    type: str
    files: tuple[File, ...]  # in the order of their ids
    versions: tuple[Version, ...]  # likewise
    metadata: Mapping[str, str]
    tags: tuple[str, ...]
    cabinets: tuple[Labels, ...]
    comments: tuple[str, ...]  # texts, the oldest first


@dataclass(frozen=True, slots=True)
class Upload:
    """Send a file, by its place."""

    file: int
    action: Literal["keep", "replace"]  # replace: the target makes a version of all its pages


@dataclass(frozen=True, slots=True)
class MakeVersion:
    """Make a version, by its place."""

    version: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Remove what is there once too often."""

    kind: Literal["files", "versions"]
    id: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Correct what a file or a version says of itself."""

    kind: Literal["files", "versions"]
    id: int
    facts: tuple[tuple[str, str | bool], ...]


@dataclass(frozen=True, slots=True)
class Value:
    """Give a metadata type its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Attach:
    """Attach a tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class Place:
    """Put into a cabinet."""

    cabinet: Labels


@dataclass(frozen=True, slots=True)
class Say:
    """Write a comment, once more where it is there `said` times already."""

    text: str
    said: int = 0


Step = Upload | MakeVersion | Drop | Edit | Value | Attach | Place | Say


def wish_of(
    document: Document, folder: str, kept: Callable[[File], bool], known: Mapping[str, Labels] | None = None
) -> tuple[Wish, tuple[str, ...]]:
    """What can come back of a kept document, and what of it cannot, a sentence each without its name.

    `kept`: whether the snapshot has this file, as document.json tells of it; `known`: its cabinets by their full
    paths. Raises KeyError, TypeError for another shape.
    """
    files: list[File] = []
    places: dict[int, int] = {}  # in `files`, by id in the snapshot
    lacking: list[str] = []
    for row in sorted(document["files"], key=lambda row: int(row["id"])):
        file = File(f"{folder}/{row['name']}", row["size"], row["sha256"], row["filename"], row["comment"])
        if not row["size"]:
            lacking.append(f"file {row['filename']!r} is empty, and Mayan EDMS takes no empty file")
        elif not kept(file):
            lacking.append(f"file {row['filename']!r} is not in the snapshot")
        else:
            places[row["id"]] = len(files)
            files.append(file)
    versions: list[Version] = []
    for row in sorted(document["versions"], key=lambda row: int(row["id"])):
        pages = [(places.get(page["file"], -1), page["page_of_file"] or 0) for page in row["pages"]]
        if any(file < 0 for file, _ in pages):
            lacking.append(f"version {row['id']} has pages of something that cannot come back")
        else:
            versions.append(Version(tuple(pages), row["comment"], row["active"]))
    if versions and len(versions) < len(document["versions"]) and not any(version.active for version in versions):
        versions[-1] = replace(versions[-1], active=True)
    if not files:
        lacking.append("without a file Mayan EDMS would remove it after a day")
    comments = sorted(document["comments"], key=lambda row: (row["at"], row["id"]))
    wish = Wish(
        document["label"],
        document["description"],
        document["language"],
        document["type"],
        tuple(files),
        tuple(versions),
        {name: value or "" for name, value in document["metadata"].items()},
        tuple(document["tags"]),
        mayan_cabinets.of(document, known),
        tuple(row["text"] for row in comments),
    )
    return wish, tuple(lacking)


def sequence(wish: Wish) -> Iterator[Upload | MakeVersion]:
    """Files and versions in an order that gives both their old one; a version follows the upload that makes it."""
    sent = 0
    for number, version in enumerate(wish.versions):
        newest = max((file for file, _ in version.pages), default=-1)
        for file in range(sent, newest + 1):
            alone = version.pages == tuple((newest, n + 1) for n in range(len(version.pages)))
            yield Upload(file, "replace" if file == newest and alone else "keep")
        sent = max(sent, newest + 1)
        yield MakeVersion(number)
    for file in range(sent, len(wish.files)):
        yield Upload(file, "keep")


def files_there(wish: Wish, rows: Sequence[Document]) -> dict[int, Document]:
    """The wished files that a target lists, by their place. Other rows are there once too often."""
    found: dict[int, Document] = {}
    for row in sorted(rows, key=lambda row: int(row["id"])):
        if len(found) < len(wish.files):
            next_one = wish.files[len(found)]
            if (row["sha256"], row["size"]) == (next_one.sha256, next_one.size):
                found[len(found)] = row
    return found


def versions_there(wish: Wish, got: Document, files: Mapping[int, Document]) -> dict[int, Document]:
    """Likewise the wished versions."""
    places = {row["id"]: place for place, row in files.items()}
    found: dict[int, Document] = {}
    taken: set[int] = set()
    rows = sorted(got["versions"], key=lambda row: int(row["id"]))
    mapped = {
        row["id"]: tuple((places.get(p["file"], -1), p["page_of_file"]) for p in row["pages"]) for row in rows
    }
    for number, version in enumerate(wish.versions):
        row = next((row for row in rows if row["id"] not in taken and mapped[row["id"]] == version.pages), None)
        if row is not None:
            taken.add(row["id"])
            found[number] = row
    return found


def todo(wish: Wish, got: Document, *, ours: bool, failed: AbstractSet[Step] = frozenset()) -> list[Step]:
    """What to do next, as far as what is there tells. Empty: it is as wished, but for what `failed`.

    `ours`: nobody else can have changed it since it was made, so that what is there once too often may go.
    """
    steps = [step for step in _around(wish, got) if step not in failed]
    files = files_there(wish, got["files"])
    versions = versions_there(wish, got, files)
    for step in sequence(wish):
        there = step.file in files if isinstance(step, Upload) else step.version in versions
        if not there and step not in failed:
            return [*steps, step]
    if ours:
        wanted = {"files": files, "versions": versions}
        ids = {kind: {row["id"] for row in found.values()} for kind, found in wanted.items()}
        kinds: tuple[Literal["versions", "files"], ...] = ("versions", "files")
        drops = [Drop(kind, row["id"]) for kind in kinds for row in got[kind] if row["id"] not in ids[kind]]
        if drops := [drop for drop in drops if drop not in failed]:
            return [*steps, *drops]
    edits = [*_file_edits(wish, files), *_version_edits(wish, versions)]
    return [*steps, *(edit for edit in edits if edit not in failed)]


def _around(wish: Wish, got: Document) -> Iterator[Step]:
    """What hangs on a document."""
    for name, value in wish.metadata.items():
        if name not in got["metadata"] or (got["metadata"][name] or "") != value:
            yield Value(name, value)
    yield from (Attach(tag) for tag in wish.tags if tag not in got["tags"])
    inside = mayan_cabinets.of(got)
    yield from (Place(cabinet) for cabinet in wish.cabinets if cabinet not in inside)
    there = Counter(row["text"] for row in got["comments"])
    wanted: Counter[str] = Counter()
    for text in wish.comments:
        wanted[text] += 1
        if wanted[text] > there[text]:
            yield Say(text, wanted[text] - 1)


def _file_edits(wish: Wish, files: Mapping[int, Document]) -> Iterator[Step]:
    for place, row in files.items():
        wanted = {"filename": wish.files[place].filename, "comment": wish.files[place].comment}
        facts = tuple((key, value) for key, value in wanted.items() if row[key] != value)
        if facts:
            yield Edit("files", row["id"], facts)


def _version_edits(wish: Wish, versions: Mapping[int, Document]) -> Iterator[Step]:
    one_active = any(version.active for version in wish.versions)  # to make one active makes the others inactive
    for place, row in versions.items():
        version = wish.versions[place]
        facts: list[tuple[str, str | bool]] = []
        if row["comment"] != version.comment:
            facts.append(("comment", version.comment))
        if row["active"] != version.active and (version.active or not one_active):
            facts.append(("active", version.active))
        if facts:
            yield Edit("versions", row["id"], tuple(facts))


def differences(wish: Wish, got: Document) -> list[str]:
    """How a target's document differs from the wish, a sentence each; none: they are equal."""
    found: list[str] = []

    def compare(what: str, now: object, promised: object) -> None:
        if now != promised:
            found.append(f"{what}: {now!r}, kept {promised!r}")

    for name in ("label", "description", "language", "type"):
        compare(name, got[name], getattr(wish, name))
    rows = sorted(got["files"], key=lambda row: int(row["id"]))
    compare("files' SHA-256", [row["sha256"] for row in rows], [file.sha256 for file in wish.files])
    compare("files' sizes", [row["size"] for row in rows], [file.size for file in wish.files])
    compare("files' names", [row["filename"] for row in rows], [file.filename for file in wish.files])
    compare("files' comments", [row["comment"] for row in rows], [file.comment for file in wish.files])
    places = {row["id"]: place for place, row in files_there(wish, rows).items()}
    mapped = Counter(
        Version(
            tuple((places.get(page["file"], -1), page["page_of_file"] or 0) for page in row["pages"]),
            row["comment"],
            row["active"],
        )
        for row in got["versions"]
    )
    wished = Counter(wish.versions)
    found += [f"a version is missing: {_told(version)}" for version in (wished - mapped).elements()]
    found += [f"a version was not kept: {_told(version)}" for version in (mapped - wished).elements()]
    compare(
        "metadata", {k: v or "" for k, v in sorted(got["metadata"].items())}, dict(sorted(wish.metadata.items()))
    )
    compare("tags", sorted(got["tags"]), sorted(wish.tags))
    compare("cabinets, label by label", sorted(mayan_cabinets.of(got)), sorted(wish.cabinets))
    compare("comments", sorted(row["text"] for row in got["comments"]), sorted(wish.comments))
    return found


def _told(version: Version) -> str:
    pages = ", ".join(f"{file + 1}:{page}" for file, page in version.pages[:10])
    more = f" and {len(version.pages) - 10} more" if len(version.pages) > 10 else ""
    state = "active" if version.active else "not active"
    comment = f", comment {version.comment!r}" if version.comment else ""
    return f"pages (file:page) {pages or 'none'}{more}, {state}{comment}"
