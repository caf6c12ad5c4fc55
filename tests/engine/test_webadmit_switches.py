"""Every switch of the demo's WebAdMIT, one night each: what the user sees, what catalog, archive and server tell.

No run hangs, none that was not proven is called verified, none costs the older snapshot, the next one is well; and
the key never reaches the store, links are opened as they were given, and neither is written anywhere. The table is
in webadmit_switches.py. What people do at WebAdMIT, and no switch does, has a test of its own below.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain

import pytest

from flows.demo.webadmit_faults import SWITCHES
from flows.errors import Exit
from storage.records import Ended, RunRecord
from storage.verify import Outcome
from tests.engine.bench import check, verified
from tests.engine.school import NIGHTLY, PAPERS, School
from tests.engine.webadmit_switches import CASES, Case

UNPROMISED = {"size", "crc32", "level"}  # WebAdMIT promises nothing, and one night is no trend


@pytest.fixture(autouse=True)
def silent(school: School, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happened: neither key nor link is anywhere but where it belongs."""
    caplog.set_level(logging.DEBUG)
    yield
    school.assert_silent(caplog.text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_switch(school: School, case: Case) -> None:
    """The end, its words, the runs that were started, the same in catalog and archive; then a good night.

    With `keep_last = 1` even a run that keeps something that does not count must leave the older snapshot alone.
    """
    older = school.snapshot(school.run(case.scope))
    content = school.content(older)
    school.world.pass_nights()
    before = len(school.ours())
    set_switches(school, case)

    record = school.run(case.scope, **case.table, policy={"keep_last": 1})

    assert (record.ended, record.exit_code) == (case.ended, case.exit)
    assert record.ended_at - record.started_at <= case.within
    assert missing(case.reason, record.reason) == missing(case.hint, record.hint) == []
    assert len(record.reason) < 500
    school.recorded(record)
    assert len(school.ours()) - before == case.runs
    assert school.world.callbacks.sent == []
    first, *new = school.archive.snapshots()
    assert (first.id, school.content(first)) == (older.id, content)
    assert [found.id for found in new] == ([record.snapshot] if case.ended.kept else [])
    assert [verified(found) for found in new] == ([case.ended is Ended.VERIFIED] if case.ended.kept else [])
    if case.ended in (Ended.VERIFIED, Ended.PARTIAL) and "object_changes" not in case.switches:
        assert sorted(school.content(new[0]).values()) == sorted(school.made(record))
    if case.ended is Ended.VERIFIED:
        assert_well(school, record, case)
    elif case.ended is not Ended.PARTIAL:
        assert record.hint
    assert_next_is_well(school, case)


def set_switches(school: School, case: Case) -> None:
    export = school.world.export()
    start = f"/api/v1/user_identities/{export.identity_id}/exports/{export.id}/export_files"
    given = {name: start if value == "{start}" else value for name, value in case.switches.items()}
    school.world.faults.set(times=case.times, **given)
    if case.renewed:
        school.give_every_key()


def assert_well(school: School, record: RunRecord, case: Case) -> None:
    """Verified, with every question passed but those that nobody could answer."""
    assert (record.reason, record.hint) == ("", "")
    silent = {one.name: one.reason for one in record.checks if one.outcome is not Outcome.PASSED}
    assert {one.outcome for one in record.checks} <= {Outcome.PASSED, Outcome.NOT_AVAILABLE}
    assert silent.keys() - UNPROMISED == case.silent.keys()
    assert [name for name, words in case.silent.items() if words not in silent[name]] == []
    assert case.told in check(record, "asked for tonight").got
    assert school.catalog.jobs.open(record.key) is None
    assert list(school.spool.glob("*")) == []


def assert_next_is_well(school: School, case: Case) -> None:
    """The next night is verified, by the run that is there already where that is of use."""
    school.world.faults.reset()
    school.give_key()
    if case.then == "ends":
        for run in school.ours():
            run.ends_at = min(run.ends_at, school.clock.now())
    elif case.then == "days":
        school.world.pass_nights(2)
    before = len(school.ours())
    record = school.run(case.scope)

    ended = Ended.QUARANTINED if "zips" in case.switches else Ended.VERIFIED  # of three files two are missing
    assert (record.ended, len(school.ours()) - before) == (ended, case.next_runs), record.reason


def missing(words: tuple[str, ...], text: str) -> list[str]:
    return [word for word in words if word not in text]


def test_no_switch_is_without_a_night() -> None:
    """A switch that is new in the demo server must say here what becomes of a night."""
    assert set(chain.from_iterable(case.switches for case in CASES)) == set(SWITCHES)


# -- what people do at WebAdMIT


def test_a_new_cycle(school: School) -> None:
    """The same words mean the new identity and the new export from the night on: one chain, and a note of it."""
    first = school.run()
    old = school.world.export()
    school.world.roll_over(retire=True)
    new = school.world.export()
    school.world.pass_nights(60)
    record = school.run()

    assert (new.id, new.identity_id) != (old.id, old.identity_id)
    assert record.key == first.key
    assert school.ours()[-1].template_id == new.id
    assert record.ended in (Ended.VERIFIED, Ended.QUARANTINED)  # a new cycle has few applicants
    (note,) = [n for n in school.snapshot(record).manifest.draft.notes if n.startswith("identity: ")]
    assert note.endswith(school.world.identity().cycle or "?")


def test_a_new_cycle_without_its_exports(school: School) -> None:
    """Nobody has transferred them: an alarm, and nothing is taken from the year before."""
    school.run()
    school.world.roll_over(transfer=False)
    record = school.run()

    assert (record.ended, record.exit_code, record.snapshot) == (Ended.FAILED, Exit.USAGE, "")
    assert "Transfer Settings" in record.hint
    assert len(school.ours()) == 1


def test_two_exports_of_one_name(school: School) -> None:
    """Nothing is chosen by its place."""
    school.world.office.add_export(school.world.export().identity_id, "Nightly applicants", "all", "Website HTML")
    record = school.run()

    assert (record.exit_code, school.ours()) == (Exit.USAGE, [])
    assert "2 things are called export 'Nightly applicants'" in record.reason


@pytest.mark.parametrize("scope", [NIGHTLY, PAPERS])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_of_somebody_elses(school: School, scope: str, fresh: bool) -> None:
    """It is waited for, and a fresh one made after it; or taken as it is where that is wanted, and told."""
    template = school.world.export().id if scope == NIGHTLY else school.world.template().id
    theirs = school.world.start_elsewhere(template, ago_s=10, by="colleague")
    record = school.run(scope if fresh else f"{scope}\nfresh = false")

    found = school.snapshot(record).manifest.draft.job
    assert record.ended is Ended.VERIFIED
    assert (found["adopted"], found["id"] == theirs.id) == (("no", False) if fresh else ("yes", True))
    assert len(school.ours()) == (1 if fresh else 0)
    assert sorted(school.content(school.snapshot(record)).values()) == sorted(school.made(record))
    asked = check(record, "asked for tonight")
    assert ("adopted" in asked.reason, asked.outcome is Outcome.PASSED) == (not fresh, fresh)


def test_a_run_of_somebody_elses_that_the_list_does_not_show(school: School) -> None:
    """The list shows the newest alone: a run with a lower number than one in it was there before as well."""
    theirs = school.world.start_elsewhere(school.world.export().id, ago_s=10, by="colleague")
    school.world.start_elsewhere(school.world.export("Everything").id, ago_s=5, by="colleague")
    school.world.faults.set(short_list=1)
    record = school.run()

    assert record.ended is Ended.VERIFIED
    assert school.snapshot(record).manifest.draft.job["id"] > theirs.id
    assert len(school.ours()) == 1


def test_runs_of_others_are_left_alone(school: School) -> None:
    """The schedule's, colleagues' and other exports', ended and running, are neither taken nor touched."""
    for name in ("Everything", "Nightly applicants"):
        school.world.start_elsewhere(school.world.export(name).id, ago_s=3600)
    school.world.start_elsewhere(school.world.export("Everything").id, ago_s=1)
    school.world.faults.set(lose_start_answer=True)
    before = list(school.runs())
    record = school.run()

    (ours,) = school.ours()
    assert record.ended is Ended.VERIFIED
    assert school.snapshot(record).manifest.draft.job["id"] == ours.id
    assert [run for run in school.runs() if run is not ours] == before
    assert {seen.method for seen in school.server.requests} == {"GET", "POST"}


def test_the_files_of_a_batch(school: School) -> None:
    """Several ZIPs are one snapshot, by names that stay the same each night."""
    school.world.faults.set(zips=3)
    record = school.run(PAPERS)

    names = ["Full applications.zip", "Full applications 2.zip", "Full applications 3.zip"]
    assert school.content(school.snapshot(record)) == dict(zip(names, school.made(record), strict=True))


def test_a_download_goes_on_where_it_broke(school: School) -> None:
    """By range: no byte is fetched twice. By a new link each time: the one before has expired until then."""
    school.world.faults.set(times=2, cut_after=2000, link_life_s=1.0)
    record = school.run()

    assert [seen.status for seen in school.server.store_requests] == [200, 206, 206]
    assert min(school.clock.slept[-2:]) > 1
    assert record.bytes_fetched == sum(map(len, school.made(record)))


def test_a_range_that_is_ignored(school: School) -> None:
    """What comes from the beginning again is not put behind what is there."""
    school.world.faults.set(times=1, cut_after=2000, no_range=True)
    record = school.run()

    assert [seen.status for seen in school.server.store_requests] == [200, 200]
    assert list(school.content(school.snapshot(record)).values()) == school.made(record)


def test_an_object_that_changed_is_fetched_whole(school: School) -> None:
    """No file is made of two."""
    school.world.faults.set(times=1, cut_after=2000, object_changes=True)
    record = school.run()

    assert [seen.status for seen in school.server.store_requests] == [200, 200]
    assert list(school.content(school.snapshot(record)).values()) == school.made(record)
