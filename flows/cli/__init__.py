"""The command line: a file per group of verbs; each parses, calls, prints. No rule lives here.

Prefect and the catalog are imported inside the commands that need them, so that `--help` and `snapshots` are
quick.
"""

from __future__ import annotations

import sys

from flows.cli.app import run


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
