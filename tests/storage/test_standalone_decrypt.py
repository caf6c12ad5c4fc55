"""The program that decrypts an archive by itself: what it refuses, what it passes over, how a key comes to it."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from storage import cipher, keytext
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.cipher import Key
from storage.encrypted import Encrypted
from storage.errors import KeyMissing
from tests.doubles import START, new_archive, noise, write
from tests.storage.alone import DECRYPTER, READER, SECRETS, decrypter, run

KEY = SECRETS["key file"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An encrypted archive of two snapshots, one file of several segments."""
    archive = Archive.create(LocalDisk(tmp_path / "archive"), now=START, secret=KEY, holder="night")
    for night in range(2):
        write(archive, {"a": noise(300_000, night)}, night=night)
    return tmp_path / "archive"


def opened(root: Path) -> Encrypted:
    """Its backend."""
    backend = Archive.open(LocalDisk(root), KEY).backend
    assert isinstance(backend, Encrypted)
    return backend


def pack(root: Path) -> Path:
    """Its largest file, as it is stored; may be written to."""
    found = max(root.glob("packs/*/*.pack"), key=lambda path: path.stat().st_size)
    found.chmod(0o600)
    return found


def names(folder: Path) -> set[str]:
    """The files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "damage", ["head", "salt", "first", "middle", "end", "cut", "cut at a segment", "longer", "empty"]
)
def test_a_damaged_file_is_named_and_passed_over(root: Path, tmp_path: Path, damage: str) -> None:
    """One changed byte anywhere, or an end that is missing: no part of it is given, all others are, with 1."""
    path = pack(root)
    data = path.read_bytes()
    places = {"head": 9, "salt": 30, "first": 60, "middle": len(data) // 2, "end": len(data) - 1}
    cuts = {"cut": data[:-1], "cut at a segment": data[: 16 + 65536], "longer": data + b"x", "empty": b""}
    if damage in places:
        at = places[damage]
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    else:
        path.write_bytes(cuts[damage])
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)
    name = path.relative_to(root).as_posix()

    assert done.returncode == 1
    assert name in done.stderr and len(done.stderr.splitlines()) == 2
    assert names(tmp_path / "plain") == set(opened(root).list("")) - {name}


def test_every_kind_of_file_is_proven(root: Path, tmp_path: Path) -> None:
    """The mark, a holder, a description that changed are told, too; with the paper copy all else is given."""
    backend = opened(root)
    paper = keytext.paper_text(Archive.open(LocalDisk(root), KEY).id, backend.keys)
    plain = [root / "strongroom.json", *root.glob("keys/*"), *root.glob("about/*")]
    for path in plain:
        path.chmod(0o600)
        path.write_bytes(b"#" + path.read_bytes())
    done = run(DECRYPTER, root, tmp_path / "plain", key=f"The whole page: keep it.\n\n{paper}")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 + len(plain) == 6
    assert all(path.name in done.stderr for path in plain)
    assert names(tmp_path / "plain") == set(backend.list("")) - {
        path.relative_to(root).as_posix() for path in plain
    }


def test_a_lost_mark_hinders_nobody(root: Path, tmp_path: Path) -> None:
    """Whose archive it is stands in the holder's file as well; that the mark is missing is told."""
    (root / "strongroom.json").unlink()
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    assert "strongroom.json" in done.stderr and len(done.stderr.splitlines()) == 2
    assert len(list((tmp_path / "plain").glob("snapshots/*/*/*.json"))) == 2


def test_nothing_moved_is_taken(root: Path, tmp_path: Path) -> None:
    """A file under another's name, a plain one, a name from another folder, in capitals, or cut in another way."""
    snapshots = sorted(path for path in root.rglob("snapshots/*/*/*"))
    swapped = snapshots[0].read_bytes()
    snapshots[0].chmod(0o600)
    snapshots[0].write_bytes(snapshots[1].read_bytes())
    source = snapshots[0].parent
    moved = source.with_name("other") / snapshots[1].name
    capitals = source / snapshots[1].name.upper()
    cut = source / f"{snapshots[1].name[:9]}-" / snapshots[1].name[9:]
    plain = root / "records" / "202603" / "20260301-x.json"
    for path in (moved, capitals, cut, plain):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(swapped if path != plain else b"{}")
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    told = {line.partition(": ")[0] for line in done.stderr.splitlines()[1:]}
    assert told == {path.relative_to(root).as_posix() for path in (snapshots[0], moved, capitals, cut, plain)}


