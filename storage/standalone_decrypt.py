"""Decrypts an encrypted archive with nothing but Python 3.11 and cryptography 44, when its writer is gone.

    python standalone_decrypt.py ARCHIVE PLAIN

Writes every file, proven, under its plain name below the new folder PLAIN, of which the other reader that lies in
`about/` gives back what was backed up. The key (a passphrase, a holder's key or the paper copy) is taken from
STRONGROOM_KEY, else from the file that STRONGROOM_KEY_FILE names, else it is asked for. What is damaged is passed
over and told at the end, with exit code 1. Memory: a few segments. The docstrings name parts of FORMAT.md's
section 13.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import getpass
import hashlib
import hmac
import json
import os
import re
import stat
import sys
import unicodedata
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ENCRYPTION = "aes256-gcm-hkdf-sha256-64k"
MAGIC, HEAD, SALT, SEGMENT = b"SRCRYPT\1", 16, 40, 65536  # bytes of the head, of what leads the first segment
HIDDEN = ("snapshots", "decisions", "evidence")  # folders below which names are encrypted
OPEN = ("strongroom.json", "about", "keys")  # these are not encrypted at all
FOLDERS = (*HIDDEN, *OPEN, "packs", "records", "unnamed", "replaced", "leases")
HOLDER, PAPER = "STRONGROOM-HOLDER-1", "STRONGROOM-PAPER-1"
LINE, FULL, CUT = 20, 24, 200  # characters of a line of a key, of one with its check, of a part of a name
LARGEST = 1 << 20  # bytes of a file that is not encrypted
MOST = {"memory_kib": 1 << 18, "passes": 12, "lanes": 16}  # that a holder's file may ask for
LOST: list[str] = []  # what cannot be decrypted; told at the end


def check(holds: bool, what: str) -> None:
    """Raise ValueError unless something is what its sums say, and of a kind that this reader knows."""
    if not holds:
        raise ValueError(what)


@contextlib.contextmanager
def surviving(what: object, told: list[str] = LOST) -> Iterator[None]:
    """Note down whatever damaged bytes raise, and go on."""
    try:
        yield
    except InvalidTag:
        told.append(f"{what}: damaged, or not what was written under this name")
    except Exception as exc:
        told.append(f"{what}: {str(exc) or repr(exc)}")


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def without(value: dict[str, Any], *names: str) -> bytes:
    """The canonical bytes of an object without some of its members."""
    return canonical({name: value[name] for name in value if name not in names})


def sealed(data: bytes) -> dict[str, Any]:
    """Section 2: the value in a small file, its seal proven."""
    value: dict[str, Any] = json.loads(data)
    whole = canonical(value) == data and hashlib.sha256(without(value, "seal")).hexdigest() == value["seal"]
    check(whole, "its seal does not agree")
    return value


def hkdf(key: bytes, info: bytes, size: int = 32, salt: bytes = b"") -> bytes:
    return HKDF(SHA256(), size, salt, info).derive(key)


class Keys:
    """Keys: those of an archive, in order, and what is derived from them."""

    def __init__(self, archive: str, keys: list[bytes]) -> None:
        self.archive = archive  # its id
        self.content = {hkdf(key, b"strongroom key id", 8): hkdf(key, b"strongroom content") for key in keys}
        self._proves = [hkdf(key, b"strongroom holder proof") for key in keys]
        self._names = AESSIV(hkdf(keys[0], b"strongroom names", 64))

    def stored_name(self, name: str) -> str:
        """Names: where the file of this name lies."""
        first, *parts = name.split("/")
        if first not in HIDDEN:
            return name
        stored = [first]
        for place, part in enumerate(parts):
            hidden = self._names.encrypt(part.encode(), [self._bound([first, *parts[:place]])])
            text = base64.b32hexencode(hidden).decode().rstrip("=").lower()
            stored.append("-/".join(text[at : at + CUT] for at in range(0, len(text), CUT)))
        return "/".join(stored)

    def plain_name(self, stored: str) -> str:
        """Names: the name of the file that lies here. Raises ValueError or InvalidTag."""
        first, *parts = stored.replace("-/", "").split("/")
        if first not in HIDDEN:
            return stored
        plain = [first]
        for part in parts:
            hidden = base64.b32hexdecode(part.upper() + "=" * (-len(part) % 8))
            plain.append(self._names.decrypt(hidden, [self._bound(plain)]).decode())
        name = "/".join(plain)
        check(self.stored_name(name) == stored, "a name that is written in another way")
        return name

    def proven(self, holder: dict[str, Any]) -> bool:
        """Holders: whether the newest key that a holder's file shares with these proves the file."""
        last = min(count_of(holder), len(self._proves)) - 1
        proof = hmac.digest(self._proves[last], without(holder, "proofs", "seal"), "sha256")
        return "proofs" in holder and hmac.compare_digest(proof, bytes.fromhex(holder["proofs"][last]))

    def has_newer(self, holder: dict[str, Any]) -> bool:
        """Holders: whether a file is proven to have more keys than these."""
        return holder["archive"] == self.archive and count_of(holder) > len(self._proves) and self.proven(holder)

    def _bound(self, parts: list[str]) -> bytes:
        """What a file or a name is bound to: its associated data."""
        return "/".join([self.archive, *parts]).encode()

    def plain(self, stream: BinaryIO, name: str) -> Iterator[bytes]:
        """Files: what the segments hold, each proven. Raises ValueError or InvalidTag."""
        head = stream.read(HEAD + SALT)
        check(len(head) == HEAD + SALT and head.startswith(MAGIC), "not a file that was encrypted, of version 1")
        key_id, length, salt, prefix = head[8:HEAD], head[HEAD], head[HEAD + 1 : HEAD + 33], head[HEAD + 33 :]
        check(length == SALT, "an encrypted file of another kind")
        check(key_id in self.content, f"needs the key {key_id.hex()} of the archive, which your key does not give")
        segments = AESGCM(hkdf(self.content[key_id], self._bound([name]), salt=salt))
        segment, number = stream.read(SEGMENT - SALT), 0
        while segment:
            after = stream.read(SEGMENT)
            nonce = prefix + number.to_bytes(4, "big") + (b"\0" if after else b"\1")
            yield (piece := segments.decrypt(nonce, segment, None))
            check(len(piece) > 0, "a segment that holds nothing")
            segment, number = after, number + 1
        check(number > 0, "ends too early")


