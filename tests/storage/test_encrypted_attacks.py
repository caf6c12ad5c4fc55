"""What somebody without the key can do to the files: each change is told by the file's own name, nothing wrong is
given back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from storage import keys
from storage.about import about_digest
from storage.archive import Archive
from storage.backend import Memory
from storage.cipher import HEADER, SEGMENT, STREAM_AT
from storage.encrypted import STRAYS
from storage.errors import KeyWrong, NotEncrypted, StorageError
from storage.index import pack_name
from storage.mark import MARK
from storage.restore import Restored, restore
from storage.scrub import scrub
from storage.snapshot import Snapshot
from storage.upkeep_records import ROLLED_BACK, Finding, Noted
from tests.doubles import (
    LAB,
    NIGHT,
    SECRET,
    START,
    Below,
    contents,
    copy,
    drop,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    write,
)
from tests.storage.repairing import history

NOT_OURS = "not what this archive has put there"
BIG = {"big": noise(5 * SEGMENT, 1), "small": b"s" * 100}


def given(archive: Archive, found: Snapshot, folder: Path) -> dict[str, bytes]:
    """What a restore says that it gave back whole."""
    try:
        results = restore(archive, found, folder)
    except StorageError:
        return {}
    return {one.entry.path: one.path.read_bytes() for one in results if isinstance(one, Restored)}


def big() -> tuple[Memory, Snapshot, str]:
    """An archive with a pack of several segments; its snapshot and that pack's name."""
    memory = Memory()
    archive = new_archive(memory, SECRET)
    found = write(archive, BIG)
    return memory, found, pack_name(pack_of(archive, found, "big"))


