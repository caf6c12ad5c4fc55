"""Labs that live for a year, and what the band of levels says of their nights: false alarms, and losses found.

`python -m tests.storage.levels_table [labs]` prints both tables; the tests assert their bounds on fewer labs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from storage.levels import WINDOW, judge_beside
from storage.seen import Finding, Seen
from storage.snapshot import Compared
from storage.verify import Quality

SEED = 5
NIGHTS = 400
START = datetime(2026, 1, 1, 3, 30, tzinfo=UTC)
SIZES = (5, 20, 100, 1_000, 12_000)
LOSSES = (0.10, 0.20, 0.30, 0.50, 0.90, 1.0)
# What an export tells: ids of its records, the names of its members, or, as a table in one file, only its bytes.
KINDS = ("records", "names", "bytes")


@dataclass
class Lab:
    """Records with members and bytes; few are very big, most are small."""

    dice: Random
    kind: str
    records: list[tuple[int, int]] = field(default_factory=list)  # members, bytes
    night: int = 0
    came: int = 0
    gone: int = 0

    def grow(self, count: int) -> None:
        for _ in range(count):
            members = 1 + int(self.dice.expovariate(0.4))
            row = self.dice.uniform(200, 800)
            big = 2_000 + self.dice.lognormvariate(9, 1.8)
            self.records.append((members, int(row if self.kind == "bytes" else big)))
        self.came += count

    def lose(self, count: int) -> None:
        for _ in range(min(count, len(self.records))):
            i = self.dice.randrange(len(self.records))
            self.records[i] = self.records[-1]
            self.records.pop()
            self.gone += 1

    def change(self, count: int) -> None:
        """As many records are written anew."""
        if self.records:
            for _ in range(count):
                i = self.dice.randrange(len(self.records))
                members, size = self.records[i]
                self.records[i] = members, int(size * self.dice.uniform(0.9, 1.3)) + 1

    def export(self, before: Seen | None) -> Seen:
        """Tonight's, compared with the one before."""
        self.night += 1
        number, at, count = self.night, START + timedelta(days=self.night), len(self.records)
        compared: tuple[Compared, ...] = ()
        members = sum(record[0] for record in self.records)
        if before is not None and self.kind == "records" and before.records:
            compared = (Compared(before.id, self.gone, self.came, before.records),)
        elif before is not None and self.kind == "names" and before.members:
            gone = max(0, before.members - members) + self.gone  # a guess that is never too low
            compared = (Compared(before.id, gone, gone + members - before.members, before.members),)
        self.came = self.gone = 0
        return Seen(
            id=f"{number:064x}",
            number=number,
            taken_at=at,
            committed_at=at + timedelta(minutes=20),
            request="{}",
            quality=Quality.VERIFIED,
            size=sum(record[1] for record in self.records) + 22,
            files=1,
            members=0 if self.kind == "bytes" else members,
            records=count if self.kind == "records" else None,
            compared=compared,
        )


def poisson(dice: Random, mean: float) -> int:
    """A number of events; by the bell curve where they are many."""
    if mean > 40:
        return max(0, round(dice.gauss(mean, math.sqrt(mean))))
    events, left = 0, math.exp(-mean)
    product = dice.random()
    while product > left:
        events += 1
        product *= dice.random()
    return events


def year(dice: Random, kind: str, *, nights: int = NIGHTS) -> Iterator[Seen]:
    """A lab's nights: work on most days, holidays, an import of a third now and then, deletes of 2 and of 5 %."""
    lab = Lab(dice, kind)
    lab.grow(max(1, int(math.exp(dice.uniform(0, math.log(3_000))))))
    churn, growth = dice.uniform(0, 0.03), dice.uniform(0, 0.002)
    holiday = 0
    before: Seen | None = None
    for night in range(nights):
        count = len(lab.records)
        holiday = max(holiday - 1, 14 if dice.random() < 1 / 120 else 0)
        if night and not holiday and night % 7 < 5:
            lab.change(poisson(dice, count * churn))
            lab.lose(poisson(dice, count * churn / 2))
            lab.grow(poisson(dice, count * (churn / 2 + growth)))
            if dice.random() < 1 / 150:
                lab.grow(round(count * 0.3))
            if dice.random() < 1 / 30:
                lab.lose(round(count * 0.02))
            if dice.random() < 1 / 100:
                lab.lose(round(count * 0.05) - lab.gone)
            if not lab.records:
                lab.grow(1)
        before = lab.export(before)
        yield before


