"""Surveys as values: many scopes, many nights, some of them bad. Seeded, so that each call gives the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from flows import config
from flows.config import Settings
from flows.ops.survey import Disk, Drilled, EverySeen, Ran, ScopeSeen, Scrubbed, Shot, Survey
from storage.snapshot import ScopeKey

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
NIGHT = timedelta(hours=5)  # 03:30 in Vienna is 02:30 UTC, five hours before NOW
GB = 10**9
SYSTEMS = {"lab": "rspace", "office": "mayan", "admissions": "webadmit"}
TOML = """
[archive]
url = "archive"
[policy]
keep_daily = 14
timezone = "Europe/Vienna"
[[source]]
name = "lab"
system = "rspace"
url = "https://lab.example.org"
api_key = { env = "LAB" }
schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }
[[source.scope]]
kind = "user"
every = true
"""

How = Callable[[str, int], str]  # of a scope and a number of nights back: how the run ended, "" for no run


def settings_in(folder: Path, text: str = TOML) -> Settings:
    """A configuration whose source `lab` has a night each day."""
    path = folder / "strongroom.toml"
    path.write_text(text)
    return config.load(path)


def digest(*words: object) -> str:
    """An id that is the same each time."""
    return sha256(repr(words).encode()).hexdigest()


def well(_scope: str, _back: int) -> str:
    """Every night is verified."""
    return "verified"


def mixed(scope: str, back: int) -> str:
    """A night's end as a large lab has them: most are well, one night the system was away, some scopes are odd."""
    chance = random.Random(f"{scope} {back}").random()
    number = int(digest(scope)[:4], 16)
    if back == 37:
        return ""
    if back in (12, 13):
        return "failed" if number % 3 else "verified"
    if number % 17 == 0 and back < 3:
        return "failed" if back else "quarantined"
    if number % 5 == 0 and chance < 0.8:
        return "unchanged"
    steps = (0.004, ""), (0.010, "failed"), (0.014, "quarantined"), (0.02, "partial"), (0.022, "interrupted")
    return next((end for limit, end in steps if chance < limit), "verified")


def scope_seen(
    name: str, *, source: str = "lab", nights: int = 90, how: How = well, every: str = "", configured: bool = True
) -> ScopeSeen:
    """A scope with its nights; the snapshots of the last 14, then one a week, are kept."""
    key, dice = ScopeKey(source, name), random.Random(f"{source}/{name}")
    size, minutes = dice.uniform(0.05, 12) * GB, dice.uniform(1, 40)
    runs, shots = [], []
    for back in range(nights):
        ended = how(name, back)
        began = NOW - NIGHT - timedelta(days=back) + timedelta(seconds=dice.randrange(60, 1800))
        took = timedelta(minutes=minutes * dice.uniform(0.7, 1.4))
        took = timedelta(seconds=3) if ended == "unchanged" else took
        whole = int(size * (1 - back * 0.0015) * dice.uniform(0.999, 1.001))
        if not ended:
            continue
        keeps = ended in ("verified", "partial", "quarantined")
        id = digest(source, name, back) if keeps else ""
        fetched = whole if keeps else 0
        runs.append(Ran(digest("run", source, name, back)[:20], began, began + took, ended, 0 if keeps else 13, "",
                        "", "schedule", id, fetched))  # fmt: skip
        if keeps and (back < 14 or back % 7 == 0):
            asks = f"strongroom accept {id[:8]} --reason …" if ended == "quarantined" else ""
            held, counts = "audit" if back == 28 else "", ended != "quarantined"
            shots.append(Shot(id, nights - back, began, began + took, ended, 4, whole, int(whole * 0.006) or 1,
                              counts, "" if counts else "41 records, promised 120", asks, held))  # fmt: skip
    same = next((run.started_at for run in runs if run.ended == "unchanged"), None)
    return ScopeSeen(
        key=key,
        system=SYSTEMS.get(source, "rspace"),
        configured=configured,
        every=every,
        within=timedelta(hours=36),
        due_at=NOW - NIGHT if configured else None,
        next_at=NOW - NIGHT + timedelta(days=1) if configured else None,
        newest=next((shot for shot in shots if shot.counts), None),
        shots=tuple(shots),
        runs=tuple(runs),
        unchanged_at=same,
    )


def survey_of(*scopes: ScopeSeen, nights: int = 90, free: int = 900 * GB) -> Survey:
    """A survey of these scopes, with a scrub a day and a drill a week."""
    grown: Mapping[datetime, int] = {
        run.started_at: int(run.bytes_fetched * (1.0 if at == len(scope.runs) - 1 else 0.006))
        for scope in scopes
        for at, run in enumerate(scope.runs)
        if run.bytes_fetched
    }
    scrubs = [
        Scrubbed(digest("scrub", back)[:20], at, at + timedelta(minutes=4), "everything within 30 days", 4_812,
                 161 + back % 7, (31 + back % 5) * GB // 10, 1 if back == 5 else 0)
        for back in range(1, nights)
        for at in [NOW - timedelta(days=back) + timedelta(hours=4)]
    ]  # fmt: skip
    drills = [
        Drilled(digest("drill", back)[:20], scopes[back % len(scopes)].key, digest("shot", back),
                NOW - timedelta(days=back), "passed" if back != 9 else "failed", back != 9, 4, 41 * GB // 10,
                48.3 + back, "")
        for back in range(2, nights, 7)
    ] if scopes else []  # fmt: skip
    return Survey(
        at=NOW,
        since=NOW - timedelta(days=nights),
        archive="/srv/backup/archive",
        archive_id=digest("archive")[:32],
        encrypted=True,
        scopes=scopes,
        everies=(EverySeen(ScopeKey("lab", "users"), len(scopes), timedelta(hours=36)),),
        disks=(Disk("archive", "/srv/backup", free, 4_000 * GB), Disk("state", "/var/lib/strongroom", GB, 9 * GB)),
        packs=4_812,
        packs_bytes=sum(grown.values()),
        never_read=212,
        oldest_unread_at=NOW - timedelta(days=27, hours=5),
        grown=tuple(sorted(grown.items())),
        scrubs=tuple(scrubs),
        drills=tuple(drills),
        damaged=(),
    )


def many(count: int, *, nights: int = 90, how: How = mixed) -> Survey:
    """A large lab: `count` scopes in three sources, and one that was taken out."""
    sources = ("lab",) * 8 + ("office", "admissions")
    scopes = [
        scope_seen(
            f"{'user' if number % 9 else 'group'}:{number}", source=sources[number % 10], nights=nights, how=how
        )
        for number in range(1, count)
    ]
    scopes.sort(key=lambda scope: list(SYSTEMS).index(scope.key.source))
    return survey_of(*scopes, scope_seen("paper", nights=nights, how=lambda _, b: "verified" if b > 40 else "",
                                         configured=False), nights=nights)  # fmt: skip
