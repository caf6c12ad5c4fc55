"""The record of a run: its bytes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from storage import canonical, records
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.records import Ended
from storage.snapshot import record_name
from tests.doubles import run_record


@pytest.mark.parametrize("ended", Ended)
def test_a_record_comes_back(ended: Ended) -> None:
    """Every way to end, with and without a snapshot."""
    record = run_record(ended=ended, snapshot="ab" * 32 if ended.kept else "", reason="a.zip: size 2, promised 3")

    assert records.decode(records.encode(record), "a") == record


def test_equal_records_are_equal_bytes() -> None:
    """Order of the request's keys does not show."""
    one = run_record(request={"a": 1, "b": 2})
    two = run_record(request={"b": 2, "a": 1})

    assert records.encode(one) == records.encode(two)


def test_three_ways_to_end_have_a_snapshot() -> None:
    """And no other."""
    assert [ended for ended in Ended if ended.kept] == [Ended.VERIFIED, Ended.PARTIAL, Ended.QUARANTINED]


def test_records_gather_by_month() -> None:
    """A run id begins with its date."""
    assert record_name("20260301-023000-0000abcd") == "records/202603/20260301-023000-0000abcd.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"ended": "fine"},
        {"id": 7},
        {"source": ""},
        {"checks": [{}]},
        {"started_at": "now"},
        {"ended_at": None},
    ],
)
def test_a_hostile_record_is_damage(changes: dict[str, Any]) -> None:
    """Rightly sealed, and still not one of ours."""
    data = canonical.seal(canonical.unseal(records.encode(run_record())) | changes)
    with pytest.raises(ObjectCorrupt, match=r"a\.json"):
        records.decode(data, "a.json")


def test_a_record_of_another_kind_is_passed_over() -> None:
    """Later versions keep other events in the same place."""
    assert records.decode(canonical.seal({"format": 9, "kind": "hold"}), "a") is None


def test_a_newer_record_is_told_from_a_damaged_one() -> None:
    """Of a kind that is known, in a format that is not."""
    data = canonical.seal(canonical.unseal(records.encode(run_record())) | {"format": 2})

    with pytest.raises(FormatUnknown, match="format 2"):
        records.decode(data, "a")