def alarms(nights: Sequence[Seen]) -> list[tuple[Seen, Finding]]:
    """The nights out of the band, as if a person then accepted each."""
    judged = ((one, judge_beside(nights[max(0, i - WINDOW - 1) : i], one, None)) for i, one in enumerate(nights))
    return [(one, judgement.finding) for one, judgement in judged if not judgement.normal]


@dataclass(frozen=True, slots=True)
class Alarms:
    """What was said of normal labs."""

    kind: str
    labs: int
    nights: int
    found: tuple[Finding, ...]

    @property
    def per_ten_years(self) -> float:
        return len(self.found) / (self.nights / 365) * 10

    def count(self, finding: Finding) -> int:
        return sum(1 for one in self.found if one is finding)


def false_alarms(labs: int, kind: str) -> Alarms:
    """All nights of so many normal labs."""
    found: list[Finding] = []
    for number in range(labs):
        nights = list(year(Random(f"{SEED} {kind} {number}"), kind))
        found += [finding for _, finding in alarms(nights)]
    return Alarms(kind, labs, labs * NIGHTS, tuple(found))


def detected(size: int, loss: float, kind: str, *, trials: int, nights: int = 45, changed: bool = False) -> float:
    """The share of labs of that size in which a loss of so much in one night is found.

    `changed`: that night is the first of another request, in a format of a third to three times the bytes.
    """
    found = 0
    for trial in range(trials):
        dice = Random(f"{SEED} {kind} {size} {loss} {trial}")
        lab = Lab(dice, kind)
        lab.grow(size)
        churn = dice.uniform(0, 0.03)
        history: list[Seen] = []
        for _ in range(nights):
            came = poisson(dice, size * churn / 2)
            lab.lose(came)
            lab.grow(came)
            history.append(lab.export(history[-1] if history else None))
        lab.lose(round(size * loss))
        tonight = lab.export(history[-1])
        if not lab.records:
            tonight = replace(tonight, files=1, size=22)
        if changed:
            size_there = int(tonight.size * math.exp(dice.uniform(-math.log(3), math.log(3))))
            tonight = replace(tonight, request='{"format":"html"}', size=size_there, compared=())
        judgement = judge_beside([] if changed else history, tonight, history[-1])
        found += judgement.finding in (Finding.SHRUNKEN, Finding.EMPTY)
    return found / trials


def detection_table(kind: str, *, trials: int, changed: bool = False) -> list[str]:
    """As Markdown: sizes down, losses across."""
    title = f"{kind}, another request" if changed else kind
    rows = [f"| {title} | " + " | ".join(f"{loss:.0%}" for loss in LOSSES) + " |", "| ---: " * 7 + "|"]
    for size in SIZES:
        many = max(10, min(trials, 200_000 // size))
        cells = [f"{detected(size, loss, kind, trials=many, changed=changed):.0%}" for loss in LOSSES]
        rows.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    labs = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    print(f"seed {SEED}; {labs:,} labs of {NIGHTS} nights for each kind of telling\n")
    print("| told | nights | shrunken | grown | empty | per 10 lab-years | s |\n| --- | " + "---: | " * 6)
    for kind in KINDS:
        began = time.perf_counter()
        found = false_alarms(labs, kind)
        counts = " | ".join(str(found.count(f)) for f in (Finding.SHRUNKEN, Finding.GROWN, Finding.EMPTY))
        spent = time.perf_counter() - began
        print(f"| {kind} | {found.nights:,} | {counts} | {found.per_ten_years:.2f} | {spent:.0f} |")
    for changed in (False, True):
        for kind in KINDS:
            print("\n" + "\n".join(detection_table(kind, trials=200, changed=changed)))


if __name__ == "__main__":
    main()
