"""Which leaves a word means: a record's id, a glob, a path, or a part of a name.

Pure: text in, a question about paths out.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache

RecordOf = Callable[[str], str]  # the id of the record that a path belongs to, such as SD123; "" for none

_ID = re.compile(r"[A-Za-z]{2}[0-9]+")
_REMEMBERED = 1 << 17  # paths: those of one night come again the next


def no_record(_: str) -> str:
    """For a system whose paths name no records."""
    return ""


def finder(pattern: str, record_of: RecordOf = no_record) -> Callable[[str], bool]:
    """Whether a path is meant: as a record's id, else as a glob where it has one of `*?[`, else as a part of it.

    An id is meant where it stands as a word (SD12 is not in SD123), or where the path is that record's. A glob is
    for the path, where `*` goes through slashes, or for its last part. A part is looked for whatever its case. A
    whole path always means itself.
    """
    known = _record_or_glob(pattern, record_of)
    part = pattern.casefold()
    return _remembering(known or (lambda path: part in path.casefold()))


def chooser(pattern: str, record_of: RecordOf = no_record) -> Callable[[str], bool]:
    """As `finder`, for what is written somewhere: not a part of a path but all of it, or a folder it is in."""
    known = _record_or_glob(pattern, record_of)
    below = pattern.rstrip("/") + "/"
    return _remembering(known or (lambda path: path == pattern or path.startswith(below)))


def _record_or_glob(pattern: str, record_of: RecordOf) -> Callable[[str], bool] | None:
    if _ID.fullmatch(pattern):
        word = re.compile(rf"(?<![^\W_]){re.escape(pattern)}(?![^\W_])", re.IGNORECASE)
        record = pattern.upper()
        return lambda path: record_of(path) == record or word.search(path) is not None
    if any(sign in pattern for sign in "*?["):
        glob = re.compile(fnmatch.translate(pattern))
        return lambda path: path == pattern or any(map(glob.match, (path, path.rpartition("/")[2])))
    return None


def _remembering(meant: Callable[[str], bool]) -> Callable[[str], bool]:
    return lru_cache(maxsize=_REMEMBERED)(meant)
