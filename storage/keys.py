"""Who may open an encrypted archive: its keys, wrapped for each holder in a small file below `keys/`.

The archive's keys are random; a holder has a passphrase, or a key file of random bytes, that unwraps them. The
paper copy (`keytext.py`) is those keys themselves, so that it opens an archive whose `keys/` is lost. Whoever
stores the archive can put files there, too: each is believed as far as it carries proofs by the archive's keys.
FORMAT.md section 13.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage import canonical
from storage.backend import Backend
from storage.cipher import KEY_SIZE, TAG_SIZE, Key
from storage.errors import FormatUnknown, KeyMissing, KeyWrong, ObjectCorrupt, ObjectMissing, StorageError
from storage.keytext import NotAKey, holder_secret, paper_keys
from storage.snapshot import from_text, to_text

FORMAT = 2
_WITHOUT_PROOFS = 1  # a format that older versions wrote
FOLDER = "keys/"
NOT_PROVEN = "not proven to be of this archive"  # what is said of a file that anybody may have put there
LONGEST = 200  # characters of a holder's name
SHORTEST = 12  # characters of a passphrase
_NAME = re.compile(r"keys/([0-9a-f]{16})\.json")
_SALT, _NONCE = 16, 12  # bytes
# RFC 9106 section 4, the second recommended option: 64 MiB, three passes, four lanes.
_ARGON2: dict[str, Any] = {"name": "argon2id", "memory_kib": 1 << 16, "passes": 3, "lanes": 4}
_HKDF: dict[str, Any] = {"name": "hkdf-sha256"}
_LARGEST = 1 << 20  # bytes of a holder's file: some 8,000 keys
_MOST = {"memory_kib": 1 << 18, "passes": 12, "lanes": 16}  # that a file may ask for: some three seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody, or some machine, that can open the archive."""

    id: str  # 16 hex digits
    archive: str
    name: str  # readable by whoever sees the archive's files; to be shown: `shown`
    made_at: datetime
    kdf: dict[str, Any]  # how the secret becomes the key that unwraps
    wrapped: bytes = field(repr=False)
    proofs: tuple[bytes, ...] = field(default=(), repr=False)  # by each of the keys that are wrapped
    format: int = FORMAT

    @property
    def shown(self) -> str:
        """The name on one line, as it is: who plants a file could else write over what stands beside it."""
        line = "".join(char if char.isprintable() else repr(char)[1:-1] for char in self.name)
        return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"

    @property
    def how(self) -> str:
        """What the holder has."""
        return "passphrase" if self.kdf["name"] == _ARGON2["name"] else "key file"

    @property
    def count(self) -> int:
        """How many of the archive's keys: those from before a rotation, or all. True as far as it is `proven`."""
        return (len(self.wrapped) - _NONCE - TAG_SIZE) // KEY_SIZE

    @property
    def file(self) -> str:
        """Where it lies in the archive."""
        return f"{FOLDER}{self.id}.json"


def new_keys() -> tuple[Key, ...]:
    """The first key of a new archive."""
    return (Key(secrets.token_bytes(KEY_SIZE)),)


def wrap(keys: Sequence[Key], secret: str, *, archive_id: str, name: str, now: datetime) -> Holder:
    """The archive's keys for one more holder. Raises ValueError for a passphrase that is too short."""
    if not name.strip() or len(name) > LONGEST or not name.isprintable():
        raise ValueError(f"a holder's name {name!r}: 1 to {LONGEST} characters expected, all of them to be seen")
    if paper_keys(secret) is not None:
        raise ValueError("a paper copy is no holder's secret: it opens the archive as it is")
    machine = holder_secret(secret) is not None
    if not machine and len(_normal(secret)) < SHORTEST:
        raise ValueError(f"a passphrase of {len(_normal(secret))} characters, at least {SHORTEST} expected")
    kdf = {**(_HKDF if machine else _ARGON2), "salt": secrets.token_hex(_SALT)}
    empty = Holder(secrets.token_hex(8), archive_id, name, now, kdf, b"")
    nonce = secrets.token_bytes(_NONCE)
    plain = b"".join(key.secret for key in keys)
    wrapped = nonce + AESGCM(_unwrapping(secret, kdf)).encrypt(nonce, plain, canonical.encode(_facts(empty)))
    made = replace(empty, wrapped=wrapped)
    return replace(made, proofs=tuple(key.proof(_proven(made)) for key in keys))


