"""One prune at a time: taken, renewed, given back, lost by who died, and never by who lives."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest

from storage import canonical, lease
from storage.archive import Archive
from storage.backend import Backend, Memory
from storage.errors import Busy
from storage.holder import Holder, this_process
from storage.lease import TTL, held
from storage.scrub import scrub
from storage.snapshot import to_text
from tests.doubles import START, Died, FaultyBackend


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def put(backend: Backend, number: int, holder: str, at: datetime) -> None:
    """A lease that somebody took at that time."""
    value = {"format": 1, "kind": "lease", "number": number, "holder": holder,
             "taken_at": to_text(at), "expires_at": to_text(at + TTL)}  # fmt: skip
    assert backend.put_new(lease.name_of(number), [canonical.seal(value)])


def elsewhere() -> str:
    """A process of another host, of which nobody here knows whether it lives."""
    return Holder("another", 1, 1).encode()


def test_while_one_holds_it_another_is_told_who() -> None:
    """Busy names the process."""
    backend = Memory()
    refused = pytest.raises(Busy, match=f"process {this_process().pid} on ")
    with held(backend, Clock()), refused, held(backend, Clock()):
        pytest.fail("two hold it")


def test_given_back_it_is_free_at_once_and_one_small_file_stays() -> None:
    """The numbers go on, so that a slow one of before cannot take an old number."""
    backend = Memory()
    for _ in range(5):
        with held(backend, Clock()):
            pass

    assert list(backend.list("")) == [lease.name_of(10)]


def test_a_lease_of_another_host_ends_when_it_runs_out() -> None:
    """Of another host nobody knows whether its process lives."""
    backend, clock = Memory(), Clock()
    put(backend, 7, elsewhere(), START)
    clock.now = START + TTL - timedelta(seconds=1)
    with pytest.raises(Busy, match="process 1 on another"), held(backend, clock):
        pass
    clock.now = START + TTL
    with held(backend, clock):
        assert list(backend.list("")) == [lease.name_of(8)]


def test_a_process_of_this_host_that_died_holds_nothing() -> None:
    """No waiting, no unlock command."""
    code = "from storage.holder import this_process; print(this_process().encode())"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    backend = Memory()
    put(backend, 1, dead.stdout.strip(), START)

    with held(backend, Clock()):
        pass


def test_a_lease_dated_far_ahead_is_no_lock_for_ever() -> None:
    """A host whose clock is a year ahead takes it and dies."""
    backend = Memory()
    put(backend, 1, elsewhere(), START + timedelta(days=365))

    with held(backend, Clock()):
        pass


def test_a_damaged_lease_is_nobody_s() -> None:
    """Numbers go on behind it."""
    backend = Memory()
    backend.put_new(lease.name_of(3), [b"{"])

    with held(backend, Clock()):
        assert list(backend.list("")) == [lease.name_of(4)]


def test_a_damaged_lease_is_told_by_a_scrub_until_the_next_clears_it_away() -> None:
    """Nothing is to be brought back from a copy: it is nobody's."""
    archive = Archive.create(Memory(), now=START)
    archive.backend.put_new(lease.name_of(3), [b"{"])
    assert [finding.name for finding in scrub(archive).findings] == [lease.name_of(3)]

    with held(archive.backend, Clock()):
        assert scrub(archive).findings == ()


def test_who_works_for_long_renews_and_who_slept_too_long_is_told() -> None:
    """Renewed, it outlives its first span; overslept and taken, the next renewal stops the work."""
    backend, clock = Memory(), Clock()
    with held(backend, clock) as mine:
        for _ in range(10):
            clock.now += TTL * 0.6
            mine.renew()
            with pytest.raises(Busy), held(backend, clock):
                pass
        clock.now += TTL * 2
        put(backend, 12, elsewhere(), clock.now)  # number 1, and ten renewals
        with pytest.raises(Busy, match="somebody else has it now"):
            mine.renew()
    assert list(backend.list("")) == [lease.name_of(11), lease.name_of(12)], "not given back for the other"


def test_another_host_s_fast_clock_ends_it_before_the_next_deletion() -> None:
    """Twenty minutes ahead, that host takes it for run out; who had it stops at the next step."""
    backend, clock = Memory(), Clock()
    ahead = Clock()
    ahead.now = START + TTL + timedelta(minutes=5)
    with held(backend, clock) as mine:
        mine.renew()
        put(backend, 2, elsewhere(), ahead.now)
        with pytest.raises(Busy, match="somebody else has it now"):
            mine.renew()


def test_of_many_at_once_one_gets_it() -> None:
    """Create-if-absent decides."""
    backend, got, line = Memory(), [], threading.Barrier(8)

    def work() -> None:
        line.wait()
        try:
            with held(backend, Clock()):
                got.append(1)
                done.wait(10)
        except Busy:
            got.append(0)
        if len(got) == 8 or got.count(0) == 7:
            done.set()

    done = threading.Event()
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(got) == [0] * 7 + [1]


def test_who_was_slow_cannot_take_a_number_that_others_are_past() -> None:
    """It listed the files, slept while another took the lease and gave it back, and puts its number then."""

    class Slow(FaultyBackend):
        """Between listing and putting, another one has its turn; later one more holds it."""

        def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
            if not entered:
                entered.append(True)
                with held(self.inner, Clock()):
                    pass
                later.enter_context(held(self.inner, Clock()))
            return super().put_new(name, chunks)

    backend, entered = Memory(), list[bool]()
    put(backend, 3, "", START - TTL)
    with ExitStack() as later, pytest.raises(Busy), held(Slow(backend), Clock()):
        pytest.fail("two hold it")
    assert entered


def test_killed_at_any_call_the_next_one_gets_it_after_the_span() -> None:
    """Whatever lies there then."""
    for after in range(12):
        backend, clock = Memory(), Clock()
        put(backend, 1, "", START - TTL)
        faulty = FaultyBackend(backend)
        faulty.fail("", after=after, error=Died(), when="after")
        try:
            with held(faulty, clock) as mine:
                clock.now += TTL * 0.6
                mine.renew()
        except Died:
            pass
        clock.now += 2 * TTL
        with held(backend, clock):
            pass
        assert len(list(backend.list(""))) == 1
