"""Looking into what is kept, from the command line: named right, proven, and nothing outside of its place."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.cli.app import run
from storage.archive import Archive
from storage.backend import LocalDisk
from storage.index import pack_name
from storage.packs import Codec
from storage.snapshot import Snapshot
from tests.doubles import LAB, OFFICE, located, new_archive, noise, overwrite, write
from tests.storage.exports import FILLER, export, name
from tests.storage.test_restore import HOSTILE

DOC = "doc_Buffers-123/doc_Buffers-123.xml"
OLD, NEW = b"<document>one</document>", b"<document>one and two</document>"
ICON = noise(300, 1)
PICTURE = noise(400, 2)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three nights: a document changes on the second, its picture has another name each night, one is added."""
    made = new_archive(LocalDisk(tmp_path / "archive"))
    for night, text in enumerate((OLD, NEW, NEW)):
        members = [
            (DOC, text),
            (f"doc_Buffers-123/math{night:014d}.svg", PICTURE),
            ("doc_Gel-1234/doc_Gel-1234.xml", b'<img src="math%014d.svg"/><p>text</p>' % night),
            ("doc_Gel-1234/formIcon_1.png", ICON),
            *([("media_gel-7/gel.png", PICTURE * 2)] if night == 2 else []),
        ]
        write(made, {name(night): export(members, night=night)}, night=night)
    return made


