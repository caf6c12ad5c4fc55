"""What people read in the Prefect UI: progress, the table of files, the proof, a failure in words.

Artifacts only; the same facts are in the archive and the catalog. No file name is shown whole (see
`ExportFile.shown`) and no link ever.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.errors import without_traceback
from flows.export import shown
from flows.night import Line, Night
from storage.listing import Entry
from storage.records import RunRecord
from storage.snapshot import ScopeKey, Snapshot, to_text

if TYPE_CHECKING:  # a run that backs up one scope needs none of it
    from flows.ops.alarm import Alarm
    from flows.retaining import Carried
    from storage.drill import Drilled
    from storage.planning import Plan
    from storage.prune import Freed, FreePlan
    from storage.upkeep import Scrubbed

log = logging.getLogger(__name__)
EVERY_S = 2.0  # a progress update is a request to the server
MAX_ROWS = 500  # of a table; Prefect has no limit of its own that would help


P = ParamSpec("P")


def _best_effort(write: Callable[P, None]) -> Callable[P, None]:
    """A page that Prefect's server does not take must not cost a backup: it is logged, and the run goes on."""

    @wraps(write)
    def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            write(*args, **kwargs)
        except Exception as exc:  # httpx's and Prefect's own, of every kind
            log.warning("a page in the Prefect UI could not be written: %s", type(exc).__name__)

    return tried


class Progress:
    """A progress bar in the UI, made after two seconds and updated at most as often: what is short needs none."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._id: UUID | None = None
        self._told_at = time.monotonic()
        self._done = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None and self._id is not None:
            self._tell(100.0)

    def at(self, fraction: float | None, words: str) -> None:
        """The system's own figure, which may be missing and may go backwards."""
        if time.monotonic() - self._told_at >= EVERY_S:
            self._tell(100.0 * (fraction or 0.0), words)

    def bytes(self, piece: int, total: int) -> None:
        """Some more bytes of `total` (0: not known)."""
        self._done += piece
        if time.monotonic() - self._told_at >= EVERY_S:
            self._tell(min(100.0 * self._done / total, 100.0) if total else 0.0)

    @_best_effort
    def _tell(self, percent: float, words: str = "") -> None:
        description = f"{self._description}: {words}" if words else self._description
        if self._id is None:
            made = create_progress_artifact(percent, description=description)
            self._id = made if isinstance(made, UUID) else None  # a coroutine only where an event loop runs
        else:
            update_progress_artifact(self._id, progress=percent, description=description)
        self._told_at = time.monotonic()


@_best_effort
def proof(found: Snapshot, entries: Sequence[Entry], kept: RunRecord) -> None:
    """The files, and the proof: each check with its outcome, the growth, the head of the chain."""
    manifest = found.manifest
    rows = [
        {
            "file": shown(entry.path),
            "size": entry.measured.size,
            "crc32": f"{entry.measured.crc32:08x}",
            "promised crc32": "" if entry.promised.crc32 is None else f"{entry.promised.crc32:08x}",
            "sha256": entry.measured.sha256,
        }
        for entry in entries[:MAX_ROWS]
    ]
    create_table_artifact(
        rows, key=_key("files", found.key), description=f"{found.key}: the files of {found.id[:8]}"
    )
    lines = [
        f"# {kept.ended.value}: {found.key}",
        "",
        f"Snapshot `{found.id}`, number {manifest.number} of its chain, taken {to_text(manifest.draft.taken_at)}.",
        "",
        f"{manifest.files} file(s), {manifest.size:,} bytes; the archive grew by {manifest.stored_bytes:,} bytes.",
        "",
        *_checks(kept),
        *[f"*{note}*" for note in manifest.draft.notes],
    ]
    create_markdown_artifact("\n".join(lines), key=_key("proof", found.key), description=f"{found.key}: proof")


