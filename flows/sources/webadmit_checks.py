"""What is asked of a whole run of WebAdMIT's: whose it is, and what the store calls its files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flows.export import JobRef
from storage.verify import Check, Outcome

FRESH = "asked for tonight"


def fresh(ref: JobRef) -> Check:
    """Whether the run is tonight's, or somebody else's that was taken as it was."""
    run = f"run {ref.handle['id']}"
    match ref.adopted:
        case "no":
            return Check(FRESH, Outcome.PASSED, got=f"{run}, which was not there before")
        case "unknown":
            return Check(FRESH, Outcome.PASSED, got=f"{run}, found again after its answer was lost")
        case _:
            reason = "adopted: somebody else had started it before, and its data may be as old as that"
            return Check(FRESH, Outcome.NOT_AVAILABLE, got=run, reason=reason)


def etag(name: str, told: str, path: Path) -> Check:
    """What the store calls the file, beside its MD5: which it is for most files, and nobody promises."""
    plain = told.strip('"')
    with path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if plain.lower() == md5:
        return Check("etag", Outcome.PASSED, name, got=f"{plain}, the MD5 of the bytes")
    reason = "the store's name for the file says nothing of its bytes" if plain else "the store gave none"
    return Check("etag", Outcome.NOT_AVAILABLE, name, got=plain, reason=reason)
