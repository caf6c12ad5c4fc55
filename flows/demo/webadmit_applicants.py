"""Made-up applicants and what becomes of them from night to night: a pure function of seed, pool and day.

Nobody is kept here: the same question gets the same rows, and a later day has more applicants and changed ones.
All text fits iso-8859-1, and much of it does not fit ASCII.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from random import Random

COLUMNS = (
    "cas_id", "last_name", "first_name", "email", "date_of_birth", "city", "program", "application_status",
    "decision", "gpa", "submitted_on", "last_updated", "remarks",
)  # fmt: skip
WIDTHS = (12, 16, 12, 34, 10, 14, 28, 18, 12, 4, 10, 10, 60)  # of the fixed width report

Row = tuple[str, ...]

_LAST_NAMES = (
    "Ångström", "Brûlé", "Castaño", "Dürr", "Eßer", "Fjørtoft", "García", "Hughes", "Ibáñez", "Jørgensen",
    "Köhler", "Lefèvre", "Müller", "Núñez", "O'Neill", "Peña", "Quiñones", "Røed", "Smith", "Þórsson",
)  # fmt: skip
_FIRST_NAMES = ("Adèle", "Bjørn", "Chloë", "Dana", "Émile", "François", "Grace", "Hélène", "Inés", "José", "Zoë")
_CITIES = ("Zürich", "Málaga", "Chicago", "Århus", "Québec", "São Paulo", "Boston")
_PROGRAMS = ("Nursing, BSN", "Nursing, DNP", 'Pharmacy "early entry"', "Pharmacy, PharmD")
_STATUSES = ("In Progress", "Submitted", "Received", "Verified", "Complete", "Under Review", "Closed")
_DECISIONS = ("", "", "", "", "Interview", "Offer Made", "Offer Accepted")
_REMARKS = (
    "Transcript arrived; 3½ credits open.",
    'Asked: "May I start in spring?"\nAnswered: no.',
    "Fee waived, §4.",
    "Reference from São Paulo pending,\r\nreminder sent.",
    "Café interview moved.",
)
_CHANGE_EVERY = 20  # days between two changes of one applicant, on average
_SEASON = 365  # days during which somebody applies


@dataclass(frozen=True, slots=True)
class Pool:
    """The applicants of one organisation in one cycle."""

    seed: str
    opened: date
    first: int  # applicants on the day it opened
    grows: bool = True


def rows(pool: Pool, day: date) -> list[Row]:
    """Everybody who has applied by that day, as known on it; in the order of application."""
    passed = max(0, (day - pool.opened).days)
    joined = [0] * pool.first
    if pool.grows:
        for number in range(1, min(passed, _SEASON) + 1):
            joined += [number] * newcomers(pool.seed, number)
    return [_row(pool, number, joined_on, passed) for number, joined_on in enumerate(joined, 1)]


@lru_cache(maxsize=4096)
def newcomers(seed: str, night: int) -> int:
    """How many apply on the day before the given night since the pool opened: 0 to 3."""
    return Random(f"{seed}:newcomers:{night}").randint(0, 3)


def _row(pool: Pool, number: int, joined: int, passed: int) -> Row:
    rng = Random(f"{pool.seed}:{number}")
    last, first = rng.choice(_LAST_NAMES), rng.choice(_FIRST_NAMES)
    born = date(1990, 1, 1) + timedelta(days=rng.randrange(5000))
    city, program = rng.choice(_CITIES), rng.choice(_PROGRAMS)
    gpa = 2.0 + rng.randrange(200) / 100
    remarks = rng.sample(_REMARKS, len(_REMARKS))
    stage, updated, moment = 0, joined, float(joined)
    while stage < len(_STATUSES) - 1:
        moment += rng.expovariate(1 / _CHANGE_EVERY)
        if moment > passed:
            break
        stage, updated = stage + 1, int(moment)
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalpha() or c == "."))
    return (
        f"{10_000_000 + number * 13}",
        last,
        first,
        f"{plain}{number}@example.org",
        born.isoformat(),
        city,
        program,
        _STATUSES[stage],
        _DECISIONS[stage],
        f"{min(4.0, gpa + stage / 50):.2f}",
        (pool.opened + timedelta(days=joined)).isoformat() if stage else "",
        (pool.opened + timedelta(days=updated)).isoformat(),
        "\n".join(remarks[: min(stage, 3)]),
    )