def unwrap(holder: Holder, secret: str) -> tuple[Key, ...] | None:
    """The archive's keys; None where this holder has another secret. Costs a passphrase 64 MiB for a moment."""
    if (holder_secret(secret) is None) != (holder.how == "passphrase"):
        return None
    nonce, wrapped = holder.wrapped[:_NONCE], holder.wrapped[_NONCE:]
    try:
        plain = AESGCM(_unwrapping(secret, holder.kdf)).decrypt(nonce, wrapped, canonical.encode(_facts(holder)))
        return tuple(Key(plain[at : at + KEY_SIZE]) for at in range(0, len(plain), KEY_SIZE))
    except (InvalidTag, ValueError):
        return None


def proven(holder: Holder, keys: Sequence[Key]) -> bool:
    """Whether somebody who has the archive's keys made this file, told by the newest key that it and `keys` share.

    So who has older keys believes that there are newer ones, and how many. Never of format 1, which has no proofs.
    """
    last = min(holder.count, len(keys)) - 1
    return last < len(holder.proofs) and bytes_eq(keys[last].proof(_proven(holder)), holder.proofs[last])


def is_holder(name: str) -> bool:
    """Whether a holder's file can be called so."""
    return _NAME.fullmatch(name) is not None


def encode(holder: Holder) -> bytes:
    """Canonical bytes of a holder (FORMAT.md section 13)."""
    proofs = {"proofs": [proof.hex() for proof in holder.proofs]} if holder.format == FORMAT else {}
    return canonical.seal({**_facts(holder), "wrapped": holder.wrapped.hex(), **proofs})


def decode(data: bytes, name: str) -> Holder:
    """The holder in `data`. Raises FormatUnknown, ObjectCorrupt."""
    try:
        value = canonical.unseal(data)
        kind, form = value["kind"], value["format"]
        if (kind, form) not in (("holder", _WITHOUT_PROOFS), ("holder", FORMAT)):
            raise FormatUnknown(f"{name}: a {kind!r} of format {form!r}, a holder was expected")
        more = {"proofs"} if form == FORMAT else set()
        if value.keys() != {"format", "kind", "id", "archive", "name", "made_at", "kdf", "wrapped", *more}:
            raise ValueError(f"members {sorted(value)}")
        proofs = tuple(bytes.fromhex(canonical.text(proof)) for proof in value.get("proofs", ()))
        holder = Holder(
            canonical.text(value["id"]),
            canonical.text(value["archive"]),
            canonical.text(value["name"]),
            from_text(value["made_at"]),
            _kdf(canonical.mapping(value["kdf"])),
            bytes.fromhex(canonical.text(value["wrapped"])),
            proofs,
            form,
        )
        wanted = 0 if form == _WITHOUT_PROOFS else holder.count
        if holder.count < 1 or len(proofs) != wanted or any(len(proof) != KEY_SIZE for proof in proofs):
            raise ValueError(f"{holder.count} keys, {len(proofs)} proofs")
    except (KeyError, TypeError, ValueError) as exc:
        raise ObjectCorrupt(f"{name}: not a holder that this version wrote: {exc!r}") from exc
    if holder.file != name:
        raise ObjectCorrupt(f"{name}: holds holder {holder.id!r}")
    return holder


def holders(backend: Backend, archive_id: str, *, problems: list[str] | None = None) -> list[Holder]:
    """Everybody who can open that archive, by time added.

    A file that cannot be read raises, unless `problems` takes its problem.
    """
    found = []
    for name in filter(is_holder, backend.list(FOLDER)):
        try:
            found.append(decode(backend.get(name, 0, _LARGEST), name))  # of a larger one, no seal agrees
        except ObjectMissing:
            continue  # removed since the names were listed
        except StorageError as exc:
            if problems is None:
                raise
            problems.append(str(exc))
    return sorted((one for one in found if one.archive == archive_id), key=lambda one: (one.made_at, one.id))


