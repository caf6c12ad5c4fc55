"""What people and machines saw of a night, without what no two rehearsals have in common."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.rehearsal.stage import Stage

DAYS = 10

_PLAIN = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?( UTC|Z)?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DAY"),
    (r"http://127\.0\.0\.1:\d+", "LAB"),
    (r"\b\d{8}-\d{6}-[0-9a-f]{8}\b", "RUN"),
    (r"\b[0-9a-f]{32}\b", "NAME"),
    (r"\b[0-9a-f]{8}\b", "ID"),
    (r"\b\d[\d.,]* (bytes|[kMGT]i?B)\b", "SIZE"),
)


@dataclass
class Witness:
    """Remembers what was seen before, so that each night is told alone."""

    stage: Stage
    nights: list[dict[str, Any]] = field(default_factory=list)
    _runs: set[tuple[str, str]] = field(default_factory=set)
    _mails: int = 0
    _pings: int = 0
    _exports: int = 0

    def look(self, what: str, prefect: str, at: datetime | None = None) -> dict[str, Any]:
        """Write down what came of a night: as `status` has it, two hours after it began. `at`: a rehearsed one.

        Only what is rehearsed is told by this look: else the night itself has told it.
        """
        then = [] if at is None else ["--tell", "--at", f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}"]
        status = self.stage.home.json("status", *then)
        self.nights.append(
            {
                "night": what,
                "in Prefect": prefect,
                "runs": self._ended(),
                "exports started": self._started(),
                "alarms": [f"{one['level']}: {one['kind']} {one['about']}" for one in status["alarms"]],
                "status exits with": status["exit"],
                "mails": self._mailed(),
                "pings": self._pinged(),
                "snapshots kept": {one["scope"]: one["snapshots"] for one in status["scopes"]},
            }
        )
        self.write(self.stage.home.folder / "seen.json")
        return dict(status)

    def calendar(self) -> dict[str, list[str]]:
        """Each scope's last ten days, today on the right, as `status` and the report have them."""
        scopes = self.stage.home.json("status")["scopes"]
        return {one["scope"]: list(one["nights"].values())[-DAYS:] for one in scopes}

    def write(self, path: Path, **more: Any) -> str:
        """Everything so far, as one text; whoever asks why a rehearsal failed finds it in its folder, too."""
        text = json.dumps({"nights": self.nights, **more}, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        return text

    def _ended(self) -> list[str]:
        """Scope, how its run ended, with which exit code."""
        query = "select id, scope, ended, exit_code, phase from run order by rowid"
        rows = [row for row in self.stage.home.rows(query) if (row[0], row[2]) not in self._runs]
        self._runs |= {(id, ended) for id, _, ended, _, _ in rows}
        return [f"{scope}: " + (f"{ended}, {code}" if ended else phase) for _, scope, ended, code, phase in rows]

    def _started(self) -> int:
        posts, self._exports = self.stage.home.posts() - self._exports, self.stage.home.posts()
        return posts

    def _mailed(self) -> list[dict[str, Any]]:
        mails = self.stage.mail.texts[self._mails :]
        self._mails += len(mails)
        return [{"title": self.plain(title), "lines": self._lines(text)} for title, text in mails]

    def _lines(self, text: str) -> list[str]:
        """Of a mail that is text and HTML the text, without what each of them says."""
        lines = [line for line in text.splitlines() if line.strip() and "<br/>" not in line]
        return [self.plain(line) for line in lines if not line.startswith(("Host ", "`strongroom status`"))]

    def _pinged(self) -> list[str]:
        paths = self.stage.web.paths[self._pings :]
        self._pings += len(paths)
        return paths

    def plain(self, text: str) -> str:
        """The same without dates, ids, sizes, paths and the host's name."""
        text = text.replace(socket.gethostname(), "HOST").replace(str(self.stage.home.folder), "FOLDER")
        for pattern, word in _PLAIN:
            text = re.sub(pattern, word, text)
        return text
