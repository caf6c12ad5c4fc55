"""Which leaves a word means: a record's id, a glob, a path, or a part of a name.

Pure: text in, a question about paths out.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

RecordOf = Callable[[str], str]  # the id of the record that a path belongs to, such as SD123; "" for none

_ID = re.compile(r"[A-Za-z]{2}[0-9]+")
_NUMBER = re.compile(r"[0-9]+")
_REMEMBERED = 1 << 17  # paths: those of one night come again the next


def no_record(_: str) -> str:
    """For a system whose paths name no records."""
    return ""


def finder(pattern: str, record_of: RecordOf = no_record) -> Callable[[str], bool]:
    """Whether a path is meant: as a record's id, else as a part of it or, where it has one of `*?[`, as a glob.

    An id is meant where it stands as a word (SD12 is not in SD123), or where the path is that record's; a number
    is one where records have numbers. A glob is for the path or for one name in it, so that it means all that is
    in a folder; `*` goes through slashes, and `[3]` is itself, too. A part is looked for whatever its case.
    """
    part = pattern.casefold()
    return _meaning(pattern, record_of, lambda path: part in path.casefold(), words=True)


def chooser(pattern: str, record_of: RecordOf = no_record) -> Callable[[str], bool]:
    """As `finder`, for what is written somewhere: not a part of a path but all of it, or a folder it is in."""
    below = pattern.rstrip("/") + "/"
    return _meaning(pattern, record_of, lambda path: path == pattern or path.startswith(below), words=False)


def _meaning(
    pattern: str, record_of: RecordOf, literally: Callable[[str], bool], *, words: bool
) -> Callable[[str], bool]:
    """`words`: a number is a record's, too, where it stands as a word."""
    word = re.compile(rf"(?<![^\W_]){re.escape(pattern)}(?![^\W_])", re.IGNORECASE)

    def by_id(path: str) -> bool:
        return record_of(path) == pattern.upper() or word.search(path) is not None

    def by_number(path: str) -> bool:
        record = record_of(path)
        if record == pattern:
            return True
        return word.search(path) is not None if words and _NUMBER.fullmatch(record) else literally(path)

    def by_glob(path: str) -> bool:
        return literally(path) or any(map(glob.match, _names(path)))

    glob = re.compile("|".join(fnmatch.translate(one) for one in _readings(pattern.rstrip("/"))))
    meant = by_glob if any(sign in pattern for sign in "*?[") else literally
    if _ID.fullmatch(pattern):
        meant = by_id
    elif _NUMBER.fullmatch(pattern):
        meant = by_number
    return lru_cache(maxsize=_REMEMBERED)(meant)


def _readings(pattern: str) -> tuple[str, str]:
    """As a glob, and as one whose brackets are nothing but brackets: many systems' names end in `[3]`."""
    return pattern, pattern.replace("[", "[[]")


def _names(path: str) -> Iterator[str]:
    """The path, each folder that it is in, and each name in it."""
    yield path
    yield from path.split("/")
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
