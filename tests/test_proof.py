"""The proof sheet: its words, that it stays one page, and that it never says more than is so."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.proof import MEANING, Chain, Reread, Sheet, facts, follow
from flows.proofpage import WIDTH, page
from storage import snapshot
from storage.backend import LocalDisk
from storage.listing import Entry, Recipe
from storage.snapshot import Manifest, ScopeKey, Snapshot
from storage.verify import Check, Outcome, Promise, Quality, fold, measure
from tests import test_architecture as house
from tests.doubles import LAB, START, draft, drop, new_archive, noise, write
from tests.test_cli import Shell

GOLDEN = Path(__file__).parent / "golden" / "proof.txt"
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
ONE_PAGE = 80  # lines: A4 at WIDTH columns
BIG = 1_200_000  # bytes: a file above 1 MiB has a block of its own, apart from the list of files
NAME = "RSpace-2026-03-01-02-30-xml-mrossi-UC6DUYPO-l3jyw.zip"
SHOWN = "RSpace-2026-03-01-02-30-xml-….zip"

CHECKS = (
    Check("size", Outcome.PASSED, SHOWN, "20", "20"),
    Check("crc32", Outcome.PASSED, SHOWN, "56d3a1f5", "56d3a1f5"),
    Check("zip structure", Outcome.PASSED, SHOWN, got="139 members, each CRC-32 agrees"),
    Check("export date", Outcome.PASSED, SHOWN, "2026-02-28 to 2026-03-02", "2026-03-01"),
    Check("completeness", Outcome.NOT_AVAILABLE, reason="not compared with RSpace's own list of records"),
    Check("read back from the archive", Outcome.PASSED, got="every byte, before the commit"),
)  # fmt: skip


def entry(path: str, data: bytes) -> Entry:
    """A file whose size and CRC-32 were promised as they came."""
    measured = measure([data])
    return Entry(path, measured, Promise(measured.size, measured.crc32), Recipe("concat", ()))


def taken(entries: Iterable[Entry], **other: Any) -> Snapshot:
    """A snapshot of these files, second of its chain, the same for the same arguments."""
    fields: dict[str, Any] = {
        "key": ScopeKey("lab", "group:11"),
        "request": {"kind": "group", "id": "11", "format": "xml", "link_level": 2, "revisions": True},
        "job": {"id": 26, "adopted": "no"},
        "vendor": {"url": "https://eln.example.org", "version": "2.25.0", "user": "mrossi", "said": "COMPLETED",
                   "server_time": snapshot.to_text(START)},
        "checks": CHECKS,
        "notes": ("not in this backup: inventory, files in linked file stores, deleted items",),
        "tool": {"strongroom": "0.1.0", "python": "3.11.7"},
    }  # fmt: skip
    files = list(entries)
    manifest = Manifest(
        archive_id="6f1c2a34-0b5d-4e8f-9a10-2b3c4d5e6f70",
        draft=draft(**{**fields, **other}),
        number=2,
        previous="ab" * 32,
        committed_at=START + timedelta(minutes=9),
        files=len(files),
        members=0,
        size=sum(file.measured.size for file in files),
        listing=(("cd" * 32,),),
        listing_sha256="cd" * 32,
        packs=("ef" * 32,),
        stored_bytes=20,
        objects_new=2,
        objects_reused=0,
        format=2,  # whose id the golden page has
    )
    return snapshot.decode(snapshot.encode(manifest), "a manifest")


def sheet(found: Snapshot, entries: Iterable[Entry], **other: Any) -> Sheet:
    """The sheet of a snapshot that was read again and found whole."""
    files = tuple(Reread(file, file.measured) for file in entries)
    return replace(Sheet(found, files, Chain(1), NOW, {"strongroom": "0.1.0"}), **other)


def flat(text: str) -> str:
    """Text without the page's line breaks."""
    return " ".join(text.split())


def test_the_page_of_a_fixed_snapshot() -> None:
    """Every word, as it is printed."""
    files = [entry(NAME, b"twenty bytes of data")]

    assert page(sheet(taken(files), files)) == GOLDEN.read_text()


def test_a_usual_page_is_one_page() -> None:
    """It fits on A4, and says all that was asked of it."""
    lines = GOLDEN.read_text().splitlines()

    assert len(lines) <= ONE_PAGE
    assert max(map(len, lines)) <= WIDTH


