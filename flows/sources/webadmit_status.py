"""What WebAdMIT says of a run, as our words.

Pure. Exports write `In Progress`, PDF Manager batches `in_progress`; the vendor's pages have both for either.
Facts: contract webadmit.md section A3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from flows.errors import SourceUnexpected
from flows.export import State, Status

STATES = {
    "initializing": State.PENDING,
    "queued": State.PENDING,
    "in_progress": State.RUNNING,
    "available": State.READY,
    "success_with_errors": State.READY_PARTIAL,
    "empty_list": State.EMPTY,
    "failed": State.FAILED,
}
LOOKS = 3  # at a run that is available, for a link that is not there yet


@dataclass(frozen=True, slots=True)
class Said:
    """One answer about a run: its word, as it came, and whether there was a link to a file, or to several."""

    word: str
    link: bool


def state_of(word: object) -> State:
    """The state that a word means, however it is spelled. Raises SourceUnexpected for any other word."""
    plain = re.sub(r"[\s_-]+", "_", word.strip().lower()) if isinstance(word, str) else ""
    if plain not in STATES:
        raise SourceUnexpected(f"WebAdMIT: status {str(word)[:40]!r} is not known")
    return STATES[plain]


def status_of(said: Said, *, linkless: int, at: datetime | None) -> Status:
    """What an answer means. `linkless`: how often before this run was available and had no link.

    Raises SourceUnexpected for an unknown word, and for a run that stays available without a link.
    """
    state, raw = state_of(said.word), said.word.strip()
    match state:
        case State.READY if not said.link and linkless >= LOOKS:
            raise SourceUnexpected(
                f"WebAdMIT: a run is {raw!r} and has no link, asked {linkless + 1} times",
                hint="look at it in WebAdMIT's Recent Files; run again later",
            )
        case State.READY if not said.link:
            return Status(State.RUNNING, raw, "finished, and its link is not there yet", server_time=at)
        case State.READY_PARTIAL if not said.link:
            return Status(State.FAILED, raw, "it ended with errors, and there is no file", server_time=at)
        case State.READY_PARTIAL:
            return Status(state, raw, "WebAdMIT says that it had errors", progress=1, server_time=at)
        case State.READY:
            return Status(state, raw, progress=1, server_time=at)
        case State.EMPTY:
            return Status(state, raw, "its list has no applicants, and there is no file", server_time=at)
        case State.FAILED:
            return Status(state, raw, "WebAdMIT gives no reason", server_time=at)
        case _:
            return Status(state, raw, server_time=at)