class Terminal:
    """`strongroom` on one archive, in this process."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, *arguments: str) -> tuple[int, bytes, str]:
        """Exit code, standard output, standard error."""
        self._capture.readouterr()
        code = run([*arguments, "--archive", str(self.folder / "archive")])
        got = self._capture.readouterr()
        return code, got.out, got.err.decode()

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json")[1])

    def lines(self, *arguments: str) -> list[str]:
        return self(*arguments)[1].decode().splitlines()


@pytest.fixture
def shell(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Terminal:
    return Terminal(tmp_path, capfdbinary)


def lose_content(archive: Archive, found: Snapshot) -> None:
    """Damage the packs of a snapshot that hold content, and leave those that say what there is."""
    reader = archive.reader(found)
    (entry,) = reader.entries(found)
    for oid in reader.plan(entry).oids():
        where = located(reader._index, oid)
        data = bytearray(archive.backend.get(pack_name(where.pack)))
        data[where.block.offset + (where.placed.offset if where.block.codec == Codec.RAW else 9)] ^= 1
        overwrite(archive.backend, pack_name(where.pack), bytes(data))


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- ls


def test_ls_goes_level_by_level(archive: Archive, shell: Terminal) -> None:
    """Folders with their sums, then the files of one; a path that is not there is told."""
    assert shell.lines("ls") == ["doc_Buffers-123/", "doc_Gel-1234/", "media_gel-7/", "resources/"]
    assert shell.lines("ls", "latest", "doc_Gel-1234") == [
        "doc_Gel-1234/doc_Gel-1234.xml",
        "doc_Gel-1234/formIcon_1.png",
    ]
    assert shell.lines("ls", "latest", DOC) == [DOC]
    (long,) = [line.split() for line in shell.lines("ls", "-l") if "Gel" in line]
    assert long == ["346", "2", "doc_Gel-1234/"]
    assert sorted(shell.lines("ls", "-R"))[:2] == [DOC, "doc_Buffers-123/math00000000000002.svg"]
    contents = shell.json("ls", "latest", "doc_Gel-1234")["contents"]
    assert (contents[1]["path"], contents[1]["size"]) == ("doc_Gel-1234/formIcon_1.png", 300)
    code, _, problem = shell("ls", "latest", "doc_Gel-12")
    assert (code, "doc_Gel-12: not in snapshot" in problem) == (2, True)


def test_ls_shows_hostile_names_on_one_line_each(tmp_path: Path, shell: Terminal) -> None:
    """Nothing that a terminal would obey comes out."""
    names = ["a\x1b[2Jb", "line\nbreak", "\u202egnp.exe", "\x9b31m", "tab\tbed"]
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    write(archive, {name(): export([(one, b"x") for one in names])})
    lines = shell.lines("ls", "-lR")

    assert len(lines) == len(names) + 1
    assert all(line.isprintable() for line in lines)
    assert {row["path"] for row in shell.json("ls", "-R")["contents"]} == {*names, FILLER[0]}


# -- find


def test_find_tells_first_last_and_versions(archive: Archive, shell: Terminal) -> None:
    """Over all nights, by the name that stays."""
    (hit,) = [hit for hit in shell.json("find", "SD123")["hits"] if hit["path"] == DOC]
    ids = [s.id for s in archive.snapshots()]

    assert (hit["first"]["id"], hit["last"]["id"], hit["snapshots"]) == (ids[0], ids[2], 3)
    assert [(v["size"], v["first"]["id"], v["last"]["id"]) for v in hit["versions"]] == [
        (len(OLD), ids[0], ids[0]),
        (len(NEW), ids[1], ids[2]),
    ]


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        (("SD1234",), {"doc_Gel-1234/doc_Gel-1234.xml", "doc_Gel-1234/formIcon_1.png"}),
        (("SD12",), set()),
        (("*.PNG",), set()),
        (("GEL.png",), {"media_gel-7/gel.png"}),
        (("GL7", "--until", "2026-03-03"), set()),
        (("math*", "--since", "2026-03-03"), {"doc_Buffers-123/math00000000000002.svg"}),
        (("math*", "--scope", "none"), set()),
    ],
)
def test_find_filters(archive: Archive, shell: Terminal, arguments: tuple[str, ...], paths: set[str]) -> None:
    """By pattern, by date, by scope."""
    assert {hit["path"] for hit in shell.json("find", *arguments)["hits"]} == paths


def test_find_goes_on_behind_a_damaged_snapshot(archive: Archive, shell: Terminal) -> None:
    """What can be read is told; what cannot is named, with exit code 4."""
    bad = archive.snapshots()[1]
    overwrite(archive.backend, bad.name, archive.backend.get(bad.name)[:-9])
    code, out, problem = shell("find", "SD123", "--json")
    (hit,) = [hit for hit in json.loads(out)["hits"] if hit["path"] == DOC]

    assert (code, json.loads(out)["damaged"]) == (4, [bad.name])
    assert hit["snapshots"] == 2
    assert bad.name in problem


def test_find_goes_on_behind_a_plan_that_cannot_be_read(archive: Archive, shell: Terminal) -> None:
    """A lost pack of plans costs the nights that need it, and they are named."""
    last = archive.snapshots()[-1]
    reader = archive.reader(last)
    (entry,) = reader.entries(last)
    where = located(reader._index, entry.recipe.steps[-1][0])
    overwrite(archive.backend, pack_name(where.pack), b"nothing")
    code, out, _ = shell("find", "SD123", "--json")
    (hit,) = [hit for hit in json.loads(out)["hits"] if hit["path"] == DOC]

    assert (code, json.loads(out)["damaged"]) == (4, [last.name])
    assert hit["snapshots"] == 2


def test_find_keeps_scopes_apart_and_looks_into_small_zips(tmp_path: Path, shell: Terminal) -> None:
    """One name in two chains is two hits; a ZIP too small to be cut is gone into like any other."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    for key in (LAB, OFFICE):
        write(archive, {name(): export([(DOC, OLD)], small=key == OFFICE)}, key=key)
    hits = shell.json("find", "buffers-123.xml")["hits"]

    assert [(hit["source"], hit["path"]) for hit in hits] == [("lab", DOC), ("office", DOC)]


# -- diff


