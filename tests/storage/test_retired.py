"""Packs that were retired: read while they are there, freed after their time, unless something needs them."""

from __future__ import annotations

from io import BytesIO

import pytest

from storage import canonical, replaced
from storage.archive import Archive
from storage.errors import ObjectCorrupt, ObjectMissing
from storage.index import Index, pack_name
from storage.losses import needed
from storage.packs import Kind, PackBuilder
from storage.prune import undelete
from storage.reader import Reader
from storage.repair import plan_repair, repair
from storage.replaced import RETIRED, Old, Replaced, current, followed, to_protect, to_read
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import (
    LAB,
    NIGHT,
    START,
    Clock,
    draft,
    drop,
    new_archive,
    noise,
    overwrite,
    pack_of,
    read,
    write,
)

AT = START + 5 * NIGHT
SMALL, DEAD = noise(3000, 1), noise(50_000, 2)


def note(pack: str, by: tuple[str, ...], old: Old = "retired", number: int = 1) -> Replaced:
    """A note about a pack."""
    return Replaced(pack, number, by, (), (), AT, "little of it was needed", old)


def retire(archive: Archive, pack: str, users: list[Snapshot], *, salt: bytes = b"0123456789abcdef") -> str:
    """Put what these need of a pack into another one, and note it; that one."""
    index = Index(archive.backend, archive.scheme)
    for found in users:
        index.load(archive.packs_of(found.manifest))
    wanted = {oid for found in users for oid in needed(Reader(index), found)} & (index.oids(pack) or frozenset())
    builder = PackBuilder(archive.scheme.name, salt)
    for oid in sorted(wanted):
        builder.add(oid, index.read(oid), Kind.CONTENT)
    by, parts = builder.finish()
    archive.backend.put_new(pack_name(by), parts)
    archive.backend.put_new(replaced.note_name(pack, 1), [replaced.encode(note(pack, (by,)))])
    return by


def mostly_dead() -> tuple[Archive, str, list[Snapshot], Writer]:
    """An archive with a pack of which one object of two is needed, its snapshots, a backup with its footer."""
    archive = new_archive()
    first = write(archive, {"a": SMALL, "dead": DEAD})
    second = write(archive, {"a": SMALL}, night=1)
    late = Writer(archive, LAB)
    late.keep(archive.entries(first)[1])
    drop(archive, first, now=START)
    return archive, pack_of(archive, second, "a"), archive.snapshots(), late


def there(archive: Archive, pack: str) -> bool:
    return archive.backend.size(pack_name(pack)) is not None


def test_a_note_says_what_the_old_pack_is() -> None:
    """Format 2; in one of format 1 it is damaged, and any other word is damage."""
    old = note("aa" * 32, ("bb" * 32,))
    name = replaced.note_name(old.pack, 1)
    value = canonical.unseal(replaced.encode(old))
    first = {key: value[key] for key in value if key != "old"} | {"format": 1}

    assert replaced.decode(replaced.encode(old), name) == old
    assert (value["format"], value["old"]) == (2, "retired")
    assert replaced.decode(canonical.seal(first), name).old == "damaged"
    with pytest.raises(ObjectCorrupt):
        replaced.decode(canonical.seal(value | {"old": "lost"}), name)


def test_retired_packs_are_read_last_and_damaged_ones_never() -> None:
    """Through notes that follow one another; writers reuse neither."""
    notes = {"a": note("a", ("b", "c")), "b": note("b", ("d",)), "c": note("c", ("e",), "damaged")}

    assert followed(notes, ["a", "x"]) == {"a", "b", "c", "d", "e", "x"}
    assert to_read(notes, ["a", "x"]) == ("d", "e", "x", "a", "b")
    assert current(notes, ["a", "x"]) == ("d", "e", "x")
    assert to_protect(notes, ["a"], now=AT + RETIRED - NIGHT) == {"a", "b", "c", "d", "e"}
    assert to_protect(notes, ["a"], now=AT + RETIRED) == {"c", "d", "e"}
    assert RETIRED == GRACE


