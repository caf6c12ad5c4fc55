"""Files that Mayan makes pages of: a PDF and a PNG, small, different for each text."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence


def pdf(text: str, pages: int = 1) -> bytes:
    """A valid PDF; each page shows the text and its number."""
    contents = [f"BT /F1 24 Tf 72 700 Td ({text} {number}) Tj ET" for number in range(1, pages + 1)]
    kids = [f"{4 + 2 * number} 0 R" for number in range(pages)]
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {pages} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for content in contents:
        after = len(objects) + 2
        objects += [
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {after} 0 R >>",
            f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        ]
    return _file([each.encode() for each in objects])


def png(text: str, side: int = 32) -> bytes:
    """A valid PNG of one colour, which the text decides; the text stands in it."""
    rows = (b"\0" + hashlib.sha256(text.encode()).digest()[:3] * side) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [
        (b"IHDR", head),
        (b"tEXt", b"Title\0" + text.encode()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def noise(pages: int, side: int = 1200) -> bytes:
    """A PDF whose pages are grey noise, all the same, which an export cannot make small."""
    image = hashlib.shake_256(b"noise").digest(side * side)
    head = f"q 612 0 0 792 0 0 cm BI /W {side} /H {side} /CS /G /BPC 8 ID ".encode()
    content = head + image + b"\nEI Q"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(f'{4 + n} 0 R' for n in range(pages))}] /Count {pages} >>".encode(),
        f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream",
        *[b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << >> /Contents 3 0 R >>"] * pages,
    ]
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    body = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(f"{len(body):010d} 00000 n \n")
        body += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    count = len(objects) + 1
    table = f"xref\n0 {count}\n0000000000 65535 f \n{''.join(places)}"
    end = f"trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + (table + end).encode()