def test_diff_tells_records_and_leaves_out_names_that_are_new_each_night(
    archive: Archive, shell: Terminal
) -> None:
    """One document changed, one gallery file came; the other document differs in a picture's name alone."""
    first = archive.snapshots()[0].id[:8]
    told = shell.json("diff", first)
    records = {record["record"]: record for record in told["records"]}

    assert not told["same"]
    assert records.keys() == {"SD123", "SD1234", "GL7"}
    assert [pair["after"]["path"] for pair in records["SD123"]["changed"]] == [DOC]
    assert [pair["after"]["path"] for pair in records["SD123"]["renamed"]] == [
        "doc_Buffers-123/math00000000000002.svg"
    ]
    assert [pair["after"]["path"] for pair in records["SD1234"]["names"]] == ["doc_Gel-1234/doc_Gel-1234.xml"]
    assert records["SD1234"]["changed"] == []
    assert (records["GL7"]["label"], records["GL7"]["size"]) == ("gel", 800)
    text = shell("diff", first)[1].decode()
    assert "SD123 " in text
    assert "SD1234" not in text
    assert "1 records the same but for names" in text


def test_diff_of_the_same_says_so(archive: Archive, shell: Terminal) -> None:
    """Exit code 0 both ways; `same` tells."""
    last = archive.snapshots()[-1].id[:8]

    assert shell.json("diff", last, last)["same"] is True
    assert shell("diff", last, last)[0] == shell("diff", archive.snapshots()[0].id[:8], last)[0] == 0


def test_diff_calls_changed_what_it_cannot_read(archive: Archive, shell: Terminal) -> None:
    """Whether a document differs in names alone is a question to its bytes; without them it counts as changed."""
    first = archive.snapshots()[0].id[:8]
    lose_content(archive, archive.find("latest"))
    code, out, _ = shell("diff", first, "--json")
    records = {record["record"]: record for record in json.loads(out)["records"]}

    assert code == 0
    assert [pair["after"]["path"] for pair in records["SD1234"]["changed"]] == ["doc_Gel-1234/doc_Gel-1234.xml"]


# -- dump


def test_dump_gives_bytes_to_standard_output_or_to_a_file(archive: Archive, shell: Terminal) -> None:
    """A member unpacked; the whole ZIP by its own name; nothing of a folder, nothing over another file."""
    first = archive.snapshots()[0].id[:8]
    target = shell.folder / "out.xml"
    whole = shell("dump", "latest", name(2))[1]

    assert shell("dump", first, DOC)[:2] == (0, OLD)
    assert hashlib.sha256(whole).hexdigest() == archive.entries(archive.find("latest"))[0].measured.sha256
    assert shell("dump", first, DOC, "--out", str(target))[0] == 0
    assert target.read_bytes() == OLD
    assert shell("dump", "latest", DOC, "--out", str(target))[0] == 1
    assert target.read_bytes() == OLD
    assert shell("dump", "latest", "doc_Gel-1234/")[0] == 2
    assert "not in snapshot" in shell("dump", "latest", "nothing")[2]


