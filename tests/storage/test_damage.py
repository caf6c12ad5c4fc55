"""The damage matrix: every class of file, flipped, cut, deleted, swapped.

Each damage is noticed by `scrub`, put down to the right snapshots, and never read as if nothing were wrong. What
an archive by itself cannot know, that the newest manifest or a record was deleted, is left to who noted the heads.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from storage import evidence, keys, keytext, recipes, records
from storage.archive import Damaged
from storage.backend import Backend, Memory
from storage.decisions import Decision
from storage.encrypted import Encrypted
from storage.errors import StorageError
from storage.mark import MARK
from storage.scrub import scrub
from storage.snapshot import parse_name
from storage.sweeping import sweep
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    START,
    Below,
    Cases,
    copy,
    drop,
    new_archive,
    noise,
    opened,
    overwrite,
    read,
    run_record,
    write,
)
from tests.storage.zips import export

OTHER = keytext.holder_text(bytes(32))
Expected = dict[str, dict[str, bytes]]  # id -> files
CLASSES = ["packs/", "manifest", "tombstone", "decisions/", "evidence/", "records/", "unnamed/", MARK]
EVERY = [*CLASSES, "about/", "keys/"]  # of the last two one copy serves: nobody loses anything


@pytest.fixture(autouse=True)
def small_zips_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that plans and payloads are among what is damaged."""
    monkeypatch.setattr(recipes, "CUT_FROM", 0)


