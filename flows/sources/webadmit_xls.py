"""How many rows an old Excel file (.xls) has, and whether it is whole: calamine reads it, in a process of its own.

A damaged file makes calamine panic, or ask for more memory than there is; beside us it may. What calamine lets
pass, a file that lacks sectors which its cells do not need, is told from the container's own table ([MS-CFB] 2.3):
by the first 109 sectors of it, which say all of files up to 7 MB. This file is also what that process runs.
"""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
from pathlib import Path

from python_calamine import CalamineError, SheetTypeEnum, load_workbook

MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")
MOST = 512 << 20  # bytes; an .xls has at most 65,536 rows a sheet
MEMORY = 3 << 30  # bytes of address space that the reader may take, where the system keeps to it (Linux)
CPU_S = 120  # that it may take
_FREE = 0xFFFFFFFF


def rows_of_xls(path: Path) -> tuple[int, str]:
    """Rows of all sheets, without their headings; and what is wrong with the file, "" for nothing.

    Memory: none here; in the reader's process the file twice and 400 bytes a cell (seen with 240,000 short texts),
    so that one of more than some 7 million cells is not read, and what is not read is wrong.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head.startswith(MAGIC):
        return 0, "it is no workbook"
    size = path.stat().st_size
    if size > MOST:
        return 0, "it is too large for a workbook"
    if len(head) < 512 or _length(path, head) > size:
        return 0, "its container is cut"
    command = [sys.executable, "-I", __file__, str(path)]
    try:
        # Its complaints are for calamine's makers: they name lines of their code.
        done = subprocess.run(command, capture_output=True, timeout=10 * CPU_S, check=False)
    except subprocess.TimeoutExpired:
        return 0, "it cannot be read in reasonable time"
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0 and said.isdigit():
        return int(said), ""
    return 0, f"it cannot be read ({said[:120] or f'its reader ended with {done.returncode}'})"


def _length(path: Path, head: bytes) -> int:
    """How many bytes the file must have at least, to hold every sector that its table calls used."""
    shift = struct.unpack_from("<H", head, 30)[0]
    size = 1 << (12 if shift == 12 else 9)
    count = struct.unpack_from("<I", head, 44)[0]
    places: tuple[int, ...] = struct.unpack_from("<109I", head, 76)[:count]
    last = 0
    with path.open("rb") as stream:
        for nth, place in enumerate(places):
            stream.seek((place + 1) * size)
            table = stream.read(size)
            if len(table) < size:
                return (place + 2) * size
            follows = struct.unpack(f"<{size // 4}I", table)
            used = [at for at, sector in enumerate(follows) if sector != _FREE]
            last = max([last, *(nth * len(follows) + at for at in used[-1:])])
    return (last + 2) * size


def _main(path: str) -> int:
    """Read a workbook to its end and print its rows, or what is wrong: the whole life of the reader's process."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        book = load_workbook(path)
        sheets = [one.name for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
        print(sum(max(book.get_sheet_by_name(name).height - 1, 0) for name in sheets) if sheets else "no sheet")
    except CalamineError as exc:
        print("".join(char if char.isprintable() else " " for char in str(exc)))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
