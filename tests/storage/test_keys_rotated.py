"""Keys rotated while a process has the archive open: what a newer key encrypted is never called damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage import keytext
from storage.archive import Archive, Damaged
from storage.backend import Memory
from storage.catalog import Catalog
from storage.cipher import MAGIC
from storage.drill import drill
from storage.errors import KeyWrong, ObjectCorrupt
from storage.keyring import Keyring
from storage.keys import encode, new_keys, wrap
from storage.repair import plan_repair
from storage.scrub import scrub
from storage.turns import Everything
from storage.upkeep import scrub_in_turn
from tests.doubles import LAB, NIGHT, SECRET, START, contents, new_archive, noise, opened, overwrite, read, write

RUN_AGAIN = "rotated since it was opened"
LATER = START + 9 * NIGHT


@pytest.fixture
def memory() -> Memory:
    """An archive of one snapshot."""
    made = Memory()
    write(new_archive(made, SECRET), {"a": noise(300, 1)})
    return made


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(Catalog.open(tmp_path / "catalog.db")) as made:
        yield made


def rotated(memory: Memory) -> None:
    """Another process rotates, and a third makes a snapshot with the newer key."""
    Keyring.open(memory, SECRET).rotate(SECRET, now=START)
    write(opened(memory), {"a": noise(300, 1), "b": noise(300, 2)}, night=1)


def test_what_a_newer_key_encrypted_says_run_again(memory: Memory) -> None:
    """Each time it is read, whoever is ready to take damage; what was there before is read on."""
    lived = opened(memory)
    (before,) = lived.snapshots()
    rotated(memory)

    for _ in range(2):
        damaged: list[Damaged] = []
        with pytest.raises(KeyWrong, match=RUN_AGAIN):
            lived.newest(LAB, damaged=damaged)
        assert damaged == []
    assert read(lived, before) == {"a": noise(300, 1)}
    everything = contents(memory)
    for change in (lambda: write(lived, {"c": b"x"}, night=2), lambda: lived.backend.delete(before.name)):
        with pytest.raises(KeyWrong, match=RUN_AGAIN):
            change()
    assert contents(memory) == everything
    assert len(opened(memory).snapshots()) == 2


def test_neither_scrub_nor_drill_nor_repair_records_damage(
    memory: Memory, catalog: Catalog, tmp_path: Path
) -> None:
    """In archive and catalog stands nothing of it, also where a restore passes over what it cannot read."""
    stale = [opened(memory) for _ in range(4)]
    rotated(memory)
    newest = opened(memory).snapshots()[-1]
    everything = contents(memory)

    with pytest.raises(KeyWrong, match=RUN_AGAIN):
        scrub(stale[0])
    with pytest.raises(KeyWrong, match=RUN_AGAIN):
        scrub_in_turn(stale[1], catalog, Everything(), record_id="20260310-000000-scrub-0", clock=lambda: LATER)
    with pytest.raises(KeyWrong, match=RUN_AGAIN):
        plan_repair(stale[2], ())
    with pytest.raises(KeyWrong, match=RUN_AGAIN):
        drill(stale[3], catalog, newest, tmp_path, record_id="20260310-000000-drill-0", clock=lambda: LATER)
    assert contents(memory) == everything
    assert (catalog.readings.last_scrub(), catalog.readings.last_drill()) == (None, None)


def test_who_comes_with_an_older_key_scrubs_nothing(memory: Memory) -> None:
    """It reads what was there; whether the rest is whole, it cannot tell."""
    paper = keytext.paper_text(opened(memory).id, Keyring.open(memory, SECRET).keys)
    rotated(memory)

    with pytest.raises(KeyWrong, match="from before a rotation"):
        scrub(Archive.open(memory, paper))


@pytest.mark.parametrize("planted", [False, True])
def test_damage_stays_damage_where_nobody_rotated(memory: Memory, planted: bool) -> None:
    """A file that says it needs another key is told as ever, whatever an unproven holder's file says."""
    if planted:
        strange = (*new_keys(), *new_keys())
        made = wrap(strange, keytext.holder_text(bytes(32)), archive_id=opened(memory).id, name="Eve", now=START)
        memory.put_new(made.file, [encode(made)])
    (name,) = memory.list("snapshots/")
    data, at = memory.get(name), len(MAGIC)
    overwrite(memory, name, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    archive = opened(memory)

    with pytest.raises(ObjectCorrupt, match="holder has not"):
        archive.newest(LAB)
    assert scrub(archive).findings
    write(archive, {"c": b"x"}, night=2)
