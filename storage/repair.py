"""Mends an archive as far as anything can still prove itself, and says by name what is lost.

`plan_repair` reads and decides, `repair` acts; the plan is what a dry run shows. Objects of a damaged pack go into
new packs, and a note says that it was replaced: that is the commit. Small files come back from a copy, their
damaged bytes are kept as evidence. Nothing that is damaged is deleted without being kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from storage import canonical, evidence, putback, replaced
from storage.anywhere import Anywhere
from storage.archive import Archive, Damaged
from storage.encrypted import check_up_to_date
from storage.errors import ObjectCorrupt, ObjectMissing
from storage.index import Index, pack_digest, pack_name
from storage.losses import Hit, losses, needed
from storage.objects import Oid
from storage.packing import Packing
from storage.packs import SALT_SIZE, Codec, Kind
from storage.putback import PutBack
from storage.reader import Reader
from storage.replaced import Replaced
from storage.snapshot import Snapshot, manifest_name, parse_name, to_text
from storage.upkeep_records import Finding

_TAKEN = "a backup took its number while it was put anew; what the copy has of it is"


@dataclass(frozen=True, slots=True)
class Mend:
    """A pack to be replaced, and where each of its objects was found. `before`: the note that counts now."""

    pack: str
    problem: str
    number: int  # of the note to be written
    before: Replaced | None
    itself: tuple[Oid, ...] = ()  # proven in the damaged pack
    elsewhere: tuple[Oid, ...] = ()  # in another pack of the archive
    copy: tuple[Oid, ...] = ()  # in the copy
    lost: tuple[Oid, ...] = ()
    hits: tuple[str, ...] = ()  # ids of the snapshots that need a lost one

    @property
    def found(self) -> tuple[Oid, ...]:
        return (*self.itself, *self.elsewhere, *self.copy)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a repair does. `hits` is what is lost whatever it does, `left` what it can do nothing about."""

    packs: tuple[str, ...]  # missing, and put back whole from the copy
    mends: tuple[Mend, ...]
    small: tuple[PutBack, ...]
    left: tuple[Finding, ...]
    hits: tuple[Hit, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.packs or self.mends or self.small)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did."""

    packs_written: tuple[str, ...]
    evidence: tuple[str, ...]  # SHA-256 of the damaged bytes that were kept
    taken: tuple[Finding, ...] = ()  # manifests that did not come back: a backup took their number meanwhile


def plan_repair(
    archive: Archive, findings: Sequence[Finding], *, copy: Archive | None = None, mark: PutBack | None = None
) -> Plan:
    """What can be mended of what a scrub found. Changes nothing. Raises BackendFailed, KeyWrong.

    `copy`: another folder of the same archive; `mark`: that of the archive, where it must come from there. Reads
    what is damaged, and the listings and plans of the snapshots it hits. Memory: the index of every pack, here and
    in the copy.
    """
    damaged: list[Damaged] = []
    live = archive.snapshots(damaged=damaged)
    archive.tombstones(damaged=damaged)
    bad_notes: list[Damaged] = []
    notes = archive.replacements(damaged=bad_notes)
    problems = {finding.name: finding.problem for finding in findings}
    small = [] if mark is None else [mark]
    if copy is not None:
        links = putback.links(archive, {bad.name: bad.problem for bad in damaged}, copy)
        small += [back for back, _ in links]
        live += [found for _, found in links if isinstance(found, Snapshot)]
        below = list(putback.erasing(archive, copy))
        small += [back for _, back in below]
        served = {link.name for half, _ in below for link in half.links}
        findings = [finding for finding in findings if finding.name not in served]
        small += putback.decided(archive, problems, copy)
        small += putback.holders(archive, problems, copy)
        small += putback.records(archive, (name for name in problems if name.startswith("records/")), copy)
    small += [putback.put_back(archive.backend, bad.name, bad.problem, None) for bad in bad_notes]
    here = Anywhere(archive, copy)
    wanted = {pack for found in live for pack in replaced.current(notes, found.manifest.packs)}
    evident = {pack for pack, note in notes.items() if note.old != "retired"}
    broken = {digest for digest in map(pack_digest, problems) if digest in here.present} - evident
    missing = wanted - here.present
    whole = {pack for pack in missing if copy is not None and putback.whole_pack(copy, pack) is not None}
    search = _Search(here, notes, (broken | missing) - whole, whole)
    for found in live:
        search.look(found)
    last = _last_numbers(archive)
    mends = [search.mend(pack, problems.get(pack_name(pack), putback.MISSING), last) for pack in search.spoiled]
    again = [search.mend_again(note, last) for note in notes.values() if note.pack not in search.spoiled]
    mends += [mend for mend in again if mend is not None]
    hits = tuple(hit for found in live if (hit := search.hit(found)))
    by_pack = search.hit_by_pack(hits, live)
    check_up_to_date(archive.backend)  # what needs a newer key is not lost
    return Plan(
        tuple(sorted(whole)),
        tuple(replace(mend, hits=by_pack(mend)) for mend in mends),
        tuple(small),
        _left(findings, {back.name for back in small}, {hit.snapshot for hit in hits}),
        hits,
    )


class _Search:
    """Which objects the hit snapshots want, and where they are. Memory: the wanted ones, and the index."""

    def __init__(
        self, here: Anywhere, notes: Mapping[str, Replaced], spoiled: Collection[str], whole: Collection[str]
    ) -> None:
        self._here = here
        self._reader = Reader(here)
        self._notes = notes
        self._whole = set(whole)
        self.spoiled = sorted(spoiled)
        self._lacking: dict[str, set[Oid]] = {}  # by snapshot: objects that none of its sound packs holds
        self._asked: dict[str, set[Oid]] = {}  # by pack: those of them that only it can have held
        self._lost: set[Oid] = set()
        self._rows = {pack: self._known_rows(pack) for pack in self.spoiled}

    def look(self, found: Snapshot) -> None:
        """Note what a snapshot lacks, and which of its packs must have held it."""
        packs = replaced.to_read(self._notes, found.manifest.packs)
        bad = [pack for pack in packs if pack in self._rows]
        noted = sorted(replaced.followed(self._notes, found.manifest.packs) & self._notes.keys())
        if not bad and not noted:
            return
        sound = set(packs) - self._rows.keys()
        lacking = {o for o in needed(self._reader, found) if not self._here.holds(o, sound, sound & self._whole)}
        self._lacking[found.id] = lacking
        known = {oid for pack in bad for oid in self._rows[pack]}
        known |= {Oid(bytes.fromhex(oid)) for pack in noted for oid in self._notes[pack].lost}
        blind = [pack for pack in bad if not self._sure(pack)]
        for pack in blind or noted:  # which of several it was, nobody knows: then it is put down to each
            self._asked.setdefault(pack, set()).update(lacking - known)

    def mend(self, pack: str, problem: str, last: Mapping[str, int]) -> Mend:
        """How a damaged or missing pack is replaced."""
        rows, before = self._rows[pack], self._notes.get(pack)
        if before is not None:  # it was retired: what was needed of it then is in other packs
            lacking = {oid for one in self._lacking.values() for oid in one}
            rows = [oid for oid in rows if oid in lacking]
        wanted = dict.fromkeys((*rows, *sorted(self._asked.get(pack, ()))))
        return self._sorted_out(Mend(pack, problem, last.get(pack, 0) + 1, before), wanted)

    def mend_again(self, note: Replaced, last: Mapping[str, int]) -> Mend | None:
        """What became of objects that an earlier repair called lost; None where nothing changed."""
        lost = {Oid(bytes.fromhex(oid)) for oid in note.lost}
        mend = Mend(note.pack, "objects of it were lost", last.get(note.pack, 0) + 1, note)
        mend = self._sorted_out(mend, sorted(lost | self._asked.get(note.pack, set())))
        return mend if mend.found or set(mend.lost) != lost else None

    def hit(self, found: Snapshot) -> Hit | None:
        """What of a snapshot is lost."""
        lost = self._lacking.get(found.id, set()) & self._lost
        return losses(self._reader, found, lost.__contains__) if lost else None

    def hit_by_pack(self, hits: Sequence[Hit], live: Sequence[Snapshot]) -> Callable[[Mend], tuple[str, ...]]:
        """For each mend the snapshots that need one of its lost objects, and name its pack."""
        chosen = {hit.snapshot for hit in hits}
        named = {
            found.id: replaced.followed(self._notes, found.manifest.packs) for found in live if found.id in chosen
        }

        def ids(mend: Mend) -> tuple[str, ...]:
            lost = set(mend.lost)
            return tuple(sorted(one for one in named if mend.pack in named[one] and lost & self._lacking[one]))

        return ids

    def _sorted_out(self, mend: Mend, wanted: Collection[Oid]) -> Mend:
        itself: list[Oid] = []
        elsewhere: list[Oid] = []
        copied: list[Oid] = []
        lost: list[Oid] = []
        for oid in wanted:
            found = self._here.get(oid, first=mend.pack)
            if found is None:
                lost.append(oid)
            elif found.copy:
                copied.append(oid)
            else:
                (itself if found.at.pack == mend.pack else elsewhere).append(oid)
        self._lost.update(lost)
        return replace(
            mend, itself=tuple(itself), elsewhere=tuple(elsewhere), copy=tuple(copied), lost=tuple(lost)
        )

    def _known_rows(self, pack: str) -> list[Oid]:
        """Objects that the pack holds: of a table that is not proven only those that can be found."""
        footer = self._here.footer(pack)
        rows = [] if footer is None else [footer.oid(row) for row in range(len(footer))]
        return rows if self._sure(pack) else [oid for oid in rows if self._here.get(oid, pack)]

    def _sure(self, pack: str) -> bool:
        """Whether the pack's own table is proven to name all its objects."""
        return self._here.footer(pack) is not None and pack not in self._here.loose


