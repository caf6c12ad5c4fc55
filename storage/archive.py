"""The archive, as the rest of the program uses it: snapshots, their files, records of runs.

Reads and writes through a `Backend`; how a snapshot is put together is `writer.py`, what goes is `prune.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, pairwise

from storage import decisions, keys, mark, replaced, snapshot, tombstone
from storage.about import describe
from storage.backend import Backend
from storage.decisions import Decision
from storage.encrypted import Encrypted, as_it_lies, check_up_to_date
from storage.errors import (
    FormatUnknown,
    NotEncrypted,
    ObjectCorrupt,
    ObjectMissing,
    SnapshotUnknown,
)
from storage.footers import Footers
from storage.index import Index
from storage.latest import latest
from storage.listing import Listing
from storage.mark import MARK, Mark
from storage.objects import PlainSha256, Scheme, scheme
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import Link, Manifest, ScopeKey, Snapshot
from storage.tombstone import Tombstone

_KINDS: tuple[snapshot.Kind, ...] = ("erased", "forgotten", "live")  # which file of a number stands above which
MIN_PREFIX = 4  # characters of a shortened snapshot id
ALWAYS = datetime.max.replace(tzinfo=UTC)  # as now: nothing is dated after it


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file of the archive that cannot be read, and why. Reported, never passed over."""

    name: str
    problem: str

    @property
    def told(self) -> str:
        """Its name and the problem, which most often begins with the name."""
        return self.problem if self.problem.startswith(self.name) else f"{self.name}: {self.problem}"


