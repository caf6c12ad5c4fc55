"""Nine nights with everything real but the calendar, against one page that says what is seen of them.

Where it fails, the difference is printed, and `seen.json` in the test's folder is the page as it would be now.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.home import until
from tests.rehearsal.seen import Witness
from tests.rehearsal.stage import PATIENCE_S, Stage, stage

pytestmark = pytest.mark.server

EXPECTED = Path(__file__).with_name("expected.json")
FULL, LARGER = 4 << 20, 6 << 20  # bytes: beyond the first no file grows on a full disk; each export has the second


def test_a_week_of_nights(tmp_path: Path) -> None:
    """What ran, what was wrong, who was told, what is kept: each night as expected.json has it."""
    with stage(tmp_path) as on:
        seen = _week(on)
    expected = EXPECTED.read_text(encoding="utf-8")
    told = difflib.unified_diff(expected.splitlines(), seen.splitlines(), EXPECTED.name, "seen", n=12, lineterm="")
    assert seen == expected, "\n".join(["", *told])


def _week(on: Stage) -> str:
    home, witness = on.home, Witness(on)
    on.configure(on.base)
    assert home.run("init", "--yes", "--no-encryption").returncode == 0
    on.schedule(on.base)
    on.switch_off("watch")
    on.start_worker()

    at = on.dawn(7)
    witness.look("1: all is well", on.ended(on.begin(at)), at)

    at = on.dawn(6)
    on.world.faults.aim("user/2", job_fails="java.lang.OutOfMemoryError: Java heap space")
    witness.look("2: the system fails in one scope", on.ended(on.begin(at)), at)
    on.world.faults.reset()

    at = on.dawn(5)
    with on.held():
        on.begin(at)
        until("a run waits for its export", on.waits, timeout=PATIENCE_S)
        on.kill_worker()
    witness.look("3: worker and run are killed while the export is made", "nobody ends it", at)
    on.start_worker()
    later = at + timedelta(minutes=30)
    witness.look("3: started again", on.ended(on.begin(later)), later)

    at = on.dawn(4)
    with on.held():
        run = on.begin(at)
        until("a run waits for its export", on.waits, timeout=PATIENCE_S)
        start_again = on.kill_server()
    start_again()
    witness.look("4: Prefect's server is killed in the middle, and comes back", on.ended(run), at)

    at = on.dawn(3)
    witness.look("5: nothing ran", "no run", at)

    at = on.dawn(2)
    on.world.delete_work(on.world.lab.users[2].username)
    status = witness.look("6: a colleague has deleted all her work", on.ended(on.begin(at)), at)
    assert len(status["waiting"]) == 1
    for one in status["waiting"]:
        assert home.run("accept", one["id"], "--reason", "she has left").returncode == 0

    at = on.dawn(1)
    on.world.bulk_bytes = LARGER
    on.limit_files(FULL)
    witness.look("7: the disk is full; since the night before a person has accepted", on.ended(on.begin(at)), at)
    on.limit_files(-1)
    on.world.bulk_bytes = 0

    on.world.pass_nights(1)
    on.world.wipe_jobs()  # by its clock of then they would run again
    on.set_clock(datetime.now(UTC) - timedelta(days=3))
    run = on.scheduled_night()
    status = witness.look("8: by the schedule, and the system's clock is three days slow", on.ended(run))
    assert len(status["waiting"]) == 2
    for one in status["waiting"]:
        assert home.run("accept", one["id"], "--reason", "our date is right").returncode == 0

    on.world.pass_nights(1)
    on.set_clock(datetime.now(UTC))
    run = on.scheduled_night()
    witness.look("9: by the schedule, all is well", on.ended(run))
    on.schedule(on.base)  # as it was: today's night has run
    return witness.write(home.folder / "seen.json", calendar=witness.calendar())
