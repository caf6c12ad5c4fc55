"""What stands in the files of a made-up export: bytes from a key, the same for ever.

Pure, and the same on every machine for the same key. Text has a vocabulary whose words are as unequal as real
ones, pictures do not shrink, and a docx is a real ZIP whose picture stays when its text is edited.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

OFFICE = ("docx", "zip")
TEXTS = ("csv", "txt", "fasta", "asc")
PICTURES = ("png", "jpg", "tif", "pdf")

_HEADS = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0", "tif": b"II*\x00", "pdf": b"%PDF-1.7\n"}
_SYLLABLES = tuple(
    "ba ce di fo gu ha in ka lo ma ne or pe ra si ta un ve wi xy zo ter ant ion phe gly".split()  # noqa: SIM905
)
_STYLE = "".join(
    f".field{i} {{ margin: {i % 7}px; padding: {i % 5}px; font-family: sans-serif; }}\n" for i in range(14)
)
_DOCX_STYLES = "".join(
    f'<w:style w:type="paragraph" w:styleId="Style{i}"><w:name w:val="style {i}"/><w:basedOn w:val="Normal"/>'
    f'<w:rPr><w:sz w:val="{20 + i % 9}"/></w:rPr></w:style>'
    for i in range(160)
)
_PDF_STEP = 8192  # bytes of a stream between two objects


def _vocabulary() -> list[str]:
    rng = Random("vocabulary")
    return ["".join(rng.choices(_SYLLABLES, k=rng.choice((1, 2, 2, 3, 3, 4)))) for _ in range(3000)]


_WORDS = _vocabulary()
_WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(_WORDS))))


def words(rng: Random, count: int) -> str:
    """So many words with spaces between them."""
    return " ".join(rng.choices(_WORDS, cum_weights=_WEIGHTS, k=count))


def paragraph(rng: Random) -> str:
    """A paragraph of a document, of 40 to 140 words; some hold measured values."""
    text = words(rng, rng.randint(40, 140))
    return f"{text} {rng.random():.5f} mg at {rng.uniform(4, 90):.2f} C" if rng.random() < 0.5 else text


def icon(form: int) -> bytes:
    """The picture of a form, copied beside each of its documents."""
    return _HEADS["png"] + Random(f"icon/{form}").randbytes(900 + 40 * form)


def css() -> bytes:
    """The one style sheet of an export."""
    return _STYLE.encode() * 4


def html(key: str, count: int, edits: Sequence[tuple[int, int]], links: Sequence[str]) -> bytes:
    """A document of `count` paragraphs. `edits`: which were written anew, and how often. `links`: its pictures."""
    rng = Random(f"html/{key}")
    title = words(rng, 4)
    texts = [paragraph(rng) for _ in range(count)]
    for at, version in edits:
        texts[at] = paragraph(Random(f"html/{key}/{at}/{version}"))
    shown = [f'<p><img src="{link}" width="{300 + len(link)}" alt=""/></p>' for link in links]
    body = "\n".join([f"<p>{text}</p>" for text in texts] + shown)
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{title}</title>\n'
        f'<link rel="stylesheet" href="../resources/elements.css"/><style>\n{_STYLE}</style></head>\n'
        f'<body><h1>{title}</h1><div class="field1">\n{body}\n</div></body></html>\n'
    ).encode()


def attachment(kind: str, key: str, size: int, version: int) -> bytes:
    """A file of about `size` bytes. `version`: how often it was amended."""
    return _MAKERS[kind](kind, key, size, version)


def _picture(kind: str, key: str, size: int, version: int) -> bytes:
    return _HEADS[kind] + Random(f"{kind}/{key}/{version}").randbytes(size)


def _pdf(kind: str, key: str, size: int, version: int) -> bytes:
    rng = Random(f"{kind}/{key}/{version}")
    parts = [_HEADS[kind]]
    for number in range(max(1, size // _PDF_STEP)):
        head = f"{number} 0 obj << /Length {_PDF_STEP} /Filter /FlateDecode >> stream\n"
        parts += [head.encode(), rng.randbytes(_PDF_STEP), b"\nendstream endobj\n"]
    return b"".join(parts)


def _csv(kind: str, key: str, size: int, version: int) -> bytes:
    """Each amendment appends a hundredth."""
    rng = Random(f"{kind}/{key}")
    rows = max(1, size // 40)
    rows += version * max(1, rows // 100)
    lines = (f"{i},{rng.random():.6f},{rng.gauss(20, 3):.3f},{rng.choice(_WORDS)}" for i in range(rows))
    return ("sample,value,temperature,remark\n" + "\n".join(lines)).encode()


def _txt(kind: str, key: str, size: int, version: int) -> bytes:
    """Each amendment writes a paragraph anew."""
    rng = Random(f"{kind}/{key}")
    texts = [paragraph(rng) for _ in range(max(1, size // 600))]
    for edit in range(version):
        new = Random(f"{kind}/{key}/{edit}")
        texts[new.randrange(len(texts))] = paragraph(new)
    return "\n\n".join(texts).encode()


def _fasta(kind: str, key: str, size: int, version: int) -> bytes:
    rng = Random(f"{kind}/{key}")
    letters = rng.randbytes(size).translate(bytes(b"ACGT"[i % 4] for i in range(256)))
    lines = [letters[at : at + 70] for at in range(0, size, 70)]
    return b"\n".join([f">{key} version {version}".encode(), *lines])


def _trace(kind: str, key: str, size: int, version: int) -> bytes:
    """An instrument's curve: each value near the one before."""
    rng = Random(f"{kind}/{key}/{version}")
    steps = accumulate(step - 128 for step in rng.randbytes(max(8, size // 12)))
    return ("##XYDATA\n" + "\n".join(f"{i * 5} {value}" for i, value in enumerate(steps))).encode()


def _docx(kind: str, key: str, size: int, version: int) -> bytes:
    """An edit changes one paragraph and the time of saving; the picture stays."""
    rng = Random(f"{kind}/{key}")
    texts = [paragraph(rng) for _ in range(30)]
    for edit in range(version):
        new = Random(f"{kind}/{key}/{edit}")
        texts[new.randrange(len(texts))] = paragraph(new)
    text = "".join(f"<w:p><w:r><w:t>{each}</w:t></w:r></w:p>" for each in texts)
    parts = {
        "[Content_Types].xml": b'<?xml version="1.0"?><Types/>',
        "word/document.xml": f"<w:document><w:body>{text}</w:body></w:document>".encode(),
        "word/styles.xml": f"<w:styles>{_DOCX_STYLES}</w:styles>".encode(),
        "docProps/core.xml": f"<coreProperties><revision>{version}</revision></coreProperties>".encode(),
        "word/media/image1.png": _HEADS["png"] + rng.randbytes(max(2000, size - 12_000)),
    }
    return _zipped(parts)


def _zip(kind: str, key: str, size: int, version: int) -> bytes:
    """An edit changes one of four files."""
    parts = {}
    for number in range(4):
        edits = len([edit for edit in range(version) if edit % 4 == number])
        parts[f"data/{number}.bin"] = Random(f"{kind}/{key}/{number}/{edits}").randbytes(max(500, size // 4))
    return _zipped(parts)


def _zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # 1980, as office programs write
    return out.getvalue()


_MAKERS: dict[str, Callable[[str, str, int, int], bytes]] = {
    "png": _picture,
    "jpg": _picture,
    "tif": _picture,
    "pdf": _pdf,
    "docx": _docx,
    "zip": _zip,
    "csv": _csv,
    "txt": _txt,
    "fasta": _fasta,
    "asc": _trace,
}
