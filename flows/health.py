"""The doctor's questions: each gives a sentence when all is well and raises with a hint when it is not."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from flows import archivekey
from flows.config import Settings, SourceTable
from flows.credentials import connection
from flows.disk import MARGIN
from flows.errors import ConfigError, RunFailed, SourceUnavailable
from flows.export import Account, Scope
from flows.sources.base import Source
from flows.workbench import open_catalog
from storage.archive import Archive, Damaged
from storage.backend import Backend
from storage.encrypted import Encrypted
from storage.errors import BackendFailed, ObjectCorrupt
from storage.halves import halves
from storage.keyring import proven_on
from storage.keys import NOT_PROVEN
from storage.keys import holders as holders_of
from storage.keys import proven as is_proven
from storage.scrub import strays

HOST_FACT = "host"
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb3", "smbfs", "afpfs", "9p", "fuse.sshfs", "glusterfs", "ceph"}
)
CLOCK_TOLERANCE_S = 120
MAX_NAMED = 5  # stray files
_PROBE = "probe/hard-links"


def archive(store: Archive) -> str:
    """The archive takes, gives and forgets a file, and refuses one that is there."""
    store.backend.delete(_PROBE)
    try:
        if not store.backend.put_new(_PROBE, [b"x"]) or store.backend.put_new(_PROBE, [b"y"]):
            raise BackendFailed(f"{store.backend.url}: create-if-absent does not hold here")
        if store.backend.get(_PROBE) != b"x":
            raise BackendFailed(f"{store.backend.url}: does not give back what it took")
    finally:
        store.backend.delete(_PROBE)
    said = f"{store.backend.url}, id {store.id[:8]}, {len(store.snapshots())} snapshots, writable"
    if found := list(strays(store)):
        many = f"{len(found)} files that are none" if len(found) > 1 else "1 file that is none"
        more = ", …" if len(found) > MAX_NAMED else ""
        said += f"; {many} of an archive: {', '.join(found[:MAX_NAMED])}{more}; move it out"
    return said


def keys(store: Archive, backend: Backend, sources: Iterable[SourceTable] = ()) -> tuple[str, str]:
    """Who can open the archive; and a warning where one loss would close it for ever, or where it is plain and one
    of `sources` gives data about people; "" for none."""
    if not isinstance(store.backend, Encrypted):
        about = ", ".join(source.name for source in sources if source.dialect.personal)
        warning = f"{about} holds data about people: `strongroom archive convert` encrypts it" if about else ""
        return "not encrypted: whoever can read its files can read what is in them", warning
    problems: list[str] = []
    found = holders_of(backend, store.id, problems=problems)
    holders = [one for one in found if is_proven(one, store.backend.keys)]
    problems += [f"{one.file}: {NOT_PROVEN}" for one in found if one not in holders]
    most, proven = len(store.backend.keys), proven_on(store)
    whole = [one for one in holders if one.count >= most]
    names = ", ".join(f"{one.shown} ({one.how})" for one in whole) or "nobody"
    older = ", ".join(one.shown for one in holders if one not in whole)
    names += f"; only what was there before a rotation: {older}" if older else ""
    if proven is None:
        paper, warning = (
            "no paper copy was ever proven",
            "print one: `strongroom key export --paper`, then `key drill`",
        )
    elif proven[1] < most:
        paper = f"the paper copy proven on {proven[0]:%Y-%m-%d} is from before a rotation"
        warning = "print it anew: `strongroom key export --paper`, then `key drill`"
    else:
        paper, warning = f"the paper copy was proven on {proven[0]:%Y-%m-%d}", ""
    if warning and len(whole) > 1:
        warning = ""  # losing one of them loses nothing
    if problems:
        warning = "; ".join(filter(None, [warning, f"{problems[0]}: `strongroom key list` says what to do"]))
    return f"encrypted; {len(whole)} can open it: {names}; {paper}", warning


def key_file(settings: Settings) -> str:
    """A warning where others on this machine can read the file of the archive's key; "" where not."""
    path = archivekey.key_file(settings)
    if path is None or not path.exists() or not path.stat().st_mode & 0o077:
        return ""
    return f"{path} can be read by others on this machine: chmod 600"


