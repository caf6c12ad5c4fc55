"""The exports that the comparison is made with: the same from the seed, and built as RSpace builds them."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench import contents, nested, zips
from tests.bench.exports import SHAPES, Export, Shape, exports
from tests.bench.zips import Seen

SEED = 7
SMALL = replace(SHAPES["seq"], nights=(0, 1, 2), documents=40, median=3000, longest=20_000)
CHURNED = replace(SMALL, churn=0.2, phantom=0.5)
STILL = replace(SMALL, churn=0.0, phantom=0.0)
RENAMED = replace(SMALL, churn=0.0, phantom=0.5)


def made(shape: Shape, seed: int = SEED) -> list[Export]:
    """Every night."""
    return list(exports(shape, seed))


def written(shape: Shape, folder: Path, *, java: bool = False) -> list[Path]:
    """Every night as a file."""
    paths = []
    with zips.writer(java=java) as write:
        for export in exports(shape, SEED):
            paths.append(folder / f"{export.root}.zip")
            write(export, paths[-1])
    return paths


def contents_of(path: Path) -> list[tuple[str, tuple[int, ...], bytes]]:
    """Names, times and bytes, in order."""
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, info.date_time, archive.read(info)) for info in archive.infolist()]


def check_layout(path: Path) -> None:
    """Streamed as Java does: what a header cannot know yet stands behind the payload."""
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = int.from_bytes(data[info.header_offset + 26 : info.header_offset + 28], "little")
            end = info.header_offset + 30 + name + info.compress_size
            assert info.flag_bits & 8
            assert info.compress_type == zipfile.ZIP_DEFLATED
            assert not info.extra
            assert data[end : end + 8] == b"PK\x07\x08" + info.CRC.to_bytes(4, "little")
            if info.is_dir():
                assert info.compress_size == 2


def test_the_same_seed_makes_the_same_exports() -> None:
    """Names, times and bytes; another seed makes others."""
    told = [[(m.name, m.at, m.content()) for export in made(CHURNED) for m in export.members] for _ in range(2)]
    texts = [
        {m.content() for export in made(CHURNED, seed) for m in export.members if m.kind == "html"}
        for seed in (SEED, SEED + 1)
    ]

    assert told[0] == told[1]
    assert not texts[0] & texts[1]


def test_python_writes_a_streamed_zip(tmp_path: Path) -> None:
    """Descriptors, no extra fields, folders as deflated entries."""
    for path in written(SMALL, tmp_path):
        check_layout(path)


@pytest.mark.skipif(not zips.has_java(), reason="there is no Java")
def test_java_and_python_write_the_same_contents(tmp_path: Path) -> None:
    """One Java process for all nights; equal names, times and bytes, in the same layout."""
    by = {}
    for java in (True, False):
        folder = tmp_path / str(java)
        folder.mkdir()
        by[java] = written(CHURNED, folder, java=java)

    for one, other in zip(by[True], by[False], strict=True):
        assert one.name == other.name
        assert contents_of(one) == contents_of(other)
        check_layout(one)


def test_where_nobody_edits_only_the_root_and_the_manifest_change() -> None:
    """A new root folder name each night, and the members below it in the same order."""
    first, second, _ = made(STILL)

    assert first.root != second.root
    below = [[member.name.removeprefix(export.root) for member in export.members] for export in (first, second)]
    assert below[0] == below[1]
    changed = [a.name for a, b in zip(first.members, second.members, strict=True) if a.content() != b.content()]
    assert changed == [f"{first.root}/manifest.txt"]


def test_phantom_churn_only_renames() -> None:
    """Pictures keep their bytes under new names, and texts differ in nothing but these names."""
    first, second, _ = made(RENAMED)
    random_name = re.compile(rb'(chemd|sktch|math|annot)\d+\.png" width="\d+"')
    bytes_of = [
        sorted(member.content() for member in export.members if member.kind not in ("", "html"))
        for export in (first, second)
    ]
    texts = [
        {m.name.removeprefix(export.root): m.content() for m in export.members if m.kind == "html"}
        for export in (first, second)
    ]

    assert bytes_of[0] == bytes_of[1]
    changed = {name for name in texts[0] if texts[0][name] != texts[1][name]}
    assert len(texts[0]) > len(changed) > len(texts[0]) // 4
    for name in changed:
        pair = [random_name.sub(b"", one[name]) for one in texts]
        assert pair[0] == pair[1]
    unedited = {member.name.removeprefix(second.root) for member in second.members if member.unedited}
    assert unedited == changed


def test_members_that_say_they_are_the_same_are() -> None:
    """`same` stands for the content over all nights, and what was edited says so."""
    by_mark: dict[str, bytes] = {}
    nights = made(CHURNED)
    for export in nights:
        for member in export.members:
            assert by_mark.setdefault(member.same, member.content()) == member.content()

    marks = [{member.same for member in export.members if not member.unedited} for export in nights]
    assert marks[1] - marks[0]


def test_payloads_are_counted_once(tmp_path: Path) -> None:
    """What an export before held is not new; a text that nobody edited is told apart."""
    seen = Seen()
    counts = []
    for export in exports(RENAMED, SEED):
        path = tmp_path / "export.zip"
        zips.write_by_python(export, path)
        counts.append(seen.take(path, export))
        path.unlink()

    first, second, _ = counts
    assert first.members == second.members
    assert first.members_new < first.members  # icons and folders are equal
    assert 0 < second.unedited < second.new < second.unedited + 300  # the manifest is new, too
    assert second.new < first.new / 4


def test_an_edited_docx_keeps_its_picture() -> None:
    """Cut into members most of it is found again; as one file it is another one."""
    old, new = (contents.attachment("docx", "a", 60_000, version) for version in (0, 1))
    parts: set[bytes] = set()

    assert old != new
    assert nested.reused(old, parts) == 0
    assert nested.reused(new, parts) > 40_000
    with zipfile.ZipFile(io.BytesIO(new)) as archive:
        assert archive.testzip() is None


def test_cutting_nested_zips_is_counted() -> None:
    """The table has what is new as one payload, and less of it when cut."""
    shape = replace(CHURNED, churn=1.0, attachments=3)
    later = nested.measure(exports(shape, SEED))[1:]

    assert sum(night.amended_files for night in later) > 0
    assert all(night.amended_split <= night.amended <= night.nested <= night.payloads for night in later)
    assert sum(night.amended_split for night in later) < sum(night.amended for night in later)


def test_a_year_keeps_23_nights() -> None:
    """Seven daily, four weekly, twelve of four weeks."""
    nights = SHAPES["year"].nights
    steps = [later - before for before, later in pairwise(nights)]

    assert (len(nights), nights[0], nights[-1]) == (23, 0, 364)
    assert steps == [28] * 12 + [7] * 3 + [1] * 7


def test_nights_that_are_not_exported_pass_all_the_same() -> None:
    """The third night is the same whether the second was exported or not."""
    every, some = made(CHURNED), made(replace(CHURNED, nights=(0, 2)))

    assert [member.name for member in every[2].members] == [member.name for member in some[1].members]
    assert every[2].members[0].at - every[0].members[0].at > timedelta(days=1)
