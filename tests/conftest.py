"""For all tests: Hypothesis judges no example by its time, which is that of other work on the machine; and an
order in which all workers are busy to the end.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("strongroom", deadline=None)
settings.load_profile("strongroom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The week's rehearsal first: it waits for clocks, eight minutes on any machine. Then by the names of files,
    which mixes those that compute with those that wait for a server."""
    items.sort(key=lambda item: ("rehearsal" not in item.path.parts, item.path.name, item.path))
