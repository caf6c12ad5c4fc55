"""A look: what is known, what is wrong, who is told of it, and the files that others read. It never raises.

The one place where the parts of a watch come together, for Prefect's flows and for the command line alike: that
works where Prefect, the catalog or the archive do not.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import ETIMEDOUT
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TypeVar

from flows.clock import SystemClock
from flows.config import Settings
from flows.errors import ConfigError
from flows.ops import told
from flows.ops.alarm import Alarm, Level
from flows.ops.send import Sent, send
from flows.ops.survey import Survey
from flows.ops.surveying import BACK, survey
from flows.ops.telling import Memory, message, plan
from flows.ops.watch import alarms
from flows.workbench import open_archive, open_catalog
from storage.archive import Archive
from storage.errors import CatalogUnusable, StorageError

log = logging.getLogger(__name__)
MEMORY = "told.json"  # in the state folder
T = TypeVar("T")
WAIT = SystemClock().sleep


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look found, and how the message about it was taken."""

    alarms: tuple[Alarm, ...]  # the worst first
    sent: tuple[Sent, ...] = ()  # none where there was nothing to tell, or nobody
    survey: Survey | None = None  # None where nobody could look

    @property
    def critical(self) -> bool:
        """Whether somebody must look now."""
        return any(alarm.level is Level.CRITICAL for alarm in self.alarms)

    @property
    def unheard(self) -> bool:
        """Whether there was something to tell, and no address took it."""
        return bool(self.sent) and not any(one.taken for one in self.sent)


def look(settings: Settings, *, now: datetime, only_tell: bool = False) -> Looked:
    """Ask archive, catalog and disks; tell what is new; write the metrics' file and the report.

    That archive or catalog do not open, or that a disk does not answer within `[watch] answer_within_s`, is an
    alarm by itself. Each step is tried, whatever became of those before; what fails is logged. `only_tell`: no
    file is written. Retry: yes.
    """
    back = BACK if only_tell else max(BACK, timedelta(days=settings.file.report.days))
    try:
        ask = partial(_ask, settings, now, back)
        archive, seen = answered(ask, within_s=settings.file.watch.answer_within_s)
        found = alarms(seen, settings.file.watch, settings.file.upkeep)
    except Exception as error:  # whatever it is, a look that fails in silence is none
        return cannot_look(settings, error, now=now)
    sent = tell(settings, found, now=now, watched=seen.watched)
    if not only_tell:
        _files(settings, archive, seen, found)
    return Looked(tuple(found), sent, seen)


def _ask(settings: Settings, now: datetime, back: timedelta) -> tuple[Archive, Survey]:
    archive = open_archive(settings)
    with open_catalog(settings, archive) as catalog:
        return archive, survey(settings, archive, catalog, now=now, back=back)


def answered(ask: Callable[[], T], *, within_s: float) -> T:
    """What `ask` gives, or raises. Raises TimeoutError where it does neither in time.

    A dead file server makes a read wait for ever, and nothing can end it: it is left behind in its thread, which
    keeps no process from ending.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # raised again where it was asked
            answer.set_exception(error)

    Thread(target=copy_context().run, args=(work,), name="look", daemon=True).start()
    try:
        return answer.result(within_s)
    except TimeoutError:
        if answer.done():
            raise
        raise TimeoutError(
            ETIMEDOUT, f"no answer within {within_s:g} s; is a disk or a file server away?"
        ) from None


def cannot_look(settings: Settings, error: Exception, *, now: datetime) -> Looked:
    """What is told where archive or catalog cannot be opened or read: one alarm. What was told before stays."""
    ours = isinstance(error, ConfigError | StorageError)
    if not ours and not isinstance(error, OSError):
        log.warning("the look failed", exc_info=error)
    why = str(error) if ours else getattr(error, "strerror", None) or type(error).__name__
    about = "catalog" if isinstance(error, CatalogUnusable) else "archive"
    sentence = f"{about}: cannot be looked at, so nobody knows how the backups stand: {why}"
    hint = getattr(error, "hint", "") or "`strongroom doctor` looks for the cause"
    found = (Alarm("unreadable", about, Level.CRITICAL, sentence, hint),)
    return Looked(found, tell(settings, found, now=now, blind=True))


def tell(
    settings: Settings,
    found: list[Alarm] | tuple[Alarm, ...],
    *,
    now: datetime,
    blind: bool = False,
    watched: Collection[str] | None = None,
    sleep: Callable[[float], None] = WAIT,
) -> tuple[Sent, ...]:
    """Tell what is new of these alarms, if anything is. Never raises. Retry: yes, what was told is not told again.

    It is told where one address at least took it, and only then is it remembered. Where there is nobody to tell
    nothing is remembered: whoever is entered later is told what there is then. A process that dies between
    sending and remembering tells twice, never not at all. `watched`: the names of what is configured, where that
    is known.
    """
    if not settings.file.notify.to:
        return ()
    path = settings.state / MEMORY
    remind = timedelta(days=settings.file.notify.remind_days)
    try:
        with told.alone(path, sleep=sleep):
            memory = told.read(path)
            telling = plan(found, memory, now=now, remind=remind, blind=blind, watched=watched)
            made = message(telling, host=socket.gethostname(), archive=settings.file.archive.url)
            sent = () if made is None else tuple(send(settings, made))
            for one in sent:
                if not one.taken:
                    log.warning("[notify] to: %s did not take the message: %s", one.name, one.why)
            if (made is None or any(one.taken for one in sent)) and telling.memory != memory:
                _remember(path, telling.memory)
            return sent
    except Exception:  # no backup is worth less because nobody could be told of it
        log.exception("telling failed")
        return ()


def _remember(path: Path, memory: Memory) -> None:
    try:
        told.write(path, memory)
    except OSError as exc:
        log.warning("%s: %s; what was told now is told again", path, exc.strerror)


def _files(settings: Settings, archive: Archive, seen: Survey, found: list[Alarm]) -> None:
    """What Prometheus reads, and the page. Late imports: both draw on large libraries."""
    from flows.ops import metrics, report  # noqa: PLC0415

    named = settings.file.metrics.file
    if named is not None:
        _try("metrics", lambda: metrics.write(seen, found, settings.beside(named)))
    _try("report", lambda: report.write(settings, seen, found, settings.report, archive))


def _try(what: str, write: Callable[[], object]) -> None:
    try:
        write()
    except Exception as error:  # a full disk, or a fault of ours
        log.warning("the %s could not be written: %s", what, error)