class Archive:
    """An opened archive. Thread-safe for reading as far as the backend is."""

    def __init__(self, backend: Backend, archive_id: str, scheme: Scheme) -> None:
        self.backend = backend
        self.id = archive_id
        self.scheme = scheme
        self._footers = Footers(backend)
        self._notes: dict[str, Replaced] = {}  # by name, as far as they were read

    @classmethod
    def create(cls, backend: Backend, *, now: datetime, secret: str | None = None, holder: str = "") -> Archive:
        """Make an archive, or open the one that is there. Retry: yes.

        With a `secret`, a passphrase or a holder's key, it is encrypted, and `holder`, a name that everybody who
        sees the files can read, is the first who can open it; without one everything in it is plain. Raises
        ValueError for a passphrase that is too short; else as `open`.
        """
        made = Mark(str(uuid.uuid4()), PlainSha256.name, secret is not None, now)
        first = None
        if secret is not None and backend.size(MARK) is None:
            first = keys.wrap(keys.new_keys(), secret, archive_id=made.id, name=holder, now=now)
            backend.put_new(first.file, [keys.encode(first)])  # before the mark: no archive without a key
        if not backend.put_new(MARK, [mark.encode(made)]) and first is not None:
            backend.delete(first.file)  # somebody else made one at the same moment
        archive = cls.open(backend, secret)
        describe(archive.backend)
        return archive

    @classmethod
    def open(cls, backend: Backend, secret: str | None = None) -> Archive:
        """Raises ArchiveMissing, FormatUnknown, ObjectCorrupt; KeyMissing, KeyWrong where it is encrypted.

        Raises NotEncrypted where it is not and a `secret` is given: else whoever stores it could have new backups
        put there in clear. Changes nothing.
        """
        found = mark.read(backend)
        if found.encrypted:
            backend = Encrypted.unlocked(backend, found.id, secret)
        elif secret is not None:
            raise NotEncrypted(f"{backend.url}: a key was given, and archive {found.id[:8]} is not encrypted")
        return cls(backend, found.id, scheme(found.objects))

    @property
    def encrypted(self) -> bool:
        """Whether whoever stores it sees ciphertexts only."""
        return isinstance(self.backend, Encrypted)

    def scopes(self) -> list[ScopeKey]:
        """Every scope that has or had a snapshot, told from the names of its chain's files alone."""
        return sorted({link.key for link in self.links()}, key=lambda key: (key.source, key.scope))

    def links(self, key: ScopeKey | None = None) -> list[Link]:
        """Manifests and tombstones by name, of all scopes or of one; what is neither is passed over."""
        prefix = "snapshots/" if key is None else snapshot.chain_folder(key)
        parsed = (snapshot.parse_name(name) for name in self.backend.list(prefix))
        return [link for link in parsed if link is not None]

    def half_forgotten(self, key: ScopeKey | None = None) -> list[Link]:
        """Manifests beside a tombstone that is whole: what a forgetting that was killed left to delete."""
        links = self.links(key)
        tombs = {(link.key, link.number): link for link in links if link.forgotten}
        tombs = {place: link for place, link in tombs.items() if place not in _erased(links)}
        halves = [link for link in links if not link.forgotten and (link.key, link.number) in tombs]
        return [half for half in halves if self._whole(tombs[half.key, half.number])]

    def half_erased(self) -> list[Link]:
        """Manifests and older tombstones below one of an erased snapshot: what `erase.finish` still needs."""
        links = self.links()
        return [link for link in links if not link.erased and (link.key, link.number) in _erased(links)]

    def snapshots(self, key: ScopeKey | None = None, *, damaged: list[Damaged] | None = None) -> list[Snapshot]:
        """All live snapshots, or those of one scope, by time taken.

        Where a tombstone is there, the snapshot is forgotten, whether its manifest was deleted yet or not. A
        manifest that cannot be read raises, unless `damaged` is given to take it.
        """
        found = self.live(self.links(key), damaged=damaged)
        return sorted(found, key=lambda s: (s.manifest.draft.taken_at, str(s.key), s.manifest.number))

    def newest(self, key: ScopeKey, *, damaged: list[Damaged] | None = None) -> Snapshot | None:
        """The live snapshot of the scope that was committed last; None where there is none.

        By number, not by time taken: an older export that is taken in later counts as newer. Reads one manifest,
        and one more for each that is damaged: such a one raises, unless `damaged` is given to take it.
        """
        return next(self.newest_first(key, damaged=damaged), None)

    def newest_first(self, key: ScopeKey, *, damaged: list[Damaged] | None = None) -> Iterator[Snapshot]:
        """The live snapshots of the scope, that committed last first, each read when it is asked for."""
        return self.live(reversed(_by_number(self.links(key))), damaged=damaged)

    def live(self, links: Iterable[Link], *, damaged: list[Damaged] | None = None) -> Iterator[Snapshot]:
        """The snapshots among `links` beside which no tombstone is, in that order, each read when it is asked for.

        A manifest that cannot be read raises, unless `damaged` is given to take it.
        """
        links = list(links)
        gone = {(link.key, link.number) for link in links if link.forgotten}
        for link in links:
            if (link.key, link.number) in gone:
                continue
            try:
                yield self._snapshot(link)
            except (ObjectCorrupt, FormatUnknown) as exc:
                if damaged is None:
                    raise
                damaged.append(Damaged(link.name, str(exc)))
            except ObjectMissing:
                continue  # forgotten since the names were listed

    def tombstones(self, key: ScopeKey | None = None, *, damaged: list[Damaged] | None = None) -> list[Tombstone]:
        """What stays of forgotten snapshots. One that cannot be read raises, unless `damaged` takes it."""
        return list(self.forgotten(self.links(key), damaged=damaged))

    def forgotten(self, links: Iterable[Link], *, damaged: list[Damaged] | None = None) -> Iterator[Tombstone]:
        """The tombstones among `links`, each read when it is asked for; as `tombstones` else."""
        links = list(links)
        over = _erased(links)
        for link in links:
            if not link.forgotten or ((link.key, link.number) in over and not link.erased):
                continue
            try:
                yield self._tombstone(link)
            except (ObjectCorrupt, FormatUnknown) as exc:
                if damaged is None:
                    raise
                damaged.append(Damaged(link.name, str(exc)))

    def head(self, key: ScopeKey) -> tuple[int, str | None]:
        """Number and id of the newest link of a chain, live or forgotten; (0, None) where there is none.

        The id is None, too, where that link is damaged or was given up: a chain goes on behind damage, and `scrub`
        tells of it. Raises FormatUnknown where a newer version wrote that link: nothing may be chained behind what
        is not understood.
        """
        links = self.links(key)
        number = max((link.number for link in links), default=0)
        if number == 0:
            return 0, None
        for kind in _KINDS:
            link = snapshot.link_of(key, number, kind)
            try:
                return number, (self._tombstone(link).id if link.forgotten else self._snapshot(link).id) or None
            except (ObjectMissing, ObjectCorrupt):
                continue
            except FormatUnknown as exc:
                raise FormatUnknown(
                    f"{exc}; it is the newest of {key}, so nothing is written behind it",
                    hint="a newer Strongroom writes to this archive: upgrade this one",
                ) from exc
        return number, None

    def find(self, ref: str, *, source: str = "", scope: str = "", now: datetime = ALWAYS) -> Snapshot:
        """The snapshot that `ref` names, of that source and scope: an id, a unique beginning of one, or `latest`.

        `latest` is the newest that counts (`standing.py`), in whose place what is dated after `now` is not taken;
        where none counts, the newest at all. Damage matters where it hits that snapshot, and for `latest` a newest
        one. Raises SnapshotUnknown, ObjectCorrupt; KeyWrong in their place where the keys at hand are from
        before a rotation: what is not found may be there by the newer one.
        """
        links = self.links()
        gone = {(link.key, link.number) for link in links if link.forgotten}
        live = [link for link in links if (link.key, link.number) not in gone]
        chosen = [link for link in live if source in ("", link.key.source) and scope in ("", link.key.scope)]
        among = "".join(f" of {kind} {name}" for kind, name in (("source", source), ("scope", scope)) if name)
        if ref == "latest":
            heads = {link.key: link.number for link in _by_number(links)}
            return self._latest([link for link in chosen if link.number == heads[link.key]], chosen, among, now)
        begins = ref.lower() if len(ref) >= MIN_PREFIX else "none"
        named = [link for link in chosen if self._digest(link).startswith(begins)]
        hits = list(self.live(named, damaged=[]))
        if chosen and not hits:
            check_up_to_date(self.backend)
        if len(hits) != 1:
            found = f"no snapshot{among} has" if not hits else f"{len(hits)} snapshots{among} have"
            raise SnapshotUnknown(f"{ref}: {found} an id that begins so (at least {MIN_PREFIX} characters)")
        return hits[0]

    def _latest(self, heads: Iterable[Link], chosen: Iterable[Link], among: str, now: datetime) -> Snapshot:
        try:
            list(self.live(heads))
        except (ObjectCorrupt, FormatUnknown) as exc:
            check_up_to_date(self.backend)
            raise ObjectCorrupt(
                f"latest: {exc}",
                hint="name an older snapshot by its id: `strongroom snapshots` lists those that can be read",
            ) from exc
        found = latest(self, {link.key for link in chosen}, now=now)
        if found is None:
            raise SnapshotUnknown(f"latest: the archive holds no snapshot{among}")
        return found

    def _digest(self, link: Link) -> str:
        try:
            return hashlib.sha256(as_it_lies(self.backend, link.name)).hexdigest()
        except ObjectMissing:
            return ""  # forgotten since the names were listed

    def entries(self, found: Snapshot) -> Listing:
        """The files of a snapshot. Raises ObjectMissing, ObjectCorrupt. Memory: its listing."""
        return self.reader(found).entries(found)

    def reader(self, *found: Snapshot) -> Reader:
        """Reads files of one snapshot, or of several; of one scope, quickest in their order."""
        index = Index(self.backend, self.scheme, self._footers.of)
        named = (pack for one in found for pack in one.manifest.packs)
        index.load_readable(replaced.to_read(self.replacements(damaged=[]), named))
        return Reader(index)

    def packs_of(self, manifest: Manifest) -> tuple[str, ...]:
        """The packs to read where a manifest names some: replaced ones give way. A damaged note is passed over."""
        return replaced.to_read(self.replacements(damaged=[]), manifest.packs)

    def packs_to_reuse(self, manifest: Manifest) -> tuple[str, ...]:
        """Those of them that a writer may name: no retired one, which is on its way out."""
        return replaced.current(self.replacements(damaged=[]), manifest.packs)

    def hits(self) -> set[str]:
        """Ids of snapshots that a repair found to have lost something. Reads notes only: cheap, and not all that
        a scrub would say."""
        return {found for note in self.replacements(damaged=[]).values() for found in note.hits}

    def replacements(self, *, damaged: list[Damaged] | None = None) -> dict[str, Replaced]:
        """Of each pack that was replaced, the note that counts. One that cannot be read raises, unless `damaged`
        takes it: then it is as if it were not there."""
        found = []
        for name in self.backend.list(replaced.FOLDER):
            if replaced.parse_name(name) is None:
                continue
            try:
                if name not in self._notes:  # they never change, and a reader is made for each snapshot
                    self._notes[name] = replaced.decode(self.backend.get(name), name)
                found.append(self._notes[name])
            except (ObjectCorrupt, FormatUnknown) as exc:
                if damaged is None:
                    raise
                damaged.append(Damaged(name, str(exc)))
            except ObjectMissing:
                continue  # its pack was freed since the names were listed
        return replaced.newest(found)

    def decisions(self, key: ScopeKey | None = None, *, damaged: list[Damaged] | None = None) -> list[Decision]:
        """What persons decided about snapshots, of one scope or of all, in order.

        One that cannot be read, or is missing before others, raises, unless `damaged` takes it: then a hold stands
        in its place, of the snapshot that it can have been about, where anything tells that.
        """
        listed = ((name, decisions.parse_name(name)) for name in self.backend.list(decisions.folder(key)))
        names = {name: place for name, place in listed if place}
        found, unread = [], []
        for name, place in [*names.items(), *_gaps(names.values())]:
            try:
                found.append(decisions.decode(self.backend.get(name), name))
            except (ObjectCorrupt, ObjectMissing, FormatUnknown) as exc:
                if damaged is None:
                    raise
                damaged.append(Damaged(name, str(exc)))
                unread.append((place, str(exc)))
        about = {(one.key, one.number): one.snapshot for one in found}
        for (of, number, n), problem in unread:
            known = about.get((of, number)) or self._id_at(of, number)
            if known:
                found.append(
                    decisions.stand_in(of, number, n, known, at=datetime.min.replace(tzinfo=UTC), problem=problem)
                )
        return decisions.ordered(found)

    def decide(self, decision: Decision) -> Decision:
        """Keep a decision, behind those about the same snapshot that are there; it, at its place.

        Raises ValueError for one that is none. Retry: yes; it may then be there twice, which means the same.
        """
        names = self.backend.list(decisions.folder(decision.key))
        places = filter(None, map(decisions.parse_name, names))
        last = max((n for _, number, n in places if number == decision.number), default=0)
        for n in count(last + 1):  # a number that somebody else took meanwhile is passed over
            made = decisions.numbered(decision, n)
            name, data = decisions.decision_name(made.key, made.number, n), decisions.encode(made)
            if self.backend.put_new(name, [data]) or as_it_lies(self.backend, name) == data:
                return made
        raise AssertionError("numbers do not end")

    def put_record(self, run_id: str, data: bytes) -> bool:
        """Keep a run's record. False where one is there already: the first stands."""
        return self.backend.put_new(snapshot.record_name(run_id), [data])

    def records(self, *, but: Container[str] = ()) -> Iterator[tuple[str, bytes]]:
        """Every record by name, oldest first; those of the runs `but` are not read."""
        for name in self.backend.list("records/"):
            if name.rpartition("/")[2].removesuffix(".json") not in but:
                yield name, as_it_lies(self.backend, name)

    def _snapshot(self, link: Link) -> Snapshot:
        found = snapshot.decode(self.backend.get(link.name), link.name)
        if found.name != link.name:
            raise ObjectCorrupt(f"{link.name}: holds the manifest of {found.key} number {found.manifest.number}")
        return found

    def _id_at(self, key: ScopeKey, number: int) -> str:
        """Id of the link at a place of a chain; "" where nothing tells it."""
        for kind in _KINDS:
            link = snapshot.link_of(key, number, kind)
            with contextlib.suppress(ObjectMissing, ObjectCorrupt, FormatUnknown):
                return self._tombstone(link).id if link.forgotten else self._snapshot(link).id
        return ""

    def _whole(self, link: Link) -> bool:
        try:
            self._tombstone(link)
        except (ObjectMissing, ObjectCorrupt, FormatUnknown):
            return False
        return True

    def _tombstone(self, link: Link) -> Tombstone:
        found = tombstone.decode(self.backend.get(link.name), link.name)
        if (found.key, found.number) != (link.key, link.number):
            raise ObjectCorrupt(f"{link.name}: holds the tombstone of {found.key} number {found.number}")
        return found


def _gaps(places: Iterable[tuple[ScopeKey, int, int]]) -> Iterator[tuple[str, tuple[ScopeKey, int, int]]]:
    """Decisions that are missing before others about the same snapshot."""
    there: dict[tuple[ScopeKey, int], list[int]] = {}
    for key, number, n in places:
        there.setdefault((key, number), []).append(n)
    for (key, number), numbers in there.items():
        for before, n in pairwise([0, *sorted(numbers)]):
            if n > before + 1:  # the last of those that are missing stands for all of them
                yield decisions.decision_name(key, number, n - 1), (key, number, n - 1)


def _erased(links: Iterable[Link]) -> set[tuple[ScopeKey, int]]:
    return {(link.key, link.number) for link in links if link.erased}


def _by_number(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: link.number)
