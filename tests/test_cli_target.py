"""`restore --to-source` before it asks anybody: what cannot be meant is said, and nothing is begun."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from flows.cli.app import run
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.verify import Promise
from storage.writer import Writer
from tests.doubles import LAB, OFFICE, START, Clock, draft, new_archive

CONFIG = """
[[source]]
name = "lab"
system = "rspace"
url = "http://127.0.0.1:9"
api_key = { env = "KEY" }

[[source]]
name = "office"
system = "mayan"
url = "http://127.0.0.1:9"
token = { env = "KEY" }
patience_s = 0.1
connect_timeout_s = 1
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """An archive with a snapshot of RSpace, and one of Mayan EDMS; a server that nobody runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY", "secret")
    (tmp_path / "strongroom.toml").write_text(CONFIG)
    made = new_archive(LocalDisk(tmp_path / "archive"))
    for key, system in ((LAB, "rspace"), (OFFICE, "mayan")):
        writer = Writer(made, key)
        writer.add("a", BytesIO(b"a"), promised=Promise(size=1))
        writer.commit(draft(key, system=system), clock=Clock(START))
    return made


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("latest", "--to-source", "lab"), 2, "rspace takes no snapshot back"),
        (("latest", "--to-source", "nobody"), 2, "no source 'nobody'"),
        (("latest", "--source", "lab", "--to-source", "office"), 2, "is of rspace, source 'office' is mayan"),
        (("latest", "--to-source", "office", "--to", "back"), 2, "--to and --member are about a folder"),
        (("latest", "--to-source", "office", "--member", "a"), 2, "--to and --member are about a folder"),
        (("latest", "--dry-run"), 2, "belong to --to-source"),
        (("latest", "--only", "Letters/"), 2, "belong to --to-source"),
        (("latest", "--source", "office", "--to-source", "office"), 13, "no connection"),
    ],
)
@pytest.mark.usefixtures("archive")
def test_what_cannot_be_is_said(
    arguments: tuple[str, ...], code: int, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By exit code and words, without a secret; and no ledger is begun."""
    assert run(["restore", *arguments]) == code
    said = capsys.readouterr().err
    assert words in " ".join(said.split())
    assert "secret" not in said
    assert not (tmp_path / "state" / "restore").exists()
