"""`restore --to-source` into a made-up target, as a command: what its plan says, and what `--only` means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest

from flows.cli.app import run
from flows.ledger import open_ledger, place
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Promise
from storage.writer import Writer
from tests.bench.giveback import Filed, fill
from tests.bench.made_up_target import MadeUpTarget
from tests.doubles import START, Clock, draft

FIRST = "Invoice/Invoice 000001 of a supplier [1]"
CONFIG = """
[[source]]
name = "office"
system = "mayan"
url = "{url}"
token = {{ env = "KEY" }}
requests_per_s = 0
scope = [{{ kind = "all" }}]
"""


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """The address of an empty server, that answers what is asked and takes nothing; the first document is in its
    trash."""
    made: list[MadeUpTarget] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not made:  # in the thread that it is for
                made.append(MadeUpTarget(tmp_path))
                made[0].trashed = [str(UUID(int=1))]
            asked = urlsplit(self.path)
            answer = made[0].get(asked.path, dict(parse_qsl(asked.query)), sleep=lambda _: None)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def found(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    """A snapshot of three documents, and a configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY", "secret")
    (tmp_path / "strongroom.toml").write_text(CONFIG.format(url=target))
    fill(tmp_path, Filed(3, 1, 0, 2))
    return Archive.open(LocalDisk(tmp_path / "archive")).find("latest")


def restore(*options: str) -> int:
    """Its exit code."""
    return run(["restore", "latest", "--to-source", "office", *options])


@pytest.mark.usefixtures("found")
def test_only_what_lies_in_the_trash_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """It is there in the snapshot; that it cannot come back is told, and is what the exit code says."""
    for options, code in (("--dry-run",), 0), ((), 3):
        assert restore("--only", FIRST, *options) == code
        said = capsys.readouterr()
        assert f"cannot come back: {FIRST}: it is in the target's trash" in said.out
        assert "begins so" not in said.err


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (["Nowhere/"], "--only Nowhere/: nothing in snapshot"),
        (["Invoice/", "invoice/"], "--only invoice/: nothing in snapshot"),
        ([f"{FIRST}/scan 1.pdf"], "no document of snapshot"),
    ],
)
def test_only_what_is_not_there_is_told_before_any_plan(
    found: Snapshot, only: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each that means nothing, and where to look; nothing is begun."""
    assert restore(*(word for path in only for word in ("--only", path))) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert f"strongroom ls -R {found.id[:8]}" in said.err
    assert said.out == ""
    assert not (tmp_path / "state" / "restore").exists()


@pytest.mark.usefixtures("found")
def test_the_plan_as_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json`."""
    assert restore("--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["plan"]["units"], told["plan"]["there"]["documents in the trash"]) == (2, 1)


def test_what_another_snapshot_made_there_will_be_there_twice(
    found: Snapshot, target: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As the ledgers in the state folder tell; not what this one made, nor another source or another target."""
    archive, folder = Archive.open(LocalDisk(tmp_path / "archive")), tmp_path / "state" / "restore"
    again, elsewhere = commit(archive, found.key), commit(archive, ScopeKey("other", "all"))
    unit = "Invoice/another label [2]/document.json"
    for snapshot, url in (elsewhere, target), (again, "http://127.0.0.1:1"):
        with open_ledger(folder, snapshot, url) as ledger:
            ledger.note(unit, above=3, id=7)
    with open_ledger(folder, again, target) as ledger:
        ledger.note(unit, above=3)
    assert restore_of(found, "--dry-run") == 0
    assert "twice: " not in capsys.readouterr().out

    with open_ledger(folder, again, target) as ledger:
        ledger.note(unit, id=7)
        ledger.note("Invoice/not in this one [9]/document.json", id=8)
        ledger.note("type Invoice", ours=True)
    with place(folder, again, target).open("ab") as cut:
        cut.write(b'{"unit": "Inv')
    assert restore_of(found, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"twice: 1 documents here were made from another snapshot ({again[:8]})" in said
    assert restore_of(found, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["twice"] == {"documents": 1, "snapshots": [again]}

    with open_ledger(folder, found.id, target) as ledger:  # it is there twice already
        ledger.note("Invoice/Invoice 000002 of a supplier [2]/document.json", id=9)
    assert restore_of(found, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["twice"] == {"documents": 0, "snapshots": []}


def commit(archive: Archive, key: ScopeKey) -> str:
    """The id of a snapshot that holds something else."""
    writer = Writer(archive, key)
    writer.add("a", BytesIO(b"a"), promised=Promise(size=1))
    return writer.commit(draft(key, system="mayan"), clock=Clock(START)).id


def restore_of(found: Snapshot, *options: str) -> int:
    """Its exit code."""
    return run(["restore", found.id, "--to-source", "office", *options])
