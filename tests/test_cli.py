"""The command line on its own: what needs no server is quick, says what is wrong, and loses nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.cli.make import overall
from flows.demo import DemoServer, World, announce
from flows.errors import Exit
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.index import pack_name
from tests.doubles import pack_of


class Shell:
    """`strongroom` in a folder, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments], cwd=self.folder, env=self.environ,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Path]:
    """An export file that somebody has already: a selection of two records, xml."""
    with DemoServer(World(seed=1, start=datetime.now(UTC), queue_s=0, run_s=0)) as server:
        facts = announce(server)["rspace"]
        ids = ",".join(str(number) for number in facts["record_ids"][:2])
        with httpx.Client(base_url=server.url, headers={"apiKey": facts["api_key"]}) as client:
            client.post("/api/v1/export/xml/selection", data={"selections": ids}).raise_for_status()
            server.world.advance(10)
            (job,) = server.world.jobs.values()
            built = server.world.file_of(job)
            assert built is not None
            path = tmp_path / "kept.zip"
            path.write_bytes(built.path.read_bytes())
            yield path


@pytest.mark.parametrize("arguments", [("--help",), ("snapshots", "--archive", "none"), ("run", "--help")])
def test_quick_verbs_do_not_import_prefect(shell: Shell, arguments: tuple[str, ...]) -> None:
    """A second of import is not paid by who only looks."""
    code = (
        "import sys; from flows.cli.app import run; run(sys.argv[1:]);"
        "print('PREFECT' if 'prefect' in sys.modules else 'free')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=shell.folder, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "free"


def test_the_version_names_the_format_that_is_written(shell: Shell) -> None:
    """What somebody who asks for help, or keeps an archive for decades, must be able to say."""
    done = shell.run("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"strongroom \d+\.\d+\.\d+, snapshots of format 3, Python 3\.\d+\.\d+\n", done.stdout)


def test_init_writes_once_and_keeps_what_is_there(shell: Shell) -> None:
    """A second `init` changes neither the configuration nor the archive."""
    assert shell.run("init", "--yes").returncode == 0
    (shell.folder / "strongroom.toml").write_text(
        '[archive]\nurl = "archive"\nkey = { file = "strongroom.key" }\n# mine\n'
    )
    mark = (shell.folder / "archive" / "strongroom.json").read_bytes()

    assert shell.run("init", "--yes").returncode == 0

    assert "# mine" in (shell.folder / "strongroom.toml").read_text()
    assert (shell.folder / "archive" / "strongroom.json").read_bytes() == mark


def test_import_snapshots_show_and_restore_without_a_source(shell: Shell, export: Path) -> None:
    """A file taken in is listed, shown and given back bit for bit, from the archive alone."""
    shell.run("init", "--yes")

    done = shell.run("import", str(export), "--source", "old-lab", "--scope", "selection:1,2")

    assert done.returncode == 0, done.stderr
    (snapshot,) = shell.json("snapshots")["snapshots"]
    assert {"id", "source", "scope", "system", "taken_at", "quality", "stored_bytes", "files"} <= snapshot.keys()
    assert (snapshot["source"], snapshot["scope"], snapshot["quality"]) == ("old-lab", "selection:1,2", "verified")
    assert {"name", "size", "sha256", "crc32"} <= snapshot["files"][0].keys()
    shown = shell.json("show", snapshot["id"][:8])["snapshot"]
    silent = [check for check in shown["checks"] if check["outcome"] == "not available"]
    assert {check["name"] for check in silent} >= {"size", "crc32"}
    (shell.folder / "strongroom.toml").unlink()
    shell.environ["STRONGROOM_KEY_FILE"] = "strongroom.key"
    done = shell.run("restore", "latest", "--source", "old-lab", "--archive", "archive", "--to", "back")
    assert done.returncode == 0, done.stderr
    assert (shell.folder / "back" / "kept.zip").read_bytes() == export.read_bytes()


def test_an_import_of_something_else_is_quarantined_and_kept(shell: Shell, export: Path) -> None:
    """A selection's file imported as a user's, and a cut one: kept, not counted, exit code 14."""
    shell.run("init", "--yes")
    cut = shell.folder / "cut.zip"
    cut.write_bytes(export.read_bytes()[:-100])

    wrong = shell.run("import", str(export), "--source", "lab", "--scope", "user:1")
    broken = shell.run("import", str(cut), "--source", "lab", "--scope", "selection:1,2")

    assert (wrong.returncode, broken.returncode) == (14, 14)
    assert "scope SELECTION, promised USER" in wrong.stderr
    assert "not a readable ZIP" in broken.stderr
    assert {s["quality"] for s in shell.json("snapshots")["snapshots"]} == {"quarantined"}
    assert shell.run("restore", "latest", "--to", "back").returncode == 0
    assert (shell.folder / "back" / "cut.zip").read_bytes() == cut.read_bytes()


def test_scrub_names_what_is_damaged_and_whom_it_hits(shell: Shell, export: Path) -> None:
    """A flipped byte in a pack: exit code 4, the file, the snapshot; and restore refuses."""
    shell.run("init", "--yes", "--no-encryption")
    shell.run("import", str(export), "--source", "lab", "--scope", "selection:1,2")
    snapshot = shell.json("snapshots")["snapshots"][0]["id"]
    store = Archive.open(LocalDisk(shell.folder / "archive"))
    digest = pack_of(store, store.find("latest"), "kept.zip")
    pack = shell.folder / "archive" / pack_name(digest)
    data = bytearray(pack.read_bytes())
    data[60] ^= 1  # in its first block
    pack.chmod(0o600)
    pack.write_bytes(data)

    done = shell.run("scrub", "--all", "--json")

    assert done.returncode == 4
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["snapshots"] == [snapshot]
    assert pack.name in finding["file"]
    assert shell.run("restore", "latest", "--to", "back").returncode == 4
    assert not list((shell.folder / "back").rglob("*.zip"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run",), 2, "not found"),
        (("snapshots", "--archive", "nowhere"), 10, "no archive here"),
        (("restore", "latest", "--archive", "nowhere"), 10, "no archive here"),
        (("snapshots", "--archive", "s3://bucket"), 1, "keeps archives in folders"),
        (("import", "nofile.zip", "--source", "lab", "--scope", "user"), 2, "not found"),
        (("import", "x.zip", "--source", "Lab!", "--scope", "user"), 2, "lower-case"),
        (("import", "x.zip", "--source", "lab", "--scope", "planet:9"), 2, "expected user[:ID]"),
        (("frobnicate",), 2, "No such command"),
        (("show", "--nope"), 2, "No such option"),
        (("serve", "--limit", "0"), 2, "limit"),
    ],
)
def test_bad_input_gets_a_clear_error(shell: Shell, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Each mistake has its words and its exit code, and no traceback."""
    done = shell.run(*arguments)

    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_doctor_says_what_is_missing(shell: Shell) -> None:
    """A credential that is not set is named by its key, and the exit code tells."""
    shell.run("init", "--yes")
    (shell.folder / "strongroom.toml").write_text(
        '[archive]\nkey = { file = "strongroom.key" }\n[[source]]\nname = "lab"\nsystem = "rspace"\n'
        'url = "http://127.0.0.1:9"\napi_key = { env = "NO_SUCH_KEY" }\n'
    )

    done = shell.run("doctor", "--json")

    findings = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert not findings["source lab"]["ok"]
    assert "NO_SUCH_KEY" in findings["source lab"]["detail"]
    assert findings["archive"]["ok"]
    assert done.returncode != 0


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], Exit.UNEXPECTED),
        ([0, 0], Exit.DONE),
        ([0, 4], Exit.PARTLY),
        ([4, 4], Exit.VERIFICATION),
        ([4, 13], Exit.VENDOR),
    ],
)
def test_one_exit_code_for_many_runs(codes: list[int], expected: Exit) -> None:
    """Theirs where they agree, partly where some went well."""
    assert overall(codes) is expected


@pytest.mark.parametrize("verb", ["--help", "snapshots --help"])
def test_a_reader_that_leaves_ends_a_verb_quietly(shell: Shell, verb: str) -> None:
    """`strongroom … | head` is no failure, whether the pipe breaks at a line or at the last flush."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *verb.split()], cwd=shell.folder, env=shell.environ, stdout=pipe,
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_the_demo_server_serves_both_systems(shell: Shell) -> None:
    """One line of JSON has what is needed for either; their nights pass together; Ctrl-C ends it well."""
    command = [sys.executable, "-m", "flows.cli", "demo-server", "--start", "2026-03-01"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=shell.environ, stdout=subprocess.PIPE, text=True
    ) as served:
        try:
            assert served.stdout is not None
            told = json.loads(served.stdout.readline())
            passed = httpx.post(told["control"], json={"nights": 1}).raise_for_status().json()
            office = told["webadmit"]
            now = httpx.post(office["control"], json={}).raise_for_status().json()["now"]
            key = {"x-api-key": office["api_key"]}
            found = httpx.get(f"{office['url']}/api/v1/user_identities", headers=key).raise_for_status().json()
        finally:
            served.send_signal(signal.SIGINT)

    assert served.returncode == 0
    assert now[:10] == passed["now"][:10] == "2026-03-02"
    assert {one["type"] for one in found["user_identities"]} >= {"Admissions User"}