def repair(
    archive: Archive,
    plan: Plan,
    *,
    copy: Archive | None = None,
    clock: Callable[[], datetime],
    record_id: str,
    salt: Callable[[], bytes] = lambda: secrets.token_bytes(SALT_SIZE),
) -> Repaired:
    """Carry a plan out, and leave a record of it. A plan without anything to do writes nothing.

    Raises BackendFailed, ObjectMissing, ObjectCorrupt (the archive changed since the plan was made). Killed
    anywhere, or two at once: nothing is lost. Retry: yes, with a new plan, which holds what is still to be done.
    Memory: two packs and the index of every pack.
    """
    backend = archive.backend
    if not plan:
        return Repaired((), ())
    for pack in plan.packs:  # packs first: what a manifest names must be there before it is
        data = putback.whole_pack(copy, pack) if copy else None
        if data is None:
            raise ObjectMissing(f"{pack_name(pack)}: not whole in the copy any more", hint="run again")
        backend.put_new(pack_name(pack), [data])
    here, fresh = Anywhere(archive, copy), Index(backend, archive.scheme)
    packing = Packing(backend, archive.scheme, fresh, salt)
    for mend in plan.mends:
        by = _replace_objects(here, fresh, packing, mend)
        before = mend.before.by if mend.before else ()
        note = Replaced(
            mend.pack,
            mend.number,
            tuple(sorted({*by, *before})),
            tuple(sorted(oid.hex() for oid in mend.lost)),
            mend.hits,
            clock(),
            mend.problem,
        )
        # Where another repair was faster, its note stands, and the packs made here are freed by a later sweep.
        backend.put_new(replaced.note_name(note.pack, note.number), [replaced.encode(note)])
    kept, taken = {}, list[Finding]()
    for back in plan.small:
        swapped = evidence.swap(backend, back.name, back.damaged, back.whole, now=clock(), reason=back.problem)
        if swapped.kept:
            kept[back.name] = back.damaged
        if swapped.taken:
            taken.append(Finding(back.name, f"{_TAKEN} evidence/{swapped.taken}.bin"))
    names = {finding.name for finding in taken}
    done = replace(plan, small=tuple(b for b in plan.small if b.name not in names), left=(*plan.left, *taken))
    archive.put_record(record_id, canonical.seal(_record(done, kept, record_id, clock(), copy)))
    return Repaired(tuple(sorted(packing.used)), tuple(sorted(kept.values())), tuple(taken))


