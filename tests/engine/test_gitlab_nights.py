"""Nights at GitLab that no other system has: whose file it is and of when, rights, limits, lists, content."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from flows.demo.gitlab_archive import Shape, build
from flows.demo.gitlab_world import COLLEAGUE
from flows.errors import Exit, SourceUnexpected
from flows.export import State
from flows.roster import member_called
from flows.sources import gitlab_content as content
from flows.sources.base import Source
from flows.sources.gitlab_scopes import member, parse_scope, scope_from_table
from flows.sources.gitlab_status import GRACE_S, SETTLE_S, status_of, word_of
from storage.records import Ended
from storage.verify import Outcome
from tests.engine.bench import carry, check
from tests.engine.depot import Depot

# -- whose file, and of when


@pytest.mark.parametrize(
    ("word", "before", "seen", "age_s", "state"),
    [
        ("queued", "none", False, 5, State.PENDING),
        ("started", "finished", False, 5, State.RUNNING),
        ("regeneration_in_progress", "finished", False, 5, State.RUNNING),
        ("finished", "none", False, 5, State.READY),
        ("finished", "finished", False, SETTLE_S - 1, State.PENDING),
        ("finished", "finished", False, SETTLE_S, State.READY),
        ("finished", "finished", True, 5, State.READY),
        ("none", "finished", False, GRACE_S - 1, State.PENDING),
        ("none", "finished", False, GRACE_S, State.FAILED),
        ("none", "none", True, 5, State.FAILED),
        ("failed", "failed", False, 5, State.PENDING),
        ("failed", "none", True, 5, State.FAILED),
    ],
)
def test_what_a_word_means(word: str, before: str, seen: bool, age_s: float, state: State) -> None:
    """By what was there before, whether it was seen under way, and how long ago it was asked for."""
    assert status_of(word, handle={"before": before}, seen=seen, age_s=age_s, at=None).state is state


@pytest.mark.parametrize("body", [{"export_status": "polishing"}, {"export_status": None}, {}, [], None])
def test_no_word_is_guessed(body: Any) -> None:
    """Nor what is none."""
    with pytest.raises(SourceUnexpected, match="is not known"):
        word_of(body)


@dataclass(frozen=True)
class Night:
    """After a good one, with its file still there: switches, and how it ends."""

    name: str
    switches: dict[str, Any]
    ended: Ended = Ended.VERIFIED
    exit: Exit = Exit.DONE
    words: tuple[str, ...] = ()  # of the reason and the hint
    starts: int = 1
    adopted: str = "no"
    times: int | None = None
    table: dict[str, Any] = field(default_factory=dict)


STALE = (content.MADE, "promised")
NIGHTS = (
    Night("a new export that fails beside the old file", {"old_stays": True, "export_fails": True},
          Ended.QUARANTINED, Exit.QUARANTINED, STALE),
    Night("a worker that comes late", {"old_stays": True, "pickup_s": 90.0}),
    Night("a worker that comes too late", {"old_stays": True, "pickup_s": 900.0},
          Ended.QUARANTINED, Exit.QUARANTINED, STALE),
    Night("a queue of half an hour", {"pickup_s": 1800.0}),
    Night("an end without a file", {"export_fails": True}, Ended.FAILED, Exit.VENDOR, ("'none'", "no reason")),
    Night("an answer lost", {"lose_start_answer": True}, adopted="unknown"),
    Night("an answer lost, and the old file", {"lose_start_answer": True, "old_stays": True}, adopted="unknown"),
    Night("an error for an answer", {"start_500": True}, adopted="unknown"),
    Night("a question that never arrives", {"next_status": 502, "next_status_method": "POST"}, starts=2, times=1),
    Night("too large", {"too_large": True}, Ended.FAILED, Exit.USAGE, ("exceeds the export limit", "scope")),
    Night("switched off", {"exports_off": True}, Ended.FAILED, Exit.AUTHENTICATION, ("switched off",), starts=0),
    Night("a file in the store", {"stored": True}),
    Night("a store that is not allowed", {"stored": True}, Ended.FAILED, Exit.VENDOR, ("not among link_hosts",),
          table={"link_hosts": ["example.org"]}),
    Night("a page to log in", {"login_page": True}, Ended.FAILED, Exit.VENDOR, ("to a page of its own",)),
    Night("a file not laid down yet", {"not_yet": True}, times=2),
    Night("no length", {"no_length": True}),
    Night("a tar that stops", {"tar_stops": True}, Ended.QUARANTINED, Exit.QUARANTINED, ("tar structure",)),
)  # fmt: skip


@pytest.mark.parametrize("night", NIGHTS, ids=lambda night: night.name)
def test_a_night(depot: Depot, night: Night) -> None:
    """The night before is kept whatever happens; what is verified is what the server made after we asked."""
    older = depot.run()
    depot.clock.sleep(3 * 3600)
    before, asked_at = depot.starts(), depot.clock.now()
    depot.world.faults.set(times=night.times, **night.switches)
    record = depot.run(**night.table)

    assert (record.ended, record.exit_code) == (night.ended, night.exit), record.reason
    assert [word for word in night.words if word not in f"{record.reason} {record.hint}"] == []
    assert depot.starts() - before == night.starts
    assert depot.archive.find(older.snapshot).manifest.draft.quality.value == "verified"
    if record.ended is Ended.VERIFIED:
        assert depot.content(record) == depot.alpha.file
        assert depot.archive.find(record.snapshot).manifest.draft.job["adopted"] == night.adopted
        assert depot.alpha.made_at is not None
        assert depot.alpha.made_at > asked_at
    assert {seen.token for seen in depot.server.store_requests} <= {""}


def test_an_export_of_no_time_is_believed_after_a_while(depot: Depot) -> None:
    """Last night's `finished`, and tonight's that was never seen under way: the file's own time tells."""
    depot.run()
    depot.clock.sleep(3600)
    depot.world.pickup_s = depot.world.queue_s = depot.world.run_s = 0.0
    began = depot.clock.now()
    record = depot.run()
    assert (record.ended, check(record, content.MADE).outcome) == (Ended.VERIFIED, Outcome.PASSED)
    assert (depot.clock.now() - began).total_seconds() > SETTLE_S