@_best_effort
def failure(failed: RunRecord) -> None:
    """Why a run failed, and what to try."""
    lines = [
        f"# {failed.ended.value}: {failed.key}",
        "",
        _escape(failed.reason),
        "",
        f"**Try:** {_escape(failed.hint)}",
    ]
    lines += [
        "",
        *_checks(failed),
        f"Run `{failed.id}`, job `{failed.job or 'none'}`, exit code {failed.exit_code}.",
    ]
    create_markdown_artifact("\n".join(lines), key=_key("proof", failed.key), description=f"{failed.key}: failed")


@_best_effort
def trouble(key: ScopeKey, error: Exception) -> None:
    """Why there was not even a run."""
    text = f"# not started: {key}\n\n{_escape(without_traceback(error))}"
    create_markdown_artifact(text, key=_key("proof", key), description=f"{key}: not started")


@_best_effort
def night(told: Night, report: Path | None) -> None:
    """One row per scope, those that somebody should look at first; then what is worth saying of every-scopes.

    `report`: the page that a look writes after it; None where there is none.
    """
    lines = sorted(told.lines, key=lambda line: line.well)
    rows = [
        {
            "source": line.source,
            "scope": line.scope,
            "who": line.label,
            "ended": line.word,
            "message": _said(line),
        }
        for line in lines[:MAX_ROWS]
    ]
    notes = [{"source": "", "scope": "", "who": "", "ended": "note", "message": remark} for remark in told.remarks]
    # No browser opens a file from Prefect's UI, so the path stands there to be copied.
    said = told.sentence() if report is None else f"{told.sentence()}\n\nThe whole picture: `{report}`"
    create_table_artifact(rows + notes[:MAX_ROWS], key="night", description=said)


def _said(line: Line) -> str:
    kept = f"snapshot {line.snapshot[:8]}, {line.bytes_fetched:,} bytes fetched" if line.snapshot else ""
    return "; ".join(part for part in (kept, line.reason, line.hint and f"hint: {line.hint}") if part)


@_best_effort
def alarms(found: Sequence[Alarm]) -> None:
    """Everything that is wrong, the worst first."""
    rows = [
        {
            "level": one.level.name.lower(),
            "alarm": one.kind,
            "about": one.about,
            "message": one.sentence,
            "hint": one.hint,
        }
        for one in found[:MAX_ROWS]
    ]
    create_table_artifact(rows, key="watch", description=f"{len(found) or 'no'} alarms")


@_best_effort
def scrub(done: Scrubbed) -> None:
    """What a scrub read and found, and the heads of all chains: a copy of them shows even a roll-back."""
    report, record = done.report, done.record
    read = f"{report.bytes_read:,} bytes in {report.packs_read} of {report.packs} packs"
    lines = [
        f"# scrub: {len(report.findings) or 'no'} findings",
        "",
        f"Read: {read}, as asked ({record.asked}); {report.snapshots} snapshots; {to_text(record.ended_at)}.",
        "",
        *([f"No record was left: {_escape(masked(done.unrecorded))}", ""] if done.unrecorded else []),
    ]
    if report.findings:
        lines += ["| file | problem | snapshots |", "|---|---|---|"]
        lines += [
            f"| {_escape(f.name)} | {_escape(masked(f.problem))} | {' '.join(x[:8] for x in f.snapshots)} |"
            for f in report.findings[:MAX_ROWS]
        ]
        lines += [""]
    lines += ["| chain | number | head |", "|---|---|---|"]
    lines += [f"| {_escape(key)} | {n} | `{head}` |" for key, (n, head) in sorted(report.heads.items())[:MAX_ROWS]]
    create_markdown_artifact("\n".join(lines), key="scrub", description=f"scrub: {read}")


@_best_effort
def drill(done: Drilled) -> None:
    """What a drill gave back, file by file."""
    rows = [
        {
            "file": shown(path),
            "size": size,
            "outcome": "failed" if problem else "passed",
            "problem": masked(problem),
        }
        for path, size, problem in done.results[:MAX_ROWS]
    ] or [{"file": "", "size": 0, "outcome": "failed", "problem": masked(p)} for p in done.record.problems]
    create_table_artifact(rows, key="drill", description=done.sentence())


