"""GitLab on the seventeen points: what its demo server does where a point asks for something to go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from flows.demo.gitlab import GitLabServer
from flows.demo.gitlab_world import BACKUP, COLLEAGUE, Forge
from flows.sources.gitlab import CAPABILITIES
from tests.engine.contract import KEY, Contract, Live, Site
from tests.engine.depot import Depot


class TestGitLab(Contract):
    """All points of the contract."""

    @pytest.fixture
    def site(self, depot: Depot) -> Iterator[Site]:
        """Project lab/alpha, and what can be done to it. The token goes to GitLab alone."""
        world = depot.world

        def colleague() -> Callable[[], bytes]:
            export, before = world.ask(depot.alpha, COLLEAGUE), depot.alpha.file
            made: list[bytes] = []

            def end() -> None:
                world.settle(depot.alpha)
                made.append(depot.alpha.file)

            depot.clock.at(export.ends_at, end)
            depot.clock.sleep(world.pickup_s)  # before, nobody can see it
            return lambda: made[0] if made else before

        def left_over() -> bytes:
            world.ask(depot.alpha, COLLEAGUE)
            depot.clock.sleep(3600)
            world.settle(depot.alpha)
            return depot.alpha.file

        yield Site(
            capabilities=CAPABILITIES,
            folder=depot.folder,
            archive=depot.archive,
            clock=depot.clock,
            secrets=depot.tokens,
            secret_files={"token"},
            engine=depot.engine,
            set=world.faults.set,
            reset=world.faults.reset,
            requests=lambda: len(depot.server.requests),
            links=depot.downloads,
            starts=depot.starts,
            served=lambda: depot.alpha.file,
            colleague=colleague,
            left_over=left_over,
            give_secret=depot.give_token,
            live=live,
            killed_at="flows.sources.gitlab:GitLab",
            cut={"cut_after": 1000},
            stale_link={"stored": True, "link_life_s": -1.0},
            lengths=({"length_off": 100}, {"length_off": -100}, {"no_length": True, "cut_after": 1000}),
            pages=({"html_page": "page"}, {"login_page": True}),
            word={"status_word": "polishing"},
            for_ever={"never_ends": True},
            dead_secret={"token_off": True},
            new_secret={"token_replaced": True},
            nothing=({"export_fails": True}, {"export_fails": True, "failed_word": True}),
            part=(
                {"no_bundle": True},
                {"cut_bundle": 5000},
                {"no_tree": True},
                {"short_file": 3000},
                {"bad_line": True},
            ),
            told=("X-Amz-Signature", depot.server.store_url),
        )
        assert {seen.token for seen in depot.server.store_requests} <= {""}


@contextmanager
def live() -> Iterator[Live]:
    """A GitLab by the real time, whose limits would be waited for."""
    world = Forge(start=datetime.now(UTC), pickup_s=0.05, queue_s=0.05, run_s=0.2)
    world.faults.set(no_limits=True)
    with GitLabServer(world) as server:
        source = (
            f'[[source]]\nname = "site"\nsystem = "gitlab"\nurl = "{server.url}"\n'
            f'poll_first_s = 0.05\npoll_longest_s = 0.2\ntoken = {{ env = "{KEY}" }}\n'
            '[[source.scope]]\nname = "it"\nproject = "lab/alpha"\n'
        )
        yield Live(source, world.tokens[BACKUP], lambda: sum(seen.method == "POST" for seen in server.requests))
