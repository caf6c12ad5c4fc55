"""An RSpace export from the POST to the clean-up when all goes well, for every scope and format."""

from __future__ import annotations

import pytest

from flows.export import Status
from storage.records import Ended
from storage.verify import Outcome
from tests.engine.bench import GROUP, Bench, by_name, carry

CHECKS = {
    "size", "crc32", "zip structure", "made by", "scope", "format", "export date", "read back from the archive",
    "documents in the file", "documents in RSpace's own list",
}  # fmt: skip


def _selection(bench: Bench) -> str:
    ids = [document.id for document in bench.world.lab.documents_of(1)[:2]]
    return "selection:" + ",".join(map(str, ids))


@pytest.mark.parametrize("form", ["", ":html"])
@pytest.mark.parametrize("kind", ["user", "user:2", "group", f"group:{GROUP}", "selection"])
def test_each_scope_and_format_is_verified_bit_for_bit(bench: Bench, kind: str, form: str) -> None:
    """One POST, one download; every check passes and the archive holds the very bytes that the server made."""
    scope = (_selection(bench) if kind == "selection" else kind) + form

    record = bench.run(scope)

    assert (record.ended, record.exit_code, record.reason, record.hint) == (Ended.VERIFIED, 0, "", "")
    gallery = {"gallery files in the file"} if kind == "user" else set()
    assert by_name(record.checks) == dict.fromkeys(CHECKS | gallery, "passed") | {"level": "not available"}
    (found,) = bench.snapshots("verified")
    assert found.id == record.snapshot
    assert bench.content(found) == bench.served(23)
    assert record.bytes_fetched == found.manifest.size == len(bench.served(23))
    assert (bench.posts(), bench.downloads()) == (1, 1)
    bench.recorded(record)
    bench.assert_tidy(record)


def test_the_snapshot_says_where_it_came_from(bench: Bench) -> None:
    """Account, version, address, request and job are in the manifest, with a note on what an export leaves out."""
    record = bench.run("group")

    draft = bench.snapshots()[0].manifest.draft
    assert draft.vendor["user"] == "mrossi"
    assert draft.vendor["version"] == "2.25.0"
    assert draft.vendor["url"] == bench.server.url
    assert draft.vendor["said"] == "COMPLETED"
    assert dict(draft.request) == {"kind": "group", "id": "", "format": "xml"}
    assert dict(draft.job) == {"id": 23, "adopted": "no"}
    assert (draft.run_id, draft.job_id) == (record.id, record.job)
    assert draft.taken_at == bench.world.jobs[23].created_at
    assert "inventory" in draft.notes[0]
    assert {"strongroom", "python"} == set(draft.tool)


def test_every_request_of_a_run_carries_the_key_and_succeeds(bench: Bench) -> None:
    """Probe, lists, one POST, polls, the link once more, the file, lists and log: nothing else is asked."""
    bench.run("user")

    seen = bench.server.requests
    assert all(has_key and status in (200, 202) for _, _, has_key, status in seen)
    paths = [f"{method} {path.rsplit('/', 1)[0] if 'jobs' in path or '.zip' in path else path}"
             for method, path, _, _ in seen]  # fmt: skip
    lists = ["GET /api/v1/status", "GET /api/v1/documents", "GET /api/v1/files"]
    polls = paths.count("GET /api/v1/jobs")
    assert paths == [
        "GET /api/v1/status", "GET /api/v1/userDetails/whoami", *lists, "POST /api/v1/export/xml/user",
        *["GET /api/v1/jobs"] * polls, "GET /api/v1/export", *lists, "GET /api/v1/activity",
    ]  # fmt: skip
    assert 3 <= polls <= 8


def test_polling_slows_down_as_the_pace_says(bench: Bench) -> None:
    """Questions come at growing distance, from about five seconds to forty-five."""
    bench.world.run_s = 600

    bench.run("user")

    slept = bench.clock.slept
    assert slept == sorted(slept)
    assert slept[0] == pytest.approx(5, rel=0.2)
    assert slept[-1] == pytest.approx(45, rel=0.2)


def test_progress_that_falls_back_is_no_failure(bench: Bench) -> None:
    """percentComplete dips to -1.0 just before the end; the run takes it for unknown and goes on."""
    bench.world.run_s = 200
    seen: list[Status] = []

    record = carry(bench.engine("group", poll_longest_s=4.0, poll_first_s=4.0), on_status=seen.append)

    running = [status.progress for status in seen if status.raw == "STARTED"]
    assert running[-1] is None
    assert any(progress and progress > 0.5 for progress in running)
    assert record.ended is Ended.VERIFIED


def test_a_second_night_is_a_second_snapshot(bench: Bench) -> None:
    """The next night asks anew, and both nights stay readable."""
    first = bench.run("user")
    bench.world.pass_nights(1)
    second = bench.run("user")

    assert first.snapshot != second.snapshot
    assert [bench.content(found) for found in bench.snapshots()] == [bench.served(23), bench.served(24)]
    assert bench.posts() == 2


def test_links_with_another_host_are_fetched_at_the_configured_one(bench: Bench) -> None:
    """server.urls.prefix may name a host that we cannot reach: RSpace's own files are taken where it lives."""
    bench.world.faults.set(url_prefix="https://eln.invalid/rspace")

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert bench.downloads() == 1


def test_a_signed_link_elsewhere_gets_no_key(bench: Bench) -> None:
    """A pre-signed enclosure on another host is fetched without any credential, and verified all the same."""
    bench.world.faults.set(foreign_enclosure=True)

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert [(method, has_key, status) for method, _, has_key, status in bench.server.foreign_requests] == [
        ("GET", False, 200)
    ]
    assert bench.downloads() == 0
    assert bench.content(bench.snapshots()[0]) == bench.served(23)


def test_the_zip_structure_check_counts_the_members(bench: Bench) -> None:
    """The proof says how much was proven."""
    record = bench.run("user")

    check = next(check for check in record.checks if check.name == "zip structure")
    assert check.outcome is Outcome.PASSED
    assert int(check.got.split()[0]) > 10


def test_a_large_file_arrives_whole(bench: Bench) -> None:
    """Attachments of some megabytes pass through spool and archive unchanged, and are proven on the way."""
    bench.world.bulk_bytes = 9_000_000

    record = bench.run("user")

    assert record.ended is Ended.VERIFIED
    assert record.bytes_fetched > 9_000_000
    assert bench.content(bench.snapshots()[0]) == bench.served(23)


def test_the_download_asks_for_errors_as_json(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file removed between the last poll and its download is not taken for a broken server."""
    monkeypatch.setattr(bench.world, "job_of_file", lambda _name: None)

    record = bench.run("user")

    assert record.ended is Ended.EXPIRED
    assert (bench.downloads(), bench.snapshots()) == (1, [])
    bench.recorded(record)
