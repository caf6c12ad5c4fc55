"""What an archive says of itself: its format's description, a reader that needs nothing of ours, and a decrypter.

They lie in every archive, named by their SHA-256, for whoever finds it when this program is gone. A newer version
adds its own beside those that are there.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

from storage.backend import Backend

_TEXTS = ("FORMAT.md", "standalone.py", "standalone_decrypt.py")
_NAME = re.compile(r"about/([0-9a-f]{64})\.(md|py)")


@cache
def texts() -> dict[str, bytes]:
    """This version's description and programs, by their names in an archive."""
    found = {}
    for text in _TEXTS:
        data = resources.files("storage").joinpath(text).read_bytes()
        found[f"about/{hashlib.sha256(data).hexdigest()}.{text.rpartition('.')[2]}"] = data
    return found


def describe(backend: Backend) -> None:
    """Put them into an archive that lacks them. Raises BackendFailed; retry: yes."""
    for name, data in texts().items():
        if backend.size(name) is None:
            backend.put_new(name, [data])


def about_digest(name: str) -> str | None:
    """The SHA-256 that the name of a description promises; None for a name that is none's."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None