def test_a_thousand_files_stay_one_page_with_the_damaged_ones_first() -> None:
    """Folded, with what is wrong on top and a number for the rest."""
    files = [entry(f"documents/{number:04d}-{'long ' * 12}.pdf", noise(99, number)) for number in range(1000)]
    checks = [Check("size", Outcome.PASSED, f.path, "99", "99") for f in files]
    found = taken(files, checks=tuple(fold(checks)))
    good = sheet(found, files)
    bad = replace(good, files=(*good.files[:-1], Reread(files[-1], measure([b""]), "packs/ef: gone")))

    for one in (good, bad):
        text = page(one)
        assert len(text.splitlines()) <= ONE_PAGE
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "and 990 more, in the manifest" in text
    assert "1,000 files, every one as it was kept" in flat(page(good))
    assert "999-long" in page(bad)
    assert page(bad).count("NOT EQUAL") == 1
    assert "packs/ef: gone (read 0 of 99 bytes)" in flat(page(bad))
    assert [row["name"] for row in facts(bad)["read_again"] if not row["equal"]] == [files[-1].path]


def test_other_bytes_are_told_with_both_sums() -> None:
    """A reader that gave back something else without noticing would not go through here unseen."""
    files = [entry(NAME, b"twenty bytes of data")]
    other = measure([b"twenty bytes of dust"])
    text = page(sheet(taken(files), files, files=(Reread(files[0], other),)))

    assert "does NOT count as a backup until it is mended. NOT AS IT WAS KEPT: read again" in flat(text)
    assert "as it was kept." not in flat(text)
    assert files[0].measured.sha256 in text
    assert f"NOT EQUAL: 20 bytes, SHA-256 {other.sha256}" in flat(text)


def test_a_list_that_cannot_be_read_is_no_whole_backup() -> None:
    """Nor is one that holds other files than the manifest counted."""
    files = [entry(NAME, b"twenty bytes of data")]

    unread = sheet(taken(files), files, files=(), no_files="packs/ef.pack: not in the archive")
    short = sheet(taken(files), files, files=())

    assert unread.problems == ["the list of files: packs/ef.pack: not in the archive"]
    assert "NOT READABLE" in page(unread)
    assert short.problems == ["the list of files: 0 files of 0 bytes, the manifest says 1 of 20"]
    assert "NOT AS IT" in page(short)


@pytest.mark.parametrize("quality", Quality)
def test_each_quality_has_its_meaning(quality: Quality) -> None:
    """Only *verified* counts as a backup, and the page says so."""
    checks = (
        (Check("scope", Outcome.FAILED, SHOWN, "USER", "GROUP"),) if quality is Quality.QUARANTINED else CHECKS
    )
    text = flat(page(sheet(taken([], quality=quality, checks=checks), [])))

    assert quality.value.upper() in text
    assert MEANING[quality] in text
    assert ("does NOT count as a backup" in text) is (quality is not Quality.VERIFIED)
    assert ("FAILED got GROUP; promised USER" in text) is (quality is Quality.QUARANTINED)


def test_words_from_elsewhere_break_no_line() -> None:
    """A name, a note or an answer with line breaks and escapes cannot forge a line of the page."""
    evil = "x\n5. The chain\r\x1b[2J\u202e\u2028" + "w" * 400
    files = [entry(evil, b"1"), entry(evil + "2", b"2")]
    found = taken(
        files, notes=(evil,), vendor={"url": evil, "said": evil}, request={"kind": evil, "ids": [*range(5000)]},
        checks=(Check(evil, Outcome.FAILED, evil, evil, evil, evil),), tool={evil: evil},
    )  # fmt: skip
    text = page(sheet(found, files, chain=Chain(2, evil)))

    assert all(line.isprintable() and len(line) <= WIDTH for line in text.split("\n"))
    assert text.count("\n5. The chain\n") == 1


def test_an_imported_file_is_not_said_to_be_asked_for() -> None:
    """Nobody asked a system, and the page does not invent one."""
    text = page(sheet(taken([], vendor={}, job={}), []))

    assert "Asked on" not in text
    assert "Exported on" in text
    assert "Job there     none recorded" in text


def test_the_chain_is_followed_by_ids() -> None:
    """To number 1; to a link that names none; not over one that is missing or another than it should be."""
    found = taken([])
    first = "ab" * 32

    assert follow(found, {1: (first, None)}) == Chain(1)
    assert follow(found, {}) == Chain(2, "number 1 is missing or cannot be read")
    assert follow(found, {1: ("cd" * 32, None)}).broken.startswith(f"number 2 names {first} as its previous one")
    alone = replace(found, manifest=replace(found.manifest, previous=None))
    assert follow(alone, {1: (first, None)}) == Chain(2)
    assert "could not be read" in page(sheet(alone, [], chain=Chain(2)))


