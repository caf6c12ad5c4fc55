"""Verbs that look at snapshots: snapshots, show. They change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import asking
from flows.cli.console import (
    ArchiveOption,
    ConfigOption,
    JsonOption,
    complain,
    day,
    number,
    out,
    painted,
    print_json,
    print_table,
    say,
)
from flows.cli.views import (
    decision_json,
    gone_json,
    hit_json,
    snapshot_json,
    standing_json,
    standing_text,
)
from flows.errors import Exit
from flows.proof import Reread, Sheet, facts, follow
from flows.proofpage import MAX_PROBLEMS, page
from storage import decisions
from storage.archive import Archive, Damaged
from storage.backend import Backend, open_url
from storage.contents import kept_as
from storage.decisions import Decision
from storage.encrypted import behind
from storage.errors import KeyMissing, StorageError
from storage.latest import stood
from storage.listing import Entry
from storage.losses import lost_of
from storage.reader import Reader
from storage.seen import seen
from storage.snapshot import ScopeKey, Snapshot
from storage.standing import standings
from storage.verify import Meter


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    app.command()(snapshots)
    app.command()(show)


def the_archive(archive: str | None, config: Path | None) -> Archive:
    """The archive named, else the configured one; the key of an encrypted one is asked for on a terminal.

    Raises ArchiveMissing, ConfigError, KeyMissing, KeyWrong, NotEncrypted.
    """
    backend, secret = place_and_key(archive, config)
    try:
        return Archive.open(backend, secret)
    except KeyMissing:
        if not asking.somebody():
            raise
        return Archive.open(backend, asking.asked("Key or passphrase", instead=asking.KEY, hidden=True))


def place_and_key(archive: str | None, config: Path | None, *, key: bool = True) -> tuple[Backend, str | None]:
    """Where the archive is, which cannot be opened perhaps, and the key that is at hand for it.

    `key`: false where none is wanted, so that one that is named and not there is no error.
    """
    from flows import archivekey
    from flows import config as configuration
    from flows.workbench import backend_of

    if archive is not None:
        return open_url(archive), archivekey.from_environment() if key else None
    settings = configuration.load(configuration.find(config))
    return backend_of(settings), archivekey.configured(settings) if key else None


def meant(store: Archive, ref: str, *, source: str = "", scope: str = "") -> Snapshot:
    """The snapshot that `ref` means, as `Archive.find`; a `latest` that does not count is told."""
    now = datetime.now(UTC)
    found = store.find(ref, source=source, scope=scope, now=now)
    if ref == "latest":
        stands = next((one for one in stood(store, found.key, now=now).standings if one.id == found.id), None)
        if stands is not None and not stands.counts:
            say(f"latest: no snapshot counts; {found.id[:8]} is the newest that there is: {stands.why_not}")
    return found


def unread_hint(store: Archive) -> str:
    """What to try where a manifest cannot be read: damage, or a newer key is needed."""
    older = behind(store.backend)
    return older.hint if older else "`strongroom scrub --all` says whom it hits"


def snapshots(
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    scope: Annotated[str | None, typer.Option(help="Only of this scope.")] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Only so many of each scope, the newest.")
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Those that are gone: forgotten, erased or lost, and why.")
    ] = False,
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """List snapshots, oldest first."""
    store = the_archive(archive, config)
    damaged: list[Damaged] = []
    keys = [key for key in store.scopes() if source in (None, key.source) and scope in (None, key.scope)]
    if gone:
        return _list_gone(store, keys, last, json=json)
    newest = [islice(store.newest_first(key, damaged=damaged), last) for key in keys]
    found = sorted(chain(*newest), key=lambda s: (s.manifest.draft.taken_at, str(s.key), s.manifest.number))
    hits = store.hits()
    made = store.decisions(damaged=[])
    held, judged = decisions.held(made, datetime.now(UTC)), decisions.judged(made)
    if json:
        rows = [
            {
                **snapshot_json(s, _entries(store, s, hits)),
                "damaged": s.id in hits,
                "held": held.get(s.id, ""),
                "judged": judged[s.id].kind if s.id in judged else "",
            }
            for s in found
        ]
        print_json("snapshots", {"snapshots": rows, "damaged": [bad.name for bad in damaged]})
    elif found:
        marks = {s.id: _marks(s, hits, held, judged) for s in found}
        print_table(
            "", ("id", "source", "scope", "taken", "quality", "files", "size", "stored bytes"), _rows(found, marks)
        )
    else:
        out.print("no snapshots")
    for bad in damaged:
        complain(bad.told, unread_hint(store))
    if any(s.id in hits for s in found):
        say("hint: `strongroom show ID` names what a damaged snapshot has lost; `strongroom repair --from COPY`")
    return Exit.VERIFICATION if damaged else Exit.DONE


def _list_gone(store: Archive, keys: list[ScopeKey], last: int | None, *, json: bool) -> int:
    """List what has a tombstone, by scope and number."""
    damaged: list[Damaged] = []
    newest = [islice(store.forgotten(reversed(store.links(key)), damaged=damaged), last) for key in keys]
    found = sorted(chain(*newest), key=lambda tomb: (str(tomb.key), tomb.number))
    if json:
        print_json("snapshots", {"gone": [gone_json(t) for t in found], "damaged": [bad.name for bad in damaged]})
    elif found:
        rows = [
            (t.id[:8], t.key.source, t.key.scope, str(t.number), t.why, day(t.forgotten_at), t.reason)
            for t in found
        ]
        print_table("", ("id", "source", "scope", "number", "why", "since", "reason"), rows)
    else:
        out.print("nothing is gone")
    for bad in damaged:
        complain(bad.told, "`strongroom repair --from COPY` may bring it back")
    return Exit.VERIFICATION if damaged else Exit.DONE


def show(
    snapshot: Annotated[str, typer.Argument(help="An id, a unique beginning of one, or latest.")] = "latest",
    source: Annotated[str, typer.Option(help="Only of this source.")] = "",
    scope: Annotated[str, typer.Option(help="Only of this scope.")] = "",
    archive: ArchiveOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    proof: Annotated[
        bool, typer.Option("--proof", help="One page to print and file; reads the snapshot's bytes again.")
    ] = False,
) -> int:
    """Show one snapshot: its files, what was promised, every check and its outcome."""
    store = the_archive(archive, config)
    found = meant(store, snapshot, source=source, scope=scope)
    if proof:
        return _show_proof(store, found, json=json)
    reader = store.reader(found)
    entries = reader.entries(found)
    kept = [_kept(reader, entry) for entry in entries]
    lost = lost_of(reader, found) if found.id in store.hits() else None
    now = datetime.now(UTC)
    made = store.decisions(found.key, damaged=[])
    others = store.snapshots(found.key, damaged=[])
    (stands,) = (one for one in standings(map(seen, [*others, found]), made, now=now) if one.id == found.id)
    held = decisions.held(made, now).get(found.id, "")
    mine = [one for one in made if one.snapshot == found.id]
    if json:
        shape = snapshot_json(found, entries)
        shape["files"] = [
            {**row, "kept": {"as": way, "parts": parts}}
            for row, (way, parts) in zip(shape["files"], kept, strict=True)
        ]
        told = {"standing": standing_json(stands), "held": held, "decisions": [decision_json(one) for one in mine]}
        print_json("show", {"snapshot": {**shape, **told, "lost": hit_json([lost] if lost else [])}})
        return Exit.DONE
    manifest, draft = found.manifest, found.manifest.draft
    out.print(f"[bold]snapshot[/] {found.id}")
    facts = [
        ("scope", f"{found.key}, number {manifest.number} of its chain"),
        ("quality", draft.quality.value),
        ("standing", standing_text(stands)),
        *([("to settle", stands.ask)] if stands.ask else []),
        *([("held", held)] if held else []),
        *([("tags", ", ".join(draft.tags))] if draft.tags else []),
        ("taken", f"{day(draft.taken_at)} (committed {day(manifest.committed_at)})"),
        (
            "system",
            " ".join(str(draft.vendor.get(k, "")) for k in ("url", "version", "user")).strip() or draft.system,
        ),
        ("size", f"{number(manifest.size)} bytes; the archive grew by {number(manifest.stored_bytes)}"),
        ("run", draft.run_id),
    ]
    for name, value in facts:
        out.print(f"  {name:<9} {painted(value)}", soft_wrap=True)
    for file in lost.files if lost else ():
        out.print(f"  damaged   {painted(str(file))}: lost; all else can be restored")
    for note in draft.notes:
        out.print(f"  note      {painted(note)}")
    print_table(
        "",
        ("file", "size", "crc32", "sha256", "kept"),
        [
            (e.path, number(e.measured.size), f"{e.measured.crc32:08x}", e.measured.sha256, _told(*way))
            for e, way in zip(entries, kept, strict=True)
        ],
    )
    print_table(
        "",
        ("check", "outcome", "got", "promised", "why"),
        [(c.name, c.outcome.value, c.got, c.promised, c.reason) for c in draft.checks],
    )
    return Exit.DONE


def _kept(reader: Reader, entry: Entry) -> tuple[str, int | None]:
    """How a file is kept, and in how many parts; None where its plan cannot be read, which shows when it is."""
    try:
        return kept_as(reader, entry)
    except StorageError:
        return entry.recipe.kind, None


def _told(way: str, parts: int | None) -> str:
    if way == "zip":
        return f"zip, {number(parts)} members" if parts is not None else "zip, and its plan cannot be read"
    return f"{number(parts)} pieces" if way == "pieces" and parts else "whole"


def _show_proof(store: Archive, found: Snapshot, *, json: bool) -> int:
    """Read the snapshot again, print its sheet; exit code 4 where something is not as it was kept."""
    if not json:
        say(f"reading {number(found.manifest.size)} bytes of snapshot {found.id[:8]} again")
    files, no_files = _read_again(store, found)
    damaged: list[Damaged] = []
    # Snapshots before tombstones: what is forgotten in between is met as one or the other.
    links = {s.manifest.number: (s.id, s.manifest.previous) for s in store.snapshots(found.key, damaged=damaged)}
    for tomb in store.tombstones(found.key, damaged=damaged):
        links[tomb.number] = (tomb.id, tomb.previous)
    tool = {"strongroom": metadata.version("strongroom")}
    sheet = Sheet(found, tuple(files), follow(found, links), datetime.now(UTC), tool, no_files)
    if json:
        rows = snapshot_json(found, [file.entry for file in files])
        print_json("show", {"snapshot": rows, "proof": facts(sheet)})
    else:
        print(page(sheet), end="")  # not by Rich, which would break lines at the terminal's width
    for problem in sheet.problems[:MAX_PROBLEMS]:
        complain(problem, "bring it back from a copy of the archive; `strongroom scrub --all` names all")
    return Exit.VERIFICATION if sheet.problems else Exit.DONE


def _read_again(store: Archive, found: Snapshot) -> tuple[list[Reread], str]:
    """Every file of the snapshot, measured as it comes out of the archive; or why there is no list of them."""
    try:
        entries, reader = store.entries(found), store.reader(found)
    except StorageError as exc:
        return [], str(exc)
    files = []
    for entry in entries:
        meter, trouble = Meter(), ""
        try:
            for chunk in reader.chunks(entry):
                meter.update(chunk)
        except StorageError as exc:
            trouble = str(exc)
        files.append(Reread(entry, meter.result(), trouble))
    return files, ""


def _entries(store: Archive, found: Snapshot, hits: set[str]) -> Sequence[Entry]:
    """The files of a snapshot; none where a repair found that its listing is lost. Raises StorageError."""
    try:
        return store.entries(found)
    except StorageError:
        if found.id in hits:
            return ()
        raise


def _marks(s: Snapshot, hits: set[str], held: Mapping[str, str], judged: Mapping[str, Decision]) -> str:
    """Its quality, and what was decided about it."""
    decided = f"{judged[s.id].kind}ed" if s.id in judged else ""
    marks = (s.manifest.draft.quality.value, "damaged" * (s.id in hits), decided, "held" * (s.id in held))
    return ", ".join(filter(None, marks))


def _rows(found: list[Snapshot], marks: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [
        (
            s.id[:8],
            s.key.source,
            s.key.scope,
            day(s.manifest.draft.taken_at),
            marks[s.id],
            number(s.manifest.files),
            number(s.manifest.size),
            number(s.manifest.stored_bytes),
        )
        for s in found
    ]
