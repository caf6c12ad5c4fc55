"""A project export as GitLab lays it out: VERSION, the tree as JSON, a bundle of the repository, in a tar.gz."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random

GITLAB_VERSION = "17.5.1-ee"


@dataclass(frozen=True)
class Shape:
    """What is wrong with it."""

    no_bundle: bool = False
    no_tree: bool = False
    bad_line: bool = False
    cut_bundle: int = 0
    short_file: int = 0
    tar_stops: bool = False


def build(project: int, issues: int, *, at: datetime, shape: Shape) -> bytes:
    """The file. `at`: when it is made, which is the time of every member."""
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in _members(project, issues, shape):
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mtime = len(content), int(at.timestamp())
            tar.addfile(info, io.BytesIO(content))
    data = tape.getvalue()
    packed = gzip.compress(data[: len(data) // 2] if shape.tar_stops else data, mtime=int(at.timestamp()))
    return packed[: shape.short_file or None]


def _members(project: int, issues: int, shape: Shape) -> Iterator[tuple[str, bytes]]:
    yield "VERSION", b"0.2.4"
    yield "GITLAB_VERSION", GITLAB_VERSION.encode()
    yield "GITLAB_REVISION", b"0b1c2d3e4f5"
    if not shape.no_tree:
        yield "tree/project.json", json.dumps({"description": "made up", "visibility_level": 0}).encode()
    rows = [json.dumps({"iid": iid, "title": f"Issue {iid} of {project}"}) for iid in range(1, issues + 1)]
    if shape.bad_line:
        rows[-1] = rows[-1][:-5]
    yield "tree/project/issues.ndjson", "".join(f"{row}\n" for row in rows).encode()
    yield "tree/project/ci_cd_settings.ndjson", b'{"group_runners_enabled":true}'  # without an end of line
    if not shape.no_bundle:
        yield "project.bundle", _bundle(project)[: shape.cut_bundle or None]
    yield "uploads/0a1b/figure.png", b"\x89PNG\r\n\x1a\n" + Random(f"png {project}").randbytes(5_000)


def _bundle(project: int) -> bytes:
    """Of a repository; the pack's objects are noise, its checksum is right."""
    pack = b"PACK\0\0\0\x02\0\0\x01\0" + Random(project).randbytes(200_000)
    head = b"# v2 git bundle\n" + b"%040x refs/heads/main\n\n" % project
    return head + pack + hashlib.sha1(pack, usedforsecurity=False).digest()
