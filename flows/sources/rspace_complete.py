"""Whether an export holds every record that it should: RSpace says COMPLETED for some that do not.

Expected is what was there all the time: listed before the question and again after the job. Pure, but for the
names read out of a ZIP. Facts: contract rspace.md section 2 (silently incomplete) and section 6 (folder names).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.sources.base import Record
from flows.sources.rspace_activity import Exported
from flows.sources.rspace_records import ByDesign, Listing
from storage.verify import Check, Outcome
from storage.ziptest import BROKEN

NAMED = 10  # missing records that a reason names
IN_FILE = "documents in the file"
IN_EVENT = "documents in RSpace's own list"
GALLERY = "gallery files in the file"
ASKED = "records asked for"
_FOLDER = re.compile(r"(doc|media)_(?:(.*)-)?(\d+)(?:-rev\d+)?")
_PREFIX = {"doc": "SD", "media": "GL"}  # of global ids


def remembered(listing: Listing) -> dict[str, Any]:
    """A listing as an intent's baseline holds it."""
    gallery = None if listing.gallery is None else sorted(listing.gallery)
    return {
        "documents": sorted(listing.documents),
        "gallery": gallery,
        "gallery_problem": listing.gallery_problem,
        "files": list(listing.files),
        "unreadable": list(listing.unreadable),
        "problem": listing.problem,
    }


def recalled(baseline: Mapping[str, Any]) -> Listing:
    """The listing that an intent's baseline holds. Another version may have written it: then nothing is known."""
    try:
        kept = baseline["listed"]
        gallery = kept["gallery"]
        return Listing(
            frozenset(map(int, kept["documents"])),
            None if gallery is None else frozenset(map(int, gallery)),
            gallery_problem=str(kept["gallery_problem"]),
            files=tuple(map(int, kept["files"])),
            unreadable=tuple(map(int, kept["unreadable"])),
            problem=str(kept["problem"]),
        )
    except (KeyError, TypeError, ValueError):
        return Listing(problem="what was listed before the export was asked for cannot be read")


def records_in(paths: Iterable[Path]) -> tuple[set[int], set[int]] | None:
    """The documents and gallery files that ZIPs hold, by their names; None where one cannot be read.

    A folder counts by the file that is called like it: RSpace leaves empty folders where a record went wrong, and
    for snippets (section 6; in `v1-35.zip` of rspace-web, for gallery files).
    """
    documents: set[int] = set()
    gallery: set[int] = set()
    try:
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                some = named(archive.namelist())
                documents |= some[0]
                gallery |= some[1]
    except BROKEN:
        return None
    return documents, gallery


def named(members: Iterable[str]) -> tuple[set[int], set[int]]:
    """The documents and gallery files that these members of a ZIP make up. Raises ValueError for a huge number."""
    documents: set[int] = set()
    gallery: set[int] = set()
    for member in members:
        *_, folder, leaf = ("", *member.split("/"))
        found = _FOLDER.fullmatch(folder) if leaf in (f"{folder}.xml", f"{folder}.html") else None
        if found:
            (documents if found[1] == "doc" else gallery).add(int(found[3]))
    return documents, gallery


def record_of(path: str) -> Record | None:
    """The document or gallery file whose folder a path lies in; its label is what the folder keeps of its name."""
    for folder in path.split("/")[:-1]:
        if folder.startswith(("doc_", "media_")) and (found := _FOLDER.fullmatch(folder)):
            return Record(f"{_PREFIX[found[1]]}{found[3]}", found[2] or "")
    return None


def checks(
    before: Listing,
    after: Listing,
    present: tuple[set[int], set[int]] | None,
    event: Exported | str,
    by_design: ByDesign,
) -> list[Check]:
    """Every question about completeness. `event`: RSpace's own list, or why there is none.

    Where the second listing cannot be had, what was listed before must all be there: that proves it as well, and
    what is missing was perhaps deleted meanwhile, which nobody can say then.
    """
    when = "before the export" if after.problem else "before and after the export"
    expected = before.documents if after.problem else before.documents & after.documents
    # Where none is listed and the file has some, the lists do not show this user what he may export.
    unlisted = not expected and bool(present is None or present[0])
    answers = []
    for name, found in ((IN_FILE, present and present[0]), (IN_EVENT, event)):
        records = found.records if isinstance(found, Exported) else found
        if isinstance(records, str):
            answers.append(_unknown(name, records))
        elif records is None:
            answers.append(_unknown(name, "the ZIP cannot be read"))
        elif before.problem:
            answers.append(_unknown(name, before.problem))
        elif unlisted and records:
            answers.append(_unknown(name, "RSpace lists no document of this scope to this user"))
        else:
            answers.append(_documents(name, expected, records, by_design.documents, when, after.problem))
    documents, gallery = present or (set(), set())
    if gallery_problem := before.gallery_problem or after.gallery_problem:
        answers.append(_unknown(GALLERY, gallery_problem))
    if before.gallery is not None and after.gallery is not None and present:
        answers.append(_gallery(before.gallery & after.gallery, gallery))
    if gone := sorted({*before.unreadable, *before.files} - documents - gallery):
        reason = f"not there, or not for this user: {_some('record ', gone)}; see leave_out_unreadable"
        got = f"without {len(gone)} of them"
        answers.append(Check(ASKED, Outcome.FAILED, promised="all of the selection", got=got, reason=reason))
    if silent := sorted({*after.silent, *by_design.members}):
        reason = "not shown to this user, or not theirs to export: a group export leaves such members out unsaid"
        answers.append(Check("members", Outcome.NOT_AVAILABLE, got=_some("", silent), reason=reason))
    return answers


def _documents(
    name: str, expected: Collection[int], found: Collection[int], by_design: Collection[int], when: str, doubt: str
) -> Check:
    """Whether every expected document is among those found. More than expected is noted: linked documents."""
    wanted = set(expected) - (set(by_design) - set(found))
    missing = sorted(wanted - set(found))
    promised = f"{len(wanted)} listed {when}"
    got = f"{len(wanted) - len(missing)} of them"
    if more := len(set(found) - set(expected)):
        got += f", and {more} more (linked, new, or files)"
    if not missing:
        return Check(name, Outcome.PASSED, promised=promised, got=got, reason=doubt)
    reason = f"missing: {_some('SD', missing)}" + (f"; {doubt}" if doubt else "")
    return Check(name, Outcome.FAILED, promised=promised, got=got, reason=reason)


def _gallery(expected: Collection[int], found: Collection[int]) -> Check:
    """Gallery files: those that are missing are told, and are no failure.

    The contract does not say which folders of a gallery an export goes through.
    """
    missing = sorted(set(expected) - set(found))
    got = f"{len(expected) - len(missing)} of {len(expected)} listed before and after"
    if not missing:
        return Check(GALLERY, Outcome.PASSED, got=got)
    reason = f"not in the file, perhaps by design: {_some('GL', missing)}"
    return Check(GALLERY, Outcome.NOT_AVAILABLE, got=got, reason=reason)


def _unknown(name: str, reason: str) -> Check:
    """A question that cannot be answered."""
    return Check(name, Outcome.NOT_AVAILABLE, reason=reason)


def _some(prefix: str, things: Sequence[object]) -> str:
    names = ", ".join(f"{prefix}{thing}" for thing in things[:NAMED])
    return names if len(things) <= NAMED else f"{names} and {len(things) - NAMED} more"
