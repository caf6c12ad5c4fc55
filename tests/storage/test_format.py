"""The specification and the code say the same: every example, size, bound and count in `FORMAT.md`."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any, get_args

import storage
from storage import (
    canonical,
    cipher,
    columns,
    decisions,
    encrypted,
    keys,
    keytext,
    listing,
    mark,
    objects,
    records,
    replaced,
    snapshot,
    steps,
    tombstone,
    zipcut,
    zipplan,
)
from storage.decisions import Decision
from storage.objects import Oid, PlainSha256
from storage.packs import BLOCK, COUNTS, HEADER, MAX_FOOTER, MAX_OBJECT, OBJECT, TRAILER, Kind, PackBuilder
from storage.records import Ended
from storage.snapshot import Compared, Level
from storage.sweeping import GRACE
from storage.verify import Outcome, Promise, Quality, measure
from tests.doubles import LAB, START, draft
from tests.storage.test_snapshot import manifest

STANDALONE = Path(storage.__file__).parent / "standalone.py"
FORMAT = (Path(storage.__file__).parent / "FORMAT.md").read_text()
FORTY = b"Forty bytes, so that they are an object."


def examples() -> list[bytes]:
    """The hex dumps of the specification: a pack, a plan."""
    blocks = re.findall(r"```\n(0000  .*?)```", FORMAT, re.DOTALL)
    return [bytes.fromhex("".join(row[6:] for row in block.splitlines())) for block in blocks]


def example_zip() -> bytes:
    """The ZIP whose plan the specification shows."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, data in (("a/b", b"hello\n"), ("a/c", FORTY)):
            target.writestr(zipfile.ZipInfo(name, (2026, 3, 1, 2, 30, 0)), data)
    return stream.getvalue()


def test_the_specifications_pack_is_what_the_code_writes() -> None:
    """Byte for byte, and under the name that the specification gives."""
    builder = PackBuilder("sha256", b"0123456789abcdef")
    for data in (b"hello\n", b"again\n"):
        builder.add(PlainSha256().oid(data), data, Kind.CONTENT)
    name, parts = builder.finish()

    assert examples()[0] == b"".join(parts)
    assert f"Its name is `{name}`" in FORMAT


def test_the_specifications_plan_is_what_the_code_writes() -> None:
    """Byte for byte, of the ZIP whose size and sum it states; every section begins where it says."""
    data, plan = example_zip(), examples()[1]
    directory = zipcut.read_directory(io.BytesIO(data), len(data))
    builder, last = zipplan.PlanBuilder(directory), b""
    for gap, header, _, pieces in zipcut.members(io.BytesIO(data), directory, piece=zipplan.PIECE):
        payload = b"".join(pieces)
        if header:
            small = len(payload) <= zipplan.INLINE
            builder.add(gap, header, payload if small else [Oid(hashlib.sha256(payload).digest())])
        else:
            last = gap

    assert builder.encode(last, data[directory.end :]) == plan
    assert f"has {len(data)} bytes and the SHA-256 `{hashlib.sha256(data).hexdigest()}`" in FORMAT
    assert f"`{FORTY.decode()}`" in FORMAT
    sections, at, place = columns.Sections(plan, zipplan.HEAD.size), {}, zipplan.HEAD.size
    for number in range(1, 17):
        at[number] = place
        place += 8 + len(sections.take())
    sections.end()
    (told,) = re.findall(r"^Section 1 begins at .*\n.*\.", FORMAT, re.MULTILINE)
    pairs = re.findall(r"(\d+) (?:begins )?at\s0x([0-9a-f]+)", told)
    stated = {int(number): int(place, 16) for number, place in pairs}
    assert len(stated) == 9
    assert stated == {number: at[number] for number in stated}


