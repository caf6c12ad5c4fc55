"""Who opens an encrypted archive and who does not: holders, the paper copy, and what is said to everybody else."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import canonical, keys, keytext
from storage.archive import Archive
from storage.backend import Memory
from storage.cipher import KEY_SIZE, Key
from storage.errors import FormatUnknown, KeyMissing, KeyWrong, NotEncrypted, ObjectCorrupt
from storage.keytext import NotAKey
from tests.storage.alone import decrypter

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
PHRASE = "correct horse battery staple"
MACHINE = keytext.holder_text(bytes(range(32)))
secrets = st.binary(min_size=KEY_SIZE, max_size=KEY_SIZE)


def encrypted(secret: str = MACHINE) -> Memory:
    memory = Memory()
    Archive.create(memory, now=NOW, secret=secret, holder="night")
    return memory


@pytest.mark.parametrize("secret", [PHRASE, MACHINE])
def test_a_holder_opens_the_archive(secret: str) -> None:
    """By passphrase or key file; the same archive each time, and what is there stays as it is."""
    memory = encrypted(secret)
    before = {name: memory.get(name) for name in memory.list("")}

    first, again = Archive.open(memory, secret), Archive.create(memory, now=NOW, secret=secret, holder="other")

    assert first.id == again.id
    assert {name: memory.get(name) for name in memory.list("")} == before
    (holder,) = keys.holders(memory, first.id)
    assert (holder.name, holder.how) == ("night", "passphrase" if secret == PHRASE else "key file")


def test_nobody_else_does() -> None:
    """No key, another passphrase, another's key file, a mistyped one: each is told, and no message holds a key."""
    memory = encrypted()
    wrong = keytext.holder_text(bytes(32))

    with pytest.raises(KeyMissing, match="no key was given"):
        Archive.open(memory)
    for secret in ("another passphrase", wrong):
        with pytest.raises(KeyWrong, match=r"none of its holders': night \(key file\)"):
            Archive.open(memory, secret)
    with pytest.raises(KeyWrong, match="line 2 is not as it was printed") as caught:
        Archive.open(memory, MACHINE[:-30] + ("B" if MACHINE[-30] == "A" else "A") + MACHINE[-29:])
    assert MACHINE.split()[1][:8] not in str(caught.value)


def test_a_key_for_a_plain_archive_is_refused() -> None:
    """Who stores an archive could put a plain one in its place, and new backups would go there in clear."""
    memory = Memory()
    Archive.create(memory, now=NOW)

    with pytest.raises(NotEncrypted, match="is not encrypted") as caught:
        Archive.open(memory, MACHINE)
    assert "[archive] key" in caught.value.hint


def test_holders_are_added_and_removed() -> None:
    """Each opens it alone; who was removed does not any more."""
    memory = encrypted()
    archive = Archive.open(memory, MACHINE)
    ring = keys.unlock(memory, archive.id, MACHINE)
    anna = keys.wrap(ring, PHRASE, archive_id=archive.id, name="Anna", now=NOW)
    memory.put_new(anna.file, [keys.encode(anna)])

    assert Archive.open(memory, PHRASE).id == archive.id
    memory.delete(anna.file)
    with pytest.raises(KeyWrong):
        Archive.open(memory, PHRASE)
    assert Archive.open(memory, MACHINE).id == archive.id


def test_a_passphrase_is_the_same_however_it_is_typed() -> None:
    """Composed or decomposed letters, spaces around: one passphrase."""
    memory = encrypted("größte Vorsicht üben")

    assert Archive.open(memory, "  " + unicodedata.normalize("NFD", "größte Vorsicht üben") + "\n")
    with pytest.raises(KeyWrong):
        Archive.open(memory, "grösste Vorsicht üben")


@pytest.mark.parametrize("secret", ["", "short", "   elevenchars   "])
def test_short_passphrases_are_refused(secret: str) -> None:
    """And nothing of an archive is left behind."""
    memory = Memory()

    with pytest.raises(ValueError, match="at least 12"):
        Archive.create(memory, now=NOW, secret=secret, holder="x")
    assert list(memory.list("")) == []