@pytest.mark.parametrize("part", ["..", "a/b", "/etc", ".hidden", "", "a b", "x\x00"])
def test_nothing_is_written_outside(root: Path, tmp_path: Path, part: str) -> None:
    """Whoever has the key could name a file so; no such name is followed."""
    backend = opened(root)
    key, archive_id = backend.keys[0], Archive.open(LocalDisk(root), KEY).id
    stored = f"snapshots/{cipher.hide(key, archive_id, 'snapshots', part)}"
    path = root / stored
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(b"".join(cipher.encrypt(key, archive_id, f"snapshots/{part}", [b"x"])))
    before = names(root)
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    assert stored in done.stderr and len(done.stderr.splitlines()) == 2
    assert names(root) == before
    assert {found.name for found in tmp_path.iterdir()} == {"archive", "plain"}


@pytest.mark.parametrize("data", [bytes(9) + (2).to_bytes(8, "big"), b"ab" + (1).to_bytes(8, "big"), b"x"])
def test_other_padding_is_refused(data: bytes) -> None:
    """A length that makes another one, padding that is not empty, no length at all."""
    stream = io.BytesIO(data)
    stream.seek(len(data))

    with pytest.raises(ValueError, match=r"padded|no length"):
        decrypter().cut_to_length(stream)


def test_what_is_not_the_archives_is_passed_over(root: Path, tmp_path: Path) -> None:
    """Half-written files, hidden ones, and whatever else lies about."""
    before = set(opened(root).list(""))
    for name in ("tmp/half", ".DS_Store", "packs/.DS_Store", "README.txt", "lost+found/x"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path / "plain") == before


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """One that vanished stands for it, for root may list everything."""
    assert decrypter().names_below(tmp_path / "gone") == []
    assert "gone" in decrypter().LOST[-1]


def test_a_file_that_cannot_be_opened_is_told(root: Path, tmp_path: Path) -> None:
    """A link that leads to itself."""
    (root / "records").symlink_to("records")
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    assert "records: " in done.stderr


def test_no_link_is_followed(root: Path, tmp_path: Path) -> None:
    """Out of the archive, up in it, in a ring, of a file or of a folder: each is told, and nothing comes of it."""
    before = set(opened(root).list(""))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.txt").write_bytes(b"mine")
    name = f"{hashlib.sha256(b'mine').hexdigest()}.txt"
    (root / "about" / name).symlink_to(outside / "x.txt")
    links: dict[str, str | Path] = {
        "packs/up": "..",
        "packs/ring": "ring",
        "keys/out": outside,
        "unnamed": outside,
    }
    for link, target in links.items():
        (root / link).symlink_to(target)
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    told = {line.partition(": ")[0] for line in done.stderr.splitlines()[1:]}
    assert told == {f"about/{name}", *links}
    assert names(tmp_path / "plain") == before
    assert not any(path.is_symlink() for path in (tmp_path / "plain").rglob("*"))


@pytest.mark.parametrize("what", ["keys", "strongroom.json"])
def test_no_key_or_mark_is_read_elsewhere(root: Path, tmp_path: Path, what: str) -> None:
    """Where they are links, the archive is as if it had none; the paper copy opens it."""
    backend = opened(root)
    paper = keytext.paper_text(Archive.open(LocalDisk(root), KEY).id, backend.keys)
    (root / what).rename(tmp_path / what)
    (root / what).symlink_to(tmp_path / what)
    by_key = run(DECRYPTER, root, tmp_path / "one", key=KEY)
    by_paper = run(DECRYPTER, root, tmp_path / "two", key=paper)

    assert (by_key.returncode, by_paper.returncode) == (1, 1)
    assert what in by_key.stderr and f"\n{what}: " in by_paper.stderr
    assert (tmp_path / "one").exists() == (what != "keys")
    assert len(list((tmp_path / "two").glob("snapshots/*/*/*.json"))) == 2
    assert not (tmp_path / "two" / what).exists()


