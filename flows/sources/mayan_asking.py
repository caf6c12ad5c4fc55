"""What to do about an export that was asked for, by what is seen of it: take it, wait, ask again, give up.

Pure. A 202 promises nothing and failures are told nowhere or in a log, so what is known is what was seen, and for
how long (contract mayan.md section 4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

TIMES = 2  # that one job asks for one export; once more where a dead worker locked its page
CUTTING = frozenset({(4, 10, 6), (4, 11, 4), (4, 11, 5)})  # releases whose exports end after four pages
WHOLE = 4  # pages that those do write


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long to wait, in seconds."""

    deadline_s: float = 1200  # for one export, from when it was asked for: others may be before it in the queue
    page_s: float = 3  # added for each page, which takes about one
    lock_s: float = 35  # locks of a page that somebody else draws last 30 s
    # And of a killed worker twice CONVERTER_IMAGE_GENERATION_TIMEOUT, which is 120 s (Mayan EDMS 4.12.2,
    # documents/models/document_version_page_model_mixins.py).
    dead_s: float = 250
    stopped_s: float = 120  # without an end, on a release that cuts exports


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for one version, written down before it is asked."""

    after: int  # the newest download file before
    error: int  # the newest error before
    times: int = 1
    sure: bool = False  # whether the server said that it took the question
    alone: bool = True  # whether what is made of the version is ours: no other export of it is known of
    made: int | None = None  # the download file, whole
    gave_up: str = ""  # why

    def to_json(self) -> dict[str, Any]:
        """As the notebook holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Asked:
        """From the notebook. Raises TypeError for a value of another shape."""
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the server shows of a version's export."""

    whole: int | None = None  # the download file that holds it
    unfinished: int = 0  # download files of ours that nothing is known of yet
    errors: tuple[str, ...] = ()  # what the server's log says of the version, newest first


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now."""

    do: Literal["take", "wait", "ask again", "give up"]
    why: str = ""


def decide(
    asked: Asked, seen: Seen, *, pages: int, waited_s: float, quiet_s: float, cuts: bool, bounds: Bounds
) -> Step:
    """The next step. `waited_s`: since it was last asked; `quiet_s`: since something new was seen; `cuts`: whether
    the server's release is one that cuts exports."""
    if seen.whole is not None:
        return Step("take")
    if asked.gave_up:
        return Step("give up", asked.gave_up)
    said = next((text for text in seen.errors if "LockError" not in text), "")
    if said:
        return Step("give up", f"Mayan EDMS says {said[:200]}")
    cuts = cuts and pages > WHOLE and seen.unfinished > 0
    if cuts and quiet_s >= bounds.stopped_s:
        return Step("give up", cut_off(pages))
    again = asked.times < TIMES and not cuts
    refused, unheard = bool(seen.errors), not asked.sure and not seen.unfinished
    if again and quiet_s >= bounds.lock_s and (refused or unheard):
        return Step("ask again")
    if refused and asked.times == TIMES and quiet_s >= bounds.dead_s:
        return Step("ask again")  # a last time: who draws for so long draws no more
    limit_s = bounds.deadline_s + bounds.page_s * pages
    if waited_s < limit_s:
        return Step("wait")
    if again:
        return Step("ask again")
    if refused:
        return Step("give up", "its pages are drawn for somebody else, or it is exported by hand (LockError)")
    if seen.unfinished:
        return Step("give up", f"begun and not finished within {limit_s:.0f} s")
    return Step("give up", f"not made within {limit_s:.0f} s, asked for {asked.times} times")


def cuts_exports(version: str) -> bool:
    """Whether exports of this release of Mayan EDMS end after four pages."""
    return release(version) in CUTTING


def logs_exports(version: str) -> bool:
    """Whether this release writes an export's failure into its error log: since 4.12."""
    return release(version) >= (4, 12)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a release, as "4.11.5"."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def cut_off(pages: int) -> str:
    """Why an export of so many pages does not end on a release that cuts them."""
    return (
        f"{pages} pages, of which Mayan EDMS writes {WHOLE}: 4.10.6, 4.11.4 and 4.11.5 cut exports; other "
        "releases do not"
    )