def test_the_specifications_pack_and_plan_are_read_by_the_standalone_reader(tmp_path: Path) -> None:
    """Its own functions, on the very examples."""
    place = {"__name__": "standalone"}
    exec(compile(STANDALONE.read_bytes(), STANDALONE, "exec"), place)  # noqa: S102 - nobody may import it
    path = tmp_path / "example.pack"
    path.write_bytes(examples()[0])
    found: Any = place["Objects"]
    pack: Any = place["Pack"]
    zip_file: Any = place["zip_file"]
    held = found([pack(path)])

    for data in (b"hello\n", b"again\n"):
        assert held.get(hashlib.sha256(data).hexdigest()) == data

    class Forty:
        def get(self, oid: str) -> bytes:
            return {hashlib.sha256(FORTY).hexdigest(): FORTY}[oid]

    assert b"".join(zip_file(examples()[1], Forty())) == example_zip()


def test_the_specifications_mark_is_sealed_rightly() -> None:
    """The example file can be taken as it stands."""
    (line,) = re.findall(r"^(\{.*\})$", FORMAT, re.MULTILINE)

    assert canonical.unseal(line.encode() + b"\n")["kind"] == "archive"


def test_the_specification_states_the_sizes_that_the_code_has() -> None:
    """Of every structure and every bound."""
    sizes = (HEADER.size, BLOCK.size, OBJECT.size, TRAILER.size, COUNTS.size)
    bounds = (MAX_OBJECT, MAX_FOOTER, steps.MAX_TEXT, steps.MAX_STEPS, steps.MAX_UNPACKED)
    words = re.sub(r"[\n,.|]", " ", FORMAT)

    assert sizes == (40, 49, 45, 52, 8)
    assert "header has 40 bytes, a block's row 49, an object's row 45, the trailer 52" in FORMAT
    assert all(f" {bound} " in words for bound in bounds)
    assert GRACE.days == 7
    assert f"payload of at most {zipplan.INLINE} bytes" in words
    assert f"one for each {zipplan.PIECE} bytes begun" in words
    assert objects.OID_SIZE == 32


def test_the_specification_states_the_magics_and_formats_that_the_code_has() -> None:
    """And the heads that they begin."""
    for magic, head, words in (
        (listing.MAGIC, listing.HEAD, "The head is 16 bytes"),
        (zipplan.MAGIC, zipplan.HEAD, "The head is 25 bytes"),
    ):
        assert f"magic `{magic.hex(' ')}`" in FORMAT
        assert f"{words}: magic `{magic.hex(' ')}`" in FORMAT
        assert head.size == int(words.split()[3])
    assert (mark.PLAIN, records.FORMAT, snapshot.FORMAT) == (1, 1, 3)
    assert (decisions.FORMAT, replaced.FORMAT) == (1, 2)
    assert FORMAT.startswith(f"# The format of an archive, version {snapshot.FORMAT}\n")
    assert f"| `format`, `kind`, `seal` | {replaced.FORMAT}, `replaced`" in FORMAT
    assert f"| `format`, `kind`, `seal` | {snapshot.FORMAT}, `snapshot`" in FORMAT


def test_the_specification_counts_sections_planes_and_ways_as_the_code_does() -> None:
    """The tables have as many rows as the texts have sections."""
    twelve = FORMAT[FORMAT.index("The twelve sections:") : FORMAT.index("## 5.")]
    sixteen = FORMAT[FORMAT.index("The sixteen\nsections:") : FORMAT.index("**Rows and planes.**")]
    entries = [listing.Entry("a", measure([b"a"]), Promise(), listing.Recipe("concat", ()))]
    text, plan = columns.Sections(listing.encode(entries), listing.HEAD.size), examples()[1]
    for rows, sections in ((twelve, text), (sixteen, columns.Sections(plan, zipplan.HEAD.size))):
        numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1))
        for _ in numbers:
            sections.take()
        sections.end()
    planes = [len(used) for used in (zipplan.LOCAL_PLANES, zipplan.SAME_PLANES, zipplan.ALL_PLANES)]
    assert planes == [14, 14, 24]
    assert (zipplan.LOCAL_ROW, zipplan.CENTRAL_ROW) == (26, 42)
    assert (*range(10), *range(22, 26)) == zipplan.LOCAL_PLANES
    assert (0, 1, *range(26, 38)) == zipplan.SAME_PLANES
    assert (*range(12), *range(26, 38)) == zipplan.ALL_PLANES
    assert (zipplan.LIKE_LOCAL, zipplan.OFFSETS_FOLLOW) == (1, 2)
    endings = (zipplan.NO_GAP, zipplan.SIGNED, zipplan.BARE, zipplan.SIGNED64, zipplan.LITERAL)
    assert endings == (0, 1, 2, 3, 255)
    assert (listing.ITS_SHA256, listing.ONE, listing.MANY, listing.OTHER) == (0, 1, 2, 3)
    assert listing.AS_MEASURED == {"size": 1, "crc32": 2, "sha256": 4}
    (shown,) = re.findall(r"plane\n`([0-9a-f ]+)` means", FORMAT)
    (means,) = re.findall(r"` means `([0-9a-f ]+)`", FORMAT)
    assert columns.unplanes(bytes.fromhex(shown), 4, 1, (0,)) == bytes.fromhex(means)


