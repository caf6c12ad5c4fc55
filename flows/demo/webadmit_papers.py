"""The documents of an application: small valid PDFs, and how a PDF Manager batch puts them into zips.

Real zips are split at 1 GB; here whoever asks says how many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from flows.demo.webadmit_applicants import Row
from flows.demo.webadmit_formats import zip_of


def zip_file(
    rows: Sequence[Row], part: int, parts: int, *, ballast: int = 0, bad_member: bool = False, revised: int = 0
) -> bytes:
    """One of a batch's zips: a PDF per applicant, dealt out in the order of application.

    `ballast` bytes that cannot be compressed are in each PDF besides its page.
    """
    members = []
    for row in rows[part::parts]:
        text = f"{row[0]} {row[7]}" + (f" revised {revised}" if revised else "")
        members.append((f"{row[0]}_{row[1]}_{row[2]}.pdf", pdf(text, ballast)))
    return zip_of(members, bad_member=bad_member)


def pdf(text: str, ballast: int = 0) -> bytes:
    """A valid PDF of one page that shows an ASCII text; parentheses and backslashes must not be in it."""
    content = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode("ascii")
    noise = hashlib.shake_256(text.encode()).digest(ballast)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
        b"/Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
    ]
    if ballast:
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (ballast, noise))
    body = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    count = len(objects) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%b" % (count, b"".join(places))
    return body + table + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(body))