def test_a_retired_pack_that_nothing_needs_goes_after_its_time() -> None:
    """It alone; what needs its objects reads them from what replaced it, before and after."""
    archive, pack, live, _ = mostly_dead()
    by = retire(archive, pack, live)
    before = set(archive.backend.list("packs/"))
    early = sweep(archive, now=AT + RETIRED - NIGHT)
    assert (early.packs, early.worn, set(archive.backend.list("packs/"))) == ((), (), before)
    done = sweep(archive, now=AT + RETIRED)

    assert done.worn == (pack,)
    assert not there(archive, pack)
    assert there(archive, by)
    assert [read(archive, found) for found in archive.snapshots()] == [{"a": SMALL}]
    assert scrub(archive).findings == ()
    assert archive.replacements().keys() == {pack}  # its manifest goes on naming it
    assert set(archive.backend.list("packs/")) == before - {pack_name(pack)} - set(map(pack_name, done.packs))
    assert sweep(archive, now=AT + RETIRED).packs == ()


def test_a_retired_pack_stays_where_a_late_backup_reused_what_nothing_needed() -> None:
    """It had the footer before the note; the pack stays as long as the snapshot, and is read."""
    archive, pack, live, late = mostly_dead()
    retire(archive, pack, live)
    found = late.commit(draft(LAB, START + 2 * NIGHT), clock=Clock(AT))

    assert pack in found.manifest.packs
    for days in (0, 7, 20):
        assert sweep(archive, now=AT + days * NIGHT).worn == ()
    assert read(archive, found) == {"dead": DEAD}
    assert scrub(archive).findings == ()
    drop(archive, found, now=AT + 20 * NIGHT)
    assert sweep(archive, now=AT + 26 * NIGHT).worn == ()  # it can be brought back
    assert sweep(archive, now=AT + 27 * NIGHT).worn == (pack,)


def test_a_backup_behind_the_note_does_not_reuse_a_retired_pack() -> None:
    """What only it holds is stored again, so that it can go."""
    archive, pack, live, _ = mostly_dead()
    by = retire(archive, pack, live)
    found = write(archive, {"a": SMALL, "dead": DEAD}, night=3)

    assert pack not in found.manifest.packs
    assert by in found.manifest.packs
    assert sweep(archive, now=AT + RETIRED).worn == (pack,)
    assert read(archive, found) == {"a": SMALL, "dead": DEAD}


def test_two_retired_packs_are_not_each_others_reason_to_go() -> None:
    """Both hold what a snapshot needs and nothing else does: neither goes."""
    archive, pack, live, late = mostly_dead()
    builder = PackBuilder(archive.scheme.name, b"f" * 16)
    for data in (SMALL, DEAD):
        builder.add(archive.scheme.oid(data), data, Kind.CONTENT)
    twin, parts = builder.finish()
    archive.backend.put_new(pack_name(twin), parts)
    by = retire(archive, pack, live)
    late.commit(draft(LAB, START + 2 * NIGHT), clock=Clock(AT))
    archive.backend.put_new(replaced.note_name(pack, 2), [replaced.encode(note(pack, (by, twin), number=2))])
    archive.backend.put_new(replaced.note_name(twin, 1), [replaced.encode(note(twin, (by,)))])

    assert sweep(archive, now=AT + RETIRED).worn == ()
    assert scrub(archive).findings == ()


def test_nothing_goes_where_it_cannot_be_told_what_is_needed() -> None:
    """A listing that cannot be read keeps the retired packs of its snapshot."""
    archive, pack, live, _ = mostly_dead()
    retire(archive, pack, live)
    (found,) = archive.snapshots()
    for named in found.manifest.packs:
        if named != pack:
            overwrite(archive.backend, pack_name(named), b"rot")

    assert sweep(archive, now=AT + RETIRED).worn == ()