def newest_count(backend: Backend, archive_id: str, keys: Sequence[Key]) -> int:
    """How many keys the archive has, as far as its holders prove that to who has `keys`."""
    counts = (one.count for one in holders(backend, archive_id, problems=[]) if proven(one, keys))
    return max(len(keys), *counts, 0)


def behind(what: str, have: int, there: int) -> KeyWrong:
    """What is raised where the archive has newer keys than those at hand; `what`: the archive, or a file in it."""
    return KeyWrong(
        f"{what}: the key given is from before a rotation: it has {have} of {there} keys",
        hint="take a holder's key, or a paper copy, that was made since: `strongroom key list` names the holders; "
        "by it, `strongroom key add` takes this one in anew",
    )


def unlock(backend: Backend, archive_id: str, secret: str | None) -> tuple[Key, ...]:
    """The archive's keys, oldest first, by a holder's passphrase or key, or by the paper copy.

    The files that cost least are tried first, and of those the ones with most keys; once one has opened, only what
    is proven by its keys to have more. So what somebody plants costs no more than another holder's file would.
    Raises KeyMissing where no secret was given, KeyWrong where it is nobody's.
    """
    if not secret:
        raise KeyMissing(f"{backend.url}: the archive is encrypted, and no key was given")
    try:
        paper = paper_keys(secret)
        holder_secret(secret)
    except NotAKey as exc:
        raise KeyWrong(f"{backend.url}: the key given: {exc}") from None
    if paper is not None:
        if paper[0] != archive_id:
            raise KeyWrong(f"{backend.url}: the paper copy is of archive {paper[0][:8]}, this is {archive_id[:8]}")
        return paper[1]
    problems: list[str] = []
    known = holders(backend, archive_id, problems=problems)
    ring: tuple[Key, ...] = ()
    for one in sorted(known, key=lambda one: (_cost(one), -one.count)):
        if not ring or (one.count > len(ring) and proven(one, ring)):
            ring = unwrap(one, secret) or ring
    if not ring:
        names = ", ".join(f"{one.shown} ({one.how})" for one in known) or "nobody"
        unread = f"; and {len(problems)} that cannot be read: {problems[0]}" if problems else ""
        raise KeyWrong(f"{backend.url}: the key given is none of its holders': {names}{unread}")
    return ring


def _facts(holder: Holder) -> dict[str, Any]:
    return {
        "format": holder.format,
        "kind": "holder",
        "id": holder.id,
        "archive": holder.archive,
        "name": holder.name,
        "made_at": to_text(holder.made_at),
        "kdf": holder.kdf,
    }


def _proven(holder: Holder) -> bytes:
    return canonical.encode({**_facts(holder), "wrapped": holder.wrapped.hex()})


def _kdf(value: dict[str, Any]) -> dict[str, Any]:
    known = {"argon2id": _ARGON2, "hkdf-sha256": _HKDF}.get(value.get("name", ""))
    if known is None or value.keys() != {*known, "salt"}:
        raise ValueError(f"unknown derivation {value.get('name')!r}")
    for key in known.keys() & _MOST.keys():
        if not 0 < canonical.count(value[key]) <= _MOST[key]:
            raise ValueError(f"{key} of {value[key]}, at most {_MOST[key]}")
    bytes.fromhex(canonical.text(value["salt"]))
    return value


def _cost(holder: Holder) -> int:
    return int(holder.kdf.get("memory_kib", 0) * holder.kdf.get("passes", 0))


def _unwrapping(secret: str, kdf: dict[str, Any]) -> bytes:
    salt = bytes.fromhex(kdf["salt"])
    machine = holder_secret(secret)
    if machine is not None:
        return HKDF(SHA256(), KEY_SIZE, salt, b"strongroom holder").derive(machine)
    derive = Argon2id(
        salt=salt, length=KEY_SIZE, iterations=kdf["passes"], lanes=kdf["lanes"], memory_cost=kdf["memory_kib"]
    )
    return derive.derive(_normal(secret).encode())


def _normal(passphrase: str) -> str:
    # One passphrase, however a keyboard composes its letters: NFC, as RFC 8265 section 4.2 has it.
    return unicodedata.normalize("NFC", passphrase.strip())
