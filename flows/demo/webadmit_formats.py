"""Applicants as the files that WebAdMIT's export formats are, byte for byte the same for the same rows.

It asks nobody and keeps nothing. "Microsoft Excel" is an HTML table called .xls, as many Rails applications
deliver it and Excel opens it; or, on request, an OLE2 container with a BIFF8 sheet (webadmit_xls.py).
"""

from __future__ import annotations

import csv
import html
import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flows.demo.webadmit_applicants import COLUMNS, WIDTHS, Row
from flows.demo.webadmit_xls import workbook

CHARSET = "iso-8859-1"
EXTENSIONS = {
    "Comma-Separated Values": "csv",
    "Microsoft Excel": "xls",
    "Website HTML": "html",
    "Fixed Width Report": "txt",
    "Comma-Separated Values in Multiple Files": "zip",
}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # members carry no date, or the same rows would not be the same bytes


@dataclass(frozen=True, slots=True)
class Flaws:
    """What is wrong with a file that is made: nothing, by default."""

    rows: int | None = None  # only so many of them, the first ones
    ragged: bool = False  # the last row of a CSV lacks a column, of a fixed width report a character
    short_to: int = 0  # the file ends after so many bytes
    bad_member: bool = False  # a member of a zip does not have its CRC-32
    biff: bool = False  # Excel's own format instead of a table
    revised: int = 0  # how often it was made anew: the first row tells


def export_file(format_: str, rows: Sequence[Row], flaws: Flaws) -> bytes:
    """The whole file. Raises KeyError on an unknown format."""
    shown = list(rows if flaws.rows is None else rows[: flaws.rows])
    if shown and flaws.revised:
        shown[0] = (*shown[0][:-1], f"revised {flaws.revised} times")
    data = {
        "Comma-Separated Values": _csv_of_applicants,
        "Microsoft Excel": _excel,
        "Website HTML": lambda shown, _flaws: _page(shown),
        "Fixed Width Report": _fixed_width,
        "Comma-Separated Values in Multiple Files": _several,
    }[format_](shown, flaws)
    return data[: flaws.short_to] if flaws.short_to else data


def zip_of(members: Iterable[tuple[str, bytes]], *, bad_member: bool = False) -> bytes:
    """A ZIP without dates. With `bad_member` the data of its last member is damaged."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
        end = archive.start_dir
    made = bytearray(out.getvalue())
    if bad_member:
        made[end - 5] ^= 0xFF  # the last byte but four of the last member's deflate stream
    return bytes(made)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]], *, ragged: bool = False) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    listed = list(rows)
    if ragged and listed:
        listed[-1] = listed[-1][:-1]
    writer.writerows(listed)
    return out.getvalue().encode(CHARSET)


def _csv_of_applicants(rows: Sequence[Row], flaws: Flaws) -> bytes:
    return _csv(COLUMNS, rows, ragged=flaws.ragged)


def _fixed_width(rows: Sequence[Row], flaws: Flaws) -> bytes:
    """No header; each line as long as the others; what does not fit is cut, line breaks are blanks."""
    lines = []
    for row in rows:
        cells = (" ".join(cell.split()).ljust(width)[:width] for cell, width in zip(row, WIDTHS, strict=True))
        lines.append("".join(cells))
    if flaws.ragged and lines:
        lines[-1] = lines[-1][:-1]
    return "".join(f"{line}\n" for line in lines).encode(CHARSET)


def _excel(rows: Sequence[Row], flaws: Flaws) -> bytes:
    return workbook([COLUMNS, *rows]) if flaws.biff else _table(rows).encode(CHARSET)


def _page(rows: Sequence[Row]) -> bytes:
    head = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Applicants</title></head><body>\n'
    return f"{head}{_table(rows)}</body></html>\n".encode()


def _table(rows: Sequence[Row]) -> str:
    lines = [f"<tr>{''.join(f'<th>{name}</th>' for name in COLUMNS)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>\n"


def _several(rows: Sequence[Row], flaws: Flaws) -> bytes:
    """Three tables that share the applicant's id."""
    education = [(row[0], school, row[9]) for row in rows for school in (f"{row[5]} College", "Demo High School")]
    tests = [(row[0], "English", f"{float(row[9]) * 25:.0f}") for row in rows if row[7] != "In Progress"]
    members = [
        ("applicants.csv", _csv(COLUMNS, rows, ragged=flaws.ragged)),
        ("education.csv", _csv(("cas_id", "school", "gpa"), education)),
        ("tests.csv", _csv(("cas_id", "test", "score"), tests)),
    ]
    return zip_of(members, bad_member=flaws.bad_member)