@pytest.mark.parametrize("member", ["name", "id", "archive", "made_at", "kdf", "wrapped"])
def test_a_changed_holder_opens_nothing(member: str) -> None:
    """Every member is bound to the wrapped keys: sealed anew by somebody without them, it is refused."""
    memory = encrypted()
    (name,) = memory.list("keys/")
    value = canonical.unseal(memory.get(name))
    changed = {
        "name": "Eve",
        "id": "0" * 16,
        "archive": f"{int(value['archive'][0], 16) ^ 1:x}{value['archive'][1:]}",
        "made_at": "2020-01-01T00:00:00.000000Z",
        "kdf": {**value["kdf"], "salt": "00" * 16},
        "wrapped": value["wrapped"][:-2] + f"{int(value['wrapped'][-2:], 16) ^ 1:02x}",
    }
    memory.delete(name)
    place = f"keys/{'0' * 16}.json" if member == "id" else name
    memory.put_new(place, [canonical.seal({**value, member: changed[member]})])

    with pytest.raises(KeyWrong):
        Archive.open(memory, MACHINE)


def test_a_holder_may_not_ask_for_the_whole_machine() -> None:
    """A hostile file asks for a terabyte or for hours of derivation: refused before anything is derived."""
    memory = encrypted(PHRASE)
    (name,) = memory.list("keys/")
    value = canonical.unseal(memory.get(name))
    for key, number in (("memory_kib", 1 << 30), ("passes", 10_000), ("lanes", 0)):
        data = canonical.seal({**value, "kdf": {**value["kdf"], key: number}})
        with pytest.raises(ObjectCorrupt, match=key):
            keys.decode(data, name)
    with pytest.raises(FormatUnknown):
        keys.decode(canonical.seal({**value, "format": 3}), name)
    with pytest.raises(ObjectCorrupt, match="members"):
        keys.decode(canonical.seal({**value, "note": "unbound"}), name)


def test_a_damaged_holder_hinders_no_other() -> None:
    """Its problem is named to whom nothing opens; the others open as ever."""
    memory = encrypted()
    memory.put_new(f"keys/{'0' * 16}.json", [b"rot"])

    assert Archive.open(memory, MACHINE)
    with pytest.raises(KeyWrong, match="and 1 that cannot be read"):
        Archive.open(memory, PHRASE)


def test_the_paper_copy_opens_what_has_lost_all_its_holders() -> None:
    """Typed from paper, in any case, with digits that look like letters: no file below `keys/` is needed."""
    memory = encrypted()
    archive = Archive.open(memory, MACHINE)
    paper = keytext.paper_text(archive.id, keys.unlock(memory, archive.id, MACHINE))
    for name in list(memory.list("keys/")):
        memory.delete(name)

    first, _, lines = paper.lower().partition("\n")
    typed = f"{first}\n{lines.replace('o', '0').replace('i', '1')}"
    assert Archive.open(memory, paper).id == archive.id
    assert Archive.open(memory, keytext.paper_compact(paper)).id == archive.id
    assert keytext.paper_keys(typed) == keytext.paper_keys(paper)
    assert keytext.paper_keys(" ".join(paper.split())) == keytext.paper_keys(paper)  # as a variable may hold it
    with pytest.raises(KeyWrong, match="holders': nobody"):
        Archive.open(memory, MACHINE)
    with pytest.raises(KeyWrong, match="the paper copy is of archive"):
        Archive.open(encrypted(), paper)