def healthy(secret: str | None) -> tuple[Memory, Expected]:
    """At least two files of every class."""
    memory = Memory()
    archive = new_archive(memory, secret)
    for night in range(5):
        files = {"a": noise(90, night // 2), "b/ü": b"text %d " % night * 20, "lab.zip": export(night)}
        write(archive, files, night=night)
    write(archive, {"z": noise(90, 0)}, key=OFFICE)
    for found in archive.snapshots(LAB)[:2]:
        drop(archive, found, now=START + 9 * NIGHT)
    for run in ("20260301-a", "20260302-b"):
        archive.put_record(run, records.encode(run_record(run)))
    for found in archive.snapshots(LAB)[:2]:
        archive.decide(Decision("hold", LAB, found.number, found.id, START, "M. Rossi", "an audit"))
        rot = b"rotten bytes of %s" % found.name.encode()
        evidence.keep(archive.backend, found.name, rot, now=START, reason="found by a scrub")
    if isinstance(archive.backend, Encrypted):
        other = keys.wrap(archive.backend.keys, OTHER, archive_id=archive.id, name="Anna", now=START)
        memory.put_new(other.file, [keys.encode(other)])
    expected = {found.id: read(archive, found) for found in archive.snapshots()}
    for night in (7, 8):  # packs that nothing names: their manifests were never written
        orphan = write(archive, {"o": noise(80, night)}, key=OFFICE, night=night)
        archive.backend.delete(orphan.name)
    sweep(archive, now=START + 9 * NIGHT)
    return memory, expected


def names_of(memory: Memory, kind: str) -> list[str]:
    names = list(below(memory).list(""))
    if kind in ("manifest", "tombstone"):
        links = [link for link in map(parse_name, names) if link]
        return [link.name for link in links if link.forgotten == (kind == "tombstone")]
    return [name for name in names if name.startswith(kind)]


def below(memory: Memory) -> Below:
    """What is stored, under the names it stands for."""
    return Below(opened(memory))


def owners(memory: Memory, name: str) -> set[str]:
    """Snapshots that cannot be trusted when the file `name` is not whole, as far as anybody can know."""
    archive = opened(memory)
    link = parse_name(name)
    if link is None:
        pack = name.rpartition("/")[2].removesuffix(".pack")
        return {found.id for found in archive.snapshots() if pack in found.manifest.packs}
    links = [*archive.snapshots(link.key)]
    after = {found.manifest.previous for found in links if found.manifest.number == link.number + 1}
    after |= {tomb.previous for tomb in archive.tombstones(link.key) if tomb.number == link.number + 1}
    return {found for found in after if found}


def check(memory: Memory, names: list[str], expected: Expected, blamed: set[str]) -> None:
    """The damage to these files is noticed, put down to `blamed`, and no wrong byte is given."""
    try:
        archive = opened(memory)
    except StorageError:
        assert names[0] == MARK or names[0].startswith("keys/")  # noticed: nothing of it is read at all
        return
    findings = scrub(archive).findings
    hit = {found for finding in findings for found in finding.snapshots}
    assert {finding.name for finding in findings} & set(names), f"{names}: not noticed, got {findings}"
    assert blamed <= hit
    damaged: list[Damaged] = []
    for found in archive.snapshots(damaged=damaged):
        try:
            files = read(archive, found)
        except StorageError:
            assert found.id in hit
            continue
        assert expected[found.id] == files


def flips(memory: Memory, kind: str, chosen: random.Random | None) -> Iterator[tuple[str, bytes]]:
    """One file with one changed byte after another; a sample of them where `chosen` draws one."""
    for name in names_of(memory, kind):
        data = below(memory).get(name)
        places = range(len(data)) if chosen is None else sorted(chosen.sample(range(len(data)), 12))
        for place in places:
            value = data[place] ^ (1 << (place % 8) if chosen is None else chosen.randint(1, 255))
            yield name, data[:place] + bytes([value]) + data[place + 1 :]


def flip_all(kind: str, chosen: random.Random | None, cases: Cases) -> int:
    memory, expected = healthy(cases.secret)
    tried = 0
    for name, data in cases.some(flips(memory, kind, chosen)):
        broken = copy(memory)
        overwrite(below(broken), name, data)
        check(broken, [name], expected, owners(memory, name))
        tried += 1
    return tried


@pytest.mark.parametrize("kind", EVERY)
def test_a_changed_byte_is_noticed(kind: str, cases: Cases) -> None:
    """Twelve seeded bytes of every file."""
    assert flip_all(kind, random.Random(kind), cases) >= 12 // cases.share or not exists(kind, cases)


@pytest.mark.full
@pytest.mark.parametrize("kind", CLASSES)
def test_every_changed_byte_is_noticed(kind: str, secret: str | None) -> None:
    """Every byte of every file."""
    assert flip_all(kind, None, Cases("all", secret)) >= 150


@pytest.mark.parametrize("kind", EVERY)
def test_a_cut_or_longer_file_is_noticed(kind: str, cases: Cases) -> None:
    """Empty, cut in the middle, without its last byte, and with one more."""
    memory, expected = healthy(cases.secret)
    tried = []
    for name in names_of(memory, kind):
        data = below(memory).get(name)
        for spoiled in (b"", data[: len(data) // 2], data[:-1], data + b"\n", bytes(len(data))):
            tried.append((name, spoiled))
    for name, spoiled in cases.some(tried):
        broken = copy(memory)
        overwrite(below(broken), name, spoiled)
        check(broken, [name], expected, owners(memory, name))

    assert tried or not exists(kind, cases)


def exists(kind: str, cases: Cases) -> bool:
    """Whether archives of that kind have such files."""
    return kind != "keys/" or cases.secret is not None


@pytest.mark.parametrize("kind", ["packs/", "manifest", "tombstone", MARK])
def test_a_deleted_file_is_noticed(kind: str, secret: str | None) -> None:
    """A pack that is needed, and any link of a chain but its newest."""
    memory, expected = healthy(secret)
    tried = 0
    for name in names_of(memory, kind):
        link = parse_name(name)
        newest = link is not None and opened(memory).head(link.key)[0] == link.number
        if newest or (kind == "packs/" and not owners(memory, name)):
            continue
        broken = copy(memory)
        below(broken).delete(name)
        gone = [name if link is None else name.replace(".forgotten", "")]
        check(broken, gone, expected, owners(memory, name))
        tried += 1

    assert tried >= (1 if kind == MARK else 2)


@pytest.mark.parametrize(
    "kind", ["packs/", "manifest", "tombstone", "decisions/", "evidence/", "records/", "unnamed/"]
)
def test_two_files_that_changed_places_are_noticed(kind: str, cases: Cases) -> None:
    """Each pair of one class."""
    memory, expected = healthy(cases.secret)
    names = names_of(memory, kind)
    pairs = [(one, two) for place, one in enumerate(names) for two in names[:place]]
    for one, two in cases.some(pairs):
        broken = copy(memory)
        exchange(below(broken), one, two)
        for name in (one, two):
            check(broken, [name], expected, owners(memory, name) if kind == "packs/" else set())

    assert pairs


def exchange(backend: Backend, one: str, two: str) -> None:
    """Each gets the other's bytes."""
    first, second = backend.get(one), backend.get(two)
    overwrite(backend, one, second)
    overwrite(backend, two, first)


def test_a_file_in_the_place_of_another_class_is_noticed(secret: str | None) -> None:
    """A tombstone where a manifest was, a record where a tombstone was, a pack where a record was."""
    memory, expected = healthy(secret)
    classes = {kind: names_of(memory, kind)[0] for kind in CLASSES}
    for kind, name in classes.items():
        for other_kind, other in classes.items():
            if kind != other_kind:
                broken = copy(memory)
                view = below(broken)
                overwrite(view, name, view.get(other))
                check(broken, [name], expected, set())


def test_the_undamaged_archive_has_no_findings(secret: str | None) -> None:
    """Or all of the above would mean nothing."""
    memory, expected = healthy(secret)
    archive = opened(memory)

    assert scrub(archive).findings == ()
    assert {found.id: read(archive, found) for found in archive.snapshots()} == expected
    assert all(len(names_of(memory, kind)) >= 2 for kind in CLASSES if kind != MARK)
