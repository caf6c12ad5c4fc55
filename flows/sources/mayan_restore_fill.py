"""One document at a target, filled until nothing is left of what it lacks: reads, does steps, reads again.

An upload is accepted and done later by a worker, or never (contract mayan.md section 7): it counts when the file
is listed with its SHA-256.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from flows.errors import RequestWrong, RunFailed, SourceRefused
from flows.sources.base import Ledger
from flows.sources.client import Answer
from flows.sources.mayan_cabinets import path_of
from flows.sources.mayan_document import FIELDS, listed
from flows.sources.mayan_documents import FILES, Documents
from flows.sources.mayan_restore_plan import (
    Attach,
    Document,
    Drop,
    Edit,
    File,
    MakeVersion,
    Place,
    Say,
    Step,
    Upload,
    Value,
    Wish,
    files_there,
    sequence,
    todo,
)
from flows.sources.mayan_restore_shared import There
from flows.sources.mayan_wire import Missing, Row, Wire, member, refusal, value

log = logging.getLogger(__name__)
TAKEN_S = 300.0  # after so long an upload that is not listed counts as lost
LOST_S = 20.0  # after so long what an earlier run asked for is asked for again
PAGES_S = 60.0  # pages come a second after their file; of some files none ever come
HINT = "give it to a role of the target's user; then the same command goes on"
FIRST_S, LONGEST_S = 0.2, 2.0  # between two looks
_ONLY = {"_fields_only": ",".join(FIELDS)}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)  # whether it is young is of no matter here
_EMPTY: Mapping[str, Any] = {
    "files": [],
    "versions": [],
    "metadata": {},
    "tags": [],
    "cabinets": [],
    "comments": [],
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Begun:
    """A document that is being filled."""

    id: int  # at the target
    unit: str
    wish: Wish
    paths: Mapping[str, Path]  # its files, by their paths in the snapshot
    ledger: Ledger
    mark: str  # its description until it is whole
    fresh: bool  # made just now: nothing is in it

    @property
    def base(self) -> str:
        """Where the API has it."""
        return f"/documents/{self.id}"

    def tries(self, place: int) -> int:
        """How often a file was asked for; 0: never, as far as the ledger tells."""
        facts = self.ledger.of(self.unit)
        return int(facts.get("tries", 0)) if facts.get("file") == place else 0


class Filler:
    """Fills documents of one server. `there`: what they may refer to."""

    def __init__(
        self,
        wire: Wire,
        source: Documents,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.taken_s, self.lost_s, self.pages_s = TAKEN_S, LOST_S, PAGES_S
        self._wire, self._source, self._sleep, self._monotonic = wire, source, sleep, monotonic
        self.there = There()
        self._page_model = 0  # id of the kind of thing that a file's page is, there

    def whole(self, number: int) -> Document:
        """A document of the target, in the shape of document.json. Raises Missing."""
        row = listed(self._wire.get(f"/documents/{number}/", _ONLY).json())
        return self._source.whole(row, _LONG_AGO)

    def fill(self, begun: Begun, on_bytes: Callable[[int], None]) -> tuple[str, ...]:
        """Do all that a document lacks; what is refused, a sentence each.

        Retry: yes. Raises RunFailed where an upload is accepted and never listed.
        """
        wish = begun.wish
        got: Document = {**_EMPTY, "description": begun.mark} if begun.fresh else self._settled(begun)
        ours = got["description"] == begun.mark
        failed: dict[Step, str] = {}
        tried: set[Step] = set()
        while steps := todo(wish, got, ours=ours, failed=failed.keys()):
            for step in steps:
                try:
                    if step in tried:
                        raise RequestWrong(f"{_told(step, wish)}: accepted, and not to be seen")
                    tried.add(step)
                    self._do(step, begun, got)
                except RequestWrong as exc:
                    failed[step] = str(exc)
                else:
                    if isinstance(step, Upload):
                        on_bytes(wish.files[step.file].size)
            got = self._seen(begun.id)
        self._finish(begun, got)
        return tuple(failed.values())

    def _seen(self, number: int) -> Document:
        try:
            got = self.whole(number)
        except Missing:
            raise SourceRefused(
                f"Mayan EDMS: document {number}, made by this restore, is not to be seen: permission "
                "documents.document_view is missing, or somebody removed it",
                hint=HINT,
            ) from None
        if got["forbidden"]:
            raise _hidden(number, ", ".join(got["forbidden"]))
        return got

    def _settled(self, begun: Begun) -> Document:
        """A document that an earlier run began: a worker may still be at what was sent last."""
        got = self._seen(begun.id)
        files = files_there(begun.wish, got["files"])
        if not files:
            return got
        last = max(files)
        row: int | None = files[last]["id"]
        if begun.tries(last) > 1:
            row = self._listed(begun, last, {files[place]["id"] for place in range(last)}, self.lost_s)
        if row is not None and Upload(last, "replace") in sequence(begun.wish):
            self._await_version(begun, row)
        return self._seen(begun.id)

    def _finish(self, begun: Begun, got: Document) -> None:
        wish = begun.wish
        wanted = {"label": wish.label, "description": wish.description, "language": wish.language}
        facts = {key: text for key, text in wanted.items() if got.get(key) != text}
        if facts:
            self.send("PATCH", f"{begun.base}/", facts, "documents.document_properties_edit")

    # -- steps

    def _do(self, step: Step, begun: Begun, got: Document) -> None:
        base = begun.base
        match step:
            case Upload():
                self._upload(step, begun, files_there(begun.wish, got["files"]))
            case MakeVersion(place):
                self._make_version(base, begun.wish, place, files_there(begun.wish, got["files"]))
            case Drop(kind, which):
                self._drop(f"{base}/{kind}/", kind, which)
            case Edit(kind, which, facts):
                self.send("PATCH", f"{base}/{kind}/{which}/", dict(facts), f"documents.document_{kind[:-1]}_edit")
            case Value(name, text):
                self._set(f"{base}/metadata/", name, text)
            case Attach(tag):
                self.send("POST", f"{base}/tags/attach/", {"tag": self.there.tags[tag]}, "tags.tag_attach")
            case Place(cabinet):
                path = f"/cabinets/{self.there.cabinets[cabinet]}/documents/add/"
                self.send("POST", path, {"document": begun.id}, "cabinets.cabinet_add_document")
            case Say(text, _):
                self.send("POST", f"{base}/comments/", {"text": text}, "comments.comment_create")

    def _upload(self, step: Upload, begun: Begun, there: Mapping[int, Document]) -> None:
        """Send a file and wait until it is listed. One that an earlier run asked for is waited for first.

        Where it does not come it is sent again, with a comment that tells the two apart: should both come after
        all, one is known to be there once too often.
        """
        file, path = begun.wish.files[step.file], f"{begun.base}/files/"
        others = {row["id"] for row in there.values()}
        tries = begun.tries(step.file)
        row = self._listed(begun, step.file, others, self.lost_s) if tries else None
        if row is None:
            if tries:
                log.warning("%s: asked for by an earlier run, and not there: sent again", file.path)
            tries += 1
            begun.ledger.note(begun.unit, file=step.file, tries=tries)
            form = {"action_name": step.action, "comment": _comment(file, tries), "filename": file.filename}
            with begun.paths[file.path].open("rb") as stream:
                answer = self._wire.send("POST", path, form=form, files={"file_new": (file.filename, stream)})
            try:
                _require(answer, path, "documents.document_file_new")
            except SourceRefused:  # it was not taken: nothing to wait for, and nothing that could come twice
                begun.ledger.note(begun.unit, file=step.file, tries=tries - 1)
                raise
            row = self._listed(begun, step.file, others, self.taken_s)
            if row is None:
                raise RunFailed(
                    f"{file.path}: Mayan EDMS accepted it, and does not list it after {self.taken_s:.0f} s",
                    hint="look at the target's workers, its quotas and the document's check-outs; then run again",
                )
        if step.action == "replace":
            self._await_version(begun, row)

    def _listed(self, begun: Begun, place: int, others: AbstractSet[int], most_s: float) -> int | None:
        """The id of a file as it was sent last, once it is listed whole; not one of `others`."""
        file = begun.wish.files[place]
        wanted = file.sha256, _comment(file, begun.tries(place))

        def there() -> int | None:
            rows = self._files(begun)
            if not rows and self._names_a_file(begun) and not self._files(begun):
                raise _hidden(begun.id, FILES)
            found = (row for row in rows if (row["checksum"], row["comment"]) == wanted and row["mimetype"])
            return next((number for row in found if (number := value(row, "id", int)) not in others), None)

        return self._await(most_s, there)

    def _files(self, begun: Begun) -> list[Row]:
        return list(self._wire.rows(f"{begun.base}/files/", {"_ordering": "-id"}))

    def _names_a_file(self, begun: Begun) -> bool:
        """Whether the document itself names a newest file: then a list without any is not for this user."""
        return listed(self._wire.get(f"{begun.base}/", _ONLY).json()).file_latest is not None

    def _await_version(self, begun: Begun, file: int) -> None:
        """Wait for the version that an upload makes, of all pages of the file."""

        def there() -> bool | None:
            rows = self._wire.rows(f"{begun.base}/files/{file}/pages/")
            pages = {value(page, "id", int) for page in rows}
            for version in self._wire.rows(f"{begun.base}/versions/", {"_ordering": "-id"}) if pages else ():
                mapped = self._wire.rows(f"{begun.base}/versions/{value(version, 'id', int)}/pages/")
                if {value(page, "object_id", int) for page in mapped} == pages:
                    return True
            return None

        self._await(self.pages_s, there)

    def _make_version(self, base: str, wish: Wish, place: int, files: Mapping[int, Document]) -> None:
        version = wish.versions[place]
        ids = {file: self._pages(base, files, file, version.pages) for file in {file for file, _ in version.pages}}
        body = {"comment": version.comment, "active": version.active}
        answer = self.send("POST", f"{base}/versions/", body, "documents.document_version_create")
        made = member(answer, "id", int)
        for number, (file, page) in enumerate(version.pages, start=1):
            body = {"content_type_id": self._model(), "object_id": ids[file][page], "page_number": number}
            self.send("POST", f"{base}/versions/{made}/pages/", body, "documents.document_version_edit")

    def _pages(self, base: str, files: Mapping[int, Document], file: int, wanted: Any) -> dict[int, int]:
        """The ids of a file's pages, by their numbers. Raises RequestWrong where it does not get those wanted."""
        needed = {page for of, page in wanted if of == file}

        def there() -> dict[int, int] | None:
            rows = self._wire.rows(f"{base}/files/{files[file]['id']}/pages/")
            found = {value(row, "page_number", int): value(row, "id", int) for row in rows}
            return found if needed <= found.keys() else None

        found = self._await(self.pages_s, there) if file in files else None
        if found is None:
            raise RequestWrong(f"Mayan EDMS makes no page {max(needed)} of file {file + 1}, which a version shows")
        return found

    def _model(self) -> int:
        if not self._page_model:
            for row in self._wire.rows("/content_types/"):
                if row.get("model") == "documentfilepage":
                    self._page_model = value(row, "id", int)
        return self._page_model

    def _set(self, path: str, name: str, text: str) -> None:
        """A metadata value: the target may have given one itself, where its type is required."""
        body: dict[str, Any] = {"value": text}
        for row in self._wire.rows(path):
            if value(value(row, "metadata_type", dict), "name", str) == name:
                self.send("PATCH", f"{path}{value(row, 'id', int)}/", body, "metadata.metadata_document_edit")
                return
        body["metadata_type_id"] = self.there.metadata_types[name]
        self.send("POST", path, body, "metadata.metadata_document_add")

    def _drop(self, path: str, kind: str, which: int) -> None:
        answer = self._wire.send("DELETE", f"{path}{which}/")
        if answer.status != 404 or any(row["id"] == which for row in self._wire.rows(path)):
            _require(answer, path, f"documents.document_{kind[:-1]}_delete")

        def gone() -> bool | None:
            return all(row["id"] != which for row in self._wire.rows(path)) or None

        self._await(self.pages_s, gone)

    # -- how it asks

    def send(self, method: str, path: str, body: Mapping[str, Any], needs: str) -> Answer:
        """Send JSON. Raises SourceRefused that names the permission `needs`, else what the answer means."""
        return _require(self._wire.send(method, path, json=dict(body)), path, needs)

    def _await(self, most_s: float, look: Callable[[], T | None]) -> T | None:
        """What `look` gives, asked again and again; None where it gives nothing in time."""
        end, gap = self._monotonic() + most_s, FIRST_S
        while (found := look()) is None and self._monotonic() < end:
            self._sleep(gap)
            gap = min(gap * 1.5, LONGEST_S)
        return found


