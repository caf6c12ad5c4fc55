"""One version's export: asked for, waited for by its event, fetched whole, its pages counted, removed there.

What is asked is noted before, so that a run that goes on with the job waits for it, and asks for nothing twice.
Facts: contract mayan.md section 4.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from flows.errors import Exit, FileGone, RunFailed, SourceRefused, SourceUnavailable
from flows.sources.base import Download, Notebook
from flows.sources.mayan_asking import (
    BOUNDS,
    WHOLE,
    Asked,
    Bounds,
    Seen,
    cut_off,
    cuts_exports,
    decide,
    logs_exports,
)
from flows.sources.mayan_downloads import Downloads, pages_of
from flows.sources.mayan_wire import Missing, Wire, refusal

log = logging.getLogger(__name__)
FIRST_S, LONGEST_S = 0.5, 15.0  # between two looks
LOST = 2  # exports one after the other that were never made: then nobody makes any
PIECE = 1 << 20


class Exports:
    """The exports of one server's versions. One is in flight at a time: a second one of a version would fail."""

    def __init__(
        self,
        wire: Wire,
        *,
        bounds: Bounds = BOUNDS,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire, self._bounds, self._sleep, self._monotonic = wire, bounds, sleep, monotonic
        self._downloads = Downloads(wire, sleep=sleep)
        self._notebook: Notebook | None = None
        self._logged = self._cuts = self._cut = False  # the release logs, or cuts exports; one was seen to be cut
        self._lost = 0  # given up, one after the other
        self._opened: set[int] = set()  # versions, by this run

    def begin(self, notebook: Notebook, version: str) -> None:
        """A job's exports: of its notebook, and of the server's version. Before `open`."""
        self._notebook = notebook
        self._logged, self._cuts = logs_exports(version), cuts_exports(version)

    def settle(self) -> None:
        """Remove at the server what arrived in a run that died before it could. After the last file of a job."""
        for version, asked in self._notes().items():
            if asked.made is not None and version not in self._opened:
                self._done(version, asked)

    @contextmanager
    def open(self, document: int, version: int, pages: int) -> Iterator[Download]:
        """The export of one version. Removed at the server when the caller is done, left alone where it fails.

        Raises RunFailed where the server does not make it, or not whole; FileGone where the version is no more;
        SourceRefused, SourceUnavailable. Retry: yes; it goes on with what was asked for.
        """
        assert self._notebook is not None, "files come first"  # noqa: S101
        what = f"export of document {document}, version {version}"
        self._opened.add(version)
        with tempfile.TemporaryFile(dir=self._notebook.folder) as copy:
            for last in (False, True):
                asked = self._made(document, version, pages, what)
                assert asked.made is not None  # noqa: S101
                try:
                    size = self._downloads.fetch(asked.made, copy, self._notebook.folder)
                    break
                except Missing as exc:  # it has expired
                    self._note(version, None)
                    if last:
                        raise FileGone(f"{what}: gone before it was fetched, twice") from exc
            got = pages_of(copy)
            if got != pages:
                self._give_up(version, asked, f"{got} pages came, promised {pages}", what, Exit.VERIFICATION)
            copy.seek(0)
            yield Download(iter(lambda: copy.read(PIECE), b""), 0, size)
        self._done(version, asked)

    def _made(self, document: int, version: int, pages: int, what: str) -> Asked:
        """The export, whole at the server; asked for where this job has not done so."""
        asked = self._notes().get(version)
        if asked is None:
            if self._cut and pages > WHOLE:
                raise RunFailed(f"{what}: not asked for: {cut_off(pages)}")
            if self._lost >= LOST:
                raise RunFailed(f"{what}: not asked for: of the exports before it none was made", hint=WORKERS)
            asked = Asked(self._downloads.newest(), self._error(version), times=0)
            asked = self._ask(document, version, asked, what)
        began = changed = self._monotonic()
        gap, before = FIRST_S, Seen()
        while asked.made is None:
            seen = self._downloads.look(version, after=asked.after, error=asked.error, logged=self._logged)
            now = self._monotonic()
            if seen != before:
                before, changed = seen, now
            if seen.errors and asked.alone:
                asked = self._note(version, replace(asked, alone=False))
            step = decide(
                asked, seen, pages=pages, waited_s=now - began, quiet_s=now - changed, cuts=self._cuts,
                bounds=self._bounds,
            )  # fmt: skip
            match step.do:
                case "take":
                    asked = self._note(version, replace(asked, made=seen.whole))
                    self._lost = 0
                case "wait":
                    self._sleep(gap)
                    gap = min(gap * 1.5, LONGEST_S)
                case "ask again":
                    log.warning("%s: asked for again", what)
                    if seen.errors:  # somebody else's, whatever comes of those before
                        asked = Asked(self._downloads.newest(), self._error(version), asked.times)
                    asked = self._ask(document, version, asked, what)
                    began = changed = self._monotonic()
                    gap, before = FIRST_S, Seen()
                case "give up":
                    self._cut |= self._cuts and pages > WHOLE and bool(seen.unfinished)
                    self._lost += not seen.unfinished and not seen.errors
                    self._give_up(version, asked, step.why, what)
        return asked

    def _ask(self, document: int, version: int, asked: Asked, what: str) -> Asked:
        """Ask for it, once, noted before. Where no answer comes it may have arrived: that shows later."""
        asked = self._note(version, replace(asked, times=asked.times + 1, sure=False))
        path = f"/documents/{document}/versions/{version}/"
        try:
            answer = self._wire.send("POST", f"{path}export/")
        except SourceUnavailable as exc:
            if exc.sent:
                return asked
            self._note(version, None if asked.times == 1 else replace(asked, times=asked.times - 1))
            raise
        if answer.status >= 500:
            return asked
        if answer.status != 202:
            self._note(version, None)
            if answer.status == 404 and self._wire.ask(path).status == 404:
                raise FileGone(f"{what}: the version is not there any more")
            if answer.status == 404:
                raise SourceRefused(
                    f"{what}: permission document_exports.document_version_export is missing",
                    hint="give it to a role of the backup user",
                )
            raise refusal(answer, "an export")
        return self._note(version, replace(asked, sure=True))

    def _give_up(self, version: int, asked: Asked, why: str, what: str, exit: Exit = Exit.VENDOR) -> None:
        self._note(version, replace(asked, gave_up=why))
        raise RunFailed(f"{what}: {why}", exit=exit, hint=WORKERS)

    def _done(self, version: int, asked: Asked) -> None:
        if asked.alone and asked.made is not None:
            self._downloads.remove(asked.made)
        self._note(version, None)

    def _error(self, version: int) -> int:
        return self._downloads.newest_error(version) if self._logged else 0

    # -- what was asked

    def _notes(self) -> dict[int, Asked]:
        assert self._notebook is not None, "files come first"  # noqa: S101
        found = self._notebook.read().get("exports", {})
        return {int(version): Asked.from_json(one) for version, one in found.items()}

    def _note(self, version: int, asked: Asked | None) -> Asked:
        """Write down what is known of a version's export; None: nothing."""
        notes = self._notes()
        notes.pop(version, None)
        if asked is not None:
            notes[version] = asked
        assert self._notebook is not None  # noqa: S101
        self._notebook.write({"exports": {str(number): one.to_json() for number, one in notes.items()}})
        return asked or Asked(0, 0)


WORKERS = "look at the workers of Mayan EDMS (queue documents_exports) and its log of errors"
