"""Encryption is for ever: vectors that were stored once are what the code makes, and what a reader alone reads.

`tests/golden/make_encrypted.py` and `make_holders.py` say how they were made. Fixed random numbers make fixed
ciphertexts.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import cipher, keys, keytext
from storage.backend import Memory
from storage.cipher import Key
from storage.encrypted import Encrypted
from tests.storage.alone import HOLDERS, VECTORS, content, decrypter

ID: str = VECTORS["archive"]
KEYS = tuple(Key(bytes.fromhex(key["secret"])) for key in VECTORS["keys"])


def files(size: int = 1 << 30) -> list[Any]:
    """Vectors of files of at most so many bytes."""
    return [pytest.param(file, id=str(file["content"])) for file in VECTORS["files"] if file["content"] <= size]


def stored(file: dict[str, Any]) -> bytes:
    """What the code makes of a vector."""
    salt, prefix = bytes.fromhex(file["stored"]["salt"]), bytes.fromhex(file["stored"]["prefix"])
    return b"".join(
        cipher.encrypt_with(salt, prefix, KEYS[file["key"]], ID, file["name"], [content(file["content"])])
    )


def test_keys_are_derived_as_ever() -> None:
    """Id, content key and names key, by the code and by the reader alone."""
    found = decrypter().Keys(ID, [key.secret for key in KEYS])
    for key, told in zip(KEYS, VECTORS["keys"], strict=True):
        assert key.id.hex() == told["id"]
        assert key.content.hex() == told["content"]
        assert decrypter().hkdf(key.secret, b"strongroom names", 64).hex() == told["names"]
        assert found.content[key.id].hex() == told["content"]


def test_lengths_are_padded_as_ever() -> None:
    """By both, for small and very large files."""
    assert VECTORS["padding"] == {size: cipher.padding(int(size)) for size in VECTORS["padding"]}
    assert VECTORS["padding"] == {size: decrypter().padded(int(size)) for size in VECTORS["padding"]}


@pytest.mark.parametrize("file", files())
def test_a_file_is_encrypted_as_ever(file: dict[str, Any]) -> None:
    """Byte for byte, also the one that was encrypted by Tink itself; and read back from its middle."""
    data, told = stored(file), file["stored"]
    below = Memory()
    backend = Encrypted(below, ID, KEYS)
    below.put_new(backend.stored_name(file["name"]), [data])

    assert (len(data), hashlib.sha256(data).hexdigest()) == (told["bytes"], told["sha256"])
    assert data.hex() == told["hex"] if "hex" in told else (data[:64].hex(), data[-64:].hex()) == (
        told["first"], told["last"]
    )  # fmt: skip
    assert backend.get(file["name"]) == content(file["content"])
    assert backend.get(file["name"], 60_000, 9_000) == content(file["content"])[60_000:69_000]


@pytest.mark.parametrize("file", files())
def test_a_stored_file_is_read_by_the_decrypter(file: dict[str, Any]) -> None:
    """With both keys; not under another name, not in another archive, not with the other key."""
    secrets = [key.secret for key in KEYS]
    alone, data = decrypter(), stored(file)

    def plain(found: Any, name: str) -> bytes:
        out = io.BytesIO()
        out.writelines(found.plain(io.BytesIO(data), name))
        alone.cut_to_length(out)
        return out.getvalue()

    assert plain(alone.Keys(ID, secrets), file["name"]) == content(file["content"])
    with pytest.raises(alone.InvalidTag):
        plain(alone.Keys(ID, secrets), file["name"] + "x")
    with pytest.raises(alone.InvalidTag):
        plain(alone.Keys(ID.replace("a", "b"), secrets), file["name"])
    with pytest.raises(ValueError, match=f"needs the key {KEYS[file['key']].id.hex()}"):
        plain(alone.Keys(ID, [secrets[1 - file["key"]]]), file["name"])


def test_one_vector_is_of_tink() -> None:
    """Of several segments; so that nobody takes it away unseen."""
    (found,) = (file for file in VECTORS["files"] if file["made_by"].startswith("tink "))

    assert found["stored"]["bytes"] > 3 * cipher.SEGMENT


@pytest.mark.parametrize("name", VECTORS["names"])
def test_a_name_is_stored_as_ever(name: str) -> None:
    """By both, and back: short ones, and those that stand as several parts."""
    told, found = VECTORS["names"][name], decrypter().Keys(ID, [key.secret for key in KEYS])
    below = Memory()
    backend = Encrypted(below, ID, KEYS)
    backend.put_new(name, [b"x"])

    assert list(below.list("")) == [told]
    assert list(backend.list("")) == [name]
    assert found.stored_name(name) == told
    assert found.plain_name(told) == name
    assert max(map(len, told.split("/"))) <= 201


def test_the_names_cover_what_is_odd() -> None:
    """A part of 200 characters exactly, and longer ones."""
    parts = [part for told in VECTORS["names"].values() for part in told.split("/")]

    assert 200 in map(len, parts)
    assert any(part.endswith("-") for part in parts)


@pytest.mark.parametrize("file", [*VECTORS["holders"], *HOLDERS])
def test_a_stored_holder_opens(file: str, tmp_path: Path) -> None:
    """A passphrase and a key file give its keys, in order, to the code and to the reader alone; no other does."""
    told = {**VECTORS["holders"], **HOLDERS}[file]
    data = told["text"].encode()
    holder = keys.decode(data, file)
    (tmp_path / "keys").mkdir()
    (tmp_path / file).write_bytes(data)
    found = decrypter().opened(tmp_path, ID, told["secret"])

    assert keys.encode(holder) == data
    assert keys.unwrap(holder, told["secret"]) == KEYS[: told["keys"]]
    assert keys.unwrap(holder, told["secret"] + "?") is None if holder.how == "passphrase" else True
    assert list(found.content) == [key.id for key in KEYS[: told["keys"]]]
    assert found.archive == ID
    with pytest.raises(ValueError, match="opens none"):
        decrypter().opened(tmp_path, ID.replace("a", "b"), told["secret"])


@pytest.mark.parametrize("file", HOLDERS)
def test_a_holder_is_proven_as_ever(file: str) -> None:
    """By each of its keys, to the code and to the reader alone, whether who asks has one key or both."""
    told = HOLDERS[file]
    holder, value = keys.decode(told["text"].encode(), file), json.loads(told["text"])

    assert [proof.hex() for proof in holder.proofs] == value["proofs"] == told["proofs"]
    for ring in (KEYS[:1], KEYS):
        alone = decrypter().Keys(ID, [key.secret for key in ring])
        assert keys.proven(holder, ring) and alone.proven(value)
        assert not keys.proven(replace(holder, name="Eve"), ring) and not alone.proven({**value, "name": "Eve"})
    strange = (KEYS[1],)
    assert not keys.proven(holder, strange) and not decrypter().Keys(ID, [KEYS[1].secret]).proven(value)


def test_a_holder_of_the_first_format_proves_nothing() -> None:
    """It opens, and that is all that is believed of it."""
    for file, told in VECTORS["holders"].items():
        assert not keys.proven(keys.decode(told["text"].encode(), file), KEYS)
        assert not decrypter().Keys(ID, [key.secret for key in KEYS]).proven(json.loads(told["text"]))


@pytest.mark.parametrize("stored", [VECTORS["holders"], HOLDERS])
def test_there_is_a_holder_of_each_kind(stored: dict[str, Any]) -> None:
    """Argon2id and HKDF, of both formats."""
    known = {keys.decode(told["text"].encode(), file).how for file, told in stored.items()}

    assert known == {"key file", "passphrase"}


def test_keys_are_written_as_ever() -> None:
    """A holder's key, the paper copy of one key and of two, on paper and in a picture."""
    holder, alone = VECTORS["holder_text"], decrypter()
    secret = bytes.fromhex(holder["bytes"])

    assert keytext.holder_text(secret) == holder["text"]
    assert keytext.holder_secret(holder["text"]) == secret == alone.from_holder_text(holder["text"])
    for number, paper in VECTORS["paper"].items():
        ring = KEYS[: int(number)]
        assert keytext.paper_text(ID, ring) == paper["text"]
        assert keytext.paper_compact(paper["text"]) == paper["picture"]
        for text in paper.values():
            assert keytext.paper_keys(text) == (ID, ring)
            found = alone.from_paper(text)
            assert (found.archive, list(found.content)) == (ID, [key.id for key in ring])


