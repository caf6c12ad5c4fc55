"""How a snapshot calls Mayan's documents and files: whatever people called them, on every file system."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.sources.base import Record
from flows.sources.mayan_document import Listed, decode, encode, export_name, fit, names, parts, record_of, same

HARD = st.text(st.sampled_from("aA.ß/\\\0 [1]2é\u0301\u202e文\ud800\U0001f600pdf"), max_size=12)
TEXTS = st.one_of(st.text(max_size=300), HARD)
ROW = Listed(7, "u", "A label", "", "eng", "2026-01-01T00:00:00Z", "Letters", 3, 4)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.pdf", "a.pdf"),
        ('a/b\\c "q" <d>: *?|', "a_b_c _q_ _d__ ___"),
        ("", "untitled"),
        (" ", "untitled"),
        (".", "untitled"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a. . ", "a"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("console", "console"),
        ("line\nbreak\x1b[31m\x9b", "line_break_[31m_"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("e\u0301", "é"),
        ("文書.pdf", "文書.pdf"),
        ("x" * 200, "x" * 150),
        ("x" * 200 + ".pdf", "x" * 146 + ".pdf"),
        ("文" * 100 + ".pdf", "文" * 48 + ".pdf"),
        ("x" * 200 + ". a sentence", "x" * 150),
    ],
)
def test_a_name(text: str, name: str) -> None:
    """It stays what it is as far as it can."""
    assert fit(text) == name


@given(text=TEXTS)
def test_every_text_becomes_a_name(text: str) -> None:
    """Never empty, never a path, never too long with what comes to it; and a name stays the same."""
    name = fit(text)

    assert name not in ("", ".", "..")
    assert "/" not in name
    assert len(f"{name} [{2**63}]".encode()) <= 255
    assert fit(name) == name


@given(st.lists(TEXTS, max_size=6))
@example(["a.pdf", "a.pdf", "a [1].pdf", "A.PDF", "a [2].pdf"])
@example(["document.json", "Document [1].json", "version 3.pdf", "version 3 [3].pdf"])
@example(["é", "e\u0301", ".pdf", ".pdf", "x.pdf [2]", "x.pdf [1]"])
def test_names_within_a_document_are_distinct(texts: list[str]) -> None:
    """For file systems without capitals, too; and none is one of ours."""
    files = list(enumerate(texts, start=1))

    named = names(files)

    assert list(named) == [number for number, _ in files]
    folded = {name.casefold() for name in [*named.values(), "document.json", *map(export_name, range(6))]}
    assert len(folded) == len(files) + 7
    assert all(name and "/" not in name and len(name.encode()) <= 255 for name in named.values())


def test_only_names_that_meet_bear_ids() -> None:
    """Others keep what they are called."""
    assert names([(5, "a.pdf"), (6, "A.pdf"), (7, "b.pdf")]) == {5: "a [5].pdf", 6: "A [6].pdf", 7: "b.pdf"}


@given(label=TEXTS, kind=TEXTS, file=TEXTS)
def test_a_path_tells_its_document(label: str, kind: str, file: str) -> None:
    """Whatever it is called."""
    row = Listed(12, "u", label, "", "eng", "", kind, None, None)

    assert record_of(f"{row.folder}/{fit(file)}") == Record("12", fit(label))


@pytest.mark.parametrize("path", ["mayan.json", "a/b", "a/b [x]/c", "a/b [1]"])
def test_other_paths_are_of_no_document(path: str) -> None:
    """Such as that of what documents refer to."""
    assert record_of(path) is None


def kept(**other: Any) -> dict[str, Any]:
    """A document.json of ROW."""
    told = {"uuid": "u", "label": "A label", "description": "", "language": "eng", "type": "Letters"}
    return {"format": 1, "id": 7, "created": ROW.created, "file_latest": 3, "version_active": 4, **told, **other}


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        ({}, True),
        ({"unsettled": False, "forbidden": []}, True),
        ({"unsettled": True}, False),
        ({"forbidden": ["tags.tag_view"]}, False),
        ({"format": 2}, False),
        ({"label": "Another"}, False),
        ({"type": "Bills"}, False),
        ({"file_latest": None}, False),
        ({"version_active": 5}, False),
        ({"id": 8}, False),
    ],
)
def test_a_kept_document_is_the_listed_one(other: dict[str, Any], answer: bool) -> None:
    """As far as a list can tell, and as far as it was whole."""
    assert same(kept(**other), ROW) is answer


@given(st.dictionaries(st.text(), st.one_of(st.text(), HARD, st.integers(), st.none())))
def test_what_is_kept_can_be_read(document: dict[str, Any]) -> None:
    """Text that is none in Unicode becomes question marks, and costs nothing else."""
    found = decode(encode(document))

    def readable(value: Any) -> Any:
        return value.encode(errors="replace").decode() if isinstance(value, str) else value

    assert found == {readable(key): readable(value) for key, value in document.items()}


@pytest.mark.parametrize("data", [None, b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_nothing_of_ours_is_none(data: bytes | None) -> None:
    """A document that somebody calls document.json, for one."""
    assert decode(data) is None


def test_a_file_is_a_part() -> None:
    """As document.json tells of it."""
    (part,) = parts({"files": [{"name": "a", "id": 1, "size": 2, "sha256": "00"}]})

    assert (part.name, part.id, part.size, part.sha256) == ("a", 1, 2, "00")