def test_the_specification_names_every_way_to_end() -> None:
    """And every quality and outcome."""
    assert all(f"`{word.value}`" in FORMAT for words in (Ended, Quality, Outcome) for word in words)


def test_the_specification_names_every_member_of_what_format_3_brought() -> None:
    """Of a manifest, of tombstones of each kind, of a decision; and the shape of a tag."""
    draft_ = draft(tags=("a",), level=Level(1, (Compared("aa" * 32, 1, 2, 3),)))
    found = snapshot.decode(snapshot.encode(manifest(draft=draft_)), "a")
    tombs = [
        tombstone.forgotten(found, at=START, reason=""),
        tombstone.erased(found, at=START, reason=""),
        tombstone.lost(found.archive_id, LAB, 1, known="", at=START, reason=""),
    ]
    decision = Decision("hold", LAB, 1, found.id, START, "a", "b", n=1)
    files = [snapshot.encode(found.manifest), *map(tombstone.encode, tombs), decisions.encode(decision)]
    values = [canonical.unseal(data) for data in files]

    assert {key for value in values for key in value if f"`{key}`" not in FORMAT} == set()
    assert all(f'"{key}"' in FORMAT for key in (*values[0]["level"], *values[0]["level"]["compared"][0]))
    assert [
        word for word in (*get_args(tombstone.Why), *get_args(decisions.Kind)) if f"`{word}`" not in FORMAT
    ] == []
    assert f"`{snapshot.TAG.pattern}`" in FORMAT
    assert replaced.RETIRED == GRACE


def test_the_specification_states_how_the_code_encrypts() -> None:
    """Magic, sizes of segments, padding, derivations, bounds of a holder's file, how keys are written."""
    _, _, text = FORMAT.partition("## 13. Encrypted archives")
    text = " ".join(text.split())

    assert f"its `encryption` is `{mark.SCHEME}`" in text
    assert f"magic `{cipher.MAGIC.hex(' ')}`" in text
    assert f"`{cipher.STREAM_HEADER:02x}`: of this and the next two" in text
    assert f"the first has {cipher.SEGMENT - cipher.STREAM_HEADER} bytes, those behind it {cipher.SEGMENT}" in text
    assert f"head of {cipher.STREAM_AT} bytes" in text
    assert [cipher.padding(size) for size in (0, 9, 1000)] == [8, 18, 1024]
    assert "files of 0, 9 and 1000 bytes make 8, 18 and 1024." in text
    assert "In `snapshots/`, `decisions/` and `evidence/` every part" in text
    assert encrypted.HIDDEN == ("snapshots", "decisions", "evidence")
    assert "at most {memory_kib}, {passes} and {lanes} |".format(**keys._MOST) in text
    assert f"`{keytext.HOLDER}`, a space" in text and f"`{keytext.PAPER}` and the lines" in text
    assert f"`kind` is `holder`, `format` {keys.FORMAT}" in text
