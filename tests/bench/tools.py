"""What keeps files, as commands: Strongroom without and with the proof by rebuilding, restic, borg.

Each tool keeps its repository, its cache and what it restores below one folder of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from storage.cipher import KEY_SIZE
from storage.keytext import holder_text
from storage.verify import Measured
from tests.bench import lab
from tests.bench.lab import Spent
from tests.bench.ours import KEY

OURS, PROVEN, RESTIC, BORG, BORG_ZSTD = "ours", "ours+proof", "restic", "borg", "borg-zstd"
TOOLS = (OURS, PROVEN, RESTIC, BORG, BORG_ZSTD)
STANDARD = (OURS, PROVEN, RESTIC, BORG)

_Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Tool:
    """One of TOOLS at work in `folder`, which it makes."""

    name: str
    folder: Path
    encrypted: bool = False  # as restic always is

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def restored(self) -> Path:
        return self.folder / "restored"

    def create(self) -> None:
        """An empty repository in place of one that is there."""
        lab.empty(self.folder)
        self.folder.mkdir(parents=True)
        match self.name:
            case "restic":
                self._run(["restic", "init"])
            case "borg" | "borg-zstd":
                self._run(
                    ["borg", "init", "--encryption", "repokey" if self.encrypted else "none", str(self.repository)]
                )
            case _:
                self._run([*_ours("create"), str(self.repository)])

    def ingest(self, path: Path, measured: Measured) -> Spent:
        """Keep one file."""
        match self.name:
            case "restic":
                return self._run(["restic", "backup", "--quiet", str(path)])
            case "borg" | "borg-zstd":
                compression = ["--compression", "zstd,3"] if self.name == BORG_ZSTD else []
                return self._run(
                    ["borg", "create", *compression, f"{self.repository}::{path.stem}", path.name], path.parent
                )
            case _:
                side = self.folder / "measured.json"
                side.write_text(json.dumps(asdict(measured)), encoding="utf-8")
                proof = ["--prove"] if self.name == PROVEN else []
                return self._run([*_ours("ingest"), str(self.repository), str(path), str(side), *proof])

    def restore(self, path: Path, number: int) -> tuple[Spent, Path]:
        """What was kept from `path`, as the `number`th, into the new folder `restored`; and where it lies then."""
        to = self.restored
        lab.empty(to)
        to.mkdir()
        match self.name:
            case "restic":
                spent = self._run(
                    ["restic", "restore", "latest", "--quiet", "--path", str(path), "--target", str(to)]
                )
            case "borg" | "borg-zstd":
                spent = self._run(["borg", "extract", f"{self.repository}::{path.stem}"], to)
            case _:
                spent = self._run([*_ours("restore"), str(self.repository), str(to), str(number)])
        found = list(to.rglob(path.name))
        if len(found) != 1:
            raise SystemExit(f"{self.name}: {path.name} came back {len(found)} times")
        return spent, found[0]

    def check(self) -> Spent:
        """All stored bytes."""
        match self.name:
            case "restic":
                return self._run(["restic", "check", "--read-data"])
            case "borg" | "borg-zstd":
                return self._run(["borg", "check", "--verify-data", str(self.repository)])
            case _:
                return self._run([*_ours("scrub"), str(self.repository)])

    def _run(self, command: _Command, cwd: Path | None = None) -> Spent:
        # Nothing outside the tool's folder: caches and configuration of the user at hand must not count.
        env = {
            "RESTIC_PASSWORD": "bench",
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
            "BORG_BASE_DIR": str(self.folder / "cache"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        if self.encrypted:
            env |= {"BORG_PASSPHRASE": "bench", KEY: holder_text(bytes(KEY_SIZE))}
        return lab.run(command, env=env, cwd=cwd)


def missing(names: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    return [name for name in names if not name.startswith(OURS) and shutil.which(_program(name)) is None]


def versions(names: Sequence[str]) -> list[str]:
    """Of the programs, as they tell them."""
    found = []
    for program in dict.fromkeys(_program(name) for name in names if not name.startswith(OURS)):
        command = [program, "version" if program == RESTIC else "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(" ".join(said.stdout.split()[:2]))
    return found


def _program(name: str) -> str:
    return name.partition("-")[0]


def _ours(verb: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.ours", verb]
