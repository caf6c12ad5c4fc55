"""Files that are not what RSpace promised: cut, changed, gone, a web page, or without what they should hold."""

from __future__ import annotations

import pytest

from flows.errors import Exit
from storage.latest import newest_counted
from storage.records import Ended
from tests.engine.bench import Bench, by_name


def test_a_wrong_checksum_keeps_nothing_and_asks_anew_next_time(bench: Bench) -> None:
    """Fetched as often as configured, then exit 4 with both figures; the job is closed, the spool is empty."""
    bench.world.faults.set(wrong_crc=True)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VERIFICATION, "crc32", "promised", "4 of 4 times")
    assert by_name(record.checks) == {"size": "passed", "crc32": "failed"}
    assert (bench.downloads(), bench.snapshots(), list(bench.spool.glob("*"))) == (4, [], [])
    assert bench.job() is None
    bench.again()
    assert bench.posts() == 2


@pytest.mark.parametrize("foreign", [False, True])
def test_a_cut_download_is_fetched_again(bench: Bench, foreign: bool) -> None:
    """One broken connection costs one more download, from RSpace as from a bucket."""
    bench.world.bulk_bytes = 3_000_000
    bench.world.faults.set(truncate_after=2_500_000, times=1)
    bench.world.faults.set(foreign_enclosure=foreign)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    asked = bench.server.foreign_requests if foreign else bench.server.requests
    assert sum(seen[1].endswith(".zip") for seen in asked) == 2
    (found,) = bench.snapshots()
    assert record.bytes_fetched > found.manifest.size
    assert bench.content(found) == bench.served(23)


def test_a_download_that_is_always_cut_keeps_the_job(bench: Bench) -> None:
    """After the tries the run ends; the next one needs no new export."""
    bench.world.faults.set(truncate_after=2000)

    record = bench.run("user", download_tries=3)

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "the connection broke")
    assert bench.downloads() == 3
    assert bench.job() is not None
    bench.again()
    assert (bench.posts(), bench.downloads()) == (1, 4)


def test_a_purged_file_is_expired(bench: Bench) -> None:
    """COMPLETED with null size is not archived; the next run starts a new export."""
    bench.world.faults.set(purge_at_once=True)

    record = bench.run("user")

    bench.assert_end(record, Ended.EXPIRED, Exit.VENDOR, "has removed the export file")
    assert bench.downloads() == 0
    bench.again()
    assert bench.posts() == 2


def test_a_purged_file_elsewhere_names_no_whole_file(bench: Bench) -> None:
    """A bucket's lost object answers 500 with the file's name for ever: a failure, and the name stays a secret."""
    bench.world.faults.set(foreign_enclosure=True, purge_at_once=True)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VENDOR, "Couldn't find export on S3")
    bench.again()


def test_a_file_purged_while_it_waits_for_the_next_run_is_renewed(bench: Bench) -> None:
    """A job left open whose file is gone meanwhile is closed, and the same run asks anew."""
    bench.world.faults.set(truncate_after=2000)
    bench.run("user")
    bench.world.faults.reset()
    bench.world.advance(49 * 3600)

    bench.again(fresh_for_s=100 * 3600.0)

    assert bench.posts() == 2


@pytest.mark.parametrize(("kind", "first"), [("page", "size"), ("padded", "crc32")])
def test_a_web_page_instead_of_the_zip_is_never_kept(bench: Bench, kind: str, first: str) -> None:
    """A log-in page with status 200, even one of exactly the promised size, fails by its bytes."""
    bench.world.faults.set(html_page=kind)

    record = bench.run("user")

    bench.assert_end(record, Ended.FAILED, Exit.VERIFICATION, first, "promised")
    assert by_name(record.checks)["crc32"] == "failed"
    assert bench.snapshots() == []
    bench.again()


@pytest.mark.parametrize("kind", ["page", "padded"])
def test_a_web_page_once_is_fetched_over(bench: Bench, kind: str) -> None:
    """A session that had to warm up costs one download."""
    bench.world.faults.set(html_page=kind, times=1)

    record = bench.run("user")

    assert (record.ended, bench.downloads()) == (Ended.VERIFIED, 2)


@pytest.mark.parametrize("scope", ["user", "user:html"])
def test_an_empty_export_is_quarantined(bench: Bench, scope: str) -> None:
    """Bytes, structure and manifest are right, and not one of the documents is there."""
    bench.world.faults.set(empty_export=True)

    record = bench.run(scope)

    told = by_name(record.checks)
    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert (told["size"], told["crc32"], told["zip structure"]) == ("passed", "passed", "passed")
    assert (told["documents in the file"], told["documents in RSpace's own list"]) == ("failed", "failed")
    assert "0 of them, promised 4 listed" in record.reason
    bench.recorded(record)
    bench.again(scope)


@pytest.mark.parametrize("scope", ["user", "user:html", "user:2", "group:11", "group:11:html"])
def test_a_missing_document_is_named_and_the_export_quarantined(bench: Bench, scope: str) -> None:
    """RSpace leaves out a record that it cannot write, without a word: its lists tell."""
    bench.world.faults.set(missing_document=True)

    record = bench.run(scope)

    missing = min(d.id for d in bench.world.lab.documents_of(2 if scope == "user:2" else 1))
    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert f"missing: SD{missing})" in record.reason
    bench.recorded(record)
    bench.again(scope)
    assert len(bench.snapshots("quarantined")) == len(bench.snapshots("verified")) == 1


def test_an_export_that_the_server_made_of_something_else_is_quarantined(bench: Bench) -> None:
    """A file with the right bytes but another scope inside is kept, does not count, and the next run asks anew."""
    bench.run("group")
    other = bench.folder / "group.zip"
    other.write_bytes(bench.served(23))
    bench.world.serve_file = other

    record = bench.run("user")

    assert (record.ended, record.exit_code) == (Ended.QUARANTINED, Exit.QUARANTINED)
    assert by_name(record.checks)["scope"] == "failed"
    assert "scope GROUP, promised USER" in record.reason
    assert record.hint
    bench.recorded(record)
    bench.assert_tidy(record)
    (kept,) = bench.snapshots("quarantined")
    assert bench.content(kept) == other.read_bytes()
    assert newest_counted(bench.archive, record.key, now=bench.clock.now()) is None
    bench.again()
    assert bench.posts() == 3


def test_an_old_file_served_as_tonights_is_quarantined(bench: Bench) -> None:
    """exportDate must be tonight's by the server's own clock, give or take its time zone."""
    bench.run("user")
    stale = bench.folder / "stale.zip"
    stale.write_bytes(bench.served(23))
    bench.world.pass_nights(3)
    bench.world.serve_file = stale

    record = bench.run("user")

    assert record.ended is Ended.QUARANTINED
    assert by_name(record.checks)["export date"] == "failed"
    assert "2026-11-16" in record.reason