def test_the_time_of_a_lost_question_is_theirs(depot: Depot) -> None:
    """Found again, an export is held against their clock, which the login told."""
    depot.clock.ahead = timedelta(hours=-2)
    asked = depot.world.now()
    depot.world.faults.set(lose_start_answer=True)
    record = depot.run()
    made = check(record, content.MADE)
    assert (record.ended, made.promised[:16]) == (Ended.VERIFIED, f"{asked:%Y-%m-%d %H:%M}")
    assert "somebody else's" in made.reason


class Stumbling:
    """A source to whose first request in `start` the server answers with an error."""

    def __init__(self, source: Source, depot: Depot) -> None:
        self._source, self._depot, self._stumbled = source, depot, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def start(self, *given: Any, **named: Any) -> Any:
        if not self._stumbled:
            self._depot.world.faults.set(times=1, next_status=500)
        self._stumbled = True
        return self._source.start(*given, **named)


def test_an_error_before_the_question_is_no_lost_question(depot: Depot) -> None:
    """Nothing was asked for: it is asked again at once, and not looked for."""
    began = depot.clock.now()
    record = carry(depot.engine(wrap=lambda source: cast(Source, Stumbling(source, depot))))
    assert (record.ended, depot.starts()) == (Ended.VERIFIED, 1)
    assert depot.clock.now() - began < timedelta(minutes=5)


