"""What files of WebAdMIT's must show: the structure of each format, to the last byte; and how many rows."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from flows.demo.webadmit_xls import workbook
from flows.sources.webadmit_content import error_page, inspect
from storage.verify import Outcome

HEADING = b'"CAS ID","Name","Essay"\r\n'
S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
PAGE = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"


def _csv(rows: int) -> bytes:
    """Latin letters beyond ASCII, and essays with line breaks, commas and quotes."""
    row = '"{0}","M\xfcller, J\xfcrgen","My ""plan"":\n1. study,\r\n2. work"\r\n'
    return HEADING + b"".join(row.format(n).encode("iso-8859-1") for n in range(rows))


def look(folder: Path, data: bytes, format: str) -> tuple[bool, int | None, str]:
    """Whether a file with these bytes passes, its rows, and what is said."""
    path = folder / "file"
    path.write_bytes(data)
    checks, rows = inspect(path, format, "file")
    passed = all(check.outcome is Outcome.PASSED for check in checks)
    return passed, rows, "; ".join(check.sentence() for check in checks)


@pytest.mark.parametrize("rows", [0, 1, 500])
def test_a_csv(tmp_path: Path, rows: int) -> None:
    """Rows are counted without the heading, and a line break within quotes begins none."""
    assert look(tmp_path, _csv(rows), "csv")[:2] == (True, rows)


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    """Every byte is a letter of iso-8859-1: a file is read as what it is said to be."""
    every = bytes(n for n in range(1, 256) if n not in b'\r\n",')
    assert look(tmp_path, b"a,b\n" + every + b",x\n", "csv")[:2] == (True, 1)


def test_a_csv_that_was_cut(tmp_path: Path) -> None:
    """Wherever it ends that should not, but behind a row or its last comma: there the number of bytes tells."""
    whole = _csv(3).replace(b'""', b"'")
    sound = {n for n in range(len(HEADING), len(whole)) if look(tmp_path, whole[:n], "csv")[0]}

    row = (len(whole) - len(HEADING)) // 3
    ends = {len(HEADING) + row * number for number in range(3)}
    assert ends < sound
    commas = {end + len(b'"0","M.ller, J.rgen",') for end in ends}
    assert sound <= {end - back for end in {*ends, len(whole)} for back in (0, 1, 2)} | commas


@pytest.mark.parametrize(
    "data",
    [
        HEADING + b"1,2\r\n",
        HEADING + b"1,2,3,4\r\n",
        HEADING + b'1,2,"three\r\n',
        HEADING + b'1,2,"three"x\r\n',
        HEADING + b"1,2,3\r\n\r\n4,5,6\r\n",
        b"\r\n1,2,3\r\n",
        b"",
        S3_ERROR,
        PAGE,
        b"\r\n " + PAGE,
    ],
)
def test_what_is_no_csv(tmp_path: Path, data: bytes) -> None:
    """Other columns, open quotes, nothing at all, and the error pages of stores and proxies."""
    passed, rows, said = look(tmp_path, data, "csv")

    assert (passed, rows) == (False, None)
    assert len(said) < 200


def test_blank_lines_at_the_end_and_a_single_column(tmp_path: Path) -> None:
    """The first mean nothing; in a file of one column an empty cell is a blank line."""
    assert look(tmp_path, _csv(2) + b"\r\n\r\n", "csv")[:2] == (True, 2)
    assert look(tmp_path, b"Name\nA\n\nB\n", "csv")[:2] == (True, 3)


def test_no_row_is_repeated_in_a_message(tmp_path: Path) -> None:
    """Rows are people."""
    said = look(tmp_path, HEADING + b'7,"Noether, Emmy","x"y\r\n', "csv")[2]

    assert "Noether" not in said


def test_fixed_width(tmp_path: Path) -> None:
    """Every line as long as the first; a cut last line is not."""
    lines = b"0001M\xfcller    1990\r\n" * 40

    assert look(tmp_path, lines, "fixed")[:2] == (True, 40)
    assert look(tmp_path, lines.rstrip(), "fixed")[:2] == (True, 40)
    assert look(tmp_path, lines[:-6], "fixed")[:2] == (False, None)
    assert not look(tmp_path, S3_ERROR + b"\n" + S3_ERROR, "fixed")[0]


def test_html(tmp_path: Path) -> None:
    """A page that ends as one, with a table; the store's error is none."""
    page = b"<html><table><tr><th>Name</th></tr>" + b"<TR ><td>A</td></tr>" * 3 + b"</table></html>\n"

    assert look(tmp_path, page, "html")[:2] == (True, 3)
    assert look(tmp_path, page[:-12], "html")[:2] == (False, None)
    assert not look(tmp_path, S3_ERROR, "html")[0]
    assert not look(tmp_path, PAGE, "html")[0]


def test_a_table_that_is_called_a_workbook(tmp_path: Path) -> None:
    """As many systems write it; a page without a table is none, whatever it is called."""
    table = b"\n<table><tr><th>Name</th></tr>" + b"<tr><td>A</td></tr>" * 3 + b"</table>\n"

    assert look(tmp_path, table, "xls")[:2] == (True, 3)
    assert look(tmp_path, b"<html>" + table + b"</html>", "xls")[:2] == (True, 3)
    assert look(tmp_path, table[:-20], "xls")[:2] == (False, None)
    assert not look(tmp_path, table, "csv")[0]
    sheet = b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook><Row/>' + b"<Row >" * 4
    assert look(tmp_path, sheet + b"</Workbook>", "xls")[:2] == (True, 3)
    assert not look(tmp_path, S3_ERROR, "xls")[0]


