"""What cutting ZIPs within the export (docx, zip) into their own members could gain at most.

    python -m tests.bench.nested [--set seq] [--scale 0.1]

An edited docx is one new payload of its whole size, although its picture stayed the same. Counted here: bytes
that are new per night when such a file is kept as one payload, and when those of its members that were kept before
are left out. The second is a lower bound: it counts nothing for the plan by which the file is put together again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench import lab
from tests.bench.contents import OFFICE
from tests.bench.exports import SHAPES, Export, exports


@dataclass(frozen=True, slots=True)
class Night:
    """New bytes of one export, deflated as they stand in it."""

    payloads: int  # all
    nested: int  # of these, files that are ZIPs
    amended: int  # of these, files that were there before in another version
    amended_files: int
    nested_split: int  # the same files without the members that were kept before
    amended_split: int


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.nested",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--set", dest="shape", choices=("seq", "year"), default="seq")
    parser.add_argument("--scale", type=float, default=1.0, help="of the set, for a quick look")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up lab")
    given = parser.parse_args()
    print(f"{lab.machine(given.seed)}, {given.shape}, scale {given.scale:g}\n", flush=True)
    print(table(measure(exports(SHAPES[given.shape].scaled(given.scale), given.seed))))


def measure(nights: Iterable[Export]) -> list[Night]:
    """What is new in each export after those before it."""
    known: set[str] = set()
    parts: set[bytes] = set()
    return [_night(export, known, parts) for export in nights]


def table(nights: Sequence[Night]) -> str:
    """As Markdown: the first night, the mean of those after it, and all of them together."""
    later = nights[1:]
    rows: list[tuple[str, list[float]]] = [
        ("new payloads, MB", [one.payloads / 1e6 for one in nights]),
        ("of these docx and zip, MB", [one.nested / 1e6 for one in nights]),
        ("the same cut into members, MB", [one.nested_split / 1e6 for one in nights]),
        ("amended docx and zip, files", [one.amended_files for one in nights]),
        ("amended docx and zip, MB", [one.amended / 1e6 for one in nights]),
        ("the same cut into members, MB", [one.amended_split / 1e6 for one in nights]),
    ]
    lines = [f"| | first night | a later night | all {len(nights)} |", "| --- | ---: | ---: | ---: |"]
    for name, values in rows:
        mean = sum(values[1:]) / max(1, len(later))
        lines.append(f"| {name} | {values[0]:.2f} | {mean:.3f} | {sum(values):.2f} |")
    gain = [one.nested - one.nested_split for one in nights]
    shares = [_share(gain[:1], nights[:1]), _share(gain[1:], later), _share(gain, nights)]
    return "\n".join([*lines, f"| gain at most, % of new payloads | {' | '.join(shares)} |"])


def _night(export: Export, known: set[str], parts: set[bytes]) -> Night:
    payloads = nested = amended = files = nested_split = amended_split = 0
    for member in export.members:
        if member.same in known:
            continue
        known.add(member.same)
        content = member.content()
        size = len(zlib.compress(content, wbits=-15))
        payloads += size
        if member.kind in OFFICE:
            rest = size - reused(content, parts)
            nested, nested_split = nested + size, nested_split + rest
            if member.version:
                amended, amended_split, files = amended + size, amended_split + rest, files + 1
    return Night(payloads, nested, amended, files, nested_split, amended_split)


def reused(content: bytes, parts: set[bytes]) -> int:
    """Bytes of a ZIP's payloads that stand in `parts`, which learns the others."""
    found = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            begin = info.header_offset + 30 + len(info.filename.encode())  # ours have no extra fields
            payload = content[begin : begin + info.compress_size]
            mark = hashlib.sha256(payload).digest()
            found += len(payload) if mark in parts else 0
            parts.add(mark)
    return found


def _share(gain: Sequence[int], nights: Sequence[Night]) -> str:
    return f"{100 * sum(gain) / max(1, sum(one.payloads for one in nights)):.1f}"


if __name__ == "__main__":
    main()
