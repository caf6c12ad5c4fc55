"""`strongroom serve` with `[metrics] listen`: who asks gets an answer, and Ctrl-C still ends it in order.

An address of `[notify]` that is not there costs no night, and is told at once.
"""

from __future__ import annotations

import signal
import socket

import httpx
import pytest

from tests.e2e.home import USER_SCOPE, Home, until
from tests.e2e.test_serve import lives

pytestmark = pytest.mark.server


def test_metrics_are_answered_while_serve_runs(home: Home, api: httpx.Client) -> None:
    """The night before is in them; the thread that answers takes no signal that is meant for the flows."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    tables = f'[metrics]\nlisten = "{address}"\n[notify]\nto = [{{ env = "NOBODY" }}]\n'
    home.configure(scopes=f"{USER_SCOPE}\n{tables}")
    assert home.run("run").returncode == 0

    def told() -> str:
        try:
            return httpx.get(f"http://{address}/metrics", trust_env=False, timeout=30).text
        except httpx.TransportError:
            return ""

    with home.process("serve") as serving:
        log = home.folder / "serve.log"
        until("it serves", lambda: "serving until" in log.read_text())
        until("the metrics are told", told)
        assert 'strongroom_last_run_success{archive="' in told()
        assert 'scope="user",source="lab"} 1.0' in told()
        until("the flows are served: before that, Ctrl-C interrupts the command", lambda: lives(api))
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0
        assert f"metrics at http://{address}/metrics" in log.read_text()
        assert (
            "nobody is told there of a night that fails: notify: to, number 1: environment variable"
            in log.read_text()
        )
