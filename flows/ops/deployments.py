"""What should be deployed, told from the configuration, and how that differs from what a server has.

Pure. `serve`, `deploy` and `doctor` ask here; `deploy.py` reads and changes a server; prefect.yaml is an example.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flows.config import Settings, SourceTable
from flows.configtables import ScheduleTable

TAG = "strongroom"
NIGHTLY = "nightly"  # the flow; its deployments are named for sources
MADE, CHANGED, REMOVED = "made", "changed", "removed"
UNCHANGED, IN_THE_WAY = "unchanged", "in the way"


@dataclass(frozen=True, slots=True)
class Usual:
    """A flow of `upkeep.py`: what it does, and when, where nothing else is configured."""

    description: str
    slug: str
    cron: str | None


# Out of the nights, and out of 02:00 to 03:00, which some nights lack and some have twice. Nights and the weekly
# upkeep prune by themselves: its own deployment is for whoever starts it by hand.
MAINTENANCE = {
    "scrub": Usual("Look at every small file, read the packs that were unread for longest", "daily", "0 12 * * *"),
    "drill": Usual("Restore a snapshot for practice", "weekly", "0 13 * * 6"),
    "upkeep": Usual("Scrub, then prune", "weekly", "30 12 * * 0"),
    "prune": Usual("Forget what the policies let go, and free space", "own", None),
    "watch": Usual("Look for what is wrong, and tell", "hourly", "15 * * * *"),
}


@dataclass(frozen=True, slots=True)
class Timed:
    """A schedule. Its slug names it as long as it is the same one, whatever its time."""

    slug: str
    cron: str
    timezone: str
    parameters: Mapping[str, str] = field(default_factory=dict)  # instead of the deployment's

    def text(self) -> str:
        """For people, and to be compared."""
        return " ".join(filter(None, [self.cron, self.timezone, words(self.parameters)]))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow with its parameters and its schedules, under a name."""

    flow: str
    name: str
    entrypoint: str
    description: str
    tags: tuple[str, ...]
    parameters: Mapping[str, str | None]
    schedules: tuple[Timed, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prefect writes it: nightly/lab."""
        return f"{self.flow}/{self.name}"


def mark(archive_id: str) -> str:
    """The tag of everything that is made for one archive: by it we know our own again."""
    return f"{TAG}:{archive_id[:8]}"


def deployments(settings: Settings, tags: Sequence[str] = ()) -> list[Deployment]:
    """Everything that should be deployed: a night per source, one scope by hand, and maintenance.

    `tags`: beside the usual ones. The parameters hold the configuration's absolute path.
    """
    config = str(settings.path)
    made = [_night(source, config, tags) for source in settings.sources]
    made.append(
        Deployment(
            flow="backup",
            name="adhoc",
            entrypoint="flows.backup.backup",
            description="One scope of one source, now",
            tags=(TAG, *tags),
            parameters={"config": config},
        )
    )
    for name, usual in MAINTENANCE.items():
        timed = _timed(settings, name, usual)
        made.append(
            Deployment(
                flow=name,
                name=name,
                entrypoint=f"flows.upkeep.{name}",
                description=usual.description,
                tags=(TAG, "upkeep", *tags),
                parameters={"config": config},
                schedules=() if timed is None else (timed,),
            )
        )
    return made


def _night(source: SourceTable, config: str, tags: Sequence[str]) -> Deployment:
    schedules = [] if source.schedule is None else [_of("nightly", source.schedule)]
    for scope, table in source.own_schedules().items():
        schedules.append(_of(slug(scope), table, {"scope": scope}))
    return Deployment(
        flow=NIGHTLY,
        name=source.name,
        entrypoint="flows.backup.nightly",
        description=f"Every scope of {source.name}, one after another",
        tags=(TAG, NIGHTLY, *tags),
        parameters={"source": source.name, "config": config},
        schedules=tuple(schedules),
    )


def _timed(settings: Settings, name: str, usual: Usual) -> Timed | None:
    table = getattr(settings.file.upkeep.schedules, name)
    zone = settings.file.policy.timezone
    if table is None and usual.cron is not None:
        return Timed(usual.slug, usual.cron, zone)
    if not isinstance(table, ScheduleTable):
        return None
    return Timed(usual.slug, table.cron, table.timezone if "timezone" in table.model_fields_set else zone)


def _of(name: str, table: ScheduleTable, parameters: Mapping[str, str] | None = None) -> Timed:
    return Timed(name, table.cron, table.timezone, parameters or {})


def slug(scope: str) -> str:
    """A name for the schedule of a scope: the same for ever, another for each scope."""
    plain = re.sub(r"[^a-z0-9]+", "-", scope.lower()).strip("-")
    return (
        f"scope-{plain}"
        if plain == scope
        else f"scope-{plain}-{zlib.crc32(scope.encode()):08x}".replace("--", "-")
    )


def limit_of(source: str) -> str:
    """The name of a source's global concurrency limit."""
    return f"{TAG}-{source}"


def words(parameters: Mapping[str, object]) -> str:
    """Parameters on one line, in one order; "" for none."""
    return json.dumps(parameters, sort_keys=True, ensure_ascii=False, default=str) if parameters else ""


# -- differences


@dataclass(frozen=True, slots=True)
class Thing:
    """What a server has or should have: a deployment, a limit, an automation, a pool; its fields as texts."""

    kind: str
    name: str
    says: Mapping[str, str]
    ours: bool = True  # False: somebody else made it under a name that we want


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a thing; of a changed one each field that differs: (field, old, new), None for none."""

    what: str  # MADE, CHANGED, REMOVED, UNCHANGED, IN_THE_WAY
    thing: Thing  # as it should be; as it is, where it goes or is in the way
    fields: tuple[tuple[str, str | None, str | None], ...] = ()

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.what} {self.thing.kind} {self.thing.name}"
        for name, old, new in self.fields:
            yield f"  {name}: {old or 'none'} → {new or 'none'}"

    def to_json(self) -> dict[str, object]:
        """For machines."""
        fields = [{"field": name, "old": old, "new": new} for name, old, new in self.fields]
        return {"what": self.what, "kind": self.thing.kind, "name": self.thing.name, "fields": fields}


def difference(wanted: Sequence[Thing], there: Sequence[Thing]) -> list[Step]:
    """What is to be done so that a server has what is wanted, in its order; then what goes. Total.

    Of `there` only what is ours goes; what is not is in the way where its name is wanted, else it is no matter.
    """
    has = {(thing.kind, thing.name): thing for thing in there}
    steps = [_step(thing, has.get((thing.kind, thing.name))) for thing in wanted]
    names = {(thing.kind, thing.name) for thing in wanted}
    steps += [Step(REMOVED, thing) for key, thing in has.items() if thing.ours and key not in names]
    return steps


def _step(thing: Thing, old: Thing | None) -> Step:
    if old is None:
        return Step(MADE, thing)
    if not old.ours:
        return Step(IN_THE_WAY, old)
    keys = [*thing.says, *(key for key in old.says if key not in thing.says)]
    differ = tuple(
        (key, old.says.get(key), thing.says.get(key)) for key in keys if old.says.get(key) != thing.says.get(key)
    )
    return Step(CHANGED if differ else UNCHANGED, thing, differ)


def sentence(steps: Sequence[Step]) -> str:
    """How many of each, in one line."""
    counts = {what: sum(step.what == what for step in steps) for what in (MADE, CHANGED, REMOVED, IN_THE_WAY)}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return said or f"nothing changed: {len(steps)} are as configured"