def _comment(file: File, tries: int) -> str:
    """What a file that is sent for the n-th time says of itself until it is whole."""
    return file.comment if tries == 1 else f"strongroom restore: sent {tries} times"


def _hidden(number: int, permissions: str) -> SourceRefused:
    return SourceRefused(
        f"Mayan EDMS: document {number}, made by this restore, is not shown whole: permission {permissions} is "
        "missing",
        hint=HINT,
    )


def _require(answer: Answer, path: str, needs: str) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    error = refusal(answer, path)
    if isinstance(error, Missing) or answer.status == 403:
        raise SourceRefused(
            f"Mayan EDMS refuses {path}: permission {needs} is missing, or what this asks for was removed",
            hint=HINT,
        ) from None
    raise error


def _told(step: Step, wish: Wish) -> str:
    match step:
        case Upload(file, _):
            return f"file {wish.files[file].filename!r}"
        case MakeVersion(place):
            return f"version {place + 1}"
        case Drop(kind, which) | Edit(kind, which, _):
            return f"{kind[:-1]} {which}"
        case Value(name, _):
            return f"metadata {name!r}"
        case Attach(tag):
            return f"tag {tag!r}"
        case Place(cabinet):
            return f"cabinet {path_of(cabinet)!r}"
        case Say(text, _):
            return f"comment {text[:40]!r}"
