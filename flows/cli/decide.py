"""Verbs by which a person decides about a snapshot: hold, release, accept, reject. The archive keeps it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    SnapshotArgument,
    day,
    out,
    print_json,
    say,
)
from flows.cli.opened import opened
from flows.cli.views import decision_json, standing_json, standing_text
from flows.errors import ConfigError, Exit
from storage.errors import SnapshotUnknown
from storage.seen import seen
from storage.snapshot import Snapshot
from storage.standing import Standing, refusal, standings

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.decisions import Decision, Kind
    from storage.snapshot import ScopeKey
    from storage.tombstone import Tombstone

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; the archive keeps it.")]


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    for verb in (hold, release, accept, reject):
        app.command()(verb)


def hold(
    snapshot: SnapshotArgument,
    reason: ReasonOption,
    until: Annotated[
        str, typer.Option(metavar="DATE", help="When the hold ends by itself (UTC; a day counts whole).")
    ] = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Keep a snapshot whatever a policy says, until it is released. Nothing forgets or erases it meanwhile."""
    end = parse_until("--until", until) if until else None
    if end is not None and end <= datetime.now(UTC):
        raise ConfigError(f"--until {until}: is past already")
    return _decide("hold", snapshot, reason, archive, config, until=end, json=json)


def release(
    snapshot: SnapshotArgument,
    reason: ReasonOption = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """End every hold of a snapshot, live or forgotten; from then on its policy decides again."""
    return _decide("release", snapshot, reason, archive, config, json=json)


def accept(
    snapshot: SnapshotArgument,
    reason: ReasonOption,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say that a quarantined level, or a strange date, is right: the snapshot counts from then on."""
    return _decide("accept", snapshot, reason, archive, config, json=json)


def reject(
    snapshot: SnapshotArgument,
    reason: ReasonOption,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Say that a snapshot is wrong: it never counts, and retention lets it go once two good ones are newer."""
    return _decide("reject", snapshot, reason, archive, config, json=json)


def parse_until(option: str, text: str) -> datetime:
    """An instant, UTC where no zone is given; a day alone means its end. Raises ConfigError."""
    try:
        if len(text) <= len("2026-03-01"):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise ConfigError(f"{option} {text!r}: no date; expected such as 2027-03-31 or 2027-03-31T12:00") from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def find_live(store: Archive, ref: str) -> Snapshot:
    """The snapshot that is meant. Raises SnapshotUnknown, with a way back for one that was forgotten."""
    try:
        return store.find(ref, now=datetime.now(UTC))
    except SnapshotUnknown as exc:
        gone = _gone(store, ref)
        if len(gone) != 1:
            raise
        (tomb,) = gone
        way = "; `strongroom undelete` brings it back within the grace time" if tomb.why == "forgotten" else ""
        raise SnapshotUnknown(
            f"{ref}: is {tomb.why} since {day(tomb.forgotten_at)}: {tomb.reason}",
            hint=f"`strongroom snapshots --gone` lists what is gone{way}",
        ) from exc


def find_any(store: Archive, ref: str) -> Snapshot | Tombstone:
    """The snapshot that is meant, forgotten ones among them. Raises SnapshotUnknown."""
    try:
        return store.find(ref, now=datetime.now(UTC))
    except SnapshotUnknown:
        tombs = [tomb for tomb in _gone(store, ref) if tomb.why == "forgotten"]
        if len(tombs) != 1:
            raise
        return tombs[0]


def _gone(store: Archive, ref: str) -> list[Tombstone]:
    return [tomb for tomb in store.tombstones(damaged=[]) if len(ref) >= 4 and tomb.id.startswith(ref.lower())]


def _decide(
    kind: Kind,
    ref: str,
    reason: str,
    archive: str | None,
    config: Path | None,
    *,
    until: datetime | None = None,
    json: bool,
) -> int:
    from flows.retaining import follow, who
    from storage.decisions import Decision, held

    if kind != "release" and not reason.strip():
        raise ConfigError(f"{kind} --reason: is empty", hint="say why; whoever looks in years will ask")
    now = datetime.now(UTC)
    with opened(archive, config) as place:
        store = place.archive
        # A forgotten one is released, too: a hold keeps its bytes. Whoever decides else brings it back first.
        found = find_any(store, ref) if kind == "release" else find_live(store, ref)
        before = _standing(store, found.key, now)
        _refuse(kind, found, held(store.decisions(found.key, damaged=[]), now))
        decision = Decision(kind, found.key, found.number, found.id, now, who(), reason.strip(), until)
        decision = store.decide(decision)
        if place.catalog is not None:
            follow(store, place.catalog)
        after = _standing(store, found.key, now)
    # A backup may be kept, or a night forget, before each of the two looks.
    changed = [after[one] for one in after if one in before and before[one].counts != after[one].counts]
    now_stands = after.get(found.id) or before.get(found.id)
    if json:
        shape = {**decision_json(decision), "changed": [standing_json(one) for one in changed]}
        print_json(kind, {"decision": shape, "standing": standing_json(now_stands) if now_stands else None})
        return Exit.DONE
    _tell(decision, now_stands, changed)
    return Exit.DONE


def _standing(store: Archive, key: ScopeKey, now: datetime) -> dict[str, Standing]:
    live = store.snapshots(key, damaged=[])
    return {one.id: one for one in standings(map(seen, live), store.decisions(key, damaged=[]), now=now)}


def _refuse(kind: Kind, found: Snapshot | Tombstone, held: dict[str, str]) -> None:
    name = f"{found.key} number {found.number}, {found.id[:8]}"
    if kind == "accept" and isinstance(found, Snapshot) and (why := refusal(seen(found))):
        raise ConfigError(
            f"{name}: {why}", hint=f"to keep it all the same: `strongroom hold {found.id[:8]} --reason …`"
        )
    if kind == "release" and found.id not in held:
        raise ConfigError(f"{name}: is not held", hint="`strongroom status` names what is held")


def _tell(made: Decision, now: Standing | None, changed: list[Standing]) -> None:
    word = {"hold": "held", "release": "released"}.get(made.kind, f"{made.kind}ed")
    end = f" until {day(made.until)}" if made.until else ""
    out.print(
        f"{made.key} number {made.number}, {made.snapshot[:8]}: {word} by {made.by}{end}",
        markup=False,
        soft_wrap=True,
    )
    if now is None:
        out.print(f"  number {made.number} is forgotten", markup=False)
    for one in [*filter(None, [now]), *(other for other in changed if other.id != made.snapshot)]:
        out.print(f"  number {one.number} {standing_text(one)}", markup=False, soft_wrap=True)
    if made.kind in ("accept", "reject") and not changed and now is not None:
        before = "counted" if now.counts else "did not count"
        say(f"it {before} before, too: for now nothing else is changed by this")