def _replace_objects(here: Anywhere, fresh: Index, packing: Packing, mend: Mend) -> set[str]:
    """Put the found objects of a pack into new packs, and prove them there; the packs that hold them."""
    for oid in mend.found:
        found = here.get(oid, first=mend.pack)
        if found is None:
            raise ObjectMissing(f"object {oid.hex()[:12]}: gone since the plan was made", hint="run again")
        kind = Kind.LISTING if found.at.placed.kind == Kind.LISTING else Kind.CONTENT
        packing.put(found.data, kind, packed=found.at.block.codec == Codec.RAW)
    packing.flush()
    by = set()
    for oid in mend.found:
        place = fresh.place(oid)
        if place is None:
            raise ObjectCorrupt(f"object {oid.hex()[:12]}: not in the pack that it was put into")
        fresh.read_at(place, oid)
        by.add(fresh.pack_of(place))
    return by


def _last_numbers(archive: Archive) -> dict[str, int]:
    """Of each pack that has notes, damaged ones too, the highest number."""
    last: dict[str, int] = {}
    for pack, number in filter(None, map(replaced.parse_name, archive.backend.list(replaced.FOLDER))):
        last[pack] = max(number, last.get(pack, 0))
    return last


def _left(findings: Sequence[Finding], mended: set[str], hit: set[str]) -> tuple[Finding, ...]:
    """Findings that the plan does nothing about, and that are not told as losses."""
    names = {name for name in mended if (link := parse_name(name)) and not link.forgotten}
    names |= {manifest_name(link.key, link.number) for link in filter(None, map(parse_name, mended))}
    return tuple(
        finding
        for finding in findings
        if not (finding.lost or pack_digest(finding.name))
        and finding.name not in mended
        and finding.name not in names
        and not (finding.snapshots and set(finding.snapshots) <= hit and parse_name(finding.name))
    )


def _record(
    plan: Plan, kept: Mapping[str, str], record_id: str, now: datetime, copy: Archive | None
) -> dict[str, object]:
    """What was done, as the record of a repair says it (FORMAT.md section 7)."""
    return {
        "format": 1,
        "kind": "repair",
        "id": record_id,
        "made_at": to_text(now),
        "from": copy.backend.url if copy else "",
        "put_back": sorted(chain(map(pack_name, plan.packs), (b.name for b in plan.small if b.whole is not None))),
        "evidence": dict(kept),
        "replaced": [
            {
                "pack": mend.pack,
                "reason": mend.problem,
                "note": mend.number,
                "itself": len(mend.itself),
                "elsewhere": len(mend.elsewhere),
                "copy": len(mend.copy),
                "lost": sorted(oid.hex() for oid in mend.lost),
            }
            for mend in plan.mends
        ],
        "hits": [
            {
                "snapshot": hit.snapshot,
                "listing": hit.listing,
                "files": [{"path": file.path, "members": list(file.members)} for file in hit.files],
            }
            for hit in plan.hits
        ],
        "left": [{"file": finding.name, "problem": finding.problem} for finding in plan.left],
    }
