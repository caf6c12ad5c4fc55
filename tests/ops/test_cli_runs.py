"""`strongroom runs`: what became of each run, as the catalog has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.errors import Exit
from storage import records
from storage.backend import LocalDisk
from storage.catalog import Beginning, Catalog
from storage.holder import Holder, this_process
from storage.records import Ended
from tests.doubles import LAB, NIGHT, OFFICE, START, new_archive, run_record
from tests.test_cli_upkeep import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Three runs that ended; then one that is under way here, and one whose process is gone."""
    (tmp_path / "strongroom.toml").write_text("")
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path, capsys)
    ends: Sequence[tuple[dict[str, Any], Ended]] = (
        ({"snapshot": "ab" * 32, "bytes_fetched": 12_345}, Ended.VERIFIED),
        ({"reason": "the link had run out", "hint": "ask again", "exit_code": 13}, Ended.EXPIRED),
        ({"key": OFFICE, "reason": "no change"}, Ended.UNCHANGED),
    )
    for night, (fields, end) in enumerate(ends):
        at = START + night * NIGHT
        fields |= {"started_at": at, "ended_at": at + timedelta(seconds=200)}
        record = run_record(f"{at:%Y%m%d-%H%M%S}-0000abcd", ended=end, **fields)
        archive.put_record(record.id, records.encode(record))
    made.run("status")  # makes the catalog
    holder = this_process()
    gone = Holder(holder.host, holder.pid, 1, holder.boot)  # who has its number now began later
    with Catalog.open(tmp_path / "state" / "catalog.db") as catalog:
        for night, whose in ((3, holder), (4, gone)):
            at = START + night * NIGHT
            catalog.begin_run(Beginning(f"{at:%Y%m%d}-run", LAB, "rspace", {}, "cli", "", at, whose))
            catalog.note_phase(f"{at:%Y%m%d}-run", "download")
    return made


def test_runs_are_listed_with_how_they_ended_and_why(shell: Shell) -> None:
    """The newest last; one under way says what it does, one that was killed what will become of it."""
    done = shell.run("runs")

    assert done.returncode == Exit.DONE
    head, *rows = done.stdout.splitlines()
    assert " ".join(head.split()) == "scope began took ended snapshot fetched bytes started by why"
    verified, expired, unchanged, under_way, killed = rows
    assert "3 min 20 s  verified" in verified
    assert "abababab" in verified
    assert "12,345" in verified
    assert "expired" in expired
    assert expired.rstrip().endswith("the link had run out")
    assert unchanged.startswith(str(OFFICE))
    assert "under way: download" in under_way
    assert "no end: download" in killed
    assert "its process is gone" in killed


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        (("--source", OFFICE.source), ["unchanged"]),
        (("--scope", LAB.scope), ["verified", "expired", "", ""]),
        (("--ended", "expired"), ["expired"]),
        (("--ended", "under way"), [""]),
        (("--ended", "no end"), [""]),
        (("--since", f"{START + NIGHT:%Y-%m-%dT%H:%M:%S}", "--last", "3"), ["unchanged", "", ""]),
        (("--since", f"{START + 2 * NIGHT:%Y-%m-%dT%H:%M:%S}", "--source", LAB.source), ["", ""]),
        (("--source", "nobody"), []),
    ],
    ids=" ".join,
)
def test_runs_are_chosen_by_source_scope_end_and_time(
    shell: Shell, arguments: tuple[str, ...], ends: list[str]
) -> None:
    """As the catalog has them, for machines; no end is an empty word."""
    found = json.loads(shell.run("runs", *arguments, "--json").stdout)["runs"]

    assert [run["ended"] for run in found] == ends


def test_machines_get_the_hint_and_what_is_under_way(shell: Shell) -> None:
    """The dead one is not."""
    found = json.loads(shell.run("runs", "--json").stdout)["runs"]

    assert [run["under_way"] for run in found] == [False, False, False, True, False]
    assert (found[1]["hint"], found[1]["exit_code"]) == ("ask again", 13)


def test_a_word_that_no_run_ends_with_is_refused(shell: Shell) -> None:
    """With those that there are."""
    done = shell.run("runs", "--ended", "good")

    assert done.returncode == Exit.USAGE
    assert "under way, no end, verified, partial" in done.stderr


def test_no_runs_are_told_as_such(shell: Shell) -> None:
    """And that is no error."""
    done = shell.run("runs", "--source", "nobody")

    assert (done.returncode, done.stdout) == (Exit.DONE, "no runs\n")
