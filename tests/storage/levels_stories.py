"""Nights told in lines, and lived through the rules as the engine does: judged on the night, kept, judged again.

A line of a story is a night, `[count x] what judged stands`, or a decision, `> accept 12`. What came is its number
of records, and a word before it where something is odd: `other` (as many, and others), `partial`, `failed` (a
check), `ahead` (our clock is a year ahead), `import` (from a file, taken a year ago), `html` (asked for in another
format). Stands, at the end of the story: `counts`, `waits` (for a person), `settled` (does not count; nobody need
look), `never` (counts, whatever is decided).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.decisions import Decision
from storage.seen import Finding, Seen
from storage.snapshot import Compared, ScopeKey
from storage.standing import Standing, refusal, standings, to_compare, tonight
from storage.verify import Quality

KEY = ScopeKey("lab", "group 1234")
START = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
NIGHT = timedelta(days=1)
YEAR = timedelta(days=365)
RECORD = 40_000  # bytes


@dataclass(frozen=True, slots=True)
class Came:
    """What a night brought."""

    records: int
    word: str = ""


@dataclass
class Life:
    """A scope, night after night."""

    seen: list[Seen] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    holds: dict[str, frozenset[int]] = field(default_factory=dict)  # record ids, by snapshot

    @property
    def now(self) -> datetime:
        """An hour after the last night."""
        return START + len(self.seen) * NIGHT + timedelta(hours=1)

    def night(self, came: Came) -> Finding:
        """What came is judged and kept."""
        number = len(self.seen) + 1
        at = START + number * NIGHT
        ids = (
            frozenset(range(came.records))
            if came.word != "other"
            else frozenset(range(10**6, 10**6 + came.records))
        )
        request = '{"format":"html"}' if came.word == "html" else '{"format":"xml"}'
        quality = {"partial": Quality.PARTIAL, "failed": Quality.QUARANTINED}.get(came.word, Quality.VERIFIED)
        wrong = YEAR if came.word == "ahead" else timedelta(0)
        one = Seen(
            id=f"{number:08x}{'0' * 56}",
            number=number,
            taken_at=at + wrong - (YEAR if came.word == "import" else timedelta(0)),
            committed_at=at + wrong + timedelta(minutes=30),
            request=request,
            quality=quality,
            size=came.records * RECORD + 22,
            files=1,
            members=came.records * 3,
            records=came.records,
            compared=tuple(
                Compared(
                    one.id, len(self.holds[one.id] - ids), len(ids - self.holds[one.id]), len(self.holds[one.id])
                )
                for one in to_compare(self.seen, self.decisions, request, now=at)
            ),
            fetched=came.word != "import",
            server_time=None if came.word == "import" else at,
            begun_at=None if came.word == "import" else at + wrong,
            failed=("crc32",) if came.word == "failed" else (),
        )
        finding = Finding.NORMAL
        if quality is Quality.VERIFIED:
            judgement = tonight(self.seen, self.decisions, one, now=at)
            finding = judgement.finding
            said = "; ".join(reason.sentence() for reason in judgement.reasons)
            kept = Quality.VERIFIED if judgement.normal else Quality.QUARANTINED
            one = replace(one, quality=kept, finding=finding, said=said)
        self.seen.append(one)
        self.holds[one.id] = ids
        return finding

    def decide(self, kind: str, number: int, *, by: str = "ada", reason: str = "looked") -> None:
        """A person decides about a night."""
        n = 1 + sum(1 for one in self.decisions if one.number == number)
        snapshot = self.seen[number - 1].id
        kind_of: Any = kind  # a word of a story; a wrong one fails there
        self.decisions.append(Decision(kind_of, KEY, number, snapshot, self.now, by, reason, n=n))

    def standings(self, decisions: Iterable[Decision] | None = None) -> list[Standing]:
        return standings(self.seen, self.decisions if decisions is None else decisions, now=self.now)


@dataclass(frozen=True, slots=True)
class Told:
    """A story's promise: what each night was called, and how each stands at the end."""

    life: Life
    findings: list[tuple[Finding, Finding]]  # promised, got
    stands: list[tuple[str, str]]


def live(story: str) -> Told:
    """Live through a story's lines."""
    life = Life()
    findings: list[tuple[Finding, Finding]] = []
    promised: list[str] = []
    for line in filter(None, (line.strip() for line in story.splitlines())):
        if line.startswith(">"):
            _, kind, number = line.split()
            life.decide(kind, int(number))
            continue
        times, _, rest = line.partition(" x ") if " x " in line else ("1", "", line)
        *what, judged, stands = rest.split()
        came = Came(int(what[-1].replace(",", "")), what[0] if len(what) > 1 else "")
        for _ in range(int(times)):
            findings.append((Finding(judged), life.night(came)))
            promised.append(stands)
    got = [word(one, seen) for one, seen in zip(life.standings(), life.seen, strict=True)]
    return Told(life, findings, list(zip(promised, got, strict=True)))


def word(one: Standing, seen: Seen) -> str:
    """A standing in one word."""
    if one.counts:
        return "counts"
    if one.ask:
        return "waits"
    return "never" if refusal(seen) else "settled"


def shown(standings: Sequence[Standing]) -> list[str]:
    """Of those that do not simply count: what a person reads."""
    odd = [one for one in standings if not one.counts or one.settled_by]
    return [
        f"{s.number}: {s.why_not or 'counts'} | {s.settled_by} | {s.ask} {s.covers or ''}".strip() for s in odd
    ]
