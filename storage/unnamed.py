"""Notes about packs that nothing names: when a sweep first met each. Names and bytes.

So, too, of a forgotten snapshot whose tombstone is dated after that, by its id, which is a digest as well.

Pure. What is done about them is `sweeping.py`.
"""

from __future__ import annotations

from datetime import datetime

from storage import canonical, snapshot
from storage.index import pack_digest, pack_name

FOLDER = "unnamed/"


def unnamed_name(pack: str) -> str:
    """Where the note about an unnamed pack lies."""
    return f"{FOLDER}{pack}.json"


def unnamed_digest(name: str) -> str | None:
    """The pack that the note under `name` is about; None where no note is called so."""
    return pack_digest(pack_name(name.removeprefix(FOLDER).removesuffix(".json")))


def sighting(pack: str, now: datetime) -> bytes:
    """The note about a pack."""
    value = {"format": 1, "kind": "unnamed", "pack": pack, "seen_at": snapshot.to_text(now)}
    return canonical.seal(value)


def read_sighting(data: bytes, name: str) -> datetime:
    """When the pack that the note `name` is about was first seen unnamed. Raises ValueError."""
    value = canonical.unseal(data)
    if value.get("kind") != "unnamed" or unnamed_name(str(value.get("pack"))) != name:
        raise ValueError("not the note that its name promises")
    return snapshot.from_text(canonical.text(value.get("seen_at")))
