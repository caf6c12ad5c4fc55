"""How the switches of a dialect are set, aimed, counted and taken, and those that any request can meet.

It only remembers and counts. Each dialect has its own list, a dataclass with one plain field per switch.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar


@dataclass
class Switches:
    """Set a field and it holds until reset; give it an entry in `times` and it holds for that many uses.

    In Python: `faults.set(wrong_crc=True)`, `faults.set(times=2, truncate_after=1000)`, or assign fields.
    Over the control address: `{"wrong_crc": true}` or `{"truncate_after": {"value": 1000, "times": 2}}`.
    Switches of an export can be aimed at one target: `faults.aim("user/7", zombie=True)`.
    """

    targets: ClassVar[str] = ""  # pattern of what can be aimed at ...
    targets_told: ClassVar[str] = ""  # ... and how that is said
    aimable_until: ClassVar[str] = ""  # the first switch of the list that is not of one target

    next_status: int = 0  # this status as a web page, without doing the work ...
    next_status_path: str = ""  # ... for paths that begin so
    next_status_method: str = ""  # ... and this method
    drop_request: int = 0  # every k-th matching request gets no answer, the connection is closed
    drop_path: str = ""  # counts only paths that begin so
    drop_after_work: bool = False  # do the work first, then drop
    times: dict[str, int] = field(default_factory=dict)  # switch -> uses left
    _aimed: dict[str, Any] = field(default_factory=dict)  # target -> its own switches
    _seen: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def healthy(cls) -> dict[str, Any]:
        """Every switch with its healthy value, those of the dialect before those of any request."""
        shared = {f.name for f in fields(Switches)}
        ordered = sorted(fields(cls), key=lambda f: f.name in shared)
        return {f.name: f.default for f in ordered if f.name != "times" and not f.name.startswith("_")}

    @classmethod
    def aimable(cls) -> tuple[str, ...]:
        """The switches of a single target."""
        names = tuple(cls.healthy())
        return names[: names.index(cls.aimable_until)]

    def set(self, times: int | None = None, **switches: Any) -> None:
        """Set some switches, all for `times` uses (None: until reset). Raises ValueError on an unknown one."""
        known = self.healthy()
        with self._lock:
            for name, given in switches.items():
                if name not in known:
                    raise ValueError(f"unknown fault {name}, known are {', '.join(known)}")
                uses, value = times, given
                if isinstance(given, dict):
                    uses, value = given.get("times", times), given.get("value", True)
                setattr(self, name, self._fitting(name, value))
                self.times.pop(name, None)
                if uses is not None:
                    self.times[name] = int(uses)
            self._seen = 0

    def aim(self, target: str, times: int | None = None, **switches: Any) -> None:
        """Set some switches for one target only, which `targets_told` describes.

        Raises ValueError on another target, and on a switch that is not one of a target.
        """
        if not re.fullmatch(self.targets, target):
            raise ValueError(f"{target}: no export target, wants {self.targets_told}")
        if others := [name for name in switches if name in self.healthy() and name not in self.aimable()]:
            raise ValueError(f"fault {others[0]} cannot be aimed, only {', '.join(self.aimable())}")
        with self._lock:
            self._aimed.setdefault(target, type(self)()).set(times, **switches)

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
            for name, default in self.healthy().items():
                setattr(self, name, default)
            self.times.clear()
            self._aimed.clear()
            self._seen = 0

    def active(self) -> dict[str, Any]:
        """The switches that are set, with the uses left where those are counted."""
        with self._lock:
            on = {name: getattr(self, name) for name in self.healthy() if getattr(self, name)}
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
                setattr(self, name, self.healthy()[name])
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

    def _fitting(self, name: str, value: Any) -> Any:
        default = self.healthy()[name]
        if value is None or value is False:
            return default
        if name == "html_page" and value is True:
            return "page"
        if isinstance(default, str) and not isinstance(value, str):
            raise ValueError(f"fault {name}: got {value!r}, wants a text")
        return type(default)(value)
