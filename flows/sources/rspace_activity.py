"""RSpace's activity log: which records an export really held, and whether anything happened since.

The log is read from rotating files on the server's disk: it may be shorter than the truth and never says so.
Silence proves nothing; an event that is there does. Facts: contract rspace.md section 5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flows.errors import SourceRefused, SourceUnavailable, SourceUnexpected
from flows.sources.rspace_records import instant
from flows.sources.rspace_wire import Wire

# Section 5. What only reads, and what each backup and each question leaves behind, is no change.
CHANGES = (
    "CREATE", "DELETE", "DUPLICATE", "MOVE", "RENAME", "RESTORE", "SIGN", "TRANSFER", "WITNESSED", "WRITE",
)  # fmt: skip
LOG_DAYS = 183  # it reaches no further back
DAY = timedelta(days=1)


class NotTold(Exception):
    """The log cannot be read; the message says why. Nothing is known then."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One EXPORT event: RSpace's own list of what it put into a file. Written only after a success."""

    file: str
    at: datetime
    format: str
    kind: str  # user, group or selection
    records: frozenset[int]


class Activity:
    """The log as the credential sees it. Raises NotTold; SourceUnavailable where nobody answers. Retry: yes."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def exports(self, username: str, since: datetime, until: datetime) -> Iterator[Exported]:
        """The exports that a user made, newest first; those of neighbouring days may be among them."""
        for event in self._events(("EXPORT",), (username,), since, until):
            found = _exported(event)
            if found is not None:
                yield found

    def changes(
        self, usernames: Collection[str], records: Collection[int], since: datetime, until: datetime
    ) -> Iterator[str]:
        """What was done after `since` by these users, or by anybody to these records; an action each.

        A witness, an administrator or a PI changes what is not his. An event that does not say which record it is
        about counts.
        """
        for event in self._events(CHANGES, (), since, until):
            at = instant(event.get("timestamp"))
            if at is not None and at < since:
                continue
            record = _record(event)
            if event.get("username") in usernames or record is None or record in records:
                yield str(event.get("action"))

    def _events(
        self, actions: Sequence[str], usernames: Sequence[str], since: datetime, until: datetime
    ) -> Iterator[Mapping[str, Any]]:
        # Days are the server's, in a time zone that nobody tells: one more on either side.
        params = {
            "actions": ",".join(actions),
            **({"usernames": ",".join(usernames)} if usernames else {}),
            "dateFrom": f"{since - DAY:%Y-%m-%d}",
            "dateTo": f"{until + DAY:%Y-%m-%d}",
            "orderBy": "date desc",
        }
        try:
            yield from self._wire.rows("/api/v1/activity", "activities", params)
        except SourceRefused as exc:
            raise NotTold("RSpace does not show this user its activity log") from exc
        except SourceUnexpected as exc:
            raise NotTold(f"RSpace's activity log cannot be read: {exc}") from exc
        except SourceUnavailable as exc:
            if not exc.answered:
                raise
            raise NotTold(f"RSpace's activity log cannot be read: {exc}") from exc


def _record(event: Mapping[str, Any]) -> int | None:
    """The number of the record that an event is about; None where it does not say."""
    payload: Any = event.get("payload")
    try:
        payload = json.loads(payload) if isinstance(payload, str) else payload
        found = re.fullmatch(r"[A-Z]{0,3}([0-9]{1,18})", str(payload["id"]))
        return int(found[1]) if found else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _exported(event: Mapping[str, Any]) -> Exported | None:
    """An EXPORT event that can be read; None for any other."""
    payload: Any = event.get("payload")
    try:
        payload = json.loads(payload) if isinstance(payload, str) else payload
        made, rows = payload["configuration"], payload["exported"]
        records = frozenset(_number(row["id"]) for row in rows)
        at = instant(event.get("timestamp"))
        if at is None:
            return None
        return Exported(
            file=str(payload["exportPath"]["name"]).rpartition("/")[2],
            at=at,
            format=str(made["archiveType"]).lower(),
            kind=str(made["exportScope"]).lower(),
            records=records,
        )
    except (KeyError, TypeError, ValueError, RecursionError):  # whatever stands in a log
        return None


def _number(value: object) -> int:
    """A record's number. Raises ValueError: a list of which one cannot be read is no list."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r}: no record number")
    return int(value)
