"""Files in `keys/` that somebody without the archive's keys has put there: what they can make nobody believe."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from storage import canonical, keys, keytext, mark
from storage.archive import Archive
from storage.backend import LocalDisk, Memory
from storage.errors import KeyWrong, ObjectCorrupt
from storage.keyring import Keyring, drilled
from storage.keys import Holder
from tests.doubles import noise, overwrite, read, write
from tests.storage.alone import HOLDERS, SECRETS, decrypter

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
NIGHT_KEY, OTHER, STRANGER = (keytext.holder_text(bytes([at]) * 32) for at in (1, 2, 3))

PHRASE = "correct horse battery staple"
MOST = keys._MOST
OURS = (1 << 16, 3)  # KiB and passes


def archive(*others: str) -> Memory:
    """An encrypted archive of one snapshot, opened by NIGHT_KEY and by others."""
    memory = Memory()
    write(Archive.create(memory, now=NOW, secret=NIGHT_KEY, holder="night"), {"a": noise(300, 1)})
    for at, secret in enumerate(others):
        Keyring.open(memory, NIGHT_KEY).add(f"other {at}", secret, now=NOW)
    return memory


def plant(memory: Memory, count: int, *, name: str = "Eve", proofs: tuple[bytes, ...] | None = None) -> Holder:
    """A holder's file by somebody who knows no key of the archive, as if it held `count` keys."""
    archive_id = mark.read(memory).id
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


def costly(memory: Memory, *, memory_kib: int, passes: int, count: int = 4) -> None:
    """A planted file whose passphrase takes so long to try."""
    made = plant(memory, count)
    memory.delete(made.file)
    kdf = {"name": "argon2id", "salt": "00" * 16, "memory_kib": memory_kib, "passes": passes, "lanes": 4}
    memory.put_new(made.file, [keys.encode(replace(made, kdf=kdf))])


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """KiB and passes of each derivation from a passphrase, as they are made."""
    asked: list[tuple[int, int]] = []

    def watched(**costs: Any) -> Argon2id:
        asked.append((costs["memory_cost"], costs["iterations"]))
        return Argon2id(**costs)

    monkeypatch.setattr(keys, "Argon2id", watched)
    return asked


def test_planted_derivations_that_cost_are_not_made(derived: list[tuple[int, int]]) -> None:
    """The files that ask for what we ask for come first, and once one of them opens, only what it proves."""
    memory = archive()
    Keyring.open(memory, NIGHT_KEY).add("Anna", PHRASE, now=NOW)
    for memory_kib, passes in ((MOST["memory_kib"], 1), (1 << 16, MOST["passes"]), (1 << 16, 4)):
        costly(memory, memory_kib=memory_kib, passes=passes)
    derived.clear()

    ring = Keyring.open(memory, PHRASE)
    assert derived == [OURS]
    ring.add("Berta", f"{PHRASE} of hers", now=NOW)
    ring.rotate(PHRASE, now=NOW)
    assert set(derived) == {OURS}


def test_a_passphrase_that_opens_costs_one_derivation_for_each_that_is_not_its_own(
    derived: list[tuple[int, int]],
) -> None:
    """What somebody plants at our own cost is tried as another holder's would be: each once."""
    memory = archive()
    Keyring.open(memory, NIGHT_KEY).add("Anna", PHRASE, now=NOW)
    for _ in range(3):
        costly(memory, memory_kib=OURS[0], passes=OURS[1])
    derived.clear()

    assert Archive.open(memory, PHRASE).snapshots()
    assert derived == [OURS] * 4


