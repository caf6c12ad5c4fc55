"""One document at a target, filled until nothing is left of what it lacks: reads, does steps, reads again.

An upload is accepted and done later by a worker, or never (contract mayan.md section 7): it counts when the file
is listed with its SHA-256.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from flows.errors import RequestWrong, RunFailed, SourceRefused
from flows.sources.base import Ledger
from flows.sources.client import Answer
from flows.sources.mayan_document import FIELDS, listed
from flows.sources.mayan_documents import Documents
from flows.sources.mayan_restore_plan import (
    Document,
    Drop,
    Edit,
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
from flows.sources.mayan_wire import Missing, Wire, member, refusal, value

log = logging.getLogger(__name__)
TAKEN_S = 300.0  # after so long an upload that is not listed counts as lost
PAGES_S = 60.0  # pages come a second after their file; of some files none ever come
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


class Filler:
    """Fills documents of one server. `there`: what they may refer to."""

    def __init__(
        self,
        wire: Wire,
        source: Documents,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.taken_s, self.pages_s = TAKEN_S, PAGES_S
        self._wire, self._source, self._sleep, self._monotonic = wire, source, sleep, monotonic
        self.there = There()
        self._page_model = 0  # id of the kind of thing that a file's page is, there

    def whole(self, number: int) -> Document:
        """A document of the target, in the shape of document.json. Raises Missing."""
        row = listed(self._wire.get(f"/documents/{number}/", _ONLY).json())
        return self._source.whole(row, _LONG_AGO)

    def fill(
        self,
        number: int,
        unit: str,
        wish: Wish,
        paths: Mapping[str, Path],
        ledger: Ledger,
        mark: str,
        *,
        fresh: bool,
        on_bytes: Callable[[int], None],
    ) -> tuple[str, ...]:
        """Do all that document `number` lacks; what is refused, a sentence each. `fresh`: it was made just now.

        Retry: yes. Raises RunFailed where an upload is accepted and never listed.
        """
        got: Document = {**_EMPTY, "description": mark} if fresh else self._settled(number, wish)
        ours = got["description"] == mark
        failed: dict[Step, str] = {}
        tried: set[Step] = set()
        while steps := todo(wish, got, ours=ours, failed=failed.keys()):
            for step in steps:
                try:
                    if step in tried:
                        raise RequestWrong(f"{_told(step, wish)}: accepted, and not to be seen")
                    tried.add(step)
                    self._do(step, number, unit, wish, paths, ledger, got)
                except RequestWrong as exc:
                    failed[step] = str(exc)
                else:
                    if isinstance(step, Upload):
                        on_bytes(wish.files[step.file].size)
            got = self._seen(number)
        self._finish(number, wish, got)
        return tuple(failed.values())

    def _seen(self, number: int) -> Document:
        try:
            return self.whole(number)
        except Missing:
            raise SourceRefused(
                f"Mayan EDMS: document {number}, made by this restore, is not to be seen: permission "
                "documents.document_view is missing, or somebody removed it"
            ) from None

    def _settled(self, number: int, wish: Wish) -> Document:
        """A document that an earlier run began: a worker may still be at what was sent last."""
        got = self._seen(number)
        files = files_there(wish, got["files"])
        last = max(files, default=-1)
        if Upload(last, "replace") in sequence(wish) and not self._versioned(number, wish, last):
            self._await(self.pages_s, lambda: self._versioned(number, wish, last))
            got = self._seen(number)
        return got

    def _finish(self, number: int, wish: Wish, got: Document) -> None:
        wanted = {"label": wish.label, "description": wish.description, "language": wish.language}
        facts = {key: text for key, text in wanted.items() if got.get(key) != text}
        if facts:
            self.send("PATCH", f"/documents/{number}/", facts, "documents.document_properties_edit")

    # -- steps

    def _do(
        self,
        step: Step,
        number: int,
        unit: str,
        wish: Wish,
        paths: Mapping[str, Path],
        ledger: Ledger,
        got: Document,
    ) -> None:
        base = f"/documents/{number}"
        match step:
            case Upload():
                self._upload(step, number, unit, wish, paths, ledger)
            case MakeVersion(place):
                self._make_version(base, wish, place, files_there(wish, got["files"]))
            case Drop(kind, which):
                self._drop(f"{base}/{kind}/", kind, which)
            case Edit(kind, which, facts):
                self.send("PATCH", f"{base}/{kind}/{which}/", dict(facts), f"documents.document_{kind[:-1]}_edit")
            case Value(name, text):
                self._set(f"{base}/metadata/", name, text)
            case Place("tags", name):
                self.send("POST", f"{base}/tags/attach/", {"tag": self.there.tags[name]}, "tags.tag_attach")
            case Place(_, name):
                path = f"/cabinets/{self.there.cabinets[name]}/documents/add/"
                self.send("POST", path, {"document": number}, "cabinets.cabinet_add_document")
            case Say(text, _):
                self.send("POST", f"{base}/comments/", {"text": text}, "comments.comment_create")

    def _upload(
        self, step: Upload, number: int, unit: str, wish: Wish, paths: Mapping[str, Path], ledger: Ledger
    ) -> None:
        """Send a file and wait until it is listed; one that an earlier run sent is waited for, not sent again."""
        file, path = wish.files[step.file], f"/documents/{number}/files/"
        asked = ledger.of(unit).get("file") == step.file
        if not (asked and self._listed(number, wish, step.file)):
            if asked:
                log.warning("%s: sent by an earlier run, and lost by the target: sent again", file.path)
            ledger.note(unit, file=step.file)
            form = {"action_name": step.action, "comment": file.comment, "filename": file.filename}
            with paths[file.path].open("rb") as stream:
                answer = self._wire.send("POST", path, form=form, files={"file_new": (file.filename, stream)})
            _require(answer, path, "documents.document_file_new")
            if not self._listed(number, wish, step.file):
                raise RunFailed(
                    f"{file.path}: Mayan EDMS accepted it, and does not list it after {self.taken_s:.0f} s",
                    hint="look at the target's workers, its quotas and the document's check-outs; then run again",
                )
        if step.action == "replace":
            self._await(self.pages_s, lambda: self._versioned(number, wish, step.file))

    def _listed(self, number: int, wish: Wish, place: int) -> bool:
        def there() -> bool | None:
            rows = self._files(number)
            return place in files_there(wish, [row for row in rows if row["mimetype"]]) or None

        return bool(self._await(self.taken_s, there))

    def _files(self, number: int) -> list[dict[str, Any]]:
        rows = self._wire.rows(f"/documents/{number}/files/", {"_ordering": "id"})
        return [{**row, "sha256": row.get("checksum")} for row in rows]

    def _versioned(self, number: int, wish: Wish, place: int) -> bool | None:
        """Whether the target has made a version of all pages of a file."""
        row = files_there(wish, self._files(number))[place]
        pages = {
            value(page, "id", int) for page in self._wire.rows(f"/documents/{number}/files/{row['id']}/pages/")
        }
        for version in self._wire.rows(f"/documents/{number}/versions/", {"_ordering": "-id"}) if pages else ():
            mapped = self._wire.rows(f"/documents/{number}/versions/{value(version, 'id', int)}/pages/")
            if {value(page, "object_id", int) for page in mapped} == pages:
                return True
        return None

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
        if answer.status != 404:
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


def _require(answer: Answer, path: str, needs: str) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    error = refusal(answer, path)
    if isinstance(error, Missing) or answer.status == 403:
        raise SourceRefused(
            f"Mayan EDMS refuses {path}: permission {needs} is missing, or what it names"
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
        case Place(kind, name):
            return f"{kind[:-1]} {name!r}"
        case Say(text, _):
            return f"comment {text[:40]!r}"