def test_rows_across_pieces_are_counted_once(tmp_path: Path) -> None:
    """Wherever a file is cut for reading."""
    for lead in range(12):
        body = b"x" * ((1 << 20) - 12 - len(b"<html><table>") + lead)
        page = b"<html><table>" + body + b"<tr ><td>1</td></tr><tr><td>2</td></tr></table></html>"
        assert look(tmp_path, page, "html")[:2] == (True, 1)


def _zip(folder: Path, members: dict[str, bytes]) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path.read_bytes()


def test_tables_in_a_zip(tmp_path: Path) -> None:
    """Each is a CSV by itself; their rows are added up."""
    data = _zip(tmp_path, {"applicants.csv": _csv(5), "schools.csv": b"id,school\n1,A\n"})

    assert look(tmp_path, data, "csv-zip")[:2] == (True, 6)
    assert not look(tmp_path, _zip(tmp_path, {"a.csv": b"a,b\n1\n"}), "csv-zip")[0]
    assert not look(tmp_path, _zip(tmp_path, {}), "csv-zip")[0]
    assert not look(tmp_path, data[:-30], "csv-zip")[0]
    assert not look(tmp_path, PAGE, "csv-zip")[0]


def test_documents_in_a_zip(tmp_path: Path) -> None:
    """Every member's CRC-32; they are counted by the archive, and are no rows."""
    data = bytearray(_zip(tmp_path, {"1.pdf": b"%PDF-1.4 one" * 50, "2.pdf": b"%PDF-1.4 two" * 50}))
    assert look(tmp_path, bytes(data), "pdf-zip")[:2] == (True, None)

    data[45] ^= 0xFF
    assert not look(tmp_path, bytes(data), "pdf-zip")[0]


def test_an_unknown_format_is_kept_and_does_not_count(tmp_path: Path) -> None:
    """Nothing can be proven of it."""
    passed, rows, said = look(tmp_path, b"PAR1", "Parquet")

    assert (passed, rows) == (False, None)
    assert "Parquet" in said


# -- workbooks


def _xls(rows: int) -> bytes:
    """A workbook whose container has one sector behind its table, which no cell needs."""
    data = bytearray(workbook([["CAS ID", "Name"], *([str(number), "M\xfcller"] for number in range(rows))]))
    sectors = len(data) // 512 - 1
    assert sectors < 128
    struct.pack_into("<I", data, len(data) - 512 + 4 * sectors, 0xFFFFFFFE)
    return bytes(data) + bytes(512)


@pytest.mark.parametrize("rows", [0, 1, 700])
def test_a_workbook(tmp_path: Path, rows: int) -> None:
    """Its rows without the heading."""
    assert look(tmp_path, _xls(rows), "xls")[:2] == (True, rows)


def test_a_large_workbook(tmp_path: Path) -> None:
    """As many rows as it can have."""
    assert look(tmp_path, workbook([["a"]] * 65536), "xls")[:2] == (True, 65535)


def test_a_workbook_that_was_cut(tmp_path: Path) -> None:
    """Wherever it ends, also where no cell is missing."""
    whole = _xls(700)
    cuts = [*range(0, len(whole), 97), len(whole) - 512, len(whole) - 1]

    assert [n for n in cuts if look(tmp_path, whole[:n], "xls")[0]] == []


def test_a_workbook_whose_end_is_empty(tmp_path: Path) -> None:
    """As long as it should be, and its last sheets never came."""
    whole = _xls(700)
    passed, rows, said = look(tmp_path, whole[:8192] + bytes(len(whole) - 8192 - 2048) + whole[-2048:], "xls")

    assert (passed, rows) == (False, None)
    assert "cannot be read" in said


def test_a_damaged_workbook_never_raises(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever byte of its tables is wrong, and whatever its reader says of that."""
    whole = _xls(9)
    for at in [*range(24, 80, 2), *range(len(whole) - 1024, len(whole) - 900, 5)]:
        data = bytearray(whole)
        data[at] ^= 0xFF
        look(tmp_path, bytes(data), "xls")

    assert capfd.readouterr() == ("", "")


def test_a_new_workbook_and_what_is_none(tmp_path: Path) -> None:
    """A ZIP of sheets; a page under that name is refused."""
    sheet = b"<worksheet><sheetData>" + b'<row r="1"/>' * 8 + b"</sheetData></worksheet>"
    data = _zip(tmp_path, {"xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": sheet})

    assert look(tmp_path, data, "xls")[:2] == (True, 7)
    assert not look(tmp_path, _zip(tmp_path, {"a.txt": b"x"}), "xls")[0]
    assert not look(tmp_path, PAGE, "xls")[0]
    assert not look(tmp_path, _csv(3), "xls")[0]


def test_error_pages_are_told_by_their_beginning() -> None:
    """A byte order mark and blanks before it are none's business; a page that was asked for is none."""
    assert error_page(b"\xef\xbb\xbf" + S3_ERROR, html=True)
    assert error_page(PAGE.upper(), html=False)
    assert not error_page(PAGE, html=True)
    assert not error_page(b'<?xml version="1.0"?><!DOCTYPE html><html>', html=True)
    assert not error_page(b'"<html>",x', html=False)
