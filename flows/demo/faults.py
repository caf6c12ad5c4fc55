"""The switches that make the demo server misbehave, one plain field each; unset means a healthy server.

It only remembers and counts; what a switch does is written where it is taken.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Faults:
    """Set a field and it holds until reset; give it an entry in `times` and it holds for that many uses.

    In Python: `faults.set(wrong_crc=True)`, `faults.set(times=2, truncate_after=1000)`, or assign fields.
    Over the control address: `{"wrong_crc": true}` or `{"truncate_after": {"value": 1000, "times": 2}}`.
    Switches of an export can be aimed at one target: `faults.aim("user/7", zombie=True)`.
    """

    # taken by POST export, kept by the job it starts
    queue_delay_s: float = 0.0  # seconds in STARTING, instead of the world's own
    job_fails: str = ""  # FAILED, with this exception text in `errors`
    job_500: bool = False  # each GET of the finished job answers 500, for ever
    zombie: bool = False  # STARTED for ever, so every later POST of this user gets 429
    launch_failed: bool = False  # the 202 already says FAILED
    purge_at_once: bool = False  # COMPLETED with null size, download 500
    wrong_crc: bool = False  # the promised CRC32 is not the file's
    missing_document: int = 0  # this document or gallery file is silently left out (True: the first document)
    empty_export: bool = False  # COMPLETED with a small valid zip without documents
    foreign_enclosure: bool = False  # the download link points to the second host, signed, S3 style
    s3_missing: bool = False  # as foreign_enclosure, but the object is gone: each GET of the job answers 500
    event_lost: bool = False  # its EXPORT event never appears in the activity log
    # taken by POST export, before there is a job
    refused: bool = False  # 401/40101 as for somebody who may not export this
    planning_delay_s: float = 0.0  # real seconds before the 202
    lose_start_answer: bool = False  # the job starts, the connection is cut instead of the 202
    no_disk_space: bool = False  # 500/50001 instead of starting
    launch_refused: bool = False  # 500/50004 instead of starting
    unreadable_id: int = 0  # a selection holding this id is refused with 500/50004
    no_home: str = ""  # this username never logged in: exporting it is refused with 500/50001
    # taken by GET job
    comma_locale: bool = False  # polling a started job answers 422, as before 2.25
    # taken by GET download
    truncate_after: int = 0  # bytes sent of the promised Content-Length, then the connection is cut
    html_page: str = ""  # 200 with a web page instead of the zip: "page", or "padded" to the promised size
    # not of one export, so they cannot be aimed: from here on
    history_wiped: bool = False  # taken by GET job: all present jobs are forgotten, 404
    # taken by GET activity
    activity_status: int = 0  # this HTTP status with an ApiError
    activity_rotated: bool = False  # the log is rotated: what is older than now is no longer found, 200
    # for any request
    throttling: bool = False  # real token buckets instead of constant headers
    url_prefix: str = ""  # host written into links, instead of the request's own
    user_off: str = ""  # username whose key gets 401 everywhere; "*" for all
    next_status: int = 0  # this status as a web page, without doing the work ...
    next_status_path: str = ""  # ... for paths that begin so
    next_status_method: str = ""  # ... and this method
    drop_request: int = 0  # every k-th matching request gets no answer, the connection is closed
    drop_path: str = ""  # counts only paths that begin so
    drop_after_work: bool = False  # do the work first, then drop
    times: dict[str, int] = field(default_factory=dict)  # switch -> uses left
    _aimed: dict[str, Faults] = field(default_factory=dict)  # target -> its own switches
    _seen: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def set(self, times: int | None = None, **switches: Any) -> None:
        """Set some switches, all for `times` uses (None: until reset). Raises ValueError on an unknown one."""
        with self._lock:
            for name, given in switches.items():
                if name not in SWITCHES:
                    raise ValueError(f"unknown fault {name}, known are {', '.join(SWITCHES)}")
                uses, value = times, given
                if isinstance(given, dict):
                    uses, value = given.get("times", times), given.get("value", True)
                setattr(self, name, self._fitting(name, value))
                self.times.pop(name, None)
                if uses is not None:
                    self.times[name] = int(uses)
            self._seen = 0

    def aim(self, target: str, times: int | None = None, **switches: Any) -> None:
        """Set some switches for one export target only: user, user/<id>, group, group/<id> or selection.

        The target is the one of the request: a user's own export is "user", or "user/<id>" if asked by id.
        Raises ValueError on another target, and on a switch that is not one of an export.
        """
        if not re.fullmatch(r"(user|group)(/\d+)?|selection", target):
            raise ValueError(f"{target}: no export target, wants user, user/<id>, group, group/<id> or selection")
        if others := [name for name in switches if name in SWITCHES and name not in AIMABLE]:
            raise ValueError(f"fault {others[0]} cannot be aimed, only {', '.join(AIMABLE)}")
        with self._lock:
            self._aimed.setdefault(target, Faults()).set(times, **switches)

    def stop_aiming(self, target: str | None = None) -> None:
        """Clear what was aimed at a target, or at any."""
        with self._lock:
            if target is None:
                self._aimed.clear()
            else:
                self._aimed.pop(target, None)

    def reset(self) -> None:
        """Clear every switch, aimed ones as well."""
        with self._lock:
            for name, default in SWITCHES.items():
                setattr(self, name, default)
            self.times.clear()
            self._aimed.clear()
            self._seen = 0

    def active(self) -> dict[str, Any]:
        """The switches that are set, with the uses left where those are counted."""
        with self._lock:
            on = {name: getattr(self, name) for name in SWITCHES if getattr(self, name)}
            return {n: {"value": v, "times": self.times[n]} if n in self.times else v for n, v in on.items()}

    def aimed(self) -> dict[str, dict[str, Any]]:
        """What is set for single targets, as `active` tells it."""
        with self._lock:
            on = {target: faults.active() for target, faults in self._aimed.items()}
            return {target: active for target, active in on.items() if active}

    def peek(self, name: str, target: str = "") -> Any:
        """As `take`, without counting."""
        with self._lock:
            aimed = self._aimed.get(target)
            return (getattr(aimed, name) if aimed else None) or getattr(self, name)

    def take(self, name: str, target: str = "") -> Any:
        """The switch's value, or its falsy default when unset or used up. Counts as one use.

        What is aimed at the target goes before what holds for everything.
        """
        with self._lock:
            aimed = self._aimed.get(target)
            if aimed and (own := aimed.take(name)):
                return own
            value = getattr(self, name)
            if not value or name not in self.times:
                return value
            self.times[name] -= 1
            if self.times[name] <= 0:
                del self.times[name]
                setattr(self, name, SWITCHES[name])
            return value

    def take_status(self, method: str, path: str) -> int:
        """`next_status` if this request matches its path and method, else 0."""
        if not path.startswith(self.next_status_path) or self.next_status_method not in ("", method):
            return 0
        return int(self.take("next_status"))

    def take_drop(self, path: str) -> bool:
        """True when this request is the k-th matching one since the last drop."""
        with self._lock:
            if not self.drop_request or not path.startswith(self.drop_path):
                return False
            self._seen += 1
            if self._seen < self.drop_request:
                return False
            self._seen = 0
            self.take("drop_request")
            return True

    @staticmethod
    def _fitting(name: str, value: Any) -> Any:
        default = SWITCHES[name]
        if value is None or value is False:
            return default
        if name == "html_page" and value is True:
            return "page"
        if isinstance(default, str) and not isinstance(value, str):
            raise ValueError(f"fault {name}: got {value!r}, wants a text")
        return type(default)(value)


# every switch with its healthy value; `times` and the inner fields are not switches
SWITCHES: dict[str, Any] = {
    f.name: f.default for f in fields(Faults) if f.name != "times" and not f.name.startswith("_")
}
# those of a single export: all above `history_wiped`
AIMABLE = tuple(SWITCHES)[: tuple(SWITCHES).index("history_wiped")]
