"""Dispatch, liveness and secrets against a real Prefect server, a real serve() and a real worker."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import flow
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    temporary_settings,
)

from flows.orchestration import (
    STUCK_S,
    Ask,
    RunEnd,
    _Server,
    deployment_lives,
    dispatch,
    gives_up,
    is_fresh,
    next_starts,
    prefect_secret,
    run_on_worker,
    slot,
)
from flows.server_at_hand import PrefectTrouble
from tests.orchestration.house import House, wait_until


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=4), max_size=5), st.data())
def test_next_starts_never_starts_a_second_of_one_credential(
    queues: dict[str, list[int]], data: st.DataObject
) -> None:
    """Whatever ends when: one per credential at a time, each queue in its order, nothing lost, nothing stuck."""
    waiting = {credential: list(queue) for credential, queue in queues.items()}
    at_once = data.draw(st.integers(1, 6))
    active: dict[str, int] = {}
    done: dict[str, list[int]] = {credential: [] for credential in queues}
    while any(waiting.values()) or active:
        for credential, item in next_starts(waiting, active, waiting=len(active), ahead=at_once):
            assert credential not in active
            active[credential] = waiting[credential].pop(0)
            assert active[credential] == item
        left = {credential for credential, items in waiting.items() if items}
        assert len(active) == at_once or set(active) >= left
        assert len(active) <= at_once
        ends = data.draw(st.sampled_from(sorted(active)))
        done[ends].append(active.pop(ends))

    assert done == queues


def test_a_silent_server_keeps_no_slot_from_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on without one, and an error of the backup's own is told as it is."""
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "1")
    silent = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_HOME: tmp_path, PREFECT_CLIENT_MAX_RETRIES: 0}

    with temporary_settings(silent), pytest.raises(ZeroDivisionError), slot("lab"):
        raise ZeroDivisionError


def test_a_run_is_called_off_when_nobody_is_there_or_nothing_moves() -> None:
    """Alone beyond the patience, or attended but stuck while none of ours was taken, ran or ended for as long."""
    assert gives_up(61, 61, 0, patience_s=60)
    assert not gives_up(59, 59, 59, patience_s=60)
    assert not gives_up(STUCK_S + 1, 0, STUCK_S, patience_s=60)
    assert gives_up(STUCK_S + 1, 0, STUCK_S + 1, patience_s=60)


def test_a_poll_is_fresh_for_thirty_seconds() -> None:
    """Never polled is not fresh; a clock ahead of ours is."""
    now = datetime(2026, 3, 1, 3, 30, tzinfo=UTC)
    assert is_fresh(now - timedelta(seconds=30), now)
    assert not is_fresh(now - timedelta(seconds=31), now)
    assert not is_fresh(None, now)
    assert is_fresh(now + timedelta(seconds=5), now)


@pytest.mark.server
def test_dispatch_keeps_the_order_of_each_credential_and_reports_failures(served: House) -> None:
    """Two credentials side by side; within one, the next starts after the last ended, well or not."""
    queues = {"key-1": [Ask("lab", "one"), Ask("lab", "bad"), Ask("lab", "two")], "key-2": [Ask("docs", "all")]}
    seen: list[RunEnd] = []

    ended = dispatch(queues, poll_s=0.3, on_change=seen.append)

    ends = {(end.ask.source, end.ask.scope): end for end in ended}
    assert [end.ask.scope for end in ended if end.ask.source == "lab"] == ["one", "bad", "two"]
    assert {key: end.state_type for key, end in ends.items()} == {
        ("lab", "one"): "COMPLETED",
        ("lab", "bad"): "FAILED",
        ("lab", "two"): "COMPLETED",
        ("docs", "all"): "COMPLETED",
    }
    assert "the vendor said no" in ends["lab", "bad"].message
    assert all(end.picked_up and end.final for end in ended)
    pairs = served.starts_and_ends("lab")
    assert pairs == [(scope, what) for scope in ("one", "bad", "two") for what in ("start", "end")]
    assert [end.state_name for end in seen if end.ask.scope == "bad"][-1] == "Failed"


@pytest.mark.server
def test_a_retried_nightly_does_not_start_the_same_twice(served: House) -> None:
    """Within one parent the second dispatch finds the runs of the first; the UI shows them under the parent."""
    ask = {"key": [Ask("again", "one")]}

    @flow(name="nightly-twice")
    def nightly_twice() -> list[RunEnd]:
        return dispatch(ask, poll_s=0.3) + dispatch(ask, poll_s=0.3)

    first, second = nightly_twice()

    assert first == second
    assert first.completed
    assert served.starts_and_ends("again") == [("one", "start"), ("one", "end")]
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(UUID(first.flow_run_id)).parent_task_run_id is not None


@pytest.mark.server
def test_run_on_worker_tells_each_state(served: House) -> None:
    """The command line shows how a run goes."""
    names: list[str] = []

    end = run_on_worker("cli", "one", None, poll_s=0.2, on_change=lambda end: names.append(end.state_name))

    assert end.completed
    assert names[-1] == "Completed"
    assert len(names) == len(set(names)) > 1


@pytest.mark.server
def test_a_run_that_nobody_takes_is_called_off(house: House) -> None:
    """The caller learns that nothing was done; a retry of the same parent learns it again."""
    house.run("-c", "from tiny_flows import backup; backup.to_deployment('nobody').apply()")
    assert not deployment_lives("backup/nobody")
    ask = {"key": [Ask("lonely", "one")]}

    (end,) = dispatch(ask, deployment="backup/nobody", parent="p", poll_s=0.2, patience_s=1)

    assert (end.state_type, end.picked_up) == ("CANCELLED", False)
    assert dispatch(ask, deployment="backup/nobody", parent="p", poll_s=0.2) == [end]
    assert house.starts_and_ends("lonely") == []