@given(st.lists(secrets, min_size=1, max_size=4), st.uuids(), st.data())
def test_a_slip_on_paper_is_named_by_its_line(found: list[bytes], archive: object, data: st.DataObject) -> None:
    """What was printed comes back; a wrong character, lines exchanged or left out: told, never other keys."""
    ring = tuple(Key(secret) for secret in found)
    paper = keytext.paper_text(str(archive), ring)
    assert keytext.paper_keys(paper) == (str(archive), ring)

    first, *lines = paper.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    places = [at for at, char in enumerate(lines[number]) if at > 3 and char != " "]
    at = data.draw(st.sampled_from(places))
    other = data.draw(st.sampled_from([c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" if c != lines[number][at]]))
    slip = lines[number][:at] + other + lines[number][at + 1 :]
    with pytest.raises(NotAKey, match=f"line {number + 1} "):
        keytext.paper_keys("\n".join([first, *lines[:number], slip, *lines[number + 1 :]]))
    with pytest.raises(NotAKey):
        keytext.paper_keys("\n".join([first, *lines[:number], *lines[number + 1 :]]))
    with pytest.raises(NotAKey, match=r"line 2 .* out of order"):
        keytext.paper_keys("\n".join([first, lines[1], lines[0], *lines[2:]]))


FOOTERS = (
    "\n\n\nPage 1 of 1\n",
    "  ~ \n12:30 Strongroom, 2026-03-01: 3: of 7\n\f",
    "\nABCD EFGH IJKL MNOP QRST UVWX\n" * 9,
)


@given(st.lists(secrets, min_size=1, max_size=7), st.uuids(), st.sampled_from(FOOTERS), st.data())
def test_what_a_scan_has_beside_the_lines_is_passed_over(
    found: list[bytes], archive: object, footer: str, data: st.DataObject
) -> None:
    """Behind the last line, and at the foot of a page between two; the lines prove themselves as ever."""
    ring = tuple(Key(secret) for secret in found)
    paper = keytext.paper_text(str(archive), ring)
    first, *lines = paper.splitlines()
    bare = "\n".join([first, *(line.partition(": ")[2] for line in lines)])
    for page in (paper, keytext.paper_compact(paper), " ".join(paper.split()), bare):
        assert keytext.paper_keys(f"Strongroom: the keys\n{page}{footer}") == (str(archive), ring)

    at = data.draw(st.integers(1, len(lines)))
    pages = [first, *lines[:at], footer, *lines[at:]]
    assert keytext.paper_keys("\n\n".join(pages)) == (str(archive), ring)
    with pytest.raises(NotAKey, match=f"line {at} is not"):
        keytext.paper_keys("\n".join([*pages[:at], footer]))


def test_paper_holds_as_many_keys_as_there_are() -> None:
    """Sixty, on paper, and joined to one line; the reader alone takes them, too."""
    ring, archive = tuple(Key(bytes([at]) * KEY_SIZE) for at in range(60)), "6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70"
    paper = keytext.paper_text(archive, ring)

    for text in (paper, keytext.paper_compact(paper), " ".join(paper.split())):
        assert keytext.paper_keys(text) == (archive, ring)
        assert list(decrypter().from_paper(text).content) == [key.id for key in ring]


@given(secrets)
def test_a_key_file_is_one_line_that_proves_itself(secret: bytes) -> None:
    """It comes back with spaces and newlines around; half of it is named as such."""
    text = keytext.holder_text(secret)

    assert keytext.holder_secret(f"  {text}\n") == secret
    assert keytext.holder_secret(f"{text[:30]}\n{text[30:]}") == secret  # wrapped by a mail program
    assert keytext.holder_secret("a passphrase") is None
    assert "\n" not in text
    with pytest.raises(NotAKey):
        keytext.holder_secret(text[: len(text) // 2])
    with pytest.raises(ValueError, match="paper copy"):
        paper = keytext.paper_text("6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70", [Key(secret)])
        keys.wrap([Key(secret)], paper, archive_id="x", name="x", now=NOW)


def test_a_holder_shows_no_key() -> None:
    """Neither its file nor what is printed of it holds a key or a secret."""
    memory = encrypted()
    archive = Archive.open(memory, MACHINE)
    (ring,) = keys.unlock(memory, archive.id, MACHINE)
    (holder,) = keys.holders(memory, archive.id)
    told = repr(holder) + json.dumps(canonical.unseal(memory.get(holder.file)))

    assert ring.secret.hex() not in told and bytes(range(32)).hex() not in told
    assert MACHINE.split()[1][:12] not in told