@pytest.mark.parametrize("name", ["proof", "proofpage"])
def test_the_sheet_does_not_act(name: str) -> None:
    """Values to text: no clock, no file, no network."""
    tops = {imported.partition(".")[0] for imported in house.imports(house.ROOT / "flows" / f"{name}.py")}

    assert not tops & (house.ACTS | house.OWNERS.keys())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """`strongroom` beside an archive with three nights of one scope; the first was forgotten."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    nights = [write(archive, {NAME: noise(BIG, n), "b.zip": noise(9, n)}, night=n) for n in range(3)]
    drop(archive, nights[0], now=START + timedelta(days=3))
    return Shell(tmp_path)


def test_the_latest_is_read_again_and_printed(shell: Shell) -> None:
    """Without a snapshot: the newest; the ID is what the sheet's own command prints; nothing is written."""
    before = sorted(shell.folder.rglob("*"))
    arguments = ("show", "--proof", "--archive", "archive", "--source", LAB.source, "--scope", LAB.scope)

    done = shell.run(*arguments)

    assert done.returncode == 0, done.stderr
    assert "all 1,200,009 bytes of 2 files, every one as it was kept" in flat(done.stdout)
    assert hashlib.sha256(noise(BIG, 2)).hexdigest() in done.stdout
    assert "led back to number 1 without a gap" in done.stdout
    (command,) = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("sha256sum ")]
    told = hashlib.sha256((shell.folder / "archive" / command[1]).read_bytes()).hexdigest()
    assert f"ID            {told}" in done.stdout
    said = shell.json(*arguments)
    assert (said["snapshot"]["id"], said["proof"]["whole"], said["proof"]["problems"]) == (told, True, [])
    assert [row["equal"] for row in said["proof"]["read_again"]] == [True, True]
    assert sorted(shell.folder.rglob("*")) == before


def test_a_flipped_byte_is_named_on_the_page(shell: Shell) -> None:
    """Exit code 4; the page names the file that it hits, and only that; the JSON says the same."""
    found = shell.json("show", "--archive", "archive")["snapshot"]
    (pack,) = [
        path for path in (shell.folder / "archive").rglob("*.pack") if noise(BIG, 2)[:99] in path.read_bytes()
    ]
    data = bytearray(pack.read_bytes())
    data[data.index(noise(BIG, 2)[:99])] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)

    done = shell.run("show", found["id"], "--proof", "--archive", "archive")

    assert done.returncode == 4
    assert "NOT AS IT WAS KEPT" in done.stdout
    assert "DAMAGED (when taken: verified)" in done.stdout
    assert f"- {NAME}: packs/" in flat(done.stdout)
    assert f"read {BIG:,} of {BIG:,} bytes" in flat(done.stdout)  # what proves a file is the sum of the whole
    assert done.stdout.count("CRC-32 and SHA-256 equal") == 1  # b.zip
    assert pack.stem[:12] in done.stdout
    assert NAME in done.stderr
    assert "Traceback" not in done.stderr
    proof = shell.json("show", found["id"], "--proof", "--archive", "archive")["proof"]
    assert (proof["whole"], "NOT count" in proof["meaning"]) == (False, True)
    assert [row["name"] for row in proof["read_again"] if row["problem"]] == [NAME]


def test_a_missing_pack_is_told(shell: Shell) -> None:
    """Not even the list of files is left: still a page, and exit code 4."""
    found = shell.json("show", "--archive", "archive")["snapshot"]
    for pack in (shell.folder / "archive").rglob("*.pack"):
        pack.unlink()

    done = shell.run("show", found["id"], "--proof", "--archive", "archive")

    assert done.returncode == 4
    assert "NOT READABLE" in done.stdout
    assert "name a.zip" in done.stdout  # as the check does that stands in the manifest
    assert "not in the archive" in flat(done.stdout)


def test_a_broken_chain_is_told(shell: Shell) -> None:
    """The files are whole, the link before is gone."""
    found = shell.json("show", "--archive", "archive")["snapshot"]
    (tomb,) = (shell.folder / "archive").rglob("*.forgotten.json")
    tomb.unlink()

    done = shell.run("show", found["id"], "--proof", "--archive", "archive")

    assert done.returncode == 4
    assert "BROKEN: number 1 is missing" in done.stdout
    assert "CRC-32 and SHA-256 equal" in done.stdout
