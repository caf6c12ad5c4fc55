"""How files become recipes: payloads once, a night's cost near its changes, and content where no ZIP is cut."""

from __future__ import annotations

import random
import zlib
from io import BytesIO

import pytest

from storage import listing
from storage.archive import Archive
from storage.errors import ObjectCorrupt
from storage.index import Index
from storage.listing import Entry, Recipe
from storage.objects import Oid
from storage.packing import Packing
from storage.recipes import AVERAGE, CUT_FROM, WHOLE, Base, keep_text
from storage.snapshot import Snapshot
from storage.verify import Measured, Promise
from storage.writer import Writer
from storage.zipplan import INLINE, PIECE
from tests.doubles import LAB, NIGHT, OFFICE, START, Clock, draft, new_archive, noise, read, write
from tests.storage.nights import Lab
from tests.storage.zips import M, build

DOCS = [M(b"top/doc%d" % n, noise(900, n)) for n in range(100)]  # 90 KB: more than what is kept whole


def only(archive: Archive, found: Snapshot) -> Entry:
    (entry,) = archive.entries(found)
    return entry


def test_a_zip_is_its_payloads_and_a_plan() -> None:
    """One object a payload, one for the plan, one for the listing; and the file comes back."""
    archive, data = new_archive(), build(DOCS)
    found = write(archive, {"a.zip": data})

    assert (only(archive, found).recipe.kind, found.manifest.members) == ("zip", 100)
    assert found.manifest.objects_new == 100 + 1 + 1
    assert read(archive, found) == {"a.zip": data}


def test_equal_payloads_are_stored_once_across_nights_scopes_and_sources() -> None:
    """Other names, top folder, date and order, streamed: only plan and listing are new."""
    archive = new_archive()
    first = write(archive, {"export-1.zip": build(DOCS)})
    moved = [M(b"other/%d" % n, m.data, date=0x5A99, descriptor="signed") for n, m in enumerate(DOCS[::-1])]
    for night, key in enumerate((LAB, OFFICE, LAB), 1):
        data = build(moved, comment=b"%d" % night)
        found = write(archive, {f"export-{night}.zip": data}, key=key, night=night)

        assert found.manifest.objects_new == 2
        assert read(archive, found) == {f"export-{night}.zip": data}
    assert first.manifest.objects_new == 102


def test_equal_payloads_of_one_file_are_stored_once() -> None:
    """A member that is there a hundred times."""
    archive = new_archive()
    data = build([M(b"top/%d" % n, noise(900, 1)) for n in range(100)])
    found = write(archive, {"a.zip": data})

    assert (found.manifest.objects_new, found.manifest.objects_reused) == (3, 99)
    assert read(archive, found) == {"a.zip": data}


