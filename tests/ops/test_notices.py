"""What nights and prunes tell the watch, as values: of lists, of members, of retention."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from flows.backup import _note
from flows.errors import Exit
from flows.night import Found
from flows.retaining import LOOK, carry_out, freed_by, in_the_way, plan_for
from storage.backend import LocalDisk
from storage.catalog import Catalog
from storage.errors import BackendFailed, Busy, ObjectCorrupt, StorageError
from storage.planning import Plan, ScopePlan
from storage.policy import Policy, Span
from storage.prune import Freed
from storage.records import LISTING, PRUNE, VANISHED
from storage.retention import Candidate, Verdict
from storage.snapshot import ScopeKey
from tests.doubles import LAB, NIGHT, OFFICE, START, new_archive, write

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
EVERY = "lab/every user"


def scope_plan(name: str, *verdicts: Verdict, refused: str = "", hint: str = "") -> ScopePlan:
    policy = Policy(keep_at_most=Span(days=90))
    return ScopePlan(ScopeKey("lab", name), policy, {}, {}, verdicts, {}, refused, hint=hint)


def verdict(number: int, *, keep: bool, must_go: bool = False) -> Verdict:
    return Verdict(Candidate(f"{number:064x}", number, NOW, counts=True), keep, ("a reason",), must_go=must_go)


GOING = (verdict(2, keep=False), verdict(1, keep=True))
WAITING = (verdict(1, keep=True, must_go=True),)


def test_a_plan_that_goes_through_takes_back_what_was_said_of_its_scopes() -> None:
    """An empty answer for each of them, and none for others."""
    made = Plan((scope_plan("user", *GOING), scope_plan("user:2")))

    assert in_the_way(made, "") == {"lab/user": {}, "lab/user:2": {}}


def test_a_fuse_is_told_of_the_source_by_those_that_would_lose_something() -> None:
    """Thirty scopes of a changed policy are one trouble."""
    told = in_the_way(Plan((scope_plan("user", *GOING), scope_plan("user:2", verdict(1, keep=True)))), "5 of 6")

    assert told == {"lab/user": {"lab": ("retention let nothing go: 5 of 6", LOOK)}, "lab/user:2": {}}


def test_what_is_refused_and_what_waits_is_told_of_its_scope() -> None:
    """With the hint that the plan has, where it has one."""
    refused = scope_plan("user", *GOING, refused="number 3 is damaged", hint="`strongroom scrub`")
    told = in_the_way(Plan((refused, scope_plan("user:2", *WAITING))), "")

    assert told["lab/user"] == {
        "lab/user": ("retention let nothing go: number 3 is damaged", "`strongroom scrub`")
    }
    sentence, hint = told["lab/user:2"]["lab/user:2"]
    assert sentence.endswith("waiting for a person: 1 of 1 snapshots, the last copies that there are")
    assert hint == LOOK


def test_a_list_that_failed_tells_of_the_list_and_nothing_of_members() -> None:
    """Who had vanished before is neither back nor gone once more."""
    told = Found(
        "lab", "every user", None, tried=4, trouble="refused", hint="a key", exit=Exit.AUTHENTICATION
    ).notices()

    reason = "listing failed: refused; those known from earlier nights are tried: 4"
    assert told == {LISTING: {EVERY: (reason, "a key")}}


def test_a_list_tells_who_has_vanished() -> None:
    """And that all is well with the list itself."""
    told = Found("lab", "every user", 3, vanished=("user:4",)).notices()

    assert told[LISTING] == {}
    assert list(told[VANISHED]) == ["lab/user:4"]
    assert "no longer listed for every user" in told[VANISHED]["lab/user:4"][0]
    assert Found("lab", "every user", 3).notices() == {LISTING: {}, VANISHED: {}}


def test_an_empty_list_is_told_with_all_who_have_vanished() -> None:
    """A credential that may see nobody looks like that."""
    told = Found("lab", "every user", 0, vanished=("user:4",)).notices()

    assert told[LISTING][EVERY][0] == "listing empty: nobody is listed"
    assert list(told[VANISHED]) == ["lab/user:4"]


@pytest.mark.parametrize(
    ("error", "about", "why"),
    [
        (ObjectCorrupt("Jane Doe.zip: cut"), "lab/user", "ObjectCorrupt; the log says of what"),
        (BackendFailed("packs: Permission denied"), "lab", "packs: Permission denied"),
    ],
    ids=["a scope's", "the place's"],
)
def test_what_failed_is_told_of_its_scope_or_of_the_source(error: StorageError, about: str, why: str) -> None:
    """One scope's damage is that scope's, without the names of files; a place that refuses is one trouble."""
    made = Plan((scope_plan("user", *GOING, *WAITING), scope_plan("user:2", *GOING)))
    told = in_the_way(made, "", {made.scopes[0].key: error})

    assert told["lab/user"][about] == (f"retention did not go through: {why}", error.hint or LOOK)
    assert ("waiting for a person" in told["lab/user"].get("lab/user", ("",))[0]) is (about == "lab")
    assert told["lab/user:2"] == {}


def test_retention_that_cannot_write_is_told_until_it_can(tmp_path: Path) -> None:
    """The first scope's failure ends it; of those that were not tried nothing is said, and nothing taken back."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    for key in (LAB, OFFICE):
        for night in range(4):
            write(archive, {"a": b"%d" % night}, key=key, night=night)
    scratch = tmp_path / "archive" / "tmp"  # where each file begins
    scratch.rmdir()
    scratch.write_bytes(b"")
    later, before = START + 30 * NIGHT, {str(OFFICE): {str(OFFICE): ("said before", "")}}

    def carry() -> list[str]:
        made = plan_for(archive, (LAB, OFFICE), lambda _: Policy(keep_last=3), now=later)
        with suppress(BackendFailed):
            carry_out(archive, catalog, made, clock=lambda: later)
        return [f"{notice.about}: {notice.sentence}" for notice in catalog.notices.all()]

    with Catalog.open(tmp_path / "c.db") as catalog:
        catalog.notices.say(PRUNE, before, now=START)
        failed, said_before = carry()
        assert failed.startswith(f"{LAB.source}: retention did not go through: ")
        assert said_before == f"{OFFICE}: said before"

        scratch.unlink()
        scratch.mkdir()
        assert carry() == []


def test_space_that_is_not_freed_is_told_until_it_is(tmp_path: Path) -> None:
    """What the place said, what waits for a person; who else is at it is no trouble."""
    said: list[list[str]] = []

    def freeing(end: Freed | StorageError) -> Freed:
        if isinstance(end, StorageError):
            raise end
        return end

    done = Freed((), 0, (), 0, unfinished=False)
    ends = (BackendFailed("packs: Read-only file system"), Busy("the lease"), replace(done, waits="a clock"), done)
    with Catalog.open(tmp_path / "c.db") as catalog:
        for end in ends:
            with suppress(StorageError):
                freed_by(partial(freeing, end), catalog, clock=lambda: NOW)
            said.append([notice.sentence for notice in catalog.notices.all()])

    refused = "space is not freed: packs: Read-only file system"
    assert said == [[refused], [refused], ["space is not freed: a clock"], []]


def test_a_catalog_that_takes_no_notice_costs_no_night(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As on a full disk: it is logged, and the night goes on."""
    with Catalog.open(tmp_path / "c.db") as catalog:
        with sqlite3.connect(tmp_path / "c.db") as database:
            database.execute("drop table notice")
        database.close()

        _note(catalog, [Found("lab", "every user", 3)], NOW)

    assert "the watch is not told of the lists" in caplog.text
