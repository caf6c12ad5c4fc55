"""What a project export must hold: read once to its end, in pieces, as a tar within gzip.

Layout: GitLab's lib/gitlab/import_export (`saver.rb`: tar and gzip of a folder; `version_saver.rb`: VERSION,
GITLAB_VERSION; `json/ndjson_writer.rb`: tree/project.json, tree/project/*.ndjson, before 13.0 one project.json;
`repo_saver.rb`: project.bundle, unless the repository is empty). Nothing in it names the project. A bundle is
lines and then a pack, which ends with the checksum of itself (git-scm.com/docs/gitformat-bundle, gitformat-pack).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

from storage.verify import Check, Outcome

PIECE = 1 << 20  # bytes read at a time, and the most that a tar header may have
LINE = 4 << 20  # a longer line of NDJSON is counted, and not parsed
DOCUMENT = 64 << 20  # the most that project.json may have
APART = timedelta(seconds=10)  # how far the clocks of GitLab's own machines may differ
BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, OverflowError, RecursionError)
MADE = "made after it was asked for"


@dataclass(slots=True)
class Contents:
    """What one export file showed."""

    problem: str = ""  # the first reason why it is no whole export; "": it is one
    members: int = 0
    unpacked: int = 0  # bytes
    tree: str = ""  # the member that describes the project
    lines: int | None = None  # of NDJSON: issues, merge requests and so on, whatever they are
    bundle: bool = False  # of the repository
    format: str = ""
    gitlab: str = ""
    made_at: datetime | None = None  # when VERSION was written, by the clock of the machine that exported


def read(path: Path) -> Contents:
    """Everything of a file. Memory: some pieces, or one project.json. Never raises for what it holds."""
    found = Contents()
    try:
        with gzip.open(path) as stream:
            tape = _Tape(stream)
            with tarfile.open(fileobj=cast(IO[bytes], tape), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members.clear()  # type: ignore[attr-defined]  # not declared by typeshed; it would keep them all
                    found.members += 1
                    if member.isfile():
                        _look(tar, member, found)
            tape.finish()
    except BROKEN as exc:
        found.problem = found.problem or f"{str(exc)[:200] or type(exc).__name__}, after {found.members} members"
    return found


class _Tape:
    """A stream in which tarfile only goes forward, and of which it never reads much at once."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, to: int) -> None:
        while (left := to - self._stream.tell()) > 0:
            if not self._stream.read(min(left, PIECE)):
                raise EOFError("the tar ends within a member")

    def read(self, size: int) -> bytes:
        if size > PIECE:
            raise ValueError(f"a header of {size} bytes")
        return self._stream.read(size)

    def finish(self) -> None:
        """Read on to the end, which makes gzip compare its CRC-32 and length: a tar ends with zeros alone."""
        zeros = 0
        while piece := self._stream.read(PIECE):
            if piece.strip(b"\0"):
                raise ValueError("something that is no header stands where the next member should")
            zeros += len(piece)
        if zeros < tarfile.BLOCKSIZE:
            raise EOFError("the tar has no end")


def _look(tar: tarfile.TarFile, member: tarfile.TarInfo, found: Contents) -> None:
    name = member.name.removeprefix("./")
    found.unpacked += member.size
    stream = tar.extractfile(member)
    assert stream is not None  # noqa: S101  # of a file there is one
    if name == "VERSION":
        found.format, found.made_at = _word(stream), datetime.fromtimestamp(member.mtime, UTC)
    elif name == "GITLAB_VERSION":
        found.gitlab = _word(stream)
    elif name in ("tree/project.json", "project.json"):
        text = b"".join(iter(lambda: stream.read(PIECE), b"")) if member.size <= DOCUMENT else b"{}"
        if not isinstance(json.loads(text), dict):
            raise ValueError(f"{name} describes no project")
        found.tree = name
    elif name.startswith("tree/project/") and name.endswith(".ndjson"):
        found.lines = (found.lines or 0) + _lines(name, stream)
    elif name == "project.bundle":
        _check_bundle(stream)
        found.bundle = True


def _word(stream: IO[bytes]) -> str:
    text = stream.read(64).decode("utf-8", "replace").strip()
    return text if text.isprintable() else ""


def _check_bundle(stream: IO[bytes]) -> None:
    """Raises ValueError for one that git would call cut or corrupt."""
    if stream.readline(64) not in (b"# v2 git bundle\n", b"# v3 git bundle\n"):
        raise ValueError("project.bundle is no git bundle")
    digest = hashlib.sha1(usedforsecurity=False)
    while (line := stream.readline(LINE)) not in (b"\n", b""):
        if line == b"@object-format=sha256\n":
            digest = hashlib.sha256()
    begins, kept = True, b""  # what may be the checksum is held back
    while piece := stream.read(PIECE):
        if begins and not piece.startswith(b"PACK"):
            raise ValueError("project.bundle holds no pack")
        begins, kept = False, kept + piece
        digest.update(kept[: -digest.digest_size])
        kept = kept[-digest.digest_size :]
    if kept != digest.digest():
        raise ValueError("project.bundle is cut or corrupt: its own checksum does not agree")


def _lines(name: str, stream: IO[bytes]) -> int:
    count, whole = 0, True
    while line := stream.readline(LINE):
        ends = line.endswith(b"\n")
        if whole and line.strip():
            count += 1
            if len(line) < LINE:
                try:
                    json.loads(line)
                except ValueError:
                    raise ValueError(f"{name}: line {count} is no JSON") from None
        whole = ends
    return count


def checks_of(found: Contents, what: str, *, empty: Any) -> list[Check]:
    """What a file showed, question by question. `empty`: whether GitLab says that its repository is."""
    got = found.problem or f"{found.members} members, {found.unpacked} bytes, read to the end"
    checks = [Check("tar structure", Outcome.FAILED if found.problem else Outcome.PASSED, what, got=got)]
    if found.problem:
        return checks
    told = f"GitLab {found.gitlab or '?'}, format {found.format or '?'}"
    for name, there, said in (
        ("versions", found.gitlab and found.format, told),
        ("project tree", found.tree, found.tree or "none"),
    ):
        checks.append(Check(name, Outcome.PASSED if there else Outcome.FAILED, what, got=said))
    name, none = "repository", "no project.bundle"
    if found.bundle:
        checks.append(Check(name, Outcome.PASSED, what, got="project.bundle, its checksum agrees"))
    elif empty is False:
        checks.append(Check(name, Outcome.FAILED, what, got=none, promised="one: the repository is not empty"))
    else:
        said = "GitLab says that it is empty" if empty else "GitLab does not say whether it is empty"
        checks.append(Check(name, Outcome.NOT_AVAILABLE, what, got=none, reason=said))
    return checks


def made_check(found: Contents, asked: datetime, *, adopted: bool) -> Check:
    """Whether the file is of tonight: by its own word VERSION's time, since GitLab's states cannot tell."""
    if found.made_at is None:
        return Check(MADE, Outcome.NOT_AVAILABLE, reason="the file does not say when it was made")
    fresh = found.made_at >= asked - APART
    got, promised = f"{found.made_at:%Y-%m-%d %H:%M:%S} UTC", f"{asked:%Y-%m-%d %H:%M:%S} or later"
    reason = "its answer was lost: it may be somebody else's" if adopted else ""
    return Check(MADE, Outcome.PASSED if fresh else Outcome.FAILED, got=got, promised=promised, reason=reason)
