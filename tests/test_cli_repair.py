"""`strongroom repair` as a process: the plan, the cure, exit codes, and what other verbs say afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.index import pack_name
from storage.snapshot import Snapshot
from tests.doubles import START, contents, noise, pack_of, write
from tests.test_cli import Shell

BIG, SMALL = noise(50_000, 1), b"small" * 20


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def damaged(folder: Path) -> tuple[Snapshot, Path]:
    """An archive with a copy beside it, and one flipped byte in the object of "big"; the snapshot and the pack."""
    archive = Archive.create(LocalDisk(folder / "archive"), now=START)
    found = write(archive, {"big": BIG, "small": SMALL})
    write(archive, {"small": SMALL, "else": b"other"}, night=1)
    shutil.copytree(folder / "archive", folder / "copy")
    pack = folder / "archive" / pack_name(pack_of(archive, found, "big"))
    data = bytearray(pack.read_bytes())
    data[data.index(BIG[:100]) + 7] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    return found, pack


def answer(shell: Shell, *arguments: str) -> tuple[int, Any]:
    done = shell.run(*arguments, "--archive", "archive", "--json")
    return done.returncode, json.loads(done.stdout)


def test_the_plan_changes_nothing_and_names_what_is_lost(shell: Shell) -> None:
    """Exit code 4; on standard error the snapshot and its file."""
    found, pack = damaged(shell.folder)
    before = contents(LocalDisk(shell.folder / "archive"))
    code, plan = answer(shell, "repair")
    done = shell.run("repair", "--archive", "archive")

    assert (code, done.returncode, plan["applied"]) == (4, 4, False)
    assert [row["pack"] for row in plan["packs_replaced"]] == [pack.stem]
    assert [(hit["snapshot"], hit["files"]) for hit in plan["lost"]] == [
        (found.id, [{"name": "big", "members": []}])
    ]
    assert "1 saved from it, 1 lost" in done.stdout
    assert f"lost of snapshot {found.id[:8]} of lab/group 1234: big" in done.stderr
    assert "--apply" in done.stderr
    assert contents(LocalDisk(shell.folder / "archive")) == before


def test_what_is_lost_is_told_by_every_verb_until_a_copy_heals_it(shell: Shell) -> None:
    """Exit code 3, then 0; `snapshots`, `show`, `scrub` and `restore` in between and at the end."""
    found, _ = damaged(shell.folder)
    assert answer(shell, "repair", "--apply")[0] == 3
    assert answer(shell, "repair", "--apply")[0] == 3  # nothing more to be had
    code, scrubbed = answer(shell, "scrub", "--all")
    assert (code, [row["problem"] for row in scrubbed["findings"]]) == (4, ["lost: big"])
    listed = answer(shell, "snapshots")[1]["snapshots"]
    assert [row["damaged"] for row in listed] == [True, False]
    assert "verified, damaged" in shell.run("snapshots", "--archive", "archive").stdout
    shown = shell.run("show", found.id[:8], "--archive", "archive").stdout
    assert "damaged big: lost" in " ".join(shown.split())
    assert answer(shell, "show", found.id[:8])[1]["snapshot"]["lost"][0]["files"] == [
        {"name": "big", "members": []}
    ]
    assert answer(shell, "restore", found.id[:8], "--to", "part")[0] == 3

    code, done = answer(shell, "repair", "--from", "copy", "--apply")
    assert (code, done["applied"], done["lost"], done["packs_replaced"][0]["copy"]) == (0, True, [], 1)
    assert answer(shell, "repair")[0] == answer(shell, "scrub", "--all")[0] == 0
    assert not any(row["damaged"] for row in answer(shell, "snapshots")[1]["snapshots"])
    assert answer(shell, "restore", found.id[:8], "--to", "whole")[0] == 0
    assert (shell.folder / "whole/big").read_bytes() == BIG


def test_a_snapshot_that_is_lost_for_good_is_given_up(shell: Shell) -> None:
    """First the plan, exit code 4, which names a copy; then it is done, and nothing tells of damage any more."""
    archive = Archive.create(LocalDisk(shell.folder / "archive"), now=START)
    found = write(archive, {"a": b"1"})
    write(archive, {"a": b"2"}, night=1)
    (shell.folder / "archive" / found.name).unlink()
    before = contents(archive.backend)
    assert "--give-up 'lab/group 1234/1'" in shell.run("repair", "--archive", "archive").stderr
    words = ("repair", "--give-up", "lab/group 1234/1", "--reason", "a bad disk")
    planned = shell.run(*words, "--archive", "archive")

    assert (planned.returncode, contents(archive.backend)) == (4, before)
    assert "strongroom repair --from COPY" in planned.stderr
    assert f"given up as lost, id {found.id[:8]}" in planned.stdout
    code, done = answer(shell, *words, "--apply")
    assert (code, done["applied"], done["lost"], done["id"]) == (0, True, True, found.id)
    assert answer(shell, "scrub", "--all")[0] == answer(shell, "repair")[0] == 0
    code, listed = answer(shell, "snapshots", "--gone")
    assert (code, [(row["number"], row["why"], row["reason"]) for row in listed["gone"]]) == (
        0,
        [(1, "lost", "a bad disk")],
    )
    assert "a bad disk" in shell.run("snapshots", "--gone", "--archive", "archive").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--give-up", "lab/group 1234/1"), "reason"),
        (("--give-up", "lab/group 1234/1", "--reason", "x"), "can be read"),
        (("--give-up", "lab/group 1234/9", "--reason", "x"), "no such number"),
        (("--give-up", "lab", "--reason", "x"), "SOURCE/SCOPE/NUMBER"),
        (("--give-up", "lab/group 1234/1", "--reason", "x", "--from", "copy"), "first the copy"),
    ],
)
def test_what_cannot_be_given_up_is_refused(shell: Shell, words: tuple[str, ...], says: str) -> None:
    """With what is wrong, and nothing changed."""
    archive = Archive.create(LocalDisk(shell.folder / "archive"), now=START)
    write(archive, {"a": b"1"})
    before = contents(archive.backend)
    done = shell.run("repair", *words, "--apply", "--archive", "archive")

    assert done.returncode != 0
    assert says in done.stderr
    assert contents(archive.backend) == before


def test_a_mark_that_is_gone_comes_back_from_the_copy(shell: Shell) -> None:
    """Without the copy there is no archive to be opened; with it there is."""
    damaged(shell.folder)
    mark = shell.folder / "archive/strongroom.json"
    mark.unlink()

    assert shell.run("repair", "--archive", "archive").returncode == 10
    assert answer(shell, "repair", "--from", "copy")[0] == 4
    assert answer(shell, "repair", "--from", "copy", "--apply")[0] == 0
    assert mark.read_bytes() == (shell.folder / "copy/strongroom.json").read_bytes()


def test_a_copy_of_something_else_is_refused(shell: Shell) -> None:
    """And so is a folder that is no archive; nothing is changed."""
    damaged(shell.folder)
    Archive.create(LocalDisk(shell.folder / "other"), now=START)
    before = contents(LocalDisk(shell.folder / "archive"))

    for where, code in (("other", 4), ("nowhere", 10)):
        done = shell.run("repair", "--from", where, "--apply", "--archive", "archive")
        assert (done.returncode, "hint:" in done.stderr) == (code, True)
    assert contents(LocalDisk(shell.folder / "archive")) == before


def test_an_archive_without_damage_is_left_alone(shell: Shell) -> None:
    """Exit code 0, no record, nothing written."""
    write(Archive.create(LocalDisk(shell.folder / "archive"), now=START), {"a": b"1"})
    before = contents(LocalDisk(shell.folder / "archive"))
    done = shell.run("repair", "--apply", "--archive", "archive")

    assert (done.returncode, done.stdout) == (0, "nothing to do: no damage\n")
    assert contents(LocalDisk(shell.folder / "archive")) == before
