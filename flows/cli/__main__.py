"""`python -m flows.cli`: the same as `strongroom`."""

from __future__ import annotations

from flows.cli import main

main()
