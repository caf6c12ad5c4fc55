"""The systems that can be backed up, by the name that configuration uses. One line per dialect."""

from __future__ import annotations

from flows.sources.base import Dialect
from flows.sources.rspace import RSPACE

DIALECTS: dict[str, Dialect] = {RSPACE.system: RSPACE}
