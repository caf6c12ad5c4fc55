"""The seventeen points that every dialect must bear (contract webadmit.md, section B5), as one class of tests.

A new system fills in a `Site` over its bench and its demo server, and has a class `TestX(Contract)` with a fixture
`site` that gives it. What its capabilities say cannot happen is skipped. Systems that came before this class have
tests of their own; the table in test_conformance.py knows both.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from flows.errors import Exit
from flows.lifecycle import Engine
from flows.sources.base import Capabilities, Source
from storage.archive import Archive
from storage.backend import open_url
from storage.records import Ended, RunRecord
from tests.engine.bench import Dying, Killed, TravellingClock, carry

Switches = Mapping[str, Any]  # of the demo server's
KEY = "STRONGROOM_TEST_KEY"  # the environment variable that holds the secret of a process


@dataclass(frozen=True)
class Live:
    """A server by the real time, for a process of its own."""

    source: str  # lines of [[source]] and [[source.scope]]: name "site", scope "it", the secret by { env = KEY }
    secret: str
    starts: Callable[[], int]


@dataclass
class Site:
    """A dialect on its bench, with one scope, and how its demo server is made to go wrong."""

    capabilities: Capabilities
    folder: Path  # configuration, state and archive
    archive: Archive
    clock: TravellingClock
    secrets: set[str]  # every one that there ever was; new ones are added
    secret_files: set[str]  # where they may stand
    engine: Callable[..., Engine]  # engine(wrap=…, **keys of [[source]])
    set: Callable[..., None]  # switches, times=…
    reset: Callable[[], None]
    requests: Callable[[], int]  # so far
    links: Callable[[], int]  # that were asked for, where a link and its file are two; else openings of the file
    starts: Callable[[], int]  # that we asked for
    served: Callable[[], bytes]  # the newest file, as the server has it
    colleague: Callable[[], Callable[[], bytes]]  # starts one now; gives how to get its file once it has ended
    left_over: Callable[[], bytes]  # somebody's export that ended before; its file
    give_secret: Callable[[], None]  # put the server's newest secret where the source reads it
    live: Callable[[], AbstractContextManager[Live]]
    killed_at: str  # the class whose verbs a process is killed in, as "module:Class"
    cut: Switches  # a download breaks off
    stale_link: Switches  # a link is too old when it is used
    lengths: tuple[Switches, ...]  # bodies that are shorter, and longer, than was said
    pages: tuple[Switches, ...]  # something else comes in the file's place, as a success
    word: Switches  # a status that nobody knows
    for_ever: Switches  # no end
    dead_secret: Switches  # 401 without a body
    new_secret: Switches  # a new one is made while an export is asked for
    nothing: tuple[Switches, ...]  # it ends, and there is nothing to fetch
    part: tuple[Switches, ...]  # it ends, and something is missing
    told: tuple[str, ...] = field(default=())  # further secrets that no file may hold, such as parts of links

    def run(self, **keys: Any) -> RunRecord:
        """One night."""
        return carry(self.engine(**keys))

    def content(self, record: RunRecord) -> list[bytes]:
        """The files that a run kept, out of the archive."""
        found = self.archive.find(record.snapshot)
        reader = self.archive.reader(found)
        return [b"".join(reader.chunks(entry)) for entry in self.archive.entries(found)]

    def assert_silent(self, log: str) -> None:
        """Assert that neither secret nor link stands anywhere but where it belongs."""
        files = [one for one in self.folder.rglob("*") if one.is_file() and one.name not in self.secret_files]
        held = log.encode() + b"".join(one.read_bytes() for one in files)
        assert [text for text in (*self.secrets, *self.told) if text.encode() in held] == []

    def assert_next_is_well(self) -> None:
        """With nothing wrong any more the next night is verified, and keeps what the server has."""
        self.reset()
        self.give_secret()
        record = self.run()
        assert (record.ended, record.reason) == (Ended.VERIFIED, "")
        assert self.content(record) == [self.served()]


class Twice:
    """A source each of whose files is opened once in vain before."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def open(self, *given: Any, **named: Any) -> Any:
        with self._source.open(*given, **named):
            return self._source.open(*given, **named)


