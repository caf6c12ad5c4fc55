"""One version's export: asked for, waited for by its event, fetched whole, its pages counted, removed there.

A 202 says nothing, a listed file may be half of one, and names tell no two exports apart (contract mayan.md
section 4): only the event of the download file names the version, and is written after its last byte.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from flows.errors import Exit, RunFailed, SourceRefused, SourceUnavailable
from flows.sources.base import Download
from flows.sources.mayan_wire import Wire, from_mayan, refusal, value
from storage.snapshot import from_text

log = logging.getLogger(__name__)
VERB = "document_exports.document_version_exported"
FIRST_S, LONGEST_S = 1.0, 15.0  # between two looks
DEADLINE_S = 1200.0  # for one export; a page takes about a second, and others may be before it in the queue
AGAIN_S = 35.0  # after a lost one nothing is asked: locks last 30 s
PIECE = 1 << 20


class Exports:
    """The exports of one server's versions. One is in flight at a time: a second one of a version would fail."""

    def __init__(
        self,
        wire: Wire,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._wire, self._sleep, self._monotonic, self._deadline_s = wire, sleep, monotonic, deadline_s

    @contextmanager
    def open(self, document: int, version: int, pages: int, since: str) -> Iterator[Download]:
        """The export of one version. What lies there since `since`, left by a run that died, is used first.

        Raises RunFailed where the server does not make it, or not whole; SourceRefused. Retry: yes.
        """
        what = f"export of document {document}, version {version}"
        found = self._ready(version, from_text(since))
        if found is None:
            self._ask(document, version, what)
            found = self._await(version, from_text(since), what)
        with tempfile.TemporaryFile() as copy:
            size = self._fetch(found, copy)
            got = _pages(copy)
            if got != pages:
                raise RunFailed(
                    f"{what}: {got} pages, promised {pages}: Mayan EDMS wrote part of it",
                    exit=Exit.VERIFICATION,
                    hint="4.10.6, 4.11.4 and 4.11.5 cut exports after four pages; a newer version does not",
                )
            copy.seek(0)
            yield Download(iter(lambda: copy.read(PIECE), b""), 0, size)
        self._remove(found)

    def _ask(self, document: int, version: int, what: str) -> None:
        answer = self._wire.send("POST", f"/documents/{document}/versions/{version}/export/")
        if answer.status == 404:
            raise SourceRefused(
                f"{what}: not there, or permission document_exports.document_version_export is missing",
                hint="give it to a role of the backup user",
            )
        if answer.status != 202:
            raise refusal(answer, "an export")

    def _await(self, version: int, since: datetime, what: str) -> int:
        """The download file of the version, once its event says that it is whole."""
        end, gap = self._monotonic() + self._deadline_s, FIRST_S
        errors = self._errors(version)
        while True:
            found = self._ready(version, since)
            if found is not None:
                return found
            told = self._errors(version)
            if told is not None and errors is not None and len(told) > len(errors):
                self._sleep(AGAIN_S if "LockError" in told[0] else 0)
                raise SourceUnavailable(f"{what}: Mayan EDMS says {told[0][:200]}", answered=True)
            if self._monotonic() > end:
                raise RunFailed(
                    f"{what}: not made within {self._deadline_s:.0f} s",
                    hint="look at the workers of Mayan EDMS (queue documents_exports)",
                )
            self._sleep(gap)
            gap = min(gap * 1.5, LONGEST_S)

    def _ready(self, version: int, since: datetime) -> int | None:
        """The newest download file since then that an event says is of this version, and so is whole."""
        for row in self._wire.rows("/downloads/"):
            number: int = value(row, "id", int)
            made = from_mayan(value(row, "datetime", str))
            if made >= since and self._is_of(number, version):
                return number
        return None

    def _is_of(self, number: int, version: int) -> bool:
        answer = self._wire.ask(f"/objects/storage/downloadfile/{number}/events/", {"page_size": "100"})
        if answer.status == 404:  # gone since it was listed
            return False
        if answer.status != 200:
            raise refusal(answer, "events")
        return any(
            row.get("verb", {}).get("id") == VERB
            and (row.get("target_content_type") or {}).get("model") == "documentversion"
            and row.get("target_object_id") == str(version)
            for row in (answer.json() or {}).get("results", ())
        )

    def _errors(self, version: int) -> list[str] | None:
        """What the server's log says of this version, newest first; None where it may not be seen (before 4.12 it
        says nothing of exports)."""
        answer = self._wire.ask(f"/objects/documents/documentversion/{version}/errors/", {"page_size": "100"})
        if answer.status != 200:
            return None
        rows = (answer.json() or {}).get("results", [])
        return [str(row.get("text")) for row in sorted(rows, key=lambda row: -int(row.get("id", 0)))]

    def _fetch(self, number: int, copy: IO[bytes]) -> int:
        path, size = f"/downloads/{number}/download/", 0
        with self._wire.stream(path, lambda answer: refusal(answer, path)) as got:
            for piece in got.chunks:
                copy.write(piece)
                size += len(piece)
        if got.total is not None and size != got.total:
            raise SourceUnavailable(f"an export: {size} bytes came, {got.total} were announced", answered=True)
        return size

    def _remove(self, number: int) -> None:
        """The download file and its message. Both would go by themselves; a failure costs nothing."""
        messages = self._wire.ask("/messages/", {"page_size": "100", "_ordering": "-id"})
        rows = (messages.json() or {}).get("results", []) if messages.status == 200 else []
        ours = [row["id"] for row in rows if row.get("sender_object_id") in (number, str(number))
                and row.get("sender_model_name") == "downloadfile"]  # fmt: skip
        for path in [f"/downloads/{number}/", *(f"/messages/{message}/" for message in ours)]:
            answer = self._wire.send("DELETE", path)
            if answer.status not in (204, 404):
                log.warning("Mayan EDMS does not remove %s: %d", path, answer.status)


def _pages(copy: IO[bytes]) -> int:
    """Pages of a PDF; 0 for what is none."""
    copy.seek(0)
    try:
        return len(PdfReader(copy).pages)
    except (PyPdfError, ValueError, OSError, KeyError, RecursionError):
        return 0
