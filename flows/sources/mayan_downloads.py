"""The downloads area of Mayan EDMS: which file there is the export of which version, fetched, and removed.

A listed file may be half of one, names tell no two exports apart, and neither size nor state is told: only the
event of a download file names its version, and is written after its last byte. Facts: contract mayan.md section 4.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from flows.disk import check_disk
from flows.errors import SourceError, SourceRefused, SourceUnavailable
from flows.sources.mayan_asking import Seen
from flows.sources.mayan_wire import Row, Wire, member, refusal, rows_of, value

log = logging.getLogger(__name__)
VERB = "document_exports.document_version_exported"
DOMAIN = "document_exports"  # of errors: others are of text recognition, checks and the like
MESSAGES = 3  # looks for the message, which is written after the event


class Downloads:
    """The download files of this user: those of others are not looked at, whoever may see them."""

    def __init__(self, wire: Wire, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._wire, self._sleep = wire, sleep
        self._user: int | None = None
        self._versions: dict[int, str] = {}  # of download files, as far as their events told
        self._unheard = False  # the last message that was looked for was not to be seen
        self._complained: set[str] = set()

    def newest(self) -> int:
        """The id of the newest one; 0 where there is none. What is made from now on has a higher one."""
        return max((value(row, "id", int) for row in self._page()), default=0)

    def look(self, version: int, *, after: int, error: int, logged: bool) -> Seen:
        """The export of a version among files newer than `after`, and errors newer than `error`.

        `logged`: whether the server logs errors of exports at all. Raises SourceRefused: events are not shown.
        """
        user = self._me()
        ours = sorted(
            value(row, "id", int) for row in self._page(after) if value(row, "user", dict).get("id") == user
        )
        found = {number: self._of(number) for number in ours}
        whole = next((number for number in ours if found[number] == str(version)), None)
        errors = tuple(text for _, text in self._errors(version, error)) if logged and whole is None else ()
        return Seen(whole, sum(told is None for told in found.values()), errors)

    def newest_error(self, version: int) -> int:
        """The id of the newest error of a version; 0 where there is none, or none may be seen."""
        return max((number for number, _ in self._errors(version, 0)), default=0)

    def fetch(self, number: int, copy: IO[bytes], spool: Path) -> int:
        """The bytes of a download file into `copy`, which lies in the folder `spool`; how many.

        Raises Missing where it has expired, SourceUnavailable, BackendFailed. Retry: yes.
        """
        path, size = f"/downloads/{number}/download/", 0
        copy.seek(0)
        copy.truncate()
        with self._wire.stream(path, lambda answer: refusal(answer, path)) as got:
            check_disk(spool, 3 * (got.total or 0))  # this copy, the spool's and the archive's
            for piece in got.chunks:
                copy.write(piece)
                size += len(piece)
        if got.total is not None and size != got.total:
            raise SourceUnavailable(f"an export: {size} bytes came, {got.total} were announced", answered=True)
        return size

    def remove(self, number: int) -> None:
        """The download file and its message. Both would go by themselves: a failure costs nothing."""
        try:
            for path in self._messages(number):
                # Without permission 404, too: as if it had gone.
                if self._gone(path) and self._wire.ask(path).status == 200:
                    self._complain("messages of exports stay: permission messaging.message_delete is missing")
            self._gone(f"/downloads/{number}/")
        except SourceError as exc:
            log.warning("Mayan EDMS does not remove export %d: %s", number, exc)

    def _gone(self, path: str) -> bool:
        """Remove it; whether the server says that it is not there."""
        answer = self._wire.send("DELETE", path)
        if answer.status not in (204, 404):
            log.warning("Mayan EDMS does not remove %s: %d", path, answer.status)
        return answer.status == 404

    def _messages(self, number: int) -> list[str]:
        """The message of a download file. One that was not to be seen is not waited for again at the next file."""
        for look in range(1 if self._unheard else MESSAGES):
            if look:
                self._sleep(0.5)
            answer = self._wire.ask("/messages/", {"page_size": "100", "_ordering": "-id"})
            if answer.status != 200:
                break
            found = [
                f"/messages/{value(row, 'id', int)}/"
                for row in rows_of(answer, "/messages/")
                if str(row.get("sender_object_id")) == str(number)
                and row.get("sender_model_name") == "downloadfile"
            ]
            if found:
                self._unheard = False
                return found
        self._unheard = True
        self._complain("messages of exports stay: permission messaging.message_view may be missing")
        return []

    def _complain(self, sentence: str) -> None:
        """Once a night, however many exports there are."""
        if sentence not in self._complained:
            self._complained.add(sentence)
            log.warning("Mayan EDMS: %s", sentence)

    def _page(self, after: int = 0) -> list[Row]:
        """Those newer than `after`, newest first; of the others no more than come with them."""
        found: list[Row] = []
        for row in self._wire.rows("/downloads/", {"_ordering": "-id"}):
            if value(row, "id", int) <= after:
                break
            found.append(row)
            if not after and len(found) == 1:
                break
        return found

    def _me(self) -> int:
        if self._user is None:
            self._user = member(self._wire.get("/users/current/"), "id", int)
        return self._user

    def _of(self, number: int) -> str | None:
        """The version that a download file is the export of; None where no event says so yet."""
        if number not in self._versions:
            told = self._told(number)
            if told is None:
                return None
            self._versions[number] = told
        return self._versions[number]

    def _told(self, number: int) -> str | None:
        path = f"/objects/storage/downloadfile/{number}/events/"
        answer = self._wire.ask(path, {"page_size": "100"})
        if answer.status == 404:
            if self._wire.ask(f"/downloads/{number}/").status == 200:
                raise SourceRefused(
                    "Mayan EDMS shows no events of a download file: permission events.events_view is missing",
                    hint="give it to a role of the backup user",
                )
            return None  # gone since it was listed
        if answer.status != 200:
            raise refusal(answer, path)
        for row in rows_of(answer, path):
            of = (row.get("target_content_type") or {}).get("model")
            if (row.get("verb") or {}).get("id") == VERB and of == "documentversion":
                return str(row.get("target_object_id"))
        return None

    def _errors(self, version: int, after: int) -> list[tuple[int, str]]:
        """Errors of a version, newest first; none where they may not be seen (logging.error_log_view)."""
        path = f"/objects/documents/documentversion/{version}/errors/"
        answer = self._wire.ask(path, {"page_size": "100", "_ordering": "-datetime"})
        if answer.status != 200:
            return []
        ours = [row for row in rows_of(answer, path) if row.get("domain_name") == DOMAIN]
        rows = [(value(row, "id", int), value(row, "text", str)) for row in ours]
        return sorted(((number, text) for number, text in rows if number > after), reverse=True)


def pages_of(copy: IO[bytes]) -> int:
    """Pages of a PDF; 0 for what is none. Memory: its tables, not its pages."""
    from pypdf import PdfReader  # noqa: PLC0415 - late: only exports have pages, and every run would pay for it
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    copy.seek(0)
    try:
        return len(PdfReader(copy).pages)
    except (PyPdfError, ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
