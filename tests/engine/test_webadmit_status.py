"""WebAdMIT's words: each in both spellings, and nothing else; and what a key may be used for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flows.errors import SourceUnexpected
from flows.export import State
from flows.sources.webadmit_budget import BURST, OVER_S, Budget, over, retry_after_s
from flows.sources.webadmit_status import LOOKS, STATES, Said, state_of, status_of

NOW = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


def _spellings(word: str) -> list[str]:
    """As batches write it, as exports do, and as people might."""
    return [word, word.replace("_", " ").title(), word.upper(), word.replace("_", "-"), f" {word} "]


@pytest.mark.parametrize("word", STATES)
def test_both_spellings_mean_the_same(word: str) -> None:
    """`In Progress` and `in_progress` are one state: who knows only one waits for ever on a finished file."""
    assert {state_of(spelling) for spelling in _spellings(word)} == {STATES[word]}


def test_every_end_ends() -> None:
    """Failed, empty and half-successful runs are ends of their own: no loop waits for `Available`."""
    said = {word: status_of(Said(word, link=True), linkless=0, at=NOW).state for word in STATES}

    assert said == STATES
    assert [word for word, state in said.items() if state.waits] == ["initializing", "queued", "in_progress"]


@pytest.mark.parametrize("word", ["", "Done", "avail able", "https://example.org/x", None, 7, ["Available"]])
def test_an_unknown_word_is_nothing(word: object) -> None:
    """It is neither running nor done, and a message repeats little of it."""
    with pytest.raises(SourceUnexpected, match="is not known") as raised:
        state_of(word)

    assert len(str(raised.value)) < 100


def test_available_without_a_link_is_asked_for_three_times() -> None:
    """Then it is an answer that nobody knows, and not a job that runs for ever."""
    said = Said("Available", link=False)

    assert [status_of(said, linkless=number, at=NOW).state for number in range(LOOKS)] == [State.RUNNING] * LOOKS
    with pytest.raises(SourceUnexpected, match="has no link"):
        status_of(said, linkless=LOOKS, at=NOW)


def test_errors_without_a_file_are_a_failure() -> None:
    """With a file they are a partial export."""
    assert status_of(Said("Success With Errors", link=False), linkless=0, at=NOW).state is State.FAILED
    assert status_of(Said("success_with_errors", link=True), linkless=0, at=NOW).state is State.READY_PARTIAL


# -- the key's allowance


def test_our_share_of_the_allowance() -> None:
    """In an hour no more than a tenth of what the key has, beside what comes at once in the beginning."""
    budget, now, asked = Budget(), 0.0, 0
    while now < 3600:
        wait = budget.wait_s(now)
        if not wait:
            budget, asked = budget.spent(now), asked + 1
        now += max(wait, 0.001)

    assert 500 <= asked <= 500 + BURST + 1


def test_what_is_left_is_heeded() -> None:
    """Where others have used the key up, we ask every half minute at most."""
    budget = Budget().spent(10).told({"x-ratelimit-limit": "5000", "x-ratelimit-remaining": "249"})

    assert budget.wait_s(11) == 29
    assert budget.wait_s(41) == 0
    assert budget.told({"x-ratelimit-remaining": "4000"}).wait_s(11) == 0


def test_a_configured_rate() -> None:
    """It stands in the place of our share; 0 is no limit."""
    used = Budget(per_s=2.0, saved=0.5, at=100)

    assert used.wait_s(100) == 0.25
    assert Budget(per_s=0, saved=0).wait_s(0) == 0


def test_headers_that_are_none() -> None:
    """What is no number changes nothing."""
    assert Budget().told({"x-ratelimit-limit": "many", "x-ratelimit-remaining": ""}) == Budget()


def test_the_status_of_a_used_up_allowance() -> None:
    """It is not documented: 429, or a 403 that says that nothing remains."""
    assert over(429, {})
    assert over(403, {"x-ratelimit-remaining": "0"})
    assert not over(403, {"x-ratelimit-remaining": "17"})
    assert not over(403, {})


def test_how_long_a_refusal_asks_to_wait() -> None:
    """Seconds or an instant by the server's clock, an hour at most; else a minute, or the hour that is used up."""
    later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    assert retry_after_s({"retry-after": "17"}, NOW) == 17
    assert retry_after_s({"retry-after": "999999"}, NOW) == 3600
    assert retry_after_s({"retry-after": later}, NOW) == 90
    assert retry_after_s({"retry-after": later}, None) == OVER_S
    assert retry_after_s({"retry-after": "soon"}, NOW) == OVER_S
    assert retry_after_s({}, NOW) == OVER_S
    assert retry_after_s({"x-ratelimit-remaining": "7"}, NOW) == OVER_S
    assert retry_after_s({"x-ratelimit-remaining": "0"}, NOW) == 3600
