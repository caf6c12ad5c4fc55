"""Upkeep frees space only while it is known what every snapshot needs."""

from __future__ import annotations

import pytest

from flows.upkeep import _safe
from storage.index import pack_name
from storage.scrub import Report
from storage.upkeep_records import Finding


@pytest.mark.parametrize(
    ("finding", "safe"),
    [
        (Finding("snapshots/lab/all/00000001.json", "lost: a", ("ab",), lost=True), True),
        (Finding("snapshots/lab/all/00000001.json", "its listing cannot be read", ("ab",)), False),
        (Finding("packs/ab/abcd.pack", "missing", ("ab",)), False),
        (Finding(pack_name("ab" * 32), "cannot be read"), False),
        (Finding("packs/ab/abcd.pack~", "no file of an archive"), True),
        (Finding("packs/Thumbs.db", "no file of an archive"), True),
        (Finding("packs/ab/abcd.pack~", "no file of an archive", ("ab",)), False),
        (Finding("snapshots/lab/all/1.json", "no file of an archive"), False),
        (Finding("replaced/abcd.1.json", "not a note"), False),
        (Finding("records/202603/x.json", "cannot be read"), True),
    ],
)
def test_damage_that_nobody_has_looked_at_stops_the_freeing(finding: Finding, safe: bool) -> None:
    """What a repair gave up is known, and a stray file among the packs is none: neither stops it."""
    assert _safe(Report((finding,), 1, 1, 1, 1, {}, {})) is safe