def test_a_retired_pack_that_is_damaged_is_found_and_mended() -> None:
    """What the late backup needs of it is saved or lost; what replaced it stays what is read."""
    archive, pack, live, late = mostly_dead()
    retire(archive, pack, live)
    found = late.commit(draft(LAB, START + 2 * NIGHT), clock=Clock(AT))
    data = archive.backend.get(pack_name(pack))
    overwrite(archive.backend, pack_name(pack), data[:30] + b"damaged" + data[37:])  # in its salt
    assert {finding.name for finding in scrub(archive).findings} == {pack_name(pack)}
    repair(archive, plan_repair(archive, scrub(archive).findings), clock=Clock(AT), record_id="20260310-r")

    assert scrub(archive).findings == ()
    assert archive.replacements()[pack].old == "damaged"
    archive.backend.delete(pack_name(pack))
    assert read(archive, found) == {"dead": DEAD}
    assert read(archive, live[0]) == {"a": SMALL}


def test_a_retired_pack_that_is_missing_is_no_damage() -> None:
    """But what is lost with it is, and comes from a copy of the archive or is told."""
    archive, pack, live, late = mostly_dead()
    retire(archive, pack, live)
    archive.backend.delete(pack_name(pack))

    assert scrub(archive).findings == ()
    assert not plan_repair(archive, scrub(archive).findings)
    with pytest.raises(ObjectMissing, match="freed since"):
        late.commit(draft(LAB, START + 2 * NIGHT), clock=Clock(AT))


def test_a_late_backup_that_lost_its_retired_pack_is_told_and_healed() -> None:
    """By a copy that has the pack."""
    archive, pack, live, late = mostly_dead()
    retire(archive, pack, live)
    found = late.commit(draft(LAB, START + 2 * NIGHT), clock=Clock(AT))
    twin = new_archive()
    for name in archive.backend.list(""):
        overwrite(twin.backend, name, archive.backend.get(name))
    twin = Archive.open(twin.backend)
    archive.backend.delete(pack_name(pack))
    assert [finding.snapshots for finding in scrub(archive).findings] == [(found.id,)]
    plan = plan_repair(archive, scrub(archive).findings, copy=twin)
    repair(archive, plan, copy=twin, clock=Clock(AT), record_id="20260310-r")

    assert scrub(archive).findings == ()
    assert read(archive, found) == {"dead": DEAD}


def test_a_damaged_object_is_read_from_another_pack_that_has_it() -> None:
    """Of what a snapshot names: each pack that holds it is asked, as file, as text and object by object."""
    archive = new_archive()
    first = write(archive, {"a": SMALL, "b": DEAD})
    name = pack_name(pack_of(archive, first, "a"))
    data = archive.backend.get(name)
    overwrite(archive.backend, name, data[:60] + b"damaged" + data[67:])
    writer = Writer(archive, LAB, proven=True)
    for path, content in {"a": SMALL, "b": DEAD}.items():
        writer.add(path, BytesIO(content), promised=Promise())
    second = writer.commit(draft(LAB, START + NIGHT), clock=Clock(AT))
    third = write(archive, {"a": SMALL, "b": DEAD, "c": b"new"}, night=2)

    assert second.manifest.stored_bytes < len(SMALL) + 2000  # only what could not be proven
    assert third.manifest.stored_bytes < 2000
    for found in (second, third):
        assert read(archive, found).items() >= {"a": SMALL, "b": DEAD}.items()
    with pytest.raises(ObjectCorrupt):
        read(archive, first)


def test_what_a_rotten_note_hides_is_not_told_as_freed() -> None:
    """Who brings it back is told of the note, which a repair writes anew; then it comes back."""
    archive, pack, live, _ = mostly_dead()
    retire(archive, pack, live)
    write(archive, {"later": b"1"}, night=2)
    sweep(archive, now=AT + RETIRED)
    now = AT + RETIRED + NIGHT
    drop(archive, live[0], now=now)
    name = replaced.note_name(pack, 1)
    whole = archive.backend.get(name)
    overwrite(archive.backend, name, b"rot")
    with pytest.raises(ObjectCorrupt, match=name):
        undelete(Archive.open(archive.backend), live[0].id, by="ada", reason="x", clock=lambda: now)
    overwrite(archive.backend, name, whole)

    assert undelete(archive, live[0].id, by="ada", reason="x", clock=lambda: now).id == live[0].id
