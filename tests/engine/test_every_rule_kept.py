"""The rules for a client of RSpace, by their numbers in section 12 of the contract (rspace.md): 5 to 8.

What is kept of an export, what of a refusal, and when two nights are the same. Before: test_every_rule.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from flows.errors import Exit
from flows.sources.rspace_job import status_of
from storage.records import Ended
from tests.engine.bench import Bench, by_name, carry, check, verified
from tests.engine.rules import altered, answer, watched, written

# -- 5: everything is proven before anything is there to be seen


def test_rule_5_nothing_is_in_the_archive_before_every_question_was_asked(bench: Bench) -> None:
    """Fetched under another name, measured, looked into, compared with the lists; only then kept."""
    order: list[str] = []
    empty = sorted(bench.archive.backend.list(""))

    def look(verb: str) -> None:
        if verb == "cleanup":  # at the server, when all is kept
            return
        order.append(verb)
        assert sorted(bench.archive.backend.list("")) == empty
        if verb in ("inspect", "witness"):
            (path,) = [path for path in bench.spool.rglob("*") if path.is_file() and not path.suffix]
            assert path.name != bench.world.jobs[23].zip_name
            assert path.read_bytes() == bench.served(23)

    record = carry(bench.engine("user", wrap=watched(look)))

    assert order.index("open") < min(order.index("inspect"), order.index("witness"))
    assert record.ended is Ended.VERIFIED
    assert len(bench.snapshots()) == 1


@pytest.mark.parametrize("text", ["20038299", "0020038299"])
def test_rule_5_a_checksum_is_a_number(text: str) -> None:
    """Decimal, not hex; zeros before it make no difference."""
    (file,) = status_of(answer(checksum=text)).files

    assert (file.promised.crc32, file.promised.size) == (20038299, 5)


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        (b"archiveSource:ResearchSpace", b"archiveSource:Elsewhere", "made by"),
        (b"scope:USER", b"scope:GROUP", "scope"),
        (b"exportDate:2026-11", b"exportDate:2025-11", "export date"),
    ],
)
def test_rule_5_a_manifest_that_says_something_else_is_never_verified(
    bench: Bench, old: bytes, new: bytes, failed: str
) -> None:
    """Bytes and ZIP are right, and the one wrong key is what failed; it is kept apart and does not count."""
    bench.run("user")
    bench.world.advance(60)
    mine = written(bench, "mine.zip", bench.served(23))
    bench.world.serve_file = altered(mine, bench.folder / "altered.zip", "manifest.txt", old, new)

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert [one.name for one in record.checks if one.outcome == "failed"] == [failed]
    assert by_name(record.checks)["crc32"] == "passed"
    assert [verified(found) for found in bench.snapshots()] == [True, False]


def test_rule_5_a_zip_that_is_broken_inside_is_never_verified(bench: Bench) -> None:
    """RSpace's own checksum is of the broken file: only reading every member tells."""
    bench.run("user")
    bench.world.advance(60)
    data = bytearray(bench.served(23))
    data[len(data) // 2] ^= 0xFF
    bench.world.serve_file = written(bench, "broken.zip", bytes(data))

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert by_name(record.checks)["crc32"] == "passed"
    assert by_name(record.checks)["zip structure"] == "failed"


# -- 6: null size is expired


def test_rule_6_a_finished_job_without_a_size_is_expired(bench: Bench) -> None:
    """Nothing is fetched, nothing archived; the next run starts a new export."""
    bench.world.faults.set(purge_at_once=True)

    record = bench.run("user")

    bench.assert_end(record, Ended.EXPIRED, Exit.VENDOR, "has removed the export file")
    assert (bench.downloads(), bench.snapshots(), bench.job()) == (0, [], None)
    bench.again()
    assert bench.posts() == 2


# -- 7: a refusal is of one user, a dead key of all


def test_rule_7_a_refusal_of_one_user_stops_no_other(bench: Bench) -> None:
    """The 401 is looked into by /status, the refused one is told by name, the next one is backed up."""
    bench.world.faults.aim("user/2", refused=True)

    refused, next_one = (bench.run(scope, user="sysadmin1") for scope in ("user:2", "user:3"))

    bench.assert_end(refused, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses user:2", "Unauthorized attempt")
    seen = [(path, status) for _, path, _, status in bench.server.requests]
    assert seen[seen.index(("/api/v1/export/xml/user/2", 401)) + 1] == ("/api/v1/status", 200)
    assert bench.job("user:2") is None
    assert next_one.ended is Ended.VERIFIED


@pytest.mark.parametrize("phase", ["login", "start"])
def test_rule_7_a_dead_key_is_another_message(bench: Bench, phase: str) -> None:
    """Whether it is dead from the beginning or from the POST on: it is the key, and not the scope."""
    engine = bench.engine("user:2", user="sysadmin1")

    def between(comes: str) -> None:
        if comes == phase:
            bench.world.faults.set(user_off="sysadmin1")

    record = carry(engine, between=between)

    bench.assert_end(record, Ended.FAILED, Exit.AUTHENTICATION, "RSpace refuses the key")
    assert "user:2" not in record.reason
    assert "its user is enabled" in record.hint
    assert bench.server.requests[-1][1:] == ("/api/v1/status", True, 401)


# -- 8: whole files are never compared


def test_rule_8_two_nights_of_unchanged_work_are_two_files(bench: Bench) -> None:
    """Their checksums differ though nobody did anything, and both nights are kept whole."""
    first = bench.run("user")
    bench.world.advance(86400)
    second = bench.run("user")

    assert check(first, "crc32").promised != check(second, "crc32").promised
    assert first.ended is second.ended is Ended.VERIFIED
    assert [bench.content(found) for found in bench.snapshots("verified")] == [bench.served(23), bench.served(24)]


def test_rule_8_unchanged_is_said_by_the_log_and_the_newest_documents(bench: Bench) -> None:
    """No export is made to find out; with one document more, or a log that is too short, it is made."""
    skip: dict[str, Any] = {"skip_unchanged_days": 7}
    ends = [bench.run("user", **skip)]
    bench.world.advance(86400)
    ends.append(bench.run("user", **skip))
    bench.world.create_document("mrossi")
    ends.append(bench.run("user", **skip))
    bench.world.advance(86400)
    bench.world.faults.set(activity_rotated=True)
    ends.append(bench.run("user", **skip))

    assert [end.ended.value for end in ends] == ["verified", "unchanged", "verified", "verified"]
    assert "no change since 2026-11-16" in ends[1].reason
    assert bench.posts() == 3


def test_rule_8_the_same_bytes_again_are_a_snapshot_of_their_own(bench: Bench) -> None:
    """Even a file with the very checksum of the last one is fetched, proven and kept as tonight's."""
    bench.run("user")
    bench.world.advance(60)
    bench.world.serve_file = written(bench, "mine.zip", bench.served(23))

    record = bench.run("user", skip_unchanged_days=0)

    first, second = bench.snapshots("verified")
    assert bench.content(first) == bench.content(second)
    assert (record.snapshot, record.bytes_fetched) == (second.id, second.manifest.size)