def test_a_file_that_costs_more_counts_where_it_is_proven(
    derived: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version may ask for more: beside an older file of the same passphrase, its newer keys are found."""
    memory = archive()
    ring = Keyring.open(memory, NIGHT_KEY)
    old = ring.add("Anna", PHRASE, now=NOW)
    ring.remove(ring.chosen("night"), now=NOW)
    monkeypatch.setitem(keys._ARGON2, "passes", 6)
    Keyring.open(memory, PHRASE).rotate(PHRASE, now=NOW)
    memory.put_new(old.file, [keys.encode(old)])  # as before a kill, or put back
    costly(memory, memory_kib=1 << 16, passes=5)
    derived.clear()

    assert len(Keyring.open(memory, PHRASE).keys) == 2
    assert derived == [OURS, (OURS[0], 6)]


@pytest.mark.parametrize("what", ["memory_kib", "passes", "lanes"])
def test_what_a_file_may_ask_for_is_a_few_times_what_ours_do(what: str) -> None:
    """More is refused before anything is derived, by the reader alone as well."""
    (told,) = (json.loads(one["text"]) for one in HOLDERS.values() if one["secret"] == SECRETS["passphrase"])
    file = f"keys/{told['id']}.json"

    def asking(number: int) -> bytes:
        return canonical.seal({**{k: told[k] for k in told if k != "seal"}, "kdf": {**told["kdf"], what: number}})

    assert MOST == {"memory_kib": 4 << 16, "passes": 12, "lanes": 16} == decrypter().MOST
    assert keys.decode(asking(MOST[what]), file)
    with pytest.raises(ObjectCorrupt, match=what):
        keys.decode(asking(MOST[what] + 1), file)


def test_the_reader_alone_makes_no_planted_derivations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes by the same order, and opens with the newest keys that are proven."""
    disk = LocalDisk(tmp_path)
    memory = archive()
    old = Keyring.open(memory, NIGHT_KEY).add("Anna", PHRASE, now=NOW)
    Keyring.open(memory, PHRASE).rotate(PHRASE, now=NOW)
    memory.put_new(old.file, [keys.encode(old)])
    costly(memory, memory_kib=MOST["memory_kib"], passes=MOST["passes"])
    for name in memory.list(""):
        disk.put_new(name, [memory.get(name)])
    alone, asked = decrypter(), list[int]()

    def watched(**costs: Any) -> Argon2id:
        asked.append(costs["iterations"])
        return Argon2id(**costs)

    monkeypatch.setattr(alone, "Argon2id", watched)
    assert len(alone.opened(tmp_path, old.archive, PHRASE).content) == 2
    assert asked == [3]


ODD = {
    "a line": "Anna\nnobody",
    "an escape": "Anna\x1b[2K",
    "turned round": "Anna \u202egnihton sneppo",
    "isolated": "Anna \u2066x",
    "no width": "An\u200bna",
    "a paragraph": "Anna\u2029",
    "half a letter": "Anna\ud800",
    "private": "Anna\ue000",
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD)
def test_a_name_that_could_lie_is_not_given(name: str) -> None:
    """Nor one that is too long; letters of any script are as good as ours."""
    for odd in (name, "A" * 201, "  "):
        with pytest.raises(ValueError, match="holder's name"):
            keys.wrap(keys.new_keys(), NIGHT_KEY, archive_id="x", name=odd, now=NOW)
    for fine in ("Ö. Ünal", "حنا", "ハンナ 2", "Анна, архив"):
        assert keys.wrap(keys.new_keys(), NIGHT_KEY, archive_id="x", name=fine, now=NOW).shown == fine


@pytest.mark.parametrize("name", [name for name in ODD.values() if name != ODD["half a letter"]])
def test_a_planted_name_is_shown_as_what_it_is(name: str) -> None:
    """On one line, from left to right, cut where it is long; and nobody else is hindered."""
    memory = archive()
    planted = replace(plant(memory, 1), name=name + "A" * 500)
    overwrite(memory, planted.file, keys.encode(planted))
    (found,) = (one for one in keys.holders(memory, planted.archive) if one.id == planted.id)

    assert found.name == planted.name
    assert found.shown.isprintable() and len(found.shown) < 260 and "\\" in found.shown
    with pytest.raises(KeyWrong) as caught:
        Archive.open(memory, OTHER)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("member", ["kind", "format", "id", "name", "made_at", "kdf"])
def test_no_message_about_a_planted_file_can_lie(member: str) -> None:
    """Whatever stands in it is told escaped."""
    memory = archive()
    planted = plant(memory, 1)
    value = canonical.unseal(memory.get(planted.file))
    lie = "\n\x1b[2K\u202eall is well"
    value[member] = {"name": lie} if member == "kdf" else [lie] if member == "name" else lie
    overwrite(memory, planted.file, canonical.seal(value))
    problems: list[str] = []
    keys.holders(memory, planted.archive, problems=problems)

    assert len(problems) == 1 and problems[0].isprintable()
