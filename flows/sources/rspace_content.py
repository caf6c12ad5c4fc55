"""What the content of an RSpace export must show: a sound ZIP whose manifest.txt says what was asked for.

Local and read-only. Facts: contract rspace.md section 6.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from flows.export import Scope
from storage.verify import Check, Outcome
from storage.ziptest import BROKEN, test_zip

MANIFEST = "manifest.txt"
MAX_MANIFEST = 64 << 10  # bytes; a real one has some 300
_MARK = {"xml": "folderTree.xml", "html": "index.html"}  # in the top folder of each format

Window = tuple[date, date]


def window(asked: datetime | None, ready: datetime | None) -> Window | None:
    """The dates that exportDate may have: by the server's own clock, a day wider because its zone is not known."""
    if asked is None:
        return None
    return (asked - timedelta(days=1)).date(), ((ready or asked) + timedelta(days=1)).date()


def inspect(scope: Scope, path: Path, file: str, dates: Window | None) -> list[Check]:
    """The ZIP's structure, then four questions to manifest.txt. Never raises for what the file holds."""
    structure = test_zip(path, file=file)
    if structure.outcome is Outcome.FAILED:
        reason = "the ZIP cannot be read"
        return [structure, Check(MANIFEST, Outcome.NOT_AVAILABLE, file, reason=reason)]
    return [structure, *_manifest_checks(scope, path, file, dates)]


def inspect_import(scope: Scope, path: Path, file: str, at: datetime | None) -> list[Check]:
    """The same for a file that somebody already has, made about the time `at` where that is known."""
    return inspect(scope, path, file, None if at is None else window(at, at))


def made_at(path: Path) -> datetime:
    """The exportDate of a file's manifest.txt, at midnight UTC; where it has none, the file's own time."""
    try:
        day = date.fromisoformat(_read(path)[0]["exportDate"])
        if 2000 <= day.year < 3000:
            return datetime.combine(day, time(), UTC)
    except (KeyError, *BROKEN):
        pass
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _manifest_checks(scope: Scope, path: Path, file: str, dates: Window | None) -> Iterator[Check]:
    facts, found = _read(path)
    if not facts:
        yield Check(MANIFEST, Outcome.FAILED, file, got="not found", promised="one in the top folder")
        return
    yield _equal("made by", file, facts.get("archiveSource", "nobody"), "ResearchSpace")
    yield _equal("scope", file, facts.get("scope", "no scope"), scope.kind.upper())
    wanted = str(scope.options["format"])
    yield _equal(
        "format", file, "xml" if _MARK["xml"] in found else "html" if _MARK["html"] in found else "?", wanted
    )
    if scope.options.get("revisions"):
        folders = {name.partition("/")[0] for name in found if name.startswith("doc_")}
        plain = [folder for folder in folders if not re.search(r"-rev\d+$", folder)]
        got = f"{len(folders) - len(plain)} of {len(folders)} document folders"
        yield Check("revisions", Outcome.FAILED if plain else Outcome.PASSED, file, promised="all", got=got)
    made = facts.get("exportDate", "no date")
    if dates is None:
        yield Check(
            "export date", Outcome.NOT_AVAILABLE, file, got=made, reason="nobody says when it was asked for"
        )
        return
    try:
        good = dates[0] <= date.fromisoformat(made) <= dates[1]
    except ValueError:
        good = False
    outcome = Outcome.PASSED if good else Outcome.FAILED
    yield Check("export date", outcome, file, promised=f"{dates[0]} to {dates[1]}", got=made)


def _equal(name: str, file: str, got: str, promised: str) -> Check:
    outcome = Outcome.PASSED if got == promised else Outcome.FAILED
    return Check(name, outcome, file, promised=promised, got=got)


def _read(path: Path) -> tuple[dict[str, str], set[str]]:
    """manifest.txt's `key:value` lines, and the names beside it. Empty where there is none, or several."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        # A Mac that re-zips an export adds a __MACOSX folder of its own.
        tops = [n for n in names if n.endswith(f"/{MANIFEST}") and n.count("/") == 1 and n[:9] != "__MACOSX/"]
        if len(tops) != 1 or archive.getinfo(tops[0]).file_size > MAX_MANIFEST:
            return {}, set()
        text = archive.read(tops[0]).decode("utf-8", "replace")
    folder = tops[0].removesuffix(MANIFEST)
    beside = {name.removeprefix(folder) for name in names if name.startswith(folder)}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip()[:200] for key, colon, value in pairs if colon}, beside
