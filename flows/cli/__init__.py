"""The command line: a file per group of verbs; each parses, calls, prints. No rule lives here.

Prefect and the catalog are imported inside the commands that need them, so that `--help` and `snapshots` are
quick.
"""

from __future__ import annotations

import io
import os
import sys

from flows.cli.app import run


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names and signs, where the terminal or cron has no UTF-8
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; Python's own flush at the end must not find out again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