@_best_effort
def plan(made: Plan) -> None:
    """What the policies say of each snapshot: those that go first."""
    verdicts = [(scope, verdict) for scope in made.scopes for verdict in scope.verdicts]
    verdicts.sort(key=lambda one: one[1].keep)
    rows = [
        {
            "scope": str(scope.key),
            "id": verdict.candidate.id[:8],
            "taken": to_text(verdict.candidate.taken_at),
            "verdict": "keep" if verdict.keep else "erase" if verdict.must_go else "forget",
            "reasons": "; ".join(filter(None, (*verdict.reasons, verdict.missed))),
        }
        for scope, verdict in verdicts[:MAX_ROWS]
    ]
    create_table_artifact(rows, key="plan", description=f"{made.forgetting} of {made.total} snapshots go")


@_best_effort
def pruned(made: Plan, done: Carried, freed: Freed | None) -> None:
    """What was done of a plan."""
    lines = [f"# prune: {pruned_sentence(done, freed)}", ""]
    lines += [f"**Refused:** {_escape(masked(line))}\n" for line in (*made.refused, *made.waits)]
    tombs = (*done.forgotten, *done.erased)
    if tombs:
        lines += ["| scope | number | id | why | reason |", "|---|---|---|---|---|"]
        lines += [
            f"| {_escape(str(t.key))} | {t.number} | {t.id[:8]} | {t.why} | {_escape(t.reason)} |"
            for t in tombs[:MAX_ROWS]
        ]
    create_markdown_artifact("\n".join(lines), key="prune", description=pruned_sentence(done, freed))


def pruned_sentence(done: Carried, freed: Freed | None) -> str:
    """What was done of a plan, in one line."""
    parts = [f"{len(done.forgotten)} forgotten"]
    if done.erased:
        parts.append(f"{len(done.erased)} erased, {done.bytes_freed:,} bytes")
    if freed is not None:
        parts.append(f"{freed.bytes_freed:,} bytes freed, {freed.later_bytes:,} later")
        if freed.waits:
            parts.append(f"the rest waits: {freed.waits}; where the clock is right: `prune --apply --confirm 0`")
    return "; ".join(parts)


def rehearsed_sentence(made: Plan, space: FreePlan | None, confirm: int | None) -> str:
    """What would be done of a plan, in one line."""
    erased = sum(len(scope.erases) for scope in made.scopes)
    parts = [f"rehearsed, nothing was done; by then {made.forgetting - erased} would be forgotten"]
    if erased:
        parts.append(f"{erased} would be erased")
    if space is not None:
        parts.append(f"{space.now_bytes:,} bytes would be freed, {space.later_bytes:,} later")
    if fuse := made.fuse(confirm):
        parts.append(f"the fuse would stop it: {fuse}")
    return "; ".join([*made.refused, *made.waits, *parts])


def masked(text: str) -> str:
    """A message of the archive's with the names of files as `shown` has them."""
    return re.sub(r"\S{33,}", lambda name: shown(name.group()), text)


def _checks(record: RunRecord) -> list[str]:
    if not record.checks:
        return []
    head = ["| check | outcome | got | promised | why |", "|---|---|---|---|---|"]
    return head + [
        "| " + " | ".join(_escape(x) for x in (c.name, c.outcome.value, c.got, c.promised, c.reason)) + " |"
        for c in record.checks
    ] + [""]  # fmt: skip


def _escape(text: str) -> str:
    """Text from a server, harmless in markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#|!])", r"\\\1", " ".join(text.split()))


def _key(kind: str, key: ScopeKey) -> str:
    return f"{kind}-{_slug(str(key))}"


def _slug(text: str) -> str:
    """Prefect's keys are lower-case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:100] or "x"
