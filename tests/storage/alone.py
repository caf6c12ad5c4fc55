"""The two programs that lie in every archive, as programs and as functions, and the stored vectors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import storage

READER = Path(storage.__file__).parent / "standalone.py"
DECRYPTER = Path(storage.__file__).parent / "standalone_decrypt.py"
GOLDEN = Path(__file__).parents[1] / "golden"
VECTORS: dict[str, Any] = json.loads((GOLDEN / "encrypted-v1.json").read_text())
HOLDERS: dict[str, Any] = json.loads((GOLDEN / "holders-v2.json").read_text())  # with proofs, for the same archive
SECRETS = {
    "passphrase": "größte Vorsicht üben",
    "key file": VECTORS["holder_text"]["text"],
    "paper": VECTORS["paper"]["2"]["text"],
}


def run(
    program: Path, *arguments: str | Path, key: str | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """One of the programs, away from the project, with a key in its environment, or what `more` says."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = {} if key is None else {"STRONGROOM_KEY": key}
    given = more.pop("stdin", "")
    return subprocess.run(
        [sys.executable, "-I", "-X", "utf8", program, *arguments],
        capture_output=True, text=True, check=False, input=given, timeout=300, env={**known, **told, **more},
    )  # fmt: skip


@cache
def decrypter() -> Any:
    """The functions of the program that decrypts; nobody but a test may import them."""
    spec = importlib.util.spec_from_file_location("decrypter", DECRYPTER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def content(size: int) -> bytes:
    """The bytes of a stored vector: SHA-256 of 0, 1, 2 ... in decimal, one after another."""
    found = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(size // 32 + 1))
    return found[:size]