@pytest.mark.parametrize(
    "text", ["typed", "on one line", "a slip", "exchanged", "one missing", "the last missing"]
)
def test_the_decrypter_reads_what_was_typed(text: str) -> None:
    """Case, spaces and letters that look like digits are passed over; a wrong line is named by its number."""
    paper: str = VECTORS["paper"]["2"]["text"]
    first, *lines = paper.splitlines()
    typed = {
        "typed": paper.lower().replace("o", "0").replace("b", "8").replace("str0ngr00m", "strongroom"),
        "on one line": " ".join(paper.split()),
        "a slip": paper.replace(lines[2][4:8], lines[2][4:7] + ("A" if lines[2][7] != "A" else "B"), 1),
        "exchanged": "\n".join([first, lines[1], lines[0], *lines[2:]]),
        "one missing": "\n".join([first, *lines[:3], *lines[4:]]),
        "the last missing": "\n".join([first, *lines[:-1]]),
    }[text]
    told = {"a slip": "line [123] of the key", "exchanged": "in disorder", "one missing": "are missing",
            "the last missing": "one missing|padding"}.get(text)  # fmt: skip

    if told is None:
        assert list(decrypter().from_paper(typed).content) == [key.id for key in KEYS]
    else:
        with pytest.raises(ValueError, match=told):
            decrypter().from_paper(typed)
