"""One Mayan document as values: what a list says of it, what a snapshot keeps of it, and under which names.

Pure. A snapshot holds, for each document, the folder `type/label [id]` with its files as they are, the exports
of its versions where they are asked for, and `document.json`: all that the API tells of it, so that `diff` between
two nights reads well and `restore --to-source` can make it anew. Facts: contract mayan.md sections 3 and 5.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.sources.base import Record
from flows.sources.mayan_wire import value

FORMAT = 1  # of document.json
DOCUMENT = "document.json"
ABOUT = "mayan.json"  # of the whole snapshot: what documents refer to, and the count
MOST = 150  # bytes of one name, in UTF-8: file systems take 255, and suffixes come to it
# What a list is asked for: everything that tells of a change (section 5).
FIELDS = ("id", "uuid", "label", "description", "language", "datetime_created", "document_type__id",
          "document_type__label", "file_latest__id", "file_latest__timestamp", "version_active__id")  # fmt: skip
# No file system takes it, or a terminal would obey it: controls, and what turns the direction of a text.
_UNFIT = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff/\\<>:"|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no file of that name on Windows
_SUFFIX = re.compile(r"\.[^\W_]{1,8}$", re.ASCII)  # of a name: tells what it is
_FOLDER = re.compile(r"[^/]+/(?P<label>[^/]*) \[(?P<id>\d+)\]/")


@dataclass(frozen=True, slots=True)
class Listed:
    """A document as the list of documents tells of it."""

    id: int
    uuid: str
    label: str
    description: str
    language: str
    created: str
    type: str
    file_latest: int | None
    version_active: int | None

    @property
    def folder(self) -> str:
        """Where a snapshot keeps it."""
        return f"{fit(self.type)}/{fit(self.label)} [{self.id}]"


def listed(row: Mapping[str, Any]) -> Listed:
    """From a row of a list. Raises SourceUnexpected."""
    file, version = (value(row, name, dict, optional=True) for name in ("file_latest", "version_active"))
    return Listed(
        id=value(row, "id", int),
        uuid=value(row, "uuid", str),
        label=value(row, "label", str),
        description=value(row, "description", str),
        language=value(row, "language", str),
        created=value(row, "datetime_created", str),
        type=value(value(row, "document_type", dict), "label", str),
        file_latest=None if file is None else value(file, "id", int, optional=True),
        version_active=None if version is None else value(version, "id", int, optional=True),
    )


def same(document: Mapping[str, Any], row: Listed) -> bool:
    """Whether a kept document is the one that the list tells of, as far as a list can tell."""
    names = ("uuid", "label", "description", "language", "created", "type", "file_latest", "version_active")
    return (
        document.get("format") == FORMAT
        and document.get("id") == row.id
        and not document.get("unsettled")
        and not document.get("forbidden")
        and all(document.get(name) == getattr(row, name) for name in names)
    )


def encode(document: Mapping[str, Any]) -> bytes:
    """As it is kept: keys sorted, a line for each value."""
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode(errors="replace")


def decode(data: bytes | None) -> dict[str, Any] | None:
    """What was kept; None where that is nothing of ours."""
    try:
        found = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a document."""

    name: str  # in the document's folder
    id: int
    size: int
    sha256: str


def parts(document: Mapping[str, Any]) -> Iterator[Part]:
    """Its files. Raises KeyError, TypeError for a document of another shape."""
    for file in document["files"]:
        yield Part(file["name"], file["id"], file["size"], file["sha256"])


def export_name(version: int) -> str:
    """The name of a version's export in the document's folder."""
    return f"version {version}.pdf"


def names(files: Sequence[tuple[int, str]]) -> dict[int, str]:
    """The name of each file in its document's folder, by id; of those that would meet, each bears its id.

    They would where file systems know no capitals, too.
    """
    fitted = {number: fit(name) for number, name in files}
    named = {number: _numbered(name, number) if _ours(name) else name for number, name in fitted.items()}
    while meeting := _meeting(named):
        named |= {number: _numbered(fitted[number], number) for number in meeting}
    return named


def fit(text: str) -> str:
    """`text` as a name that every file system takes: of 1 to 150 bytes in UTF-8."""
    plain = unicodedata.normalize("NFC", _UNFIT.sub("_", text)).strip().rstrip(". ")
    short = plain.encode()[:MOST].decode(errors="ignore").rstrip(". ")
    if len(short) < len(plain):
        suffix = _suffix(plain)
        short = plain.encode()[: MOST - len(suffix)].decode(errors="ignore").rstrip(". ") + suffix
    return f"_{short}" if _DEVICE.fullmatch(short) else short or "untitled"


def record_of(path: str) -> Record | None:
    """The document that a path in a snapshot is of."""
    found = _FOLDER.match(path)
    return None if found is None else Record(found["id"], found["label"])


def _meeting(named: Mapping[int, str]) -> list[int]:
    """Those that share their name with another one and do not bear their id yet."""
    same = Counter(name.casefold() for name in named.values())
    return [
        number
        for number, name in named.items()
        if same[name.casefold()] > 1 and not name.removesuffix(_suffix(name)).endswith(f" [{number}]")
    ]


def _numbered(name: str, number: int) -> str:
    suffix = _suffix(name)
    return f"{name.removesuffix(suffix)} [{number}]{suffix}"


def _suffix(name: str) -> str:
    found = _SUFFIX.search(name)
    return found[0] if found and found.start() else ""


def _ours(name: str) -> bool:
    return name.casefold() == DOCUMENT or bool(re.fullmatch(r"version \d+\.pdf", name, re.IGNORECASE))
