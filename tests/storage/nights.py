"""Exports as RSpace makes them, seeded: what changes in a lab each night, and what changes in every export."""

from __future__ import annotations

import random
import string
import zlib
from datetime import date, timedelta

from tests.storage.zips import M, build

WORDS = [random.Random(n).randbytes(3 + n % 4).hex() for n in range(400)]


class Lab:
    """The records of a lab. Each is one member of the export; `night` gives the next night's file."""

    def __init__(self, members: int, *, churn: float, random_names: float, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._churn, self._random = churn, random_names
        self._count, self._night = members, 0
        self._rows = [self._record(n) for n in range(members)]
        self.new_payloads = 0  # bytes of the payloads that came with the last night

    def night(self) -> bytes:
        """A ZIP with a new top folder, every member's time tonight's, and some names new in every export."""
        today = date(2026, 3, 1) + timedelta(self._night)
        self.new_payloads = sum(len(packed) for _, packed, _ in self._rows) if not self._night else 0
        if self._night:
            for place in self._rng.sample(range(self._count), int(self._count * self._churn)):
                name, *_ = self._rows[place]
                self._rows[place] = (name, *self._content(self._count * self._night + place))
                self.new_payloads += len(self._rows[place][1])
        self._night += 1
        letters = "".join(self._rng.choices(string.ascii_letters, k=8))
        top = f"export_{today:%Y-%m-%d}_{letters}/".encode()
        when = (today.year - 1980) << 9 | today.month << 5 | today.day
        return build([self._member(top, row, when) for row in self._rows])

    def _member(self, top: bytes, row: tuple[str, bytes, bytes], when: int) -> M:
        name, packed, data = row
        if name.endswith("?"):  # some folders are named at random in each export
            name = name[:-1] + "".join(self._rng.choices(string.ascii_letters, k=10)) + ".xml"
        return M(top + name.encode(), data, 8, flags=0x800, descriptor="signed", date=when, packed=packed)

    def _record(self, number: int) -> tuple[str, bytes, bytes]:
        name = f"doc_Experiment-{number * 7 + 32768}/doc_{WORDS[number % 400]}-{number * 7 + 32768}.xml"
        if self._rng.random() < self._random:
            name = f"doc_Experiment-{number * 7 + 32768}/?"
        return name, *self._content(number)

    def _content(self, number: int) -> tuple[bytes, bytes]:
        rng = random.Random(number)
        data = f"<record id='{number}'>{' '.join(rng.choices(WORDS, k=rng.randint(8, 60)))}</record>".encode()
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        return deflate.compress(data) + deflate.flush(), data
