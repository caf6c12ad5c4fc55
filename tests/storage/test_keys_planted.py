"""Files in `keys/` that somebody without the archive's keys has put there: what they can make nobody believe."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage import canonical, keys, keytext
from storage.archive import Archive
from storage.backend import Memory
from storage.errors import KeyWrong, ObjectCorrupt
from storage.keyring import Keyring, drilled
from storage.keys import Holder
from tests.doubles import noise, overwrite, read, write

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
NIGHT_KEY, OTHER, STRANGER = (keytext.holder_text(bytes([at]) * 32) for at in (1, 2, 3))


def archive(*others: str) -> Memory:
    """An encrypted archive of one snapshot, opened by NIGHT_KEY and by others."""
    memory = Memory()
    write(Archive.create(memory, now=NOW, secret=NIGHT_KEY, holder="night"), {"a": noise(300, 1)})
    for at, secret in enumerate(others):
        Keyring.open(memory, NIGHT_KEY).add(f"other {at}", secret, now=NOW)
    return memory


def plant(memory: Memory, count: int, *, name: str = "Eve", proofs: tuple[bytes, ...] | None = None) -> Holder:
    """A holder's file by somebody who knows no key of the archive, as if it held `count` keys."""
    archive_id = Keyring.open(memory, NIGHT_KEY).archive_id
    strange = tuple(key for _ in range(count) for key in keys.new_keys())
    made = keys.wrap(strange, STRANGER, archive_id=archive_id, name=name, now=NOW)
    made = made if proofs is None else replace(made, proofs=proofs)
    memory.put_new(made.file, [keys.encode(made)])
    return made


def as_format_1(memory: Memory, name: str) -> None:
    """A holder's file as an older version would have written it: the same, without proofs."""
    ring = Keyring.open(memory, NIGHT_KEY)
    (there,) = (one for one in ring.holders() if one.name == name)
    memory.delete(there.file)
    old = replace(there, format=1, proofs=())
    plain, nonce = b"".join(key.secret for key in ring.keys), bytes(12)
    wrapping = AESGCM(keys._unwrapping(NIGHT_KEY, old.kdf))
    old = replace(old, wrapped=nonce + wrapping.encrypt(nonce, plain, canonical.encode(keys._facts(old))))
    memory.put_new(old.file, [keys.encode(old)])


@pytest.mark.parametrize("borrowed", [False, True])
def test_a_planted_file_of_many_keys_stops_nobody(borrowed: bool) -> None:
    """Nor with the proofs of a real file: the night writes on, holders come, go, rotate, and paper is proven."""
    memory = archive(OTHER)
    ring = Keyring.open(memory, NIGHT_KEY)
    (real, _) = ring.holders()
    planted = plant(memory, 5, proofs=real.proofs * 5 if borrowed else None)
    assert not keys.proven(planted, ring.keys)
    assert keys.newest_count(memory, ring.archive_id, ring.keys) == 1

    write(Archive.open(memory, NIGHT_KEY), {"b": b"x"}, night=1)
    ring.add("Anna", keytext.holder_text(bytes(32)), now=NOW)
    behind = ring.rotate(NIGHT_KEY, now=NOW)
    assert {one.name for one in behind} == {"other 0", "Anna"}
    paper = keytext.paper_text(ring.archive_id, ring.keys)
    assert drilled(memory, paper, now=NOW).keys == 2
    Keyring.open(memory, NIGHT_KEY).remove(planted, now=NOW)


def test_a_rotation_is_proven_to_whoever_has_an_older_key() -> None:
    """Told by the file of any other holder, whose secret they do not have; a later change of that file proves
    nothing."""
    memory = archive(OTHER)
    old = Keyring.open(memory, OTHER)
    for _ in range(2):
        Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    (newest,) = (one for one in old.holders() if one.count == 3)

    assert keys.proven(newest, old.keys)
    assert keys.newest_count(memory, old.archive_id, old.keys) == 3
    with pytest.raises(KeyWrong, match="1 of 3 keys"):
        old.add("Berta", keytext.holder_text(bytes(32)), now=NOW)
    for changed in (replace(newest, name="nigth"), replace(newest, wrapped=newest.wrapped + bytes(32))):
        assert not keys.proven(changed, old.keys)
        assert not keys.proven(changed, Keyring.open(memory, NIGHT_KEY).keys)


def test_a_thief_of_an_older_key_proves_nothing_to_who_has_the_newer_one() -> None:
    """Its own file is taken for what it is: of before the rotation, or of nobody."""
    memory = archive(OTHER)
    thief = Keyring.open(memory, OTHER)
    Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    ring = Keyring.open(memory, NIGHT_KEY)
    forged = [
        keys.wrap((*thief.keys, *more), STRANGER, archive_id=ring.archive_id, name="Eve", now=NOW)
        for more in ((), keys.new_keys(), (*keys.new_keys(), *keys.new_keys()))
    ]

    assert [keys.proven(one, ring.keys) for one in forged] == [True, False, False]


def test_a_planted_file_is_no_way_in() -> None:
    """The last real holder of all keys is not removed, however many files stand beside it; they themselves go."""
    memory = archive()
    planted = plant(memory, 1), plant(memory, 3)
    ring = Keyring.open(memory, NIGHT_KEY)
    with pytest.raises(ValueError, match="last holder"):
        ring.remove(ring.chosen("night"), now=NOW)
    for one in planted:
        ring.remove(one, now=NOW)

    assert [one.name for one in ring.holders()] == ["night"]


def test_files_of_an_older_version_open_and_prove_nothing() -> None:
    """Format 1 has no proofs: who has its secret is believed, nobody else; rotating or adding makes a new one."""
    memory = archive()
    ring = Keyring.open(memory, NIGHT_KEY)
    as_format_1(memory, "night")
    (old,) = ring.holders()
    assert (old.format, old.proofs, keys.proven(old, ring.keys)) == (1, (), False)
    assert len(Archive.open(memory, NIGHT_KEY).snapshots()) == 1

    anew = ring.add("night anew", NIGHT_KEY, now=NOW)  # the same secret, now with proofs
    ring.remove(old, now=NOW)
    assert keys.proven(anew, ring.keys)
    as_format_1(memory, "night anew")
    ring.rotate(NIGHT_KEY, now=NOW)
    (made,) = ring.holders()
    assert (made.count, keys.proven(made, ring.keys)) == (2, True)
    opened = Archive.open(memory, NIGHT_KEY)
    assert read(opened, opened.snapshots()[0]) == {"a": noise(300, 1)}


@pytest.mark.parametrize("proofs", ["none", "one less", "short", "no text"])
def test_proofs_are_one_for_each_key(proofs: str) -> None:
    """Another number of them, or another length, is no file that any version wrote."""
    memory = archive()
    Keyring.open(memory, NIGHT_KEY).rotate(NIGHT_KEY, now=NOW)
    (name,) = memory.list("keys/")
    value = canonical.unseal(memory.get(name))
    there = value["proofs"]
    short = [there[0], there[1][:-2]]
    value["proofs"] = {"none": [], "one less": there[:1], "short": short, "no text": [1, 2]}[proofs]
    overwrite(memory, name, canonical.seal(value))

    with pytest.raises(ObjectCorrupt, match="not a holder that this version wrote"):
        keys.decode(memory.get(name), name)
