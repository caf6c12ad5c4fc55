"""Believable laboratory text and attachment bytes from a seed: same seed, same bytes, on every Python.

It holds no state and knows nothing of documents, users or ZIP files.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from random import Random

_SUBJECTS = (
    "the supernatant", "each aliquot", "the pooled lysate", "the second eluate", "the control plate",
    "the knock-out line", "a fresh overnight culture", "the ligation mix", "the annealed primer pair",
    "the washed membrane", "the frozen pellet", "the calibration standard", "the leaf extract",
)  # fmt: skip
_VERBS = (
    "was incubated", "was spun down", "was diluted", "was measured twice", "was transferred", "was stored",
    "was imaged", "was sequenced", "was filtered", "was compared with last week's batch", "was discarded",
)  # fmt: skip
_DETAILS = (
    "at 4 °C over night", "at 37 °C for 45 min", "in 50 mM Tris pH 7.4", "with 0.1 % Tween", "at 12 000 g",
    "on the bench spectrometer", "in the dark", "under nitrogen", "with the new polymerase", "on ice",
    "against a water blank", "in triplicate", "after the pump had been replaced",
)  # fmt: skip
_REMARKS = (
    "Yield looks better than expected.", "Band at the wrong height, repeat with fresh buffer.",
    "Nothing unusual.", "See the attached trace.", "Discussed at group meeting.", "To be repeated on Thursday.",
    "Concentration by absorbance, not corrected.", "The older protocol gave half of this.",
)  # fmt: skip
_TOPICS = (
    "Western blot", "qPCR screen", "Crystal tray", "Growth curve", "Plasmid prep", "Mass spec run", "ChIP test",
    "Buffer recipe", "Cell count", "Ligation series", "Enzyme kinetics", "Titration", "Microscopy session",
    "Sample register", "Primer design", "Column wash", "Leaf assay", "Stock check",
)  # fmt: skip


def title(rng: Random) -> str:
    return f"{rng.choice(_TOPICS)} {rng.randint(1, 60)}"


def paragraph(rng: Random) -> str:
    """One html paragraph of two to five sentences, with a number nobody else has."""
    sentences = []
    for _ in range(rng.randint(2, 5)):
        subject, verb, detail = rng.choice(_SUBJECTS), rng.choice(_VERBS), rng.choice(_DETAILS)
        sentences.append(f"{subject[0].upper()}{subject[1:]} {verb} {detail}.")
    sentences.append(f"Reading {rng.uniform(0.01, 9.99):.4f} (n = {rng.randint(2, 12)}). {rng.choice(_REMARKS)}")
    return f"<p>{' '.join(sentences)}</p>"


# kind -> (content type, relative frequency, smallest and largest size in bytes)
KINDS: dict[str, tuple[str, int, int, int]] = {
    "png": ("image/png", 30, 3_000, 60_000),
    "jpg": ("image/jpeg", 15, 5_000, 80_000),
    "pdf": ("application/pdf", 15, 8_000, 70_000),
    "docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", 12, 6_000, 40_000),
    "csv": ("text/csv", 20, 1_000, 50_000),
    "txt": ("text/plain", 8, 500, 20_000),
}


def pick_kind(rng: Random) -> str:
    return rng.choices(list(KINDS), [row[1] for row in KINDS.values()])[0]


def pick_size(rng: Random, kind: str) -> int:
    """Many small, few large, as in a real gallery."""
    _, _, low, high = KINDS[kind]
    return min(high, int(low * rng.lognormvariate(1.0, 0.8)))


def attachment_bytes(kind: str, seed: str, size: int) -> bytes:
    """Bytes of about `size` that begin like a file of this kind; text kinds compress, the others do not."""
    rng = Random(seed)
    if kind == "png":
        return png(rng, size)
    if kind == "docx":
        return _docx(rng, size)
    if kind == "csv":
        return _csv(rng, size)
    if kind == "txt":
        return ("\n".join(paragraph(rng)[3:-4] for _ in range(size // 300 + 1)) + "\n").encode()
    if kind == "pdf":
        return b"%PDF-1.4\n1 0 obj\nstream\n" + rng.randbytes(size) + b"\nendstream\nendobj\n%%EOF\n"
    return b"\xff\xd8\xff\xe0" + rng.randbytes(size) + b"\xff\xd9"


def png(rng: Random, size: int) -> bytes:
    """A valid greyscale picture of noise, so viewers open it and deflate gains nothing."""
    side = max(8, int(size**0.5))
    rows = b"".join(b"\0" + rng.randbytes(side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _docx(rng: Random, size: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name in ("[Content_Types].xml", "word/document.xml"):
            text = "".join(paragraph(rng) for _ in range(3))
            out.writestr(zipfile.ZipInfo(name), f"<w:body>{text}</w:body>")
        out.writestr(zipfile.ZipInfo("word/media/image1.jpeg"), rng.randbytes(size))
    return buffer.getvalue()


def _csv(rng: Random, size: int) -> bytes:
    lines = ["time_s,channel_a,channel_b,temperature_c"]
    lines += [
        f"{row * 5},{rng.gauss(1, 0.2):.5f},{rng.gauss(3, 0.4):.5f},{rng.gauss(37, 0.3):.2f}"
        for row in range(size // 30)
    ]
    return ("\n".join(lines) + "\n").encode()
