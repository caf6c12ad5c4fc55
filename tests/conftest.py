"""For all tests: Hypothesis judges no example by its time, which is that of other work on the machine; and what
lasts longest begins first, so that all workers end together.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("strongroom", deadline=None)
settings.load_profile("strongroom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The week's rehearsal waits for clocks: eight minutes, however fast the machine is."""
    items.sort(key=lambda item: "rehearsal" not in item.path.parts)
