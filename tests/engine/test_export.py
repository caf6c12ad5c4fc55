"""The pure rules of an export's life: what to do with an open job, when to ask again, values as JSON and back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.export import (
    Account,
    ExportFile,
    Intent,
    JobRef,
    Pace,
    Resume,
    Scope,
    State,
    Status,
    plan_resume,
    shown,
    without_secrets,
)
from storage.verify import Promise

NOW = datetime(2026, 11, 16, 2, 30, 0, 123456, UTC)
DAY = timedelta(hours=20)

INTENT = Intent(
    Scope("group:7", "group", "7", {"format": "xml", "ids": [3, 1], "revisions": True}),
    Account("mrossi", "2.25.0", NOW),
    NOW + timedelta(minutes=1),
    {"newest": [1, {"deep": None}]},
)
REF = JobRef({"id": 23, "batch": "ä"}, NOW, "unknown")
FILE = ExportFile("räume.zip", Promise(5, 0xFFFFFFFF, "ab" * 32), "application/zip", {"part": 1})
STATUS = Status(State.READY, "COMPLETED", "fine", 1.0, None, NOW, NOW, (FILE, replace(FILE, promised=Promise())))


@pytest.mark.parametrize(
    ("same", "asked", "known", "ready", "old", "expected"),
    [
        (True, False, False, False, False, Resume.ASK),
        (True, False, False, False, True, Resume.RENEW),
        (True, True, False, False, False, Resume.RECOVER),
        (True, True, False, False, True, Resume.RENEW),
        (True, True, True, False, False, Resume.GO_ON),
        (True, True, True, False, True, Resume.GO_ON),
        (True, True, True, True, False, Resume.GO_ON),
        (True, True, True, True, True, Resume.RENEW),
        (False, False, False, False, False, Resume.RENEW),
        (False, True, True, True, False, Resume.RENEW),
    ],
)
def test_what_becomes_of_an_open_job(
    same: bool, asked: bool, known: bool, ready: bool, old: bool, expected: Resume
) -> None:
    """The table of resumption: a running job is waited for at any age, a stale finished one is renewed."""
    opened_at = NOW - DAY - timedelta(seconds=1 if old else 0)

    got = plan_resume(
        same_request=same, asked=asked, known=known, ready=ready, opened_at=opened_at, now=NOW, fresh_for=DAY
    )

    assert got is expected


jitters = st.floats(0, 1)


@given(st.integers(0, 10_000), jitters, st.none() | st.floats(0, 1e6))
def test_a_gap_is_never_shorter_than_asked_for_and_bounded_otherwise(
    asked: int, jitter: float, after_s: float | None
) -> None:
    """Whatever the number of questions: at least what the server said, at most a fifth over the longest."""
    gap = Pace(first_s=5, longest_s=45).gap(asked, jitter=jitter, retry_after_s=after_s)

    assert gap >= (after_s or 0)
    assert 5 * 0.8 <= gap <= max(45 * 1.2 + 1e-9, after_s or 0)


@given(st.integers(0, 200), jitters)
def test_gaps_grow_with_the_number_of_questions(asked: int, jitter: float) -> None:
    """With the same dice the next gap is never shorter."""
    pace = Pace(first_s=2, longest_s=60)

    assert pace.gap(asked + 1, jitter=jitter) >= pace.gap(asked, jitter=jitter)


@given(st.integers(0, 50), jitters, jitters)
def test_the_dice_spread_by_a_fifth_either_way(asked: int, one: float, other: float) -> None:
    """Two clients with other dice differ, and by no more than the spread."""
    pace = Pace(first_s=5, longest_s=45)
    low, high = sorted((pace.gap(asked, jitter=one), pace.gap(asked, jitter=other)))

    assert high <= low * 1.5 + 1e-9
    assert pace.gap(asked, jitter=0) < pace.gap(asked, jitter=1)


def test_values_survive_the_way_into_another_process() -> None:
    """Intent, job and status, written as JSON here, are the same values when a new process writes them again."""
    here = json.dumps([INTENT.to_json(), REF.to_json(), STATUS.to_json()], sort_keys=True)
    program = (
        "import json, sys; from flows.export import Intent, JobRef, Status;"
        "given = json.load(sys.stdin);"
        "made = [kind.from_json(value) for kind, value in zip((Intent, JobRef, Status), given)];"
        "print(json.dumps([value.to_json() for value in made], sort_keys=True))"
    )

    done = subprocess.run([sys.executable, "-c", program], input=here, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == json.loads(here)
    intent, ref, status = json.loads(here)
    assert (Intent.from_json(intent), JobRef.from_json(ref)) == (INTENT, REF)
    assert Status.from_json(status) == replace(STATUS, progress=None)
    assert ExportFile.from_json(FILE.to_json()) == FILE


def test_an_account_without_a_clock_survives_too() -> None:
    """A system that sends no Date header gives None, not the beginning of time."""
    intent = replace(INTENT, account=Account("a", "1", None))

    assert Intent.from_json(intent.to_json()).account.server_time is None


@pytest.mark.parametrize("broken", [{}, {"scope": {}}, {**INTENT.to_json(), "prepared_at": "yesterday"}])
def test_an_intent_of_another_shape_is_refused(broken: dict[str, object]) -> None:
    """Nothing is guessed from a row that another version wrote."""
    with pytest.raises((KeyError, ValueError, TypeError)):
        Intent.from_json(broken)


def test_every_state_is_waited_for_or_ready_or_an_end() -> None:
    """No state is two things, and six of eight end the waiting."""
    assert [state for state in State if state.waits] == [State.PENDING, State.RUNNING]
    assert [state for state in State if state.ready] == [State.READY, State.READY_PARTIAL]


def test_a_job_s_key_does_not_depend_on_the_order_of_its_handle() -> None:
    """Two refs of one job name it alike."""
    assert JobRef({"b": 1, "a": 2}, NOW).key == JobRef({"a": 2, "b": 1}, NOW).key == "a=2,b=1"


@given(st.text(max_size=200))
def test_a_shown_name_is_short_and_keeps_its_ends(name: str) -> None:
    """At most 33 characters, the beginning and the ending of the name."""
    text = shown(name)

    assert len(text) <= 33
    assert text == name or (name.startswith(text[:28]) and name.endswith(text[-4:]))


@pytest.mark.parametrize("who", ["u1", "mrossi", "a-rather-long-user-name", "SELECTION"])
@pytest.mark.parametrize("form", ["xml", "html"])
def test_a_shown_name_never_tells_the_random_part(who: str, form: str) -> None:
    """The fourteen random characters of an RSpace file are what protects it; at most a few of them may be seen."""
    random_part = "x_Yz012345ABCD"

    text = shown(f"RSpace-2026-08-21-18-28-{form}-{who}-{random_part}.zip")

    assert all(random_part[i : i + 4] not in text for i in range(len(random_part) - 3))


def test_secrets_are_cut_out_of_any_text() -> None:
    """Every occurrence goes; an empty secret changes nothing."""
    assert without_secrets("key abc and abc, not def", ("abc", "")) == "key *** and ***, not def"