def rearranged(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The stored bytes of a pack with segments exchanged, left out, doubled, and cut at each border."""
    borders = [0, HEADER.size, *range(STREAM_AT + SEGMENT, len(data), SEGMENT), len(data)]
    head, *parts = [data[at:end] for at, end in pairwise(borders)]
    numbers = range(len(parts))
    for one, two in combinations(numbers, 2):
        changed = parts.copy()
        changed[one], changed[two] = parts[two], parts[one]
        yield f"{one} and {two} exchanged", head + b"".join(changed)
    for one in numbers:
        yield f"{one} left out", head + b"".join(parts[:one] + parts[one + 1 :])
        yield f"{one} doubled", head + b"".join([*parts[: one + 1], *parts[one:]])
        yield f"cut before {one}", head + b"".join(parts[:one])
    yield "reversed", head + b"".join(reversed(parts))


def test_segments_of_a_pack_that_changed_are_told_and_never_given(tmp_path: Path) -> None:
    """Exchanged, left out, doubled, cut at a border: the pack is named, with its snapshot; no wrong file comes."""
    memory, found, name = big()
    tried = 0
    for what, data in rearranged(memory.get(name)):
        tried += 1
        broken = copy(memory)
        overwrite(broken, name, data)
        archive = opened(broken)
        (finding,) = (one for one in scrub(archive).findings if one.name == name)
        assert finding.snapshots == (found.id,), what
        assert finding.problem.startswith(name), what
        back = given(archive, found, tmp_path / str(tried))
        assert "big" not in back, what
        assert back.items() <= BIG.items(), what

    assert tried > 30


def test_a_byte_of_the_padding_is_told(tmp_path: Path) -> None:
    """Whatever segment it lies in, also where nothing of the file does: the file is given back all the same."""
    memory = Memory()
    archive = new_archive(memory, SECRET)
    files = {"big": noise(1 << 24, 1)}
    found = write(archive, files)
    name = pack_name(pack_of(archive, found, "big"))
    size, stored = archive.backend.size(name), memory.get(name)
    assert size is not None
    assert len(stored) - size > 6 * SEGMENT
    for at in range(len(stored) - 4 * SEGMENT, len(stored) - SEGMENT, SEGMENT):
        broken = copy(memory)
        overwrite(broken, name, stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :])
        finding = told(broken, name)
        assert NOT_OURS in finding.problem
        assert finding.snapshots == (found.id,)
        assert given(opened(broken), found, tmp_path / str(at)) == files


def told(memory: Memory, name: str) -> Finding:
    """What a scrub says about the file of that name."""
    findings = [one for one in scrub(opened(memory)).findings if one.name == name]
    assert findings, name
    return findings[0]


def test_no_file_of_another_archive_counts_in_this_one(tmp_path: Path) -> None:
    """The same content, the same holder's key, the same name: each file is told, also where a copy opens it."""
    one, two = history(SECRET), history(SECRET)
    mine, other = Below(opened(one)), Below(opened(two))
    names = [name for name in mine.list("") if mine.name(name) != MARK and not about_digest(name)]
    names = [name for name in names if not keys.is_holder(name) and not name.startswith("packs/")]
    packs = zip(mine.list("packs/"), other.list("packs/"), strict=True)
    tried = 0
    for name, source in [*((name, name) for name in names), *packs]:
        if other.size(source) is None:
            continue  # ids of runs are as random as the bytes
        tried += 1
        broken = copy(one)
        overwrite(Below(opened(broken)), name, other.get(source))
        finding = told(broken, name)
        assert "which this archive's holder has not" in finding.problem
        assert finding.problem.count(name) >= 1

    assert tried > 10


def test_neither_the_mark_nor_a_holder_comes_from_elsewhere() -> None:
    """Nor a whole archive that says it is this one, nor a plain one in its place: nothing is opened or written."""
    one, two = history(SECRET), history(SECRET)
    (mine,), (other,) = one.list("keys/"), two.list("keys/")
    broken = copy(one)
    overwrite(broken, MARK, two.get(MARK))
    with pytest.raises(KeyWrong):
        Archive.open(broken, SECRET)
    broken = copy(one)
    overwrite(broken, mine, two.get(other))
    with pytest.raises(KeyWrong):
        Archive.open(broken, SECRET)
    broken = copy(one)
    overwrite(broken, MARK, two.get(MARK))
    broken.put_new(other, [two.get(other)])
    archive = Archive.open(broken, SECRET)  # it is the other one, and nothing here is its own
    findings = scrub(archive).findings
    assert archive.snapshots(damaged=[]) == []
    assert {one.name for one in findings} >= {*broken.list("packs/"), *broken.list("records/")}
    assert all(one.stray for one in findings if one.name.startswith(f"{STRAYS}/snapshots/"))
    assert any(one.name.startswith(f"{STRAYS}/snapshots/") for one in findings)
    broken = copy(one)
    overwrite(broken, MARK, new_archive().backend.get(MARK))
    with pytest.raises(NotEncrypted):
        Archive.open(broken, SECRET)


def nights() -> tuple[Memory, list[Memory]]:
    """Four nights of one scope, the second forgotten; and how it was after each."""
    memory, after = Memory(), []
    archive = new_archive(memory, SECRET)
    for night in range(4):
        write(archive, {"a": noise(300, night)}, night=night)
        if night == 2:
            drop(archive, archive.snapshots()[1], now=START + 3 * NIGHT)
        after.append(copy(memory))
    return memory, after


def test_an_older_manifest_under_another_number_is_told() -> None:
    """In the place of each other one, of a tombstone and behind the newest: by its name, with its snapshot."""
    memory, _ = nights()
    archive = opened(memory)
    links = [link.name for link in archive.links(LAB)]
    newest = links[-1]
    next_name = newest.replace("00000004", "00000005")
    ids = {found.name: found.id for found in archive.snapshots()}
    ids |= {tomb.name: tomb.id for tomb in archive.tombstones()}
    for old in links:
        for name in [*links, next_name]:
            if name == old:
                continue
            broken = copy(memory)
            view = Below(opened(broken))
            data = view.get(old)
            view.delete(name)
            view.put_new(name, [data])
            finding = told(broken, name)
            assert NOT_OURS in finding.problem
            assert finding.snapshots == ((ids[name],) if name not in (newest, next_name) else ())


def test_a_roll_back_is_told_by_the_heads_that_were_noted() -> None:
    """The newest deleted, an old one in its place, the whole folder as it was: told with number and id."""
    memory, after = nights()
    heads = scrub(opened(memory)).heads
    noted = [Noted(chain, number, one, "") for chain, (number, one) in heads.items()]
    newest = opened(memory).snapshots()[-1]

    def gone(broken: Memory) -> None:
        Below(opened(broken)).delete(newest.name)

    for broken, how in [(copy(memory), gone), *((old, None) for old in after[:-1])]:
        if how:
            how(broken)
        findings = scrub(opened(broken), noted=noted).findings
        (finding,) = (one for one in findings if one.problem.startswith(ROLLED_BACK))
        assert (finding.name, finding.snapshots) == (newest.name, (newest.id,))
    assert scrub(opened(memory), noted=noted).findings == ()


def test_what_was_replaced_by_a_backup_of_ones_own_does_not_chain() -> None:
    """A copy of the archive that went its own way, whose files do decrypt: its manifest fits between no others."""
    memory, after = nights()
    fork = copy(after[1])
    write(opened(fork), {"a": noise(300, 9)}, night=2)
    theirs = opened(fork).snapshots()[-1]
    view = Below(opened(memory))
    assert theirs.name in set(view.list(""))
    overwrite(view, theirs.name, Below(opened(fork)).get(theirs.name))
    findings = scrub(opened(memory)).findings

    assert any("chained to" in one.problem for one in findings)
    assert any(theirs.id in one.snapshots for one in findings)  # its packs are not here


def test_files_below_a_hidden_folder_are_strays_elsewhere() -> None:
    """A stored file moved to another folder, renamed, or laid there in clear is no file of the archive."""
    memory, _ = nights()
    stored = next(memory.list("snapshots/"))
    for name in (stored.replace("snapshots", "decisions"), stored + "0", "snapshots/lab/00000001.json"):
        broken = copy(memory)
        broken.put_new(name, [memory.get(stored)])
        archive = opened(broken)
        (finding,) = scrub(archive).findings
        assert (finding.name, finding.stray) == (f"{STRAYS}/{name}", True)
        assert len(archive.snapshots()) == 3


def test_what_is_laid_there_in_clear_is_refused() -> None:
    """Every file as it is without encryption, under its own stored name: told, and no snapshot comes of it."""
    memory = history(SECRET)
    archive = opened(memory)
    view = Below(archive)
    plain = contents(archive.backend)
    for name, data in plain.items():
        if name == MARK or about_digest(name) or keys.is_holder(name):
            continue
        broken = copy(memory)
        overwrite(Below(opened(broken)), name, data)
        assert "not encrypted" in told(broken, name).problem
    for name in plain:
        if not (name == MARK or about_digest(name) or keys.is_holder(name)):
            overwrite(view, name, plain[name])
    assert opened(memory).snapshots(damaged=[]) == []
