"""What an export file of WebAdMIT's must show: the structure of its format, and how many rows it has.

Local and read-only. WebAdMIT promises nothing of a file: what is looked for is what a cut, mixed or foreign file
lacks. Facts: contract webadmit.md sections A3 and A4.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flows.sources.webadmit_names import FORMATS, PDFS
from flows.sources.webadmit_xls import rows_of_xls
from storage.verify import Check, Outcome
from storage.ziptest import BROKEN, test_zip

CHARSET = "iso-8859-1"
MAX_FIELD = 16 << 20  # characters of one field: an essay has thousands
PIECE = 1 << 20
PAGES = ("html", "xls")  # formats that may come as a web page: a table that is called .xls is opened as a workbook
SUFFIX = {"csv": ".csv", "xls": ".xls", "html": ".html", "fixed": ".txt", "csv-zip": ".zip", PDFS: ".zip"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a file shows. `problem` is empty where it is sound."""

    got: str = ""
    problem: str = ""
    rows: int | None = None  # without the heading; None: the format tells none


def inspect(path: Path, format: str, file: str) -> tuple[list[Check], int | None]:
    """The checks of one file, and its rows. Never raises for what the file holds. Memory: a row; an xls, whole."""
    name = "structure"
    if format not in SUFFIX:
        known = ", ".join(sorted({*FORMATS.values(), PDFS}))
        return [Check(name, Outcome.FAILED, file, got=f"format {format[:60]!r}", promised=f"one of {known}")], None
    page = _page(path, format)
    if page:
        return [Check(name, Outcome.FAILED, file, got=page, promised=f"a file in format {format}")], None
    if format in ("csv-zip", PDFS):
        sound = test_zip(path, file=file)
        if sound.outcome is Outcome.FAILED or format == PDFS:
            return [sound], None
        found = _csv_zip(path)
        return [sound, _check(name, file, found)], found.rows
    readers: dict[str, Callable[[Path], Found]] = {"csv": _csv, "fixed": _fixed, "html": _html, "xls": _xls}
    found = readers[format](path)
    return [_check(name, file, found)], found.rows


def _check(name: str, file: str, found: Found) -> Check:
    return Check(name, Outcome.FAILED if found.problem else Outcome.PASSED, file, got=found.problem or found.got)


def error_page(head: bytes, *, html: bool) -> str:
    """What of an error page a file begins with; "" for anything else. `html`: a web page is what was asked for."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    page = any(sign in text for sign in (b"<html", b"excel.sheet", b"office:spreadsheet"))
    if text.startswith((b"<?xml", b"<error")) and not page:
        return "an XML document"
    if not html and text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "an HTML page"
    return ""


def _page(path: Path, format: str) -> str:
    with path.open("rb") as stream:
        head = stream.read(512)
    return error_page(head, html=format in PAGES) if head else "an empty file"


# -- text


def _csv(path: Path) -> Found:
    with path.open("rb") as stream:
        return table(stream)


def table(stream: IO[bytes]) -> Found:
    """A CSV: every row has as many columns as the heading; line breaks within quotes are no rows."""
    csv.field_size_limit(MAX_FIELD)
    text = io.TextIOWrapper(stream, encoding=CHARSET, newline="")
    reader = csv.reader(text, strict=True)
    columns, rows, blank = 0, 0, 0
    try:
        columns = len(next(reader, []))
        for row in reader:
            if not row and columns != 1:  # at the end blank lines are none's business; a row behind them is
                blank += 1
            elif blank or max(len(row), 1) != columns:
                at = f"line {reader.line_num:,}"
                return Found(problem=f"{at} has {0 if blank else len(row)} columns, the heading has {columns}")
            else:
                rows += 1
    except csv.Error as exc:
        return Found(problem=f"line {reader.line_num:,} is no CSV ({exc})")
    finally:
        text.detach()
    if not columns:
        return Found(problem="it has no heading")
    return Found(got=f"{rows:,} rows of {columns} columns", rows=rows)


def _fixed(path: Path) -> Found:
    """A report of fixed width: every line is as long as the first."""
    rows = width = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            length = len(line.rstrip(b"\r\n"))
            if number == 1:
                width = length
            elif length != width:
                problem = f"line {number:,} has {length} characters, the first has {width}"
                return Found(problem=problem)
            rows += 1
    return Found(got=f"{rows:,} lines of {width} characters", rows=rows)


def _html(path: Path) -> Found:
    """A page with a table, or a table alone, written to its end. Excel writes and reads such ones, too."""
    with path.open("rb") as stream:
        rows, last = _tags(stream, rb"<(?:tr|row)[\s>]")
    if not last.rstrip().lower().endswith((b"</html>", b"</table>", b"</workbook>")):
        return Found(problem="it does not end as a page does")
    if not rows:
        return Found(problem="it has no table")
    return Found(got=f"{rows:,} rows of tables", rows=rows - 1)


def _tags(stream: IO[bytes], tag: bytes) -> tuple[int, bytes]:
    """How often a tag stands in a text, whatever its case; and the end of the text."""
    count, last = 0, b""
    while piece := stream.read(PIECE):
        # One that lies across two pieces ends in the second.
        found = re.finditer(tag, last + piece, re.IGNORECASE)
        count += sum(match.end() > len(last) for match in found)
        last = (last + piece)[-64:]
    return count, last


# -- packed


def _csv_zip(path: Path) -> Found:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            return _tables(archive, members)
    except BROKEN as exc:
        return Found(problem=f"it cannot be read ({type(exc).__name__})")


def _tables(archive: zipfile.ZipFile, members: Iterable[zipfile.ZipInfo]) -> Found:
    rows = files = 0
    for member in members:
        with archive.open(member) as stream:
            found = table(stream)
        if found.problem:
            return Found(problem=f"file {member.filename[-80:]!a}: {found.problem}")
        rows, files = rows + (found.rows or 0), files + 1
    return Found(got=f"{rows:,} rows in {files} files", rows=rows) if files else Found(problem="no file is in it")


def _xls(path: Path) -> Found:
    """A workbook: of the old kind, of the new one, or a web page that is called so."""
    with path.open("rb") as stream:
        head = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"<"):
        return _html(path)
    if not head.startswith(b"PK\x03\x04"):
        rows, problem = rows_of_xls(path)
        return Found(f"{rows:,} rows", problem, None if problem else rows)
    sound = test_zip(path, file="")
    if sound.outcome is Outcome.FAILED:
        return Found(problem=sound.got)
    with zipfile.ZipFile(path) as archive:
        if "xl/workbook.xml" not in archive.namelist():
            return Found(problem="it is a ZIP, and no workbook")
        sheets = [name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)]
        rows = sum(_sheet(archive, name) for name in sheets)
    return Found(got=f"{rows:,} rows", rows=rows)


def _sheet(archive: zipfile.ZipFile, name: str) -> int:
    """The rows of a sheet, without its heading."""
    with archive.open(name) as stream:
        return max(_tags(stream, rb"<row[\s>/]")[0] - 1, 0)
