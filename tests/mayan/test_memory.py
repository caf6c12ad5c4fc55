"""A night's memory does not grow with the size of files and exports."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from storage.archive import Archive
from storage.backend import open_url
from tests.mayan import exporting, seeding
from tests.mayan.files import noise
from tests.mayan.test_kill import CONFIG
from tests.mayan_server import Mayan

pytestmark = [pytest.mark.mayan, pytest.mark.full]

LARGE, PAGES = 300 << 20, 20
MOST = 48 << 20  # bytes between the peaks
PEAK = """
import re, sys
from pathlib import Path
from tests.crash.driver import main
main()
# Not ru_maxrss, which begins with that of the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def test_the_peak_is_flat(mayan: Mayan, admin: httpx.Client, tmp_path: Path) -> None:
    """A file of 300 MB, and an export of tens of MB, take what a small one takes."""
    small, large = (str(seeding.make_type(admin, label)) for label in ("small", "large"))
    exporting.of_pages(admin, small, "small", 1)
    document = seeding.make_document(admin, "large", [("pages.pdf", noise(PAGES))], type_id=int(large))
    seeding.wait_versions(admin, document.id)
    seeding.add_file(admin, document.id, "large.bin", os.urandom(LARGE), action="keep")

    peaks = [peak(mayan, kind, tmp_path / kind) for kind in (small, large)]

    print(peaks)
    assert peaks[1] - peaks[0] < MOST


def peak(mayan: Mayan, kind: str, folder: Path) -> int:
    """Bytes that a verified night of that type had at most."""
    folder.mkdir()
    archive = Archive.create(open_url(str(folder / "archive")), now=datetime.now(UTC))
    config = folder / "strongroom.toml"
    config.write_text(CONFIG.format(url=mayan.url, type=kind))
    told = [str(config), "office", "killed", "none", "0", "before", datetime.now(UTC).isoformat()]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *told], env={**os.environ, "STRONGROOM_TEST_TOKEN": mayan.token},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert '"ended": "verified"' in done.stdout, done.stdout + done.stderr
    sizes = [entry.measured.size for entry in archive.entries(archive.snapshots()[0])]
    print(sorted(sizes)[-2:])
    return int(done.stderr.splitlines()[-1]) << 10