def test_what_would_hold_it_up_for_ever_is_passed_over(root: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to, a terabyte that takes no room: told by their names."""
    before = set(opened(root).list(""))
    os.mkfifo(root / "packs" / "pipe")
    os.mkfifo(root / "keys" / "pipe.json")
    large = root / "about" / f"{'0' * 64}.txt"
    large.touch()
    os.truncate(large, 1 << 40)
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    told = {line.partition(": ")[0] for line in done.stderr.splitlines()[1:]}
    assert told == {"packs/pipe", "keys/pipe.json", f"about/{large.name}"}
    assert names(tmp_path / "plain") == before


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("another passphrase", "opens none of the files in keys/"),
        (keytext.holder_text(bytes(32)), "opens none of the files in keys/"),
        (KEY[:-1], "line 3 of the key is mistyped"),
        (KEY[: len("STRONGROOM-HOLDER-1") + 40], "line 2 of the key is mistyped"),
        (keytext.paper_text("6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70", [Key(bytes(32))]), "of another archive"),
        ("STRONGROOM-PAPER-1", "no paper copy"),
        ("", "opens none"),
    ],
)
def test_another_key_opens_nothing(root: Path, tmp_path: Path, key: str, told: str) -> None:
    """It is told so in a line, without a word of the key, and no folder is made."""
    done = run(DECRYPTER, root, tmp_path / "plain", key=key)

    assert done.returncode == 1
    assert told in done.stderr and "Traceback" not in done.stderr
    assert not key[20:28] or key[20:28] not in done.stderr
    assert not (tmp_path / "plain").exists()


def test_damaged_holders_are_told_where_no_other_opens(root: Path, tmp_path: Path) -> None:
    """So that nobody looks for the fault in the key."""
    (holder,) = root.glob("keys/*.json")
    holder.chmod(0o600)
    holder.write_bytes(holder.read_bytes()[:-9])
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert holder.name in done.stderr and "the paper copy needs none" in done.stderr


@pytest.mark.parametrize(("name", "number"), [("memory_kib", 1 << 30), ("passes", 10_000), ("lanes", 0)])
def test_a_holder_may_not_ask_for_the_whole_machine(name: str, number: int) -> None:
    """Refused before anything is derived."""
    kdf = {"name": "argon2id", "salt": "00" * 16, "memory_kib": 8, "passes": 1, "lanes": 1}

    assert len(decrypter().holder_key(kdf, b"x")) == 32
    with pytest.raises(ValueError, match="more memory or time"):
        decrypter().holder_key({**kdf, name: number}, b"x")


def test_a_key_of_before_a_newer_one_gives_the_older_files(root: Path, tmp_path: Path) -> None:
    """Each file that needs the newer key is named with its id."""
    archive = Archive.open(LocalDisk(root), KEY)
    newer = Key(bytes(32))
    Encrypted(LocalDisk(root), archive.id, [*opened(root).keys, newer]).put_new("records/202603/1-x.json", [b"{}"])
    done = run(DECRYPTER, root, tmp_path / "plain", key=KEY)

    assert done.returncode == 1
    assert f"records/202603/1-x.json: needs the key {newer.id.hex()}" in done.stderr


def test_a_key_comes_from_a_file_or_is_asked_for(root: Path, tmp_path: Path) -> None:
    """STRONGROOM_KEY_FILE, and what is written to it where it asks."""
    (tmp_path / "key").write_text(f"{KEY}\n")

    by_file = run(DECRYPTER, root, tmp_path / "one", STRONGROOM_KEY_FILE=str(tmp_path / "key"))
    asked = run(DECRYPTER, root, tmp_path / "two", stdin=f"{KEY}\n")
    missing = run(DECRYPTER, root, tmp_path / "three", STRONGROOM_KEY_FILE=str(tmp_path / "none"))

    assert (by_file.returncode, asked.returncode, missing.returncode) == (0, 0, 1)
    assert names(tmp_path / "one") == names(tmp_path / "two") == set(opened(root).list(""))
    assert "none" in missing.stderr and "Traceback" not in missing.stderr


def test_only_an_encrypted_archive_and_a_new_folder_are_taken(root: Path, tmp_path: Path) -> None:
    """A plain archive, one of another format, no archive, a folder that is there: told, and nothing changed."""
    new_archive(LocalDisk(tmp_path / "not encrypted"))
    (tmp_path / "there").mkdir()
    plain = run(DECRYPTER, tmp_path / "not encrypted", tmp_path / "plain", key=KEY)
    none = run(DECRYPTER, tmp_path / "there", tmp_path / "plain", key=KEY)
    there = run(DECRYPTER, root, tmp_path / "there", key=KEY)

    assert (plain.returncode, none.returncode, there.returncode) == (1, 1, 1)
    assert "format 1, not encrypted" in plain.stderr
    assert "there" in there.stderr
    assert not (tmp_path / "plain").exists() and not list((tmp_path / "there").iterdir())
    assert not [done for done in (plain, none, there) if "Traceback" in done.stderr]


def test_what_is_decrypted_is_for_its_owner_only(root: Path, tmp_path: Path) -> None:
    """Nobody else on the machine reads the folder; without the key no writer goes on with it."""
    assert run(DECRYPTER, root, tmp_path / "plain", key=KEY).returncode == 0

    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o700
    with pytest.raises(KeyMissing):
        Archive.open(LocalDisk(tmp_path / "plain"))


def test_the_reader_proves_all_that_was_decrypted(root: Path, tmp_path: Path) -> None:
    """The folder is whole to it; a holder's file that changed since is told."""
    run(DECRYPTER, root, tmp_path / "plain", key=KEY)
    assert run(READER, tmp_path / "plain").returncode == 0
    (holder,) = (tmp_path / "plain").glob("keys/*")
    holder.write_bytes(holder.read_bytes().replace(b"night", b"eight"))
    done = run(READER, tmp_path / "plain")

    assert done.returncode == 1
    assert holder.name in done.stderr
