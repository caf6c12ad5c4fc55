"""What stays of a snapshot that is gone: forgotten, erased, or lost and given up."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage import canonical, snapshot, tombstone
from storage.archive import Archive
from storage.catalog import Catalog
from storage.decisions import Decision
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.facts import differences
from storage.index import pack_digest
from storage.prune import free
from storage.schema import SCHEMA
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.sweeping import GRACE, sweep
from storage.tombstone import Gone, Tombstone
from tests.doubles import LAB, NIGHT, START, new_archive, read, write
from tests.storage.test_snapshot import manifest

GOLDEN = Path(__file__).parents[1] / "golden"
LATER = START + 30 * NIGHT


def entomb(archive: Archive, tomb: Tombstone) -> None:
    """Put a tombstone, and take the manifest away."""
    archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])
    archive.backend.delete(snapshot.manifest_name(tomb.key, tomb.number))


def of_each_kind(found: Snapshot) -> list[Tombstone]:
    """Tombstones that a snapshot may get."""
    return [
        tombstone.forgotten(found, at=LATER, reason="no rule keeps it"),
        tombstone.erased(found, at=LATER, reason="he asked for it"),
        tombstone.lost(found.archive_id, found.key, found.number, known=found.id, at=LATER, reason="a bad disk"),
        tombstone.lost(found.archive_id, found.key, found.number, known="", at=LATER, reason="a bad disk"),
    ]


def test_a_tombstone_of_each_kind_comes_back() -> None:
    """Its place in the chain too; only a forgotten one leads to packs."""
    found = snapshot.decode(snapshot.encode(manifest()), "a")
    for tomb in of_each_kind(found):
        assert tombstone.decode(tombstone.encode(tomb), "t") == tomb
        assert (tomb.key, tomb.number, tomb.archive_id) == (found.key, found.number, found.archive_id)
        assert tomb.packs == (found.manifest.packs if tomb.why == "forgotten" else ())
        assert tomb.previous == (None if tomb.why == "lost" else found.previous)


def test_an_erased_snapshot_leaves_no_content_in_its_tombstone() -> None:
    """No listing, no packs, no words of the system."""
    found = snapshot.decode(snapshot.encode(manifest()), "a")
    value = canonical.unseal(tombstone.encode(of_each_kind(found)[1]))
    rest = {"id", "archive", "source", "scope", "number", "previous", "taken_at", "committed_at", "run", "why"}

    assert value.keys() - {"format", "kind"} == rest | {"forgotten_at", "reason"}


@pytest.mark.parametrize("version", [1, 2])
def test_a_tombstone_of_an_older_manifest_is_of_its_format(version: int) -> None:
    """It says no kind, and an older version reads it."""
    old = manifest(format=version, members=0 if version == 1 else 12)
    found = snapshot.decode(snapshot.encode(old), "a")
    value = canonical.unseal(tombstone.encode(of_each_kind(found)[0]))

    assert (value["format"], "why" in value, "tags" in value["manifest"]) == (version, False, False)
    assert tombstone.decode(tombstone.encode(of_each_kind(found)[0]), "t").id == found.id


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (1, {"why": "gone"}),
        (1, {"id": None}),
        (1, {"taken_at": None}),
        (1, {"previous": "dd"}),
        (2, {"number": "1"}),
        (2, {"source": ""}),
        (2, {"id": "aa"}),
        (0, {"why": "erased"}),
    ],
)
def test_a_hostile_tombstone_is_damage(place: int, changes: dict[str, Any]) -> None:
    """Rightly sealed and still not ours."""
    found = snapshot.decode(snapshot.encode(manifest()), "a")
    value = canonical.unseal(tombstone.encode(of_each_kind(found)[place])) | changes
    with pytest.raises(ObjectCorrupt):
        tombstone.decode(canonical.seal(value), "t")


def test_a_tombstone_with_a_member_not_known_is_newer() -> None:
    """What cannot be put back as it was is not taken for known."""
    found = snapshot.decode(snapshot.encode(manifest()), "a")
    value = canonical.unseal(tombstone.encode(of_each_kind(found)[2])) | {"cipher": "later"}
    with pytest.raises(FormatUnknown, match="does not know"):
        tombstone.decode(canonical.seal(value), "t")


def test_a_tombstone_says_one_thing() -> None:
    """A manifest where it is forgotten, what is known of it where it is not."""
    gone = Gone("a", LAB, 1)
    for kept, known, why in (
        (None, None, "forgotten"),
        (None, gone, "forgotten"),
        (manifest(), None, "lost"),
        (manifest(), gone, "forgotten"),
    ):
        with pytest.raises(ValueError, match="and not both"):
            Tombstone("", START, "", kept, known, why)  # type: ignore[arg-type]  # a loop's words are no literals


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_chain_goes_on_behind_each_kind(kind: int, number: int) -> None:
    """Nothing is found wrong, the head is told, the next backup is chained, and space is freed."""
    archive = new_archive()
    chain = [write(archive, {"a": b"%d" % night * 999}, night=night) for night in range(3)]
    tomb = of_each_kind(chain[number - 1])[kind]
    entomb(archive, tomb)
    head = archive.head(LAB)
    after = write(archive, {"a": b"9"}, night=5)

    assert head == (3, (tomb.id or None) if number == 3 else chain[2].id)
    assert (after.number, after.previous) == (4, head[1])
    assert scrub(archive).findings == ()
    assert archive.tombstones() == [tomb]
    assert scrub(archive).heads == {str(LAB): (4, after.id)}
    for days in (0, 8, 16):
        sweep(archive, now=LATER + days * NIGHT)
    named = {pack for found in archive.snapshots() for pack in found.manifest.packs}
    assert set(map(pack_digest, archive.backend.list("packs/"))) <= named
    assert [read(archive, found) for found in archive.snapshots()]
    assert scrub(archive).findings == ()


def test_a_head_whose_id_nobody_knows_is_not_noted() -> None:
    """The newest that is known is; a head that was noted before it was given up is not missed."""
    archive = new_archive()
    first, second = (write(archive, {}, night=night) for night in range(2))
    entomb(archive, of_each_kind(second)[3])

    assert scrub(archive).heads == {str(LAB): (1, first.id)}


def test_the_manifest_beside_an_erasure_that_was_killed_goes() -> None:
    """At the next freeing, which goes on with it; and it is gone before."""
    archive = new_archive()
    found = write(archive, {"a": b"1"})
    tomb = of_each_kind(found)[1]
    archive.backend.put_new(tomb.name, [tombstone.encode(tomb)])

    assert archive.snapshots() == []
    free(archive, clock=lambda: LATER)
    assert archive.backend.size(found.name) is None
    sweep(archive, now=LATER + GRACE)
    assert list(archive.backend.list("packs/")) == []


def test_a_catalog_of_schema_2_is_taken_on(tmp_path: Path) -> None:
    """Its rows say why a snapshot is gone, and decisions come in; it has the columns of a new one."""
    archive = new_archive()
    chain = [write(archive, {"a": b"%d" % night}, night=night) for night in range(3)]
    path = tmp_path / "c.db"
    with sqlite3.connect(path) as database:
        database.executescript((GOLDEN / "catalog-2.sql").read_text())
    database.close()
    with Catalog.open(path) as catalog:
        rows = sorted(catalog.facts(now=LATER).snapshots.values(), key=lambda row: row["number"])
        assert [row["gone"] for row in rows] == ["forgotten", "", ""]
        catalog.record_decision(archive.decide(Decision("hold", LAB, 1, chain[0].id, START, "a", "b")))
        assert len(catalog.facts(now=LATER).decisions) == 1
    with sqlite3.connect(path) as database:
        assert database.execute("pragma user_version").fetchone() == (SCHEMA,)
        made = set(database.execute("select name from pragma_table_info('snapshot')"))
    database.close()
    Catalog.open(tmp_path / "new.db").close()
    with sqlite3.connect(tmp_path / "new.db") as database:
        assert set(database.execute("select name from pragma_table_info('snapshot')")) == made
    database.close()


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.parametrize("known", [True, False])
def test_a_catalog_has_a_row_for_each_kind(kind: int, known: bool, tmp_path: Path) -> None:
    """Entered where it knew the snapshot and where not, it has what a new one is filled with."""
    archive, now = new_archive(), datetime(2026, 5, 1, tzinfo=UTC)
    chain = [write(archive, {"a": b"%d" % night}, night=night) for night in range(3)]
    tomb = of_each_kind(chain[2])[kind]
    with Catalog.open(tmp_path / "c.db") as catalog, Catalog.open(tmp_path / "d.db") as filled:
        if known:
            catalog.reindex(archive)
            assert differences(catalog, archive, now=now) == []
        entomb(archive, tomb)
        assert len(differences(catalog, archive, now=now)) >= 1
        catalog.reindex(archive)
        filled.reindex(archive)
        (row,) = (row for row in catalog.facts(now=now).snapshots.values() if row["gone"])

        assert (row["gone"], row["number"]) == (tomb.why, 3)
        assert row["id"] == (tomb.id or f"lost:{LAB}/3")
        assert differences(catalog, archive, now=now) == []
        assert differences(filled, archive, now=now) == []
        assert filled.facts(now=now).snapshots == catalog.facts(now=now).snapshots