def test_dump_asks_which_where_a_name_comes_twice(tmp_path: Path, shell: Terminal) -> None:
    """No member is out of reach."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    write(archive, {name(): export([("twice", b"one"), ("twice", b"two")])})
    code, out, problem = shell("dump", "latest", "twice")

    assert (code, out, "--copy" in problem) == (2, b"", True)
    assert [shell("dump", "latest", "twice", "--copy", n)[1] for n in "123"] == [b"one", b"two", b""]


def test_dump_leaves_no_file_that_is_not_proven(archive: Archive, shell: Terminal) -> None:
    """Exit code 4, and nothing in the folder."""
    lose_content(archive, archive.find("latest"))
    folder = shell.folder / "out"
    code, _, problem = shell("dump", "latest", FILLER[0], "--out", str(folder / "filler"))

    assert code == 4
    assert "hint:" in problem
    assert not list(folder.iterdir())


# -- restore --member


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        (("SD123",), {DOC, "doc_Buffers-123/math00000000000002.svg"}),
        (("*.png",), {"doc_Gel-1234/formIcon_1.png", "media_gel-7/gel.png"}),
        (("doc_Gel-1234", DOC), {"doc_Gel-1234/doc_Gel-1234.xml", "doc_Gel-1234/formIcon_1.png", DOC}),
    ],
)
def test_members_are_given_back_under_their_own_paths(
    archive: Archive, shell: Terminal, patterns: tuple[str, ...], paths: set[str]
) -> None:
    """By record, glob, folder or path; a second time changes nothing."""
    wishes = [word for pattern in patterns for word in ("--member", pattern)]
    to = shell.folder / "back"
    for _ in range(2):
        code, out, _ = shell("restore", "latest", *wishes, "--to", str(to), "--json")

        assert code == 0
        assert {row["path"] for row in json.loads(out)["members"]} == paths
        assert files_below(to).keys() == paths
    assert files_below(to).get(DOC, NEW) == NEW


def test_hostile_members_stay_below_the_target_and_none_is_lost(tmp_path: Path, shell: Terminal) -> None:
    """Every name at once, and one of them twice."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    names = [one for one in HOSTILE if "\0" not in one] + ["twice", "twice"]
    members = [(one, b"%d" % number) for number, one in enumerate(names)]
    write(archive, {name(): export(members)})
    to = tmp_path / "outer" / "back"
    code, _, problem = shell("restore", "latest", "--member", "*", "--to", str(to))
    found = files_below(to)

    assert (code, problem.count("error")) == (0, 0)
    assert sorted(data for data in found.values() if data != FILLER[1]) == sorted(data for _, data in members)
    assert files_below(tmp_path / "outer").keys() == {f"back/{path}" for path in found}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["archive", "outer"]


def test_what_cannot_be_given_back_is_told_and_the_rest_comes(tmp_path: Path, shell: Terminal) -> None:
    """A method that is not unpacked, a damaged member, a pattern that means nothing: each with its words."""
    archive = new_archive(LocalDisk(tmp_path / "archive"))
    found = write(archive, {"a.zip": export([(DOC, OLD)], method=zipfile.ZIP_BZIP2), "b": b"plain"})
    wishes = ("--member", "*", "--member", "nothing-like-it", "--to", str(tmp_path / "back"))
    code, _, problem = shell("restore", found.id[:8], *wishes)

    assert code == 3
    assert "method 12" in problem
    assert "restore the whole file" in problem
    assert "nothing-like-it: nothing of that name" in problem
    assert files_below(tmp_path / "back") == {"b": b"plain"}
    assert shell("restore", "latest", "--member", "nope", "--to", str(tmp_path / "no"))[0] == 2


def test_a_damaged_member_is_not_given_back(archive: Archive, shell: Terminal) -> None:
    """Exit code 4, and no file under its name."""
    lose_content(archive, archive.find("latest"))
    code, _, problem = shell("restore", "latest", "--member", "resources", "--to", str(shell.folder / "back"))

    assert code == 4
    assert FILLER[0] in problem
    assert files_below(shell.folder / "back") == {}


# -- show


def test_show_says_how_each_file_is_kept(tmp_path: Path, shell: Terminal) -> None:
    """A ZIP by its members, a large file by its pieces, a small one whole."""
    files: Mapping[str, bytes] = {"a.zip": export([(DOC, OLD)]), "b": noise(1_000_000, 5), "c": b"small"}
    write(new_archive(LocalDisk(tmp_path / "archive")), files)
    kept = {row["name"]: row["kept"] for row in shell.json("show")["snapshot"]["files"]}

    assert kept["a.zip"] == {"as": "zip", "parts": 3}
    assert kept["b"]["as"] == "pieces"
    assert kept["b"]["parts"] > 4
    assert kept["c"] == {"as": "whole", "parts": 1}
    text = shell("show")[1].decode()
    assert "zip, 3 members" in text
    assert f"{kept['b']['parts']} pieces" in text