def padded(length: int) -> int:
    """Files: what all segments hold together, for a file of `length` bytes."""
    size = length + 8
    exponent = size.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-size // step) * step


def line_check(number: int, characters: str) -> str:
    """Keys as text: the four characters that end a line."""
    sum_ = zlib.crc32(f"{number}:{characters}".encode()) & 0xFFFFF
    return base64.b32encode((sum_ << 4).to_bytes(3, "big"))[:4].decode()


def joined(lines: list[str]) -> bytes:
    """Keys as text: what some lines hold together."""
    found = ""
    for number, line in enumerate(lines, 1):
        characters = line[:-4]
        last = number == len(lines)
        whole = 0 < len(characters) <= LINE and (last or len(characters) == LINE)
        check(whole and line_check(number, characters) == line[-4:], f"line {number} of the key is mistyped")
        found += characters
    return base64.b32decode(found + "=" * (-len(found) % 8))


def letters(text: str) -> str:
    """Keys as text: without spaces, in upper case, and digits that are none for the letters they look like."""
    return re.sub(r"\s", "", text).upper().translate(str.maketrans("018", "OIB"))


def lines_of(body: str) -> list[str]:
    """Keys as text: the lines behind the first word, numbered as on paper, or joined by dashes."""
    _, *pairs = re.split(r"(?:^|\s)([0-9]+)\s*:", body)
    numbers = [str(number + 1) for number in range(len(pairs) // 2)]
    check(pairs[::2] == numbers, "lines are missing, or in disorder")
    whole = letters(body.replace("-", ""))
    return [letters(line) for line in pairs[1::2]] or [whole[at : at + FULL] for at in range(0, len(whole), FULL)]


def from_holder_text(text: str) -> bytes:
    """Keys as text: the random bytes of a holder."""
    secret = joined(lines_of(text.strip()[len(HOLDER) :]))
    check(len(secret) == 32, "the key has another length: is all of it there?")
    return secret


def from_paper(text: str) -> Keys:
    """Keys as text: the keys of an archive, and its id."""
    data = joined(lines_of(text.strip()[len(PAPER) :]))
    whole = len(data) > 20 and len(data) % 32 == 20 and hashlib.sha256(data[:-4]).digest()[:4] == data[-4:]
    check(whole, "the lines are no paper copy together: is one missing?")
    keys = [data[at : at + 32] for at in range(16, len(data) - 4, 32)]
    return Keys(str(uuid.UUID(bytes=data[:16])), keys)


def holder_key(kdf: dict[str, Any], secret: bytes) -> bytes:
    """Holders: the key that wraps the archive's keys, from a passphrase or a holder's random bytes."""
    salt = bytes.fromhex(kdf["salt"])
    if kdf["name"] == "hkdf-sha256":
        return hkdf(secret, b"strongroom holder", salt=salt)
    check(kdf["name"] == "argon2id", f"opened in a way not known: {kdf['name']}")
    check(all(0 < kdf[name] <= MOST[name] for name in MOST), "asks for more memory or time than any holder may")
    costs = {"iterations": kdf["passes"], "lanes": kdf["lanes"], "memory_cost": kdf["memory_kib"]}
    return Argon2id(salt=salt, length=32, **costs).derive(secret)


def count_of(holder: dict[str, Any]) -> int:
    """Holders: how many keys a file wraps, behind a nonce and before a tag."""
    size = len(bytes.fromhex(holder["wrapped"])) - 28
    check(size > 0 and size % 32 == 0, "keys of another length")
    return size // 32


def unwrapped(holder: dict[str, Any], secret: bytes) -> Keys:
    """Holders: the keys that a holder's file keeps. Raises InvalidTag where the secret is another one's."""
    data = bytes.fromhex(holder["wrapped"])
    wrapping = AESGCM(holder_key(holder["kdf"], secret))
    keys = wrapping.decrypt(data[:12], data[12:], without(holder, "wrapped", "proofs", "seal"))
    return Keys(holder["archive"], [keys[at : at + 32] for at in range(0, len(keys), 32)])


def opened(root: Path, archive: str | None, text: str) -> Keys:
    """The keys that a key gives. Raises ValueError where it gives none of this archive's.

    Where the mark is lost (`archive` is None), the paper or the holder that opens tells whose keys they are.
    """
    if first := re.search(f"{PAPER}|{HOLDER}", text, re.IGNORECASE):
        text = text[first.start() :]  # a page has a heading
    start = text.strip().upper()
    if start.startswith(PAPER):
        keys = from_paper(text)
        check(archive in (None, keys.archive), f"a paper copy of another archive: {keys.archive}")
        return keys
    by_key = start.startswith(HOLDER)
    secret = from_holder_text(text) if by_key else unicodedata.normalize("NFC", text.strip()).encode()
    tried: list[tuple[int, int, Path, dict[str, Any]]] = []
    problems = ["your key opens none of the files in keys/; the paper copy needs none"]  # told only where it is so
    for path in root.glob("keys/*.json"):
        with surviving(path, problems):
            holder = sealed(small(path))
            check((holder["kind"], holder["id"]) == ("holder", path.stem), "no holder's file")
            check(holder["format"] in (1, 2), f"a holder's file of format {holder['format']}, known are 1 and 2")
            if archive in (None, holder["archive"]) and by_key == (holder["kdf"]["name"] == "hkdf-sha256"):
                cost = int(holder["kdf"].get("memory_kib", 0)) * int(holder["kdf"].get("passes", 0))
                tried.append((cost, -count_of(holder), path, holder))
    found = None
    for *_, path, holder in sorted(tried, key=lambda one: one[:3]):  # planted ones may cost much
        with surviving(path, problems), contextlib.suppress(InvalidTag):  # another holder's
            if found is None or found.has_newer(holder):
                found = unwrapped(holder, secret)
    if found is None:
        raise ValueError("\n".join(problems))
    return found


def given_key() -> str:
    """The key, from wherever it is told."""
    if text := os.environ.get("STRONGROOM_KEY"):
        return text
    if path := os.environ.get("STRONGROOM_KEY_FILE"):
        return Path(path).read_text(encoding="utf-8")
    if not sys.stdin.isatty():
        return sys.stdin.read()
    text = getpass.getpass(f"Passphrase, key, or {PAPER} (its lines are asked for): ")
    while text.strip().upper().startswith(PAPER) and (line := input("The next line, or an empty one: ")):
        text += "\n" + line
    return text


def mark_of(root: Path) -> str | None:
    """The id of an archive; None where its mark is damaged or missing. Raises ValueError for one not encrypted."""
    try:
        mark = sealed(small(root / "strongroom.json"))
    except FileNotFoundError as exc:
        LOST.append(str(exc))
        return None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None  # told where it is copied
    found = f"{mark.get('kind')} of format {mark.get('format')}, {mark.get('encryption', 'not encrypted')}"
    wanted = f"archive of format 2, {ENCRYPTION}"
    check(found == wanted, f"strongroom.json: {found}; wanted: {wanted}")
    return str(mark["id"])


def lawful(name: str) -> bool:
    """Section 1: whether this may be the name of a file of an archive; others are passed over."""
    parts = name.split("/")
    return parts[0] in FOLDERS and all(re.fullmatch(r"[A-Za-z0-9_%-][A-Za-z0-9._%-]*", part) for part in parts)


def names_below(root: Path) -> list[str]:
    """What lies in the archive and is no folder, by the names under which it is stored. No link is followed."""
    found, folders = list[str](), [root]
    while folders:
        folder = folders.pop()
        with surviving(folder), os.scandir(folder) as items:
            for item in items:
                stored = Path(item.path).relative_to(root).as_posix()
                if lawful(stored) and item.is_dir(follow_symlinks=False):
                    folders.append(Path(item.path))
                elif lawful(stored):
                    found.append(stored)
    return sorted(found)


def reading(path: Path) -> BinaryIO:
    """A file of the archive, opened. Raises ValueError for a link or a pipe, which may lead anywhere."""
    check(stat.S_ISREG(path.lstat().st_mode) and not path.parent.is_symlink(), "a link, or no file: not read")
    return path.open("rb")


def small(path: Path) -> bytes:
    """A file that is not encrypted; of one that is too large for that no more is read, and no seal agrees."""
    with reading(path) as stream:
        return stream.read(LARGEST)


def copied(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """A file that is not encrypted, proven by its name or seal."""
    data = stream.read(LARGEST)
    if name.startswith("about/"):
        check(hashlib.sha256(data).hexdigest() == Path(name).stem, "not the bytes of its name")
    else:
        sealed(data)
    yield data


def cut_to_length(out: BinaryIO) -> None:
    """Files: take the padding and the length away."""
    size = out.tell()
    check(size >= 8, "holds no length")
    out.seek(size - 8)
    length = int.from_bytes(out.read(8), "big")
    check(size == padded(length), "padded in another way")
    out.seek(length)
    for at in range(length, size - 8, SEGMENT):
        zeros = out.read(min(SEGMENT, size - 8 - at))
        check(zeros.count(0) == len(zeros), "padded with something")
    out.truncate(length)


def give(root: Path, stored: str, keys: Keys, target: Path) -> None:
    """Write one file under its plain name. Raises what damaged bytes raise, and leaves nothing then."""
    name = keys.plain_name(stored)
    check(lawful(name), f"{name!r} is no name of an archive")
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    check(not path.exists(), f"{name} is there already")
    unproven = path.with_name(f"{path.name}.unproven")  # so called until it is proven to its end
    try:
        with reading(root / stored) as stream, unproven.open("xb+") as out:
            encrypted = name.split("/")[0] not in OPEN
            out.writelines(keys.plain(stream, name) if encrypted else copied(stream, name))
            if encrypted:
                cut_to_length(out)
        unproven.rename(path)
    finally:
        unproven.unlink(missing_ok=True)


def main() -> None:
    """The program. Ends with 1 where something is lost."""
    parser = argparse.ArgumentParser(description="Decrypts an encrypted Strongroom archive into a new folder.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("plain", type=Path, help="the folder to be made")
    asked = parser.parse_args()
    root: Path = asked.archive.resolve()
    try:
        archive = mark_of(root)
        keys = opened(root, archive, given_key())
        asked.plain.mkdir(mode=0o700, parents=True)
    except (OSError, ValueError, EOFError) as exc:
        sys.exit(str(exc) or repr(exc))
    done = 0
    for stored in names_below(root):
        with surviving(stored):
            give(root, stored, keys, asked.plain)
            done += 1
    print(f"{done} files decrypted. Now: python READER.py {asked.plain} TARGET")
    print("READER.py is the file of about/ that begins with: Reads an archive with nothing but Python")
    if LOST:
        sys.exit("\n".join(["lost:", *LOST]))


if __name__ == "__main__":
    main()