def test_a_new_token_in_its_place(depot: Depot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is read, and the night goes on with it."""
    honest = depot.world.replace_token

    def replace(user: str = "backup") -> str:
        token = honest(user)
        depot.give_token()
        return token

    monkeypatch.setattr(depot.world, "replace_token", replace)
    depot.world.faults.set(token_replaced=True)
    assert depot.run().ended is Ended.VERIFIED


def test_a_colleague_who_never_ends(depot: Depot) -> None:
    """Nothing is started beside it: busy, exit code 11."""
    depot.world.faults.set(times=1, never_ends=True)
    depot.world.ask(depot.alpha, COLLEAGUE)
    depot.clock.sleep(10)
    record = depot.run(busy_wait_s=600.0)
    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.BUSY)
    assert "lab/alpha is under way (started)" in record.reason
    assert depot.starts() == 0


def test_a_colleague_who_asks_just_before_the_download(depot: Depot) -> None:
    """The finished file is taken away from us: the new one is waited for, which is of tonight as well."""
    engine = depot.engine()
    engine.begin(trigger="cli")
    engine.login()
    with engine.lease():
        job = engine.start()
        status = engine.wait(job)
        depot.world.ask(depot.alpha, COLLEAGUE)
        depot.clock.sleep(5)
        spooled = engine.download(job, status)
        record = engine.finish(job, engine.keep(job, status, spooled))
    assert (record.ended, depot.starts()) == (Ended.VERIFIED, 1)
    assert depot.content(record) == depot.alpha.file


# -- rights, lists, limits


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ('project = "office/delta"', ("does not allow it: 403 Forbidden", "Maintainer")),
        ("project = 15", ("404 Project Not Found", "this token does not see it")),
        ('project = "lab/omega"', ("404 Project Not Found", "it is gone")),
    ],
)
def test_what_is_not_ours_to_export(depot: Depot, scope: str, words: tuple[str, str]) -> None:
    """Exit code 12, with what the token lacks; nothing is asked for."""
    record = depot.run(scope)
    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.AUTHENTICATION)
    assert words[0] in record.reason
    assert words[1] in record.hint
    assert depot.starts() == 0


def test_a_project_that_goes_while_it_is_waited_for(depot: Depot) -> None:
    """Lost, and not waited for until the ceiling."""
    depot.clock.at(depot.world.now(), depot.world.projects.clear)
    record = depot.run()
    assert (record.ended, record.exit_code) == (Ended.LOST, Exit.VENDOR)
    assert "404 Project Not Found" in record.reason


def test_the_limits_of_a_minute_are_waited_for(depot: Depot) -> None:
    """Six exports and one download of a project a minute; their refusal tells no time, or it does."""
    for retry_after in (False, True):
        depot.world.faults.set(retry_after=retry_after)
        depot.world.asked["backup"] = [depot.world.now()] * 6
        depot.alpha.downloads["backup"] = depot.world.now()
        depot.server.requests.clear()
        began = depot.clock.now()
        record = depot.run()
        assert (record.ended, depot.content(record)) == (Ended.VERIFIED, depot.alpha.file)
        refused = [seen.status for seen in depot.server.requests].count(429)
        assert refused == (2 if retry_after else 1)  # of a minute they say 45 s
        assert timedelta(seconds=45) < depot.clock.now() - began < timedelta(minutes=5)


def test_an_empty_repository_is_no_fault(depot: Depot) -> None:
    """GitLab says that it is empty, so there is no bundle."""
    record = depot.run('project = "lab/tools/beta"')
    assert record.ended is Ended.VERIFIED
    assert check(record, "repository").outcome is Outcome.NOT_AVAILABLE


@pytest.mark.parametrize(("more", "numbers"), [("", "11 12 13"), ('group = "lab"', "11 12"), ('group = "x"', "")])
def test_every_project_that_is_maintained(
    depot: Depot, monkeypatch: pytest.MonkeyPatch, more: str, numbers: str
) -> None:
    """By number, whatever their paths become; a developer's and a stranger's are not among them; page by page."""
    monkeypatch.setattr("flows.sources.gitlab_wire.PAGE", 1)
    settings = depot.settings(f'every = "project"\n{more}')
    roster = depot.source(settings).roster(settings.source("forge").scopes()[0])
    assert " ".join(scope.id for scope in roster.scopes) == numbers
    assert "project:11" not in roster.labels or roster.labels["project:11"] == "lab/alpha"


# -- how scopes are written


def test_scopes_have_names_that_a_chain_can_have() -> None:
    """Of a path, of a number; the command line says the same; members are found by their names."""
    scope = scope_from_table({"project": "lab/tools/beta"})
    assert (scope.name, scope.id) == ("project:lab:tools:beta", "lab/tools/beta")
    assert parse_scope("project:lab/tools/beta") == parse_scope(scope.name) == scope
    assert scope_from_table({"project": 12}) == parse_scope("project:12")
    for table in ({"every": "project"}, {"every": "project", "group": "lab/tools"}):
        every = scope_from_table(table)
        assert every.every
        assert member_called(partial(member, every), "project:12") == member(every, "12")
    named = scope_from_table({"every": "project", "name": "ours"})
    assert member(named, "12").name == "ours:project:12"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "exactly one of"),
        ({"project": "a/b", "every": "project"}, "exactly one of"),
        ({"project": "alone"}, "a full path"),
        ({"project": True}, "a number"),
        ({"project": "a/../b?c"}, "a full path"),
        ({"project": "a/b", "group": "a"}, "group: only goes with every"),
        ({"project": "a/b", "kind": "x"}, "kind: not a key"),
        ({"every": "group"}, 'expected "project"'),
        ({"every": "project", "except": ["a/b"]}, "numbers"),
        ({"project": "a/b", "name": "a/b"}, "without slashes"),
    ],
)
def test_what_is_wrong_in_a_scope_is_named(table: dict[str, Any], said: str) -> None:
    """The key, the value, and what was expected."""
    with pytest.raises(ValueError, match=said):
        scope_from_table(table)


# -- what a file must hold

GOOD = build(11, 40, at=datetime(2026, 11, 16, tzinfo=UTC), shape=Shape())


def header(size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo("odd")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def repacked(change: Callable[[bytes], bytes]) -> bytes:
    return gzip.compress(change(gzip.decompress(GOOD)), mtime=0)  # one name of the test at any time


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", ""),
        (b"<html>", "gzip"),
        (GOOD[:-4], "end-of-stream"),
        (GOOD[:-8] + bytes(4) + GOOD[-4:], "CRC"),
        (GOOD + b"more", "gzip"),
        (gzip.compress(b"", mtime=0), "empty"),
        (repacked(lambda tar: tar[:2048]), "no end"),
        (repacked(lambda tar: tar[:100_000]), "within a member|end of data"),
        (repacked(lambda tar: tar[:1024] + b"x" * 512 + tar[1024:]), "no header"),
        (repacked(lambda tar: tar.replace(b"v2 git", b"v9 git")), "no git bundle"),
        (repacked(lambda tar: tar.replace(b"PACK", b"PUCK")), "no pack"),
        (repacked(lambda tar: tar.replace(b"PACK\0\0\0\x02", b"PACK\0\0\0\x03")), "checksum does not agree"),
        (gzip.compress(header(300 << 20, tarfile.XHDTYPE), mtime=0), "a header of"),
        (gzip.compress(header(300 << 20, tarfile.GNUTYPE_LONGNAME), mtime=0), "a header of"),
    ],
)
def test_what_is_no_whole_export(tmp_path: Path, data: bytes, said: str) -> None:
    """It is told, in words; nothing is raised, and nothing large is read at once."""
    path = tmp_path / "file"
    path.write_bytes(data)
    found = content.read(path)
    assert found.problem
    assert re.search(said, found.problem), found.problem
    (one,) = content.checks_of(found, "file", empty=False)
    assert one.outcome is Outcome.FAILED


def test_what_git_and_tar_make(tmp_path: Path) -> None:
    """A bundle by git, in a tar by the commands that GitLab calls, with a second bundle and an odd member."""

    def do(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    do("git", "init", "-q", "repo")
    do("git", *who, "-C", "repo", "commit", "-q", "--allow-empty", "-m", "first")
    folder = tmp_path / "export"
    (folder / "tree" / "project").mkdir(parents=True)
    for name in ("project.bundle", "project.wiki.bundle"):
        do("git", "-C", "repo", "bundle", "create", str(folder / name), "--all")
    (folder / "VERSION").write_text("0.2.4")
    (folder / "GITLAB_VERSION").write_text("17.5.1-ee")
    (folder / "tree" / "project.json").write_text('{"description": null}')
    (folder / "tree" / "project" / "issues.ndjson").write_text('{"iid": 1}\n{"iid": 2}\n')
    (folder / ("ü" * 120)).symlink_to("VERSION")
    do("tar", "-czf", "made.tar.gz", "-C", "export", ".")
    found = content.read(tmp_path / "made.tar.gz")
    assert (found.problem, found.lines, found.gitlab) == ("", 2, "17.5.1-ee")
    assert {one.outcome for one in content.checks_of(found, "file", empty=False)} == {Outcome.PASSED}
    assert found.made_at is not None


def test_a_file_is_read_in_pieces(tmp_path: Path) -> None:
    """However large its members are, and however many."""
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(15000):
            tar.addfile(tarfile.TarInfo(f"./uploads/{number}"))
        lines = tarfile.TarInfo("./tree/project/issues.ndjson")
        lines.size = 48 << 20
        tar.addfile(lines, io.BytesIO((b'"' + b"x" * (12 << 20) + b'"\n').ljust(16 << 20, b"\n") * 3))
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(tape.getvalue(), 1))
    tracemalloc.start()
    found = content.read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.problem, found.members, found.lines) == ("", 15001, 3)
    assert most < 16 << 20
