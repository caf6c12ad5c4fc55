"""Erasing on a real folder: killed between any two changes, without power at any instant; the catalog's file."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from storage.backend import LocalDisk, Memory
from storage.catalog import Catalog
from storage.errors import StorageError
from storage.prune import free
from storage.scrub import scrub
from storage.sweeping import GRACE
from tests.doubles import LAB, NIGHT, OFFICE, PLAIN, START, Cases, copy, new_archive, noise, opened, write
from tests.storage.acting import deaths, later
from tests.storage.powerloss import Event, leave, recorded
from tests.storage.test_erase import SECRET, everything, go, has_word, history, tick

NOW = START + 20 * NIGHT
OTHER = {"a": noise(600, 1), "c": noise(400, 3)}


def on_disk(memory: Memory, root: Path) -> LocalDisk:
    """The same archive as a folder."""
    for name in memory.list(""):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(memory.get(name))
    return LocalDisk(root)


def test_killed_between_any_two_changes_of_a_folder_the_next_freeing_ends_it(
    tmp_path: Path, secret: str | None
) -> None:
    """Each other snapshot is whole at once and at the end; once begun, the word goes with the next freeing."""
    base, second = history(secret)
    rest = {one: files for one, files in everything(opened(base)).items() if one != second.id}
    numbers, died = count(), 0

    def fresh(memory: Memory) -> LocalDisk:
        return on_disk(memory, tmp_path / str(next(numbers)))

    for disk in deaths(base, lambda archive: go(archive, second), fresh):
        died += 1
        archive = opened(LocalDisk(disk.root))
        found = everything(archive)
        begun = second.id not in found
        assert {one: files for one, files in found.items() if one != second.id} == rest
        assert scrub(archive).findings == ()
        free(archive, clock=tick(later(NOW)))
        assert everything(archive) == (rest if begun else found)
        assert (has_word(disk) == []) == begun
        free(archive, clock=tick(later(NOW, 2) + GRACE))
        named = {pack for one in archive.snapshots() for pack in archive.packs_of(one.manifest)}
        assert {name[-69:-5] for name in archive.backend.list("packs/")} == named
        assert scrub(archive).findings == ()
        shutil.rmtree(disk.root)
    assert died > 7


def erasing(root: Path, patch: pytest.MonkeyPatch, secret: str | None) -> tuple[list[Event], int, str]:
    """The events of an archive's life that ends with an erasing, behind how many that began, and of whom."""
    with recorded(patch) as events:
        archive = new_archive(LocalDisk(root), secret)
        second = write(archive, {**OTHER, "secret": SECRET})
        write(archive, OTHER, key=OFFICE, night=1)
        begins = len(events)
        go(opened(LocalDisk(root)), second)
    return events, begins, second.id


def faults(
    events: list[Event], begins: int, gone: str, root: Path, scratch: Path, cases: Cases = PLAIN
) -> Iterator[str]:
    """What is wrong when the power goes at any instant of the erasing, in three variants of luck, and after it."""
    rng = random.Random(7)
    numbers = count()
    for done in cases.some(range(begins, len(events) + 1)):
        for chance in (0.0, 0.5, 1.0):
            left = scratch / str(next(numbers))
            leave(events[:done], root, left, chance, rng)
            try:
                yield from problems(copy(LocalDisk(left)), gone, ended=done == len(events))
            except StorageError as exc:
                yield str(exc)
            shutil.rmtree(left)


def problems(left: Memory, gone: str, *, ended: bool) -> Iterator[str]:
    """What is wrong with what is left of an erasing, and with the freeing that comes next."""
    archive = opened(left)
    yield from (f"{one.name}: {one.problem}" for one in scrub(archive).findings)
    found = everything(archive)
    if [files for one, files in found.items() if one != gone] != [OTHER]:
        yield "the other snapshot is not as it was"
    if ended and (has_word(left) or gone in found):
        yield "reported as done, and the word is there"
    free(archive, clock=tick(later(NOW)))
    if gone not in found and has_word(left):
        yield "begun, and behind the next freeing the word is there"
    if everything(archive) != found:
        yield "the next freeing changed what is live"


def test_the_power_may_go_at_any_instant_of_an_erasing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cases: Cases
) -> None:
    """What others need is never lost; what was begun ends with the next freeing; what was reported as done is."""
    root = tmp_path / "disk" / "archive"
    events, begins, gone = erasing(root, monkeypatch, cases.secret)

    assert len(events) - begins > 20
    assert list(faults(events, begins, gone, root, tmp_path / "left", cases)) == []


@pytest.mark.parametrize("what", ["sync", "order"])
def test_an_erasing_that_is_careless_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, secret: str | None
) -> None:
    """Folders that are not synced bring the word back; packs that go before the new ones are there lose bytes."""
    root = tmp_path / "disk" / "archive"
    events, begins, gone = erasing(root, monkeypatch, secret)
    if what == "sync":
        careless = [one for at, one in enumerate(events) if at < begins or one.what != "sync"]
    else:
        deleted = [one for one in events[begins:] if one.what == "unlink" and one.path.suffix == ".pack"]
        assert deleted
        careless = [*events[:begins], *deleted, *events[begins:]]

    assert next(faults(careless, begins, gone, root, tmp_path / "left"), "")


def test_nothing_of_what_was_erased_is_in_the_catalog_s_file(tmp_path: Path) -> None:
    """No name of a file, in no page and no log, of many files and runs; the names of the others are there."""
    archive = new_archive()
    names = [f"lab/Rossi {n}/private-{n:04}.xml" for n in range(400)]
    write(archive, {name: b"%d" % n for n, name in enumerate(names)})
    write(archive, {name: b"%d!" % n for n, name in enumerate(names)}, night=1)
    write(archive, {"office/agenda.xml": b"1"}, key=OFFICE)

    def raw() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.glob("c.db*")))

    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.reindex(archive)
        assert all(name.encode() in raw() for name in (names[0], names[-1], "office/agenda.xml"))
        go(archive, LAB)
        catalog.reindex(archive)
        catalog.settle()
        left = raw()
    closed = raw()

    for found in (left, closed):
        assert b"Rossi" not in found
        assert b"private-" not in found
        assert b"office/agenda.xml" in found
