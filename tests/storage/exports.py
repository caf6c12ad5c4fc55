"""ZIPs as RSpace makes them, for tests: one folder that is called like nothing else, names in it that stay."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterable
from io import BytesIO

from tests.doubles import noise

FILLER = ("resources/filler.bin", noise(80_000, 9))  # large enough for the ZIP to be kept cut


def export(
    members: Iterable[tuple[str, bytes]],
    *,
    night: int = 0,
    method: int = zipfile.ZIP_DEFLATED,
    small: bool = False,
) -> bytes:
    """An export's bytes; `small`: too small to be kept cut."""
    out = BytesIO()
    root = f"RSpace-2026-03-{night + 1:02d}-xml-mrossi-{night:014d}"
    with zipfile.ZipFile(out, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that come twice are the point of some tests
        for name, data in [("", b""), *members, *([] if small else [FILLER])]:
            info = zipfile.ZipInfo(f"{root}/{name}", (2026, 3, night + 1, 2, 30, 0))
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def name(night: int = 0) -> str:
    """What the system calls the export of that night."""
    return f"RSpace-2026-03-{night + 1:02d}-xml-mrossi-{night:014d}.zip"