@pytest.mark.parametrize("size", [0, 1, INLINE, INLINE + 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1])
def test_payloads_at_the_edges_come_back(size: int) -> None:
    """In the plan up to 32 bytes; then one object for each 4 MiB begun."""
    archive, data = new_archive(), build([M(b"a", noise(size, 1)), M(b"pad", noise(WHOLE, 2))])
    found = write(archive, {"a.zip": data})
    in_objects = 0 if size <= INLINE else -(-size // PIECE)

    assert found.manifest.objects_new == in_objects + 3
    assert read(archive, found) == {"a.zip": data}


@pytest.mark.parametrize("size", [CUT_FROM - 1, CUT_FROM])
def test_a_small_zip_is_one_object(size: int) -> None:
    """Cutting it would cost more than it saves."""
    archive = new_archive()
    data = build([M(b"a", noise(size - len(build([M(b"a", b"")])), 1))])
    assert len(data) == size
    kind = only(archive, write(archive, {"a.zip": data})).recipe.kind

    assert kind == ("concat" if size < CUT_FROM else "zip")


def test_what_is_no_zip_is_stored_by_its_content() -> None:
    """Bytes put in at the beginning shift all the rest: most chunks are found again."""
    archive, data = new_archive(), noise(8 << 20, 1)
    first = write(archive, {"a.tar": data})
    second = write(archive, {"a.tar": b"a line more" + data}, night=1)
    sizes = [len(part) for part in chunks(archive, second)]

    assert second.manifest.stored_bytes < first.manifest.stored_bytes // 10
    assert max(sizes) <= 4 * AVERAGE
    assert min(sizes[:-1]) >= AVERAGE // 4
    assert b"".join(chunks(archive, second)) == b"a line more" + data


def chunks(archive: Archive, found: Snapshot) -> list[bytes]:
    index = Index(archive.backend, archive.scheme)
    index.load(found.manifest.packs)
    return [index.read(oid) for oid in only(archive, found).recipe.objects]


def test_a_zip_that_breaks_off_in_its_middle_is_kept_as_it_came() -> None:
    """Where only the last local header disagrees, half was put already: the file is whole all the same."""
    data = bytearray(build(DOCS))
    data[data.rindex(b"PK\x03\x04") + 8] ^= 8
    archive = new_archive()
    found = write(archive, {"a.zip": bytes(data)})

    assert only(archive, found).recipe.kind == "concat"
    assert read(archive, found) == {"a.zip": bytes(data)}


def test_a_member_of_just_over_a_piece_is_read_by_itself() -> None:
    """Browsing inflates it to its last byte, and its CRC-32 agrees."""
    archive = new_archive()
    plain = [bytes((1 << 20) + n) for n in (5, 6, 7, 200)]
    data = build([M(b"t/%d" % n, one, 8) for n, one in enumerate(plain)] + [M(b"t/pad", noise(WHOLE, 1))])
    found = write(archive, {"a.zip": data})
    reader = archive.reader(found)
    members = list(reader.members(only(archive, found)))

    assert [b"".join(reader.content(member)) for member in members[:4]] == plain


def test_the_wrong_crc_of_a_member_is_told() -> None:
    """The file is kept to the byte; its member is not what it promises."""
    data = bytearray(build([M(b"a", noise(WHOLE, 1), 8)]))
    for at in (14, data.index(b"PK\x01\x02") + 16):
        data[at] ^= 1
    archive = new_archive()
    found = write(archive, {"a.zip": bytes(data)})
    reader = archive.reader(found)
    (member,) = reader.members(only(archive, found))

    assert read(archive, found) == {"a.zip": bytes(data)}
    with pytest.raises(ObjectCorrupt, match="crc32"):
        list(reader.content(member))


def test_a_night_of_a_lab_costs_its_changes() -> None:
    """12,000 members, 1 % changed, each export with names and times of its own: 60 KB beside new payloads."""
    lab, archive = Lab(12_000, churn=0.01, random_names=0.1), new_archive()
    beside = []
    for night in range(41):
        name, data = f"export-{night}.zip", lab.night()
        writer = Writer(archive, LAB)
        writer.add(name, BytesIO(data), promised=Promise())
        at = START + night * NIGHT
        # Each night is proven by the tests above; here the last one is.
        found = writer.commit(draft(taken_at=at), clock=Clock(at), prove=night == 40)
        if night:
            beside.append(found.manifest.stored_bytes - lab.new_payloads)
            assert found.manifest.objects_new <= 120 + 2
    average, most = sum(beside) // len(beside), max(beside)

    assert average <= 60_000, f"{average} bytes a night on average, {most} at most, beside the new payloads"
    assert read(archive, found) == {name: data}


def test_a_night_of_a_hundred_thousand_files_costs_its_changes() -> None:
    """A listing of 100,000 entries of which 1 % changed: at most 300 KB a night, whole listings included."""
    count, rng = 100_000, random.Random(1)
    archive = new_archive()
    kept = Packing(
        archive.backend, archive.scheme, Index(archive.backend, archive.scheme), lambda: rng.randbytes(16)
    )
    rows = [row_of(n, rng) for n in range(count)]
    text = bytearray(listing.encode(rows))
    # Encoding takes a second a night: the columns that change are changed where they lie.
    sizes = 16 + 8 + 4 * count + 8 + sum(len(row.path) for row in rows) + 8
    crcs, sums = sizes + 8 * count + 8, sizes + 8 * count + 8 + 4 * count + 8
    place_of = {row.path: place for place, row in enumerate(sorted(rows, key=lambda row: row.path))}
    base: Base | None = None
    costs = []
    for night in range(41):
        if night:
            for n in rng.sample(range(count), count // 100):
                rows[n] = row_of(n, rng)
                place, one = place_of[rows[n].path], rows[n].measured
                text[sizes + 8 * place : sizes + 8 * place + 8] = one.size.to_bytes(8, "big")
                text[crcs + 4 * place : crcs + 4 * place + 4] = one.crc32.to_bytes(4, "big")
                text[sums + 32 * place : sums + 32 * place + 32] = bytes.fromhex(one.sha256)
        before, tonight = kept.stored_bytes, bytes(text)
        steps = keep_text(kept, tonight, base)
        kept.flush()
        costs.append(kept.stored_bytes - before)
        base = Base(steps, tonight, len(tonight) * len(steps))
    assert listing.encode(rows) == text
    average, most = sum(costs[1:]) // 40, max(costs[1:])

    assert average <= 300_000, f"{average} bytes a night on average, {most} at most, {costs[0]} the first"


def row_of(number: int, rng: random.Random) -> Entry:
    oid, size = rng.randbytes(32), rng.randint(100, 60_000)
    measured = Measured(size, zlib.crc32(oid), oid.hex())
    path = f"doc_{number * 7 + 32768}/doc_{number}.xml"
    return Entry(path, measured, Promise(size=size), Recipe("concat", (Oid(oid),)), "application/xml")