@pytest.mark.server
def test_who_is_cancelled_cancels_what_it_asked_for(house: House) -> None:
    """Ctrl-C, or a cancelled nightly, leaves no run behind."""
    house.run("-c", "from tiny_flows import backup; backup.to_deployment('left').apply()")
    seen: list[RunEnd] = []

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatch({"k": [Ask("left", "one")]}, deployment="backup/left", on_change=seen.append, sleep=interrupted)

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(seen[0].flow_run_id)).state
    assert state is not None
    assert state.name == "Cancelled"


@pytest.mark.server
def test_a_deployment_that_is_not_there_is_an_error_with_a_hint(house: House) -> None:
    """Not a wait."""
    assert not deployment_lives("backup/absent")
    with pytest.raises(PrefectTrouble, match="backup/absent: no such deployment") as caught:
        run_on_worker("lab", "one", None, deployment="backup/absent")

    assert "strongroom serve" in caught.value.hint


@pytest.mark.server
def test_what_fails_while_the_server_is_well_is_not_repeated_for_ever(house: House) -> None:
    """Refused parameters are told at once; anything else is tried three times."""
    with pytest.raises(PrefectTrouble, match="was refused"):
        # A number where the flow wants text: what Prefect's own validation refuses is the point.
        dispatch({"k": [Ask("lab", 7)]}, deployment="backup/nobody")  # type: ignore[arg-type]

    waits: list[float] = []
    with get_client(sync_client=True) as client:
        server = _Server(client, "backup/nobody", 1, 1, waits.append, time.monotonic)
        with pytest.raises(PrefectTrouble, match="ZeroDivisionError"):
            server.patiently(lambda: 1 / 0)
    assert waits == [5.0, 5.0]


class Busy(BaseHTTPRequestHandler):
    """A Prefect server whose SQLite another writer has: 503 seven times, then there are no runs."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(self.path)
        self.send_response(503 if len(self.asked) <= 7 else 200)
        self.send_header("Retry-After", "0")  # for Prefect's client, which else sleeps
        self.end_headers()
        self.wfile.write(b"[]")

    def do_GET(self) -> None:  # its health, which is good; it has no other page, such as one of CSRF tokens
        self.send_response(200 if self.path.endswith("/health") else 404)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, format: str, *args: object) -> None:
        """Not on standard error."""


def test_a_busy_server_is_well_and_asked_again() -> None:
    """More often than what fails while the server is well: 503 is no fault of the question."""
    waits: list[float] = []
    Busy.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as busy:
        threading.Thread(target=busy.serve_forever, daemon=True).start()
        there = f"http://127.0.0.1:{busy.server_port}/api"
        with (
            temporary_settings({PREFECT_API_URL: there, PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True) as client,
        ):
            server = _Server(client, "backup/nobody", 1, 1, waits.append, time.monotonic)
            assert server.patiently(client.read_flow_runs) == []
        busy.shutdown()
    assert waits == [5.0] * 7


@pytest.mark.server
def test_a_silent_server_is_waited_for_a_quarter_of_an_hour(house: House) -> None:
    """Each failure is waited out, until 15 minutes are over."""
    assert house.server.pid is not None
    clock = iter(range(0, 100_000, 500))
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True) as client,
    ):
        server = _Server(client, "backup/nobody", 1, 1, lambda _: None, lambda: float(next(clock)))
        with pytest.raises(PrefectTrouble, match="prefect server: ConnectError"):
            server.patiently(lambda: client.read_deployment_by_name("backup/nobody"))
    assert next(clock) == 1500  # asked twice


@pytest.mark.server
def test_a_secret_is_loaded_and_never_shown(house: House) -> None:
    """Missing and misshapen blocks are named; what they hold is not."""
    Secret(value="s3cret").save("lab-key", overwrite=True)
    Secret(value={"token": "s3cret"}).save("lab-json", overwrite=True)

    assert prefect_secret("lab-key") == "s3cret"
    with pytest.raises(PrefectTrouble, match="prefect secret absent: no such block"):
        prefect_secret("absent")
    with pytest.raises(PrefectTrouble, match="lab-json: holds dict") as caught:
        prefect_secret("lab-json")
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.server
def test_dispatch_over_a_worker_of_the_deployed_pool(deployed: House) -> None:
    """Deployed from a folder, a run works in that folder; a paused pool counts as nobody there."""
    assert not deployment_lives("backup/pooled")
    with deployed.running("-m", "prefect", "worker", "start", "--pool", "strongroom"):
        wait_until(lambda: deployment_lives("backup/pooled"), "the worker polls")
        queues = {"key": [Ask("pool", "one"), Ask("pool", "bad")]}

        good, bad = dispatch(queues, deployment="backup/pooled", poll_s=0.3)

        assert (good.state_type, bad.state_type) == ("COMPLETED", "FAILED")
        assert deployed.starts_and_ends("pool") == [(s, w) for s in ("one", "bad") for w in ("start", "end")]
        assert (deployed.folder / "marks.cwd").read_text("utf-8") == str(deployed.folder)
        with get_client(sync_client=True) as client:
            client.update_work_pool("strongroom", WorkPoolUpdate(is_paused=True))
        assert not deployment_lives("backup/pooled")
