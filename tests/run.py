"""Passes the tests on a machine with Python and nothing else: a virtual environment, the checks, the tests.

Usage: python3 tests/run.py [what pytest takes, instead of the usual two passes]. Uses only the standard library.
The environment is `.venv` in the project's folder; it is made once and brought up to date each time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv"
PYTHON = HOME / "bin" / "python"

CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("mypy",),
)
_SERVERS = ("pytest", "-q", "-rs", "-n", "4", "--dist", "loadfile", "--no-loadscope-reorder", "--durations=25")
TESTS = (
    ("pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not server and not mayan and not full"),
    # Side by side, as tests/conftest.py orders them: with a Prefect server they compute, with Mayan they wait.
    (*_SERVERS, "-m", "(server or mayan) and not full"),
)


def main() -> int:
    """The first exit code that is not 0; all checks run before any test."""
    if not PYTHON.exists():
        venv.create(HOME, with_pip=True)
    environ = {**os.environ, "PATH": f"{HOME / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    steps = [("pip", "install", "-q", "-c", "constraints.txt", "-e", ".[test]"), *CHECKS]
    steps += [("pytest", *sys.argv[1:])] if len(sys.argv) > 1 else TESTS
    with ExitStack() as aside:
        for step in steps:
            print("+", *step, flush=True)
            code = subprocess.run([PYTHON, "-m", *step], cwd=ROOT, env=environ, check=False).returncode
            if code:
                return code
            if step == CHECKS[-1] and environ.get("STRONGROOM_MAYAN") == "required" and len(sys.argv) == 1:
                aside.enter_context(_preparing(environ))
    return 0


@contextmanager
def _preparing(environ: dict[str, str]) -> Iterator[None]:
    """Installs, while other tests run, what those of the last pass need: minutes where nothing is there."""
    command = ["nice", "-n", "10", str(PYTHON), "-m", "tests.mayan_server", "prepare"]
    process = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
