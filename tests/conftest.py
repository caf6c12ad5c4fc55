"""For all tests: Hypothesis judges no example by its time, which is that of other work on the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("strongroom", deadline=None)
settings.load_profile("strongroom")
