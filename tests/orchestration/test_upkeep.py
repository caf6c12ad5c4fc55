"""Upkeep frees space only while it is known what every snapshot needs."""

from __future__ import annotations

import pytest

from flows.upkeep import _safe
from storage.scrub import Report
from storage.upkeep_records import Finding


@pytest.mark.parametrize(
    ("finding", "safe"),
    [
        (Finding("snapshots/lab/all/00000001.json", "lost: a", ("ab",), lost=True), True),
        (Finding("snapshots/lab/all/00000001.json", "its listing cannot be read", ("ab",)), False),
        (Finding("packs/ab/abcd.pack", "missing", ("ab",)), False),
        (Finding("replaced/abcd.1.json", "not a note"), False),
        (Finding("records/202603/x.json", "cannot be read"), True),
    ],
)
def test_what_a_repair_gave_up_does_not_stop_the_freeing(finding: Finding, safe: bool) -> None:
    """Its loss is known and told; damage that nobody has looked at stops it."""
    assert _safe(Report((finding,), 1, 1, 1, 1, {}, {})) is safe
