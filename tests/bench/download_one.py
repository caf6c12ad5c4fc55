"""One download in a process of its own, for `served.py` to measure. It is no benchmark by itself.

    python -m tests.bench.download_one URL TO NOTES CA

Writes to NOTES what it took from opening the link to both sums, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from flows.download import receive
from flows.sources.base import Connection
from flows.sources.client import Answer, Client


def main() -> None:
    url, to, notes, ca = sys.argv[1:]
    base = url.rpartition("/")[0]
    client = Client(Connection(base, {}, ca_file=Path(ca) if url.startswith("https") else None), {})
    began = time.monotonic(), time.process_time()
    with client.stream(url, accept="application/zip", refuse=_refuse) as download:
        measured = receive(download, Path(to))
    told = {
        "wall_s": time.monotonic() - began[0],
        "cpu_s": time.process_time() - began[1],
        "sha256": measured.sha256,
    }
    Path(notes).write_text(json.dumps(told), encoding="utf-8")
    client.close()


def _refuse(answer: Answer) -> Exception:
    return RuntimeError(f"the server answered {answer.status}")


if __name__ == "__main__":
    main()