class Watched:
    """A source that remembers by which receipts it was told to clean up, and whether that snapshot was there."""

    def __init__(self, source: Source, archive: Archive) -> None:
        self._source, self._archive = source, archive
        self.receipts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def cleanup(self, ref: Any, receipt: Any) -> None:
        assert self._archive.find(receipt.snapshot)
        self.receipts.append(receipt.snapshot)
        self._source.cleanup(ref, receipt)


class Contract:
    """The points, in the order of the table. `site` is the subclass's fixture."""

    @pytest.mark.parametrize("step", ["prepare", "start", "poll", "open", "storage.backend:LocalDisk.put_new"])
    def test_a_killed_process_is_gone_on_with(self, site: Site, tmp_path: Path, step: str) -> None:
        """What is kept of a question and of its job is enough for another process: verified, by the one run."""
        archive = Archive.create(open_url(str(tmp_path / "archive")), now=datetime.now(UTC))
        with site.live() as live:
            (tmp_path / "strongroom.toml").write_text(live.source)
            where = step if ":" in step else f"{site.killed_at}.{step}"
            assert process(tmp_path, live.secret, "site", where, 1) is None
            answer = process(tmp_path, live.secret, "site", "none", 0)

            assert answer is not None
            assert answer["ended"] == "verified", answer
            assert live.starts() == 1
        assert len(archive.snapshots()) == 1

    def test_each_opening_asks_for_a_link(self, site: Site) -> None:
        """Of two openings the second uses nothing of the first."""

        def links(wrap: Callable[[Source], Source]) -> int:
            site.clock.sleep(3600)
            before = site.links()
            assert carry(site.engine(wrap=wrap)).ended is Ended.VERIFIED
            return site.links() - before

        assert links(lambda source: cast(Source, Twice(source))) - links(lambda source: source) == 1

    def test_nothing_secret_is_written(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        """In no night of those that go wrong by a link, a page or a key."""
        caplog.set_level(logging.DEBUG)
        for wrong in (*site.pages, site.stale_link, site.cut, site.dead_secret, site.new_secret, {}):
            site.set(**wrong)
            record = site.run()
            site.reset()
            site.give_secret()
            site.assert_silent(caplog.text + record.reason + record.hint)

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize(
        "verb", ["login", "discover", "prepare", "start", "poll", "files", "open", "inspect", "witness"]
    )
    def test_a_death_inside_a_verb(self, site: Site, verb: str, after: bool) -> None:
        """One run, even where the process died between the answer to the question and our note of it."""
        with pytest.raises(Killed):
            carry(site.engine(wrap=lambda source: cast(Source, Dying(source, verb, after=after))))
        record = site.run()

        assert record.ended is Ended.VERIFIED
        assert site.starts() == 1
        assert [found.id for found in site.archive.snapshots()] == [record.snapshot]

    def test_an_unknown_word_is_neither_done_nor_running(self, site: Site) -> None:
        """The run ends when patience does, and keeps nothing."""
        site.set(**site.word)
        record = site.run()
        assert (record.ended, record.exit_code, record.snapshot) == (Ended.FAILED, Exit.VENDOR, "")
        assert record.hint
        site.assert_next_is_well()

    def test_what_broke_off_is_fetched_whole(self, site: Site) -> None:
        """Of a system without ranges: no part is kept for a tail, of this file or of another one."""
        assert not site.capabilities.ranges, "a system with ranges needs tests of its own: see webadmit_switches"
        site.set(times=1, **site.cut)
        record = site.run()
        assert (record.ended, site.content(record)) == (Ended.VERIFIED, [site.served()])

    def test_a_link_that_expires_between_two_tries(self, site: Site) -> None:
        """The next try has another one."""
        site.set(times=1, **site.stale_link)
        record = site.run()
        assert (record.ended, site.content(record)) == (Ended.VERIFIED, [site.served()])

    def test_a_short_body_and_a_long_one(self, site: Site) -> None:
        """Neither is verified, and the job is remembered or a new one asked for."""
        for wrong in (*site.lengths, site.cut):
            site.set(**wrong)
            assert site.run().ended in (Ended.FAILED, Ended.QUARANTINED)
            site.assert_next_is_well()

    def test_a_page_is_no_file(self, site: Site) -> None:
        """Whatever its status says; nothing of it is kept."""
        for wrong in site.pages:
            site.set(**wrong)
            record = site.run()
            assert (record.ended, record.snapshot) == (Ended.FAILED, "")
            site.assert_next_is_well()

    def test_a_run_of_somebody_elses_is_told(self, site: Site) -> None:
        """What is kept is ours; or it is theirs, and says so."""
        theirs = site.colleague()
        record = site.run()
        adopted = site.archive.find(record.snapshot).manifest.draft.job["adopted"]
        assert record.ended is Ended.VERIFIED
        assert (site.content(record) == [theirs()]) == (adopted != "no")

    def test_nothing_and_a_part_are_no_success(self, site: Site) -> None:
        """A file that lacks something never counts; an end without a file keeps nothing."""
        for wrong in (*site.nothing, *site.part):
            site.set(**wrong)
            record = site.run()
            assert record.ended not in (Ended.VERIFIED, Ended.UNCHANGED)
            assert record.reason
            assert bool(record.snapshot) == (wrong in site.part)
            site.assert_next_is_well()

    def test_a_bare_refusal(self, site: Site) -> None:
        """Exit 12 at once: a key that is dead does not live again by being asked about."""
        site.run()
        site.set(**site.dead_secret)
        before = site.requests()
        record = site.run()

        assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.AUTHENTICATION)
        assert site.requests() - before == 1
        assert record.hint

    def test_what_is_somebody_elses_is_not_taken(self, site: Site) -> None:
        """An export that ended before we asked is there, and is not ours."""
        theirs = site.left_over()
        record = site.run()
        assert record.ended is Ended.VERIFIED
        assert theirs not in site.content(record) == [site.served()]

    def test_a_clean_up_has_its_receipt(self, site: Site) -> None:
        """Once, when the snapshot is there; and never after a night that kept nothing."""
        watched: list[Watched] = []

        def night() -> RunRecord:
            def wrap(source: Source) -> Source:
                watched.append(Watched(source, site.archive))
                return cast(Source, watched[-1])

            return carry(site.engine(wrap=wrap))

        site.set(**site.cut)
        assert (night().ended, watched[-1].receipts) == (Ended.FAILED, [])
        site.reset()
        record = night()
        assert (record.ended, watched[-1].receipts) == (Ended.VERIFIED, [record.snapshot])

    def test_a_new_key_in_the_middle_of_the_night(self, site: Site) -> None:
        """Refused where nobody put the new one in place; the job is remembered, and gone on with by it."""
        site.set(**site.new_secret)
        record = site.run()
        assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.AUTHENTICATION)
        site.assert_next_is_well()
        assert site.starts() == 1

    def test_there_is_an_end_to_waiting(self, site: Site) -> None:
        """At the ceiling, with words for who must look."""
        site.set(**site.for_ever)
        began = site.clock.now()
        record = site.run(ceiling_s=3600.0)
        assert (record.ended, record.exit_code) == (Ended.LOST, Exit.VENDOR)
        assert record.hint
        assert site.clock.now() - began < timedelta(minutes=70)


def process(folder: Path, secret: str, source: str, step: str, count: int) -> dict[str, Any] | None:
    """One night of the source's scope "it" in a process of its own; None where it was killed, as told."""
    config, now = str(folder / "strongroom.toml"), datetime.now(UTC).isoformat()
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.driver", config, source, "it", step, str(count), "after", now],
        env={**os.environ, KEY: secret},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode == -9:
        return None
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
