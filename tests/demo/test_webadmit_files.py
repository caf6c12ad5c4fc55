"""What is in WebAdMIT's files: formats, charset, quoting, and what changes from night to night."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from itertools import pairwise
from typing import Any

import pytest

from flows.demo import Admissions as World
from flows.demo.webadmit_applicants import COLUMNS, WIDTHS
from flows.demo.webadmit_formats import EXTENSIONS, Flaws, export_file
from tests.demo.admissions import Admissions


def table(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("iso-8859-1"), newline="")))


def built(format_: str, *, nights: int = 0, seed: int = 1, **flaws: Any) -> bytes:
    """A file of the nursing school, without a server."""
    world = World(seed=seed, applicants=5, ticks=lambda: 0.0)
    world.pass_nights(nights)
    return export_file(format_, world.applicants(world.export().identity_id, world.now()), Flaws(**flaws))


def test_a_csv_is_latin_1_with_quoted_newlines(admissions: Admissions) -> None:
    """Bytes from 0x80 on that are no UTF-8, quotes within quotes, line breaks of both kinds within a cell, one
    column count throughout, and a header."""
    data = admissions.file()

    assert any(byte >= 0x80 for byte in data)
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    found = table(data)
    assert found[0] == list(COLUMNS)
    assert {len(row) for row in found} == {len(COLUMNS)}
    remarks = [row[-1] for row in found[1:]]
    assert any("\n" in text for text in remarks)
    assert any("\r\n" in text for text in remarks)
    assert any('"' in text for text in remarks)
    assert data.count(b"\n") > len(found)


def test_a_fixed_width_report_has_lines_of_one_length(admissions: Admissions) -> None:
    """No header, no separator; each line as long as the widths say, in iso-8859-1."""
    lines = admissions.file("Fixed width for SIS").decode("iso-8859-1").splitlines()
    assert {len(line) for line in lines} == {sum(WIDTHS)}
    assert len(lines) == len(table(admissions.file())) - 1


def test_excel_is_a_table_called_xls_or_the_real_thing(admissions: Admissions) -> None:
    """An HTML table by default; on request an OLE2 container. The list of a search is shorter than all."""
    page = admissions.file("Dean's workbook")
    assert page.startswith(b"<table>")
    assert page.count(b"<tr>") < len(table(admissions.file()))
    admissions.faults.set(xls_biff=True)
    real = admissions.file("Dean's workbook")
    assert real.startswith(bytes.fromhex("d0cf11e0a1b11ae1"))
    assert len(real) % 512 == 0
    assert b"<table>" not in real
    assert "cas_id".encode("utf-16-le") in real


def test_html_is_a_whole_page(admissions: Admissions) -> None:
    """In UTF-8, as it says itself."""
    page = admissions.file("Committee page").decode()
    assert page.startswith("<!DOCTYPE html>")
    assert 'charset="utf-8"' in page
    assert page.rstrip().endswith("</html>")


def test_several_files_come_in_one_zip(admissions: Admissions) -> None:
    """Three sound CSVs that share the applicants' ids."""
    with zipfile.ZipFile(io.BytesIO(admissions.file("Everything"))) as archive:
        assert archive.testzip() is None
        found = {name: table(archive.read(name)) for name in archive.namelist()}
    assert set(found) == {"applicants.csv", "education.csv", "tests.csv"}
    ids = {row[0] for row in found["applicants.csv"][1:]}
    assert {row[0] for row in found["education.csv"][1:]} == ids
    assert {row[0] for row in found["tests.csv"][1:]} < ids


def test_a_clipboard_holds_what_somebody_clipped(admissions: Admissions) -> None:
    """Three applicants, whatever the list has."""
    assert len(table(admissions.file("Clipped applicants"))) == 4


@pytest.mark.parametrize("format_", EXTENSIONS)
def test_the_same_world_has_the_same_bytes(format_: str) -> None:
    """Seed and nights decide; another seed is another list."""
    assert built(format_, nights=2) == built(format_, nights=2)
    assert built(format_, seed=2) != built(format_)


def test_applicants_come_and_change_over_nights() -> None:
    """A night adds a few rows and changes a few, and leaves most of them as they were."""
    nights = [table(built("Comma-Separated Values", nights=n)) for n in range(8)]

    counts = [len(rows) for rows in nights]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    changed = [
        sum(old != new for old, new in zip(before, after, strict=False)) for before, after in pairwise(nights)
    ]
    assert 0 < sum(changed) < sum(counts) / 5
    assert [row[0] for row in nights[0]] == [row[0] for row in nights[-1][: counts[0]]]


def test_a_run_has_the_data_of_when_it_began_its_work(admissions: Admissions) -> None:
    """A run that a colleague began two nights ago has the rows of then, whenever it is fetched."""
    admissions.world.pass_nights(7)
    older = admissions.world.start_elsewhere(admissions.export.id, ago_s=7 * 86400)
    href = f"/api/v1/exports/{admissions.export.id}/export_files/{older.id}"
    found = admissions.fetch(admissions.link({"href": href})).content
    assert table(found) == table(built("Comma-Separated Values"))
    assert len(table(admissions.file())) > len(table(found))


def test_flaws_are_of_the_file_itself() -> None:
    """No row, few rows, a short one, a torn file, a member that is damaged: nothing else tells."""
    rows = len(table(built("Comma-Separated Values"))) - 1
    assert table(built("Comma-Separated Values", rows=0)) == [list(COLUMNS)]
    assert len(table(built("Comma-Separated Values", rows=2))) == 3
    ragged = table(built("Comma-Separated Values", ragged=True))
    assert [len(row) for row in ragged[-2:]] == [len(COLUMNS), len(COLUMNS) - 1]
    lines = built("Fixed Width Report", ragged=True).splitlines()
    assert [len(line) for line in lines[-2:]] == [sum(WIDTHS), sum(WIDTHS) - 1]
    assert len(lines) == rows
    assert len(built("Website HTML", short_to=1000)) == 1000
    damaged = zipfile.ZipFile(io.BytesIO(built("Comma-Separated Values in Multiple Files", bad_member=True)))
    with pytest.raises(zipfile.BadZipFile):
        damaged.read("tests.csv")
    assert re.search(rb"revised 1 times", built("Comma-Separated Values", revised=1))
