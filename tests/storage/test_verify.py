"""Promised against measured, and what the answers make of a snapshot."""

from __future__ import annotations

import hashlib
import zlib

from hypothesis import given
from hypothesis import strategies as st

from storage.verify import Check, Outcome, Promise, Quality, compare, fold, judge, measure

CHECKS = st.builds(
    Check,
    name=st.sampled_from(["size", "crc32", "zip structure"]),
    outcome=st.sampled_from(Outcome),
    file=st.sampled_from([f"{n}.zip" for n in range(9)]),
    reason=st.sampled_from(["", "RSpace promises none"]),
    count=st.integers(1, 5),
)


@given(st.lists(st.binary(max_size=100), max_size=6))
def test_how_a_stream_is_cut_does_not_change_its_measures(chunks: list[bytes]) -> None:
    """Size, CRC-32 and SHA-256 are those of the whole."""
    data = b"".join(chunks)
    measured = measure(chunks)

    assert (measured.size, measured.crc32) == (len(data), zlib.crc32(data))
    assert measured.sha256 == hashlib.sha256(data).hexdigest()


def outcomes(promise: Promise, data: bytes = b"abc") -> dict[str, Outcome]:
    return {c.name: c.outcome for c in compare(promise, measure([data]), file="a", silent="says nothing")}


def test_a_promise_that_is_kept_passes() -> None:
    """Each promised figure has its own answer."""
    sha256 = hashlib.sha256(b"abc").hexdigest()
    promise = Promise(3, zlib.crc32(b"abc"), sha256.upper())

    assert outcomes(promise) == dict.fromkeys(["size", "crc32", "sha256"], Outcome.PASSED)


def test_a_promise_that_is_broken_fails_alone() -> None:
    """A wrong size says nothing about the checksum."""
    assert outcomes(Promise(4, zlib.crc32(b"abc"))) == {"size": Outcome.FAILED, "crc32": Outcome.PASSED}


def test_a_promise_of_zero_is_a_promise() -> None:
    """Size 0 and CRC 0 are figures, not silence."""
    assert outcomes(Promise(0, 0)) == {"size": Outcome.FAILED, "crc32": Outcome.FAILED}
    assert outcomes(Promise(0, 0), b"") == {"size": Outcome.PASSED, "crc32": Outcome.PASSED}


def test_silence_is_told_with_its_reason() -> None:
    """What was not promised is not available, and the answer says why."""
    checks = compare(Promise(), measure([b"abc"]), file="a", silent="RSpace gives no checksum")

    assert [(c.name, c.outcome, c.reason) for c in checks] == [
        ("size", Outcome.NOT_AVAILABLE, "RSpace gives no checksum"),
        ("crc32", Outcome.NOT_AVAILABLE, "RSpace gives no checksum"),
    ]


def test_a_failed_check_reads_as_thing_got_promised() -> None:
    """The sentence that people see."""
    (check,) = [c for c in compare(Promise(crc32=1), measure([b""]), file="a.zip", silent="") if c.name == "crc32"]

    assert check.sentence() == "a.zip: crc32 00000000, promised 00000001"


@given(st.lists(CHECKS, max_size=8), st.booleans())
def test_one_failure_quarantines_whatever_else_is_known(checks: list[Check], partial: bool) -> None:
    """Failed beats partial, partial beats verified."""
    failed = any(check.outcome is Outcome.FAILED for check in checks)
    best = Quality.PARTIAL if partial else Quality.VERIFIED

    assert judge(checks, partial=partial) is (Quality.QUARANTINED if failed else best)


@given(st.lists(CHECKS, max_size=60), st.integers(0, 30))
def test_folding_keeps_count_and_verdict(checks: list[Check], limit: int) -> None:
    """However many become one row, their number, the judgement and a second folding stay."""
    folded = fold(checks, limit=limit)

    assert sum(c.count for c in folded) == sum(c.count for c in checks)
    assert judge(folded) is judge(checks)
    assert fold(folded, limit=limit) == folded


def test_folded_failures_keep_an_example() -> None:
    """A reader of a thousand failures sees one of them whole."""
    folded = fold([Check("crc32", Outcome.FAILED, f"{n}.zip", "1", "2") for n in range(1000)])

    assert folded == [Check("crc32", Outcome.FAILED, "0.zip", "1", "2", count=1000)]
