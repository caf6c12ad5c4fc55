"""Restores into a real Mayan EDMS, in this process or as a command, and what is then there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from flows.clock import SystemClock
from flows.giveback import Given, Held, give_back, look
from flows.ledger import open_ledger
from flows.sources.base import Connection, Outlook
from flows.sources.mayan_restore import Target
from storage.archive import Archive
from storage.snapshot import Snapshot
from tests.doubles import Died
from tests.mayan import seeding
from tests.mayan.files import pdf, png
from tests.mayan.office import PACE
from tests.mayan_server import Mayan

FAST = {"REST_API_THROTTLING_ENABLED": "false"}  # settings of a server that is asked often

CONFIG = """
[[source]]
name = "{name}"
system = "mayan"
url = "{url}"
token = {{ env = "TOKEN_{name}" }}
requests_per_s = 0
scope = [{{ kind = "all" }}]
"""


def fill(api: httpx.Client, small: int) -> None:
    """A document that has everything a snapshot can hold of one, one of another type, and small ones."""
    letters = seeding.make_type(api, "Letters")
    text = "About\nthe seventh"
    files = [
        ("a.pdf", pdf("alpha", pages=3)),
        ("a.pdf", png("two")),
        ("n.txt", b"plain"),
        ("b.pdf", pdf("alpha", 3)),
    ]
    rich = seeding.make_document(api, 'a/b "q" é 文書', files, type_id=letters, description=text, language="deu")
    seeding.wait_versions(api, rich.id, 3)
    seeding.add_file(api, rich.id, "kept.pdf", pdf("kept", pages=2), action="keep", comment="of the file")
    first, second = rich.files[0].id, rich.files[1].id
    seeding.remap(api, rich.id, [(first, 3), (second, 1), (first, 1)])
    for label, colour in (("urgent", "#ff0000"), ("later", "#00ff00")):
        seeding.tag(api, rich.id, label, colour)
    for path in ("Top/Sub/Deep", "Top"):
        seeding.cabinet(api, rich.id, path)
    odd = seeding.post(api, "/cabinets/", label='A / B "x"', parent=None)  # one at the top, by its label
    seeding.done(api, f"/cabinets/{odd['id']}/documents/add/", {"document": rich.id})
    seeding.metadata(api, rich.id, "invoice", "42")
    seeding.metadata(api, rich.id, "empty", "")
    for said in ("one", "two", "one"):
        seeding.comment(api, rich.id, said)
    for number in range(small):
        made = seeding.make_document(api, f"small {number}", [(f"{number}.pdf", pdf(f"text {number}"))])
        seeding.wait_versions(api, made.id)
    seeding.make_document(api, "no file")


class Dying:
    """Counts the calls that matter to a kill, notes and requests that change the target, and dies at one."""

    def __init__(self, at: int | None = None, when: str = "before") -> None:
        self.calls = 0
        self._at, self._when = at, when

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, which may be the last one, before or after its effect."""

        def dying(*args: Any, **options: Any) -> Any:
            self.calls += 1
            last = self.calls == self._at
            if last and self._when == "before":
                raise Died
            answer = call(*args, **options)
            if last:
                raise Died
            return answer

        return dying


class Homecoming:
    """One snapshot into one target, with a ledger in `folder`."""

    def __init__(self, archive: Archive, found: Snapshot, target: Mayan, folder: Path) -> None:
        self.archive, self.found, self.target, self.folder = archive, found, target, folder

    def run(self, *, only: tuple[str, ...] = (), dying: Dying | None = None) -> tuple[Outlook, Given]:
        """From the look to the comparison. Raises Died."""
        connection = Connection(self.target.url, {"token": self.target.token}, requests_per_s=0)
        receiver = Target(connection)
        content = Held(self.archive, self.found, self.folder / "parts")
        clock = SystemClock()
        try:
            outlook = look(receiver, content, only, clock, PACE)
            with open_ledger(self.folder, self.found.id, self.target.url) as ledger:
                if dying is not None:
                    wire: Any = receiver.wire
                    wire.send = dying.around(wire.send)
                    noting: Any = ledger
                    noting.note = dying.around(ledger.note)
                return outlook, give_back(receiver, content, outlook, ledger, clock=clock, pace=PACE)
        finally:
            receiver.close()


class Shell:
    """`strongroom` in a folder that has sources configured, as a process of its own."""

    def __init__(self, folder: Path, **sources: Mayan) -> None:
        self.folder = folder
        (folder / "strongroom.toml").write_text(
            "".join(CONFIG.format(name=name, url=mayan.url) for name, mayan in sources.items())
        )
        tokens = {f"TOKEN_{name}": mayan.token for name, mayan in sources.items()}
        self.environ = {**os.environ, **tokens}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments], cwd=self.folder, env=self.environ,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def json(self, *arguments: str) -> dict[str, Any]:
        """What it says to machines; its exit code under "exit"."""
        code, out, _ = self.run(*arguments, "--json")
        found: dict[str, Any] = {**json.loads(out), "exit": code}
        return found


def state(api: httpx.Client) -> dict[int, str]:
    """The documents of a server, by id, as the server tells of each with its files and its places."""
    found = {}
    for row in seeding.rows(api, "/documents/"):
        parts = ("files", "versions", "metadata", "tags", "cabinets", "comments")
        base = f"/documents/{row['id']}/"
        found[int(row["id"])] = json.dumps([row, *(seeding.rows(api, f"{base}{part}/") for part in parts)])
    return found