def catalog(settings: Settings, store: Archive) -> str:
    """The catalog opens, indexes this archive, lies on a local disk, and belongs to this host."""
    kind = file_system(settings.state)
    if kind in NETWORK:
        raise ConfigError(
            f"{settings.catalog_path}: lies on {kind}; SQLite's locks do not hold on network file systems",
            hint="name a local disk in [state] folder; only the archive may lie on the network",
        )
    host = socket.gethostname()
    with open_catalog(settings, store) as index:
        known = index.fact(HOST_FACT)
        if known and known != host:
            raise ConfigError(
                f"{settings.catalog_path}: belongs to host {known}, this is {host}; one host per catalog",
                hint="moved for good? move catalog.db away, and a new one is filled from the archive",
            )
        index.note_fact(HOST_FACT, host)
        damaged: list[Damaged] = []
        entered = index.reindex(store, damaged=damaged)
        damaged += [Damaged(half.links[0].name, half.problem) for half in halves(store) if half.error]
        if damaged:
            raise ObjectCorrupt(f"{damaged[0].told}; {len(damaged)} such files")
    return f"{settings.catalog_path}, {f'{entered} entries added from the archive' if entered else 'up to date'}"


def disk(settings: Settings) -> str:
    """There is room for the spool."""
    settings.spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.spool).free
    if free < 4 * MARGIN:
        raise ConfigError(
            f"{settings.spool}: {free:,} bytes free, at least {4 * MARGIN:,} wanted",
            hint="free space on that disk",
        )
    return f"{free:,} bytes free for the spool in {settings.spool}"


def source(settings: Settings, table: SourceTable) -> str:
    """The credential resolves and is accepted, it may read its scopes as far as the system tells, the clocks
    agree, and every-scopes stand for somebody."""
    system = table.dialect.connect(connection(settings, table))
    try:
        account = system.login()
        scopes = [_scope(system, scope, account) for scope in table.scopes()]
    except SourceUnavailable as exc:
        raise SourceUnavailable(str(exc), hint=f"is {table.url} right, and does the server answer?") from exc
    finally:
        system.close()
    clocks = "its clock is not told"
    if account.server_time is not None:
        skew_s = abs((datetime.now(UTC) - account.server_time).total_seconds())
        clocks = f"clocks differ by {timedelta(seconds=round(skew_s))}"
        if skew_s > CLOCK_TOLERANCE_S and not table.url.startswith("http://127."):  # a demo's clock is its own
            raise RunFailed(
                f"{table.url}: its clock and ours differ by {timedelta(seconds=round(skew_s))}",
                hint="set both by NTP",
            )
    return (
        f"{table.url}, {table.system} {account.version}, as {account.user}; {clocks}; "
        f"scopes: {', '.join(scopes) or 'none'}"
    )


def _scope(system: Source, scope: Scope, account: Account) -> str:
    """A scope's name and what is to be said of it; of an every-scope how many it stands for now, and whom it
    leaves out."""
    if not scope.every:
        notes = system.look(scope, account)
        return f"{scope.name} ({'; '.join(notes)})" if notes else scope.name
    roster = system.roster(scope)
    if not roster.scopes:
        raise RunFailed(
            f"{scope.name}: nobody is listed", hint="check whom the credential may export, and `except`"
        )
    return f"{scope.name} ({'; '.join([f'{len(roster.scopes)} now', *roster.notes])})"


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`; "" where it cannot be told."""
    resolved = path.resolve()
    best = ""
    kind = ""
    for partition in psutil.disk_partitions(all=True):
        point = partition.mountpoint
        if len(point) > len(best) and (resolved == Path(point) or Path(point) in resolved.parents):
            best, kind = point, partition.fstype
    return kind
