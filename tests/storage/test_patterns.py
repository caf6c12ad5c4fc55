"""Which paths a word means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.patterns import chooser, finder

PATHS = st.text(st.sampled_from("aB1/.-_ SD[]*?\n"), max_size=12)


def record(path: str) -> str:
    """As RSpace's folders tell: the number at the end."""
    number = path.partition("/")[0].rpartition("-")[2]
    return f"SD{number}" if "/" in path and number.isdigit() else ""


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("SD12", "doc_Gel-12/doc_Gel-12.xml", True),
        ("sd12", "doc_Gel-12/gel.png", True),
        ("SD12", "doc_Gel-123/doc_Gel-123.xml", False),
        ("SD12", "notes/SD12.txt", True),
        ("SD12", "notes/about_SD12_b.txt", True),
        ("SD12", "notes/SD123.txt", False),
        ("SD12", "notes/xSD12.txt", False),
        ("*.png", "doc_Gel-12/gel.png", True),
        ("gel.*", "doc_Gel-12/gel.png", True),
        ("doc_*.png", "doc_Gel-12/gel.png", True),
        ("*.PNG", "doc_Gel-12/gel.png", False),
        ("a[1].png", "a[1].png", True),
        ("a[1].png", "a1.png", True),
        ("GEL", "doc_Gel-12/x", True),
        ("gel-13", "doc_Gel-12/x", False),
    ],
)
def test_a_pattern_finds(pattern: str, path: str, found: bool) -> None:
    """Ids as words or as records, globs, parts."""
    assert finder(pattern, record)(path) is found


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("manifest.txt", "manifest.txt", True),
        ("manifest", "manifest.txt", False),
        ("doc_Gel-12", "doc_Gel-12/gel.png", True),
        ("doc_Gel-12/", "doc_Gel-12/gel.png", True),
        ("doc_Gel-1", "doc_Gel-12/gel.png", False),
        ("SD12", "doc_Gel-12/gel.png", True),
        ("*.png", "doc_Gel-12/gel.png", True),
    ],
)
def test_a_pattern_chooses(pattern: str, path: str, found: bool) -> None:
    """What is to be written is named whole: a path, a folder, a glob, a record."""
    assert chooser(pattern, record)(path) is found


NOTES = "Letters/notes.txt [3]/notes.txt"


def numbered(path: str) -> str:
    """As Mayan's folders tell: the number in brackets."""
    folder = path.split("/")[1] if path.count("/") > 1 else ""
    return folder.rpartition(" [")[2].rstrip("]") if folder.endswith("]") else ""


@pytest.mark.parametrize(
    ("pattern", "path", "found", "chosen"),
    [
        (NOTES, NOTES, True, True),
        ("Letters/notes.txt [3]", NOTES, True, True),
        ("Letters/notes.txt [3]/", NOTES, True, True),
        ("Letters", NOTES, True, True),
        ("notes.txt [3]", NOTES, True, True),
        ("notes.TXT [3]", NOTES, True, False),
        ("txt [3]/notes", NOTES, True, False),
        ("Letters/notes.txt [3]/*", NOTES, True, True),
        ("Letters/n* [3]", NOTES, True, True),
        ("notes* [3]/", NOTES, True, True),
        ("notes*", NOTES, True, True),
        ("* [4]", NOTES, False, False),
        ("Letters/notes.txt [3]", "Letters/notes.txt [33]/a", False, False),
        ("Letters/notes.txt [3]", "Letters/notes.txt [3] b/a", True, False),
        ("notes.txt [0-9]", "a/notes.txt 3", True, True),
        ("3", NOTES, True, True),
        ("3", "Letters/3 pages [17]/3.txt", True, False),
        ("3", "Letters/a [33]/b3.txt", False, False),
        ("17", "Letters/3 pages [17]/3.txt", True, True),
        ("3", "mayan3.json", True, False),
        ("[", NOTES, True, False),
    ],
)
def test_what_is_shown_is_meant_as_it_stands(pattern: str, path: str, found: bool, chosen: bool) -> None:
    """Folders whose names end in a number in brackets: typed as they are, with a star, and by the number alone."""
    assert finder(pattern, numbered)(path) is found
    assert chooser(pattern, numbered)(path) is chosen


@given(st.lists(st.text(st.sampled_from("aB1.-_ SD[]*?\n"), min_size=1, max_size=6), min_size=2, max_size=4))
def test_every_folder_means_what_is_in_it(names: list[str]) -> None:
    """Whatever signs are in it, with a slash at its end or without."""
    path = "/".join(names)
    for end in range(1, len(names)):
        folder = "/".join(names[:end])
        assert {means(path) for one in (folder, f"{folder}/") for means in (finder(one), chooser(one))} == {True}


@given(PATHS)
def test_a_path_always_means_itself(path: str) -> None:
    """Whatever signs are in it."""
    assert finder(path)(path)
    assert chooser(path)(path)


@given(PATHS, PATHS, PATHS)
def test_a_part_is_found_in_whatever_holds_it(before: str, part: str, after: str) -> None:
    """Unless it is a glob or an id, which mean something else."""
    if not any(sign in part for sign in "*?[") and not (part[:2].isalpha() and part[2:].isdigit()):
        assert finder(part.swapcase())(before + part + after)


@given(st.integers(1, 9999), st.integers(1, 9999))
def test_a_record_is_found_by_its_own_id_alone(one: int, other: int) -> None:
    """SD12 is neither SD1 nor SD123."""
    path = f"doc_Gel-{other}/SD{other}.xml"

    assert finder(f"SD{one}", record)(path) is (one == other)
    assert chooser(f"SD{one}", record)(path) is (one == other)
