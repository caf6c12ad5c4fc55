"""A user's folder for end-to-end tests: configuration, archive, the real command line in its own process."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.demo import DemoServer

KEY_NAME = "STRONGROOM_TEST_KEY"
TEMPLATE = """
[policy]
keep_last = 3

[[source]]
name = "lab"
system = "rspace"
url = "{url}"
api_key = {{ env = "{key_name}" }}
poll_first_s = 0.1
poll_longest_s = 0.3
download_tries = {tries}
{extra}
{scopes}
"""
USER_SCOPE = '[[source.scope]]\nkind = "user"\n'


@dataclass
class Home:
    """One user's folder, and how to run `strongroom` in it."""

    folder: Path
    server: DemoServer
    key: str
    environ: Mapping[str, str]
    outputs: list[str] = field(default_factory=list)  # everything that any command printed

    @property
    def config(self) -> Path:
        return self.folder / "strongroom.toml"

    def configure(self, *, scopes: str = USER_SCOPE, extra: str = "", tries: int = 2) -> None:
        text = TEMPLATE.format(url=self.server.url, key_name=KEY_NAME, scopes=scopes, extra=extra, tries=tries)
        self.config.write_text(text, encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]

    def run(self, *arguments: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=dict(self.environ), capture_output=True, text=True,
            timeout=timeout, check=False,
        )  # fmt: skip
        self.outputs += [done.stdout, done.stderr]
        return done

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError as exc:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}") from exc

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command in the background; whatever is left of it is killed at the end."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("w") as out:
            child = subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=dict(self.environ), stdout=out,
                stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, 9)
            child.wait()
            self.outputs.append(log.read_text())

    def posts(self) -> int:
        """How many exports were asked for."""
        return sum(1 for method, path, *_ in list(self.server.requests) if method == "POST" and "/export/" in path)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the catalog says; nothing while there is none."""
        if not (self.folder / "state" / "catalog.db").exists():
            return []
        with sqlite3.connect(f"file:{self.folder}/state/catalog.db?mode=ro", uri=True, timeout=10) as connection:
            made = connection.execute("select 1 from sqlite_master where name = 'run'").fetchone()
            return connection.execute(query).fetchall() if made else []


def until(what: str, question: Callable[[], object], timeout: float = 300) -> None:
    """Ask until the answer is true. Fails with `what` after `timeout` seconds: what hangs, not what is slow."""
    end = time.monotonic() + timeout
    while not question():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.1)
