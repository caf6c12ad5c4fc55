"""Which identity and which export a scope means: by name, in whatever order and with whatever numbers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from flows.errors import RequestWrong, SourceRefused
from flows.sources.webadmit_names import Identity, Template, file_name, format_of, identity_of, template_of

THERE = (
    Identity(11, "Admissions User", "SampleCAS", "Sample University", "", "2024 - 2025"),
    Identity(42, "Admissions User", "SampleCAS", "Sample University", "", "2025 - 2026"),
    Identity(7, "Admissions User", "OtherCAS", "Sample University", "", "2023 - 2024"),
    Identity(43, "Admissions User", "SampleCAS", "Second College", "", "2025 - 2026"),
    Identity(5, "Association User", "SampleCAS"),
)
SAMPLE = {"association": "SampleCAS", "organization": "Sample University"}


@pytest.mark.parametrize("seed", range(10))
def test_the_newest_cycle_in_any_order(seed: int) -> None:
    """It is the cycle's years that decide, not the place in the list and not the number."""
    found = list(THERE)
    random.Random(seed).shuffle(found)

    assert identity_of(found, SAMPLE).id == 42
    assert identity_of(found, {**SAMPLE, "cycle": "newest"}).id == 42


@pytest.mark.parametrize("cycle", ["2024 - 2025", "2024-2025", "2024 – 2025"])
def test_a_cycle_by_its_years(cycle: str) -> None:
    """However it is written."""
    assert identity_of(THERE, {**SAMPLE, "cycle": cycle}).id == 11


def test_a_new_cycle_brings_new_numbers() -> None:
    """The same words mean the new identity from the night on in which it is there."""
    rolled = [*THERE, Identity(900, "Admissions User", "SampleCAS", "Sample University", "", "2026 - 2027")]

    assert identity_of(rolled, SAMPLE).id == 900


def test_spaces_are_no_difference_and_letters_are() -> None:
    """A doubled space is not seen on a page; another letter is another name."""
    assert identity_of(THERE, {"association": " SampleCAS", "organization": "Sample  University"}).id == 42
    with pytest.raises(RequestWrong, match="no identity"):
        identity_of(THERE, {"association": "samplecas"})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, ["SampleCAS, Second College", "OtherCAS"]),
        ({"organization": "Sample University"}, ["SampleCAS", "OtherCAS"]),
        ({"association": "SampleCAS"}, ["Sample University", "Second College"]),
    ],
)
def test_several_are_refused_with_their_names(wanted: dict[str, Any], words: list[str]) -> None:
    """The newest cycle of one organisation does not win over another organisation."""
    with pytest.raises(RequestWrong) as raised:
        identity_of(THERE, wanted)

    assert [word for word in words if word not in str(raised.value)] == []


def test_none_is_refused_with_what_there_is() -> None:
    """A cycle that has not begun, and a key whose identities have no API access."""
    with pytest.raises(RequestWrong, match=r"2030 - 2031.*Sample University.*2024 - 2025"):
        identity_of(THERE, {**SAMPLE, "cycle": "2030 - 2031"})
    with pytest.raises(SourceRefused, match="no identity") as raised:
        identity_of([], SAMPLE)
    assert "API Access" in raised.value.hint


def test_identities_without_a_cycle() -> None:
    """One is meant by its type; beside one with a cycle nobody can say which is newer."""
    assert identity_of(THERE, {"type": "Association User"}).id == 5
    pair = [Identity(1, "Admissions User", "A", "U"), Identity(2, "Admissions User", "A", "U", "", "2025 - 2026")]
    with pytest.raises(RequestWrong):
        identity_of(pair, {"association": "A"})


# -- templates

EXPORTS = (
    Template(3, "Clip", "csv", clipboard=True),
    Template(9, "Nightly full", "csv"),
    Template(4, "Nightly", "csv"),
    Template(6, "Twice", "csv"),
    Template(8, "Twice", "xls"),
)


@pytest.mark.parametrize("seed", range(5))
def test_an_export_by_its_whole_name(seed: int) -> None:
    """Not by a part of it, and not by its place."""
    found = list(EXPORTS)
    random.Random(seed).shuffle(found)

    assert template_of(found, "Nightly", "export", "U").id == 4
    assert template_of(found, "Nightly full", "export", "U").id == 9


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Twice", "2 things"),
        ("Weekly", "no export.*Nightly full"),
        ("nightly", "no export"),
        ("Clip", "clipboard"),
    ],
)
def test_what_is_not_one_export_is_refused(name: str, said: str) -> None:
    """None, several, another case, and what changes with somebody's clipboard."""
    with pytest.raises(RequestWrong, match=said) as raised:
        template_of(EXPORTS, name, "export", "U")

    assert raised.value.hint


def test_formats_by_their_words() -> None:
    """The vendor's five; another stays as it is, so that nobody takes it for one of them."""
    assert format_of("Comma-Separated Values") == "csv"
    assert format_of("Comma-Separated Values in Multiple Files") == "csv-zip"
    assert format_of("Fixed Width Report") == "fixed"
    assert format_of("Parquet") == "Parquet"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Nightly full", "Nightly full.csv"),
        ("a.csv", "a.csv"),
        ("../../etc/passwd", "etc-passwd.csv"),
        ("a/b\\c\x00d", "a-b-c-d.csv"),
        ("…", "export.csv"),
        ("x" * 300, "x" * 80 + ".csv"),
    ],
)
def test_files_are_called_as_their_export(name: str, file: str) -> None:
    """Harmless on any disk, whatever people called it."""
    assert file_name(name, ".csv") == file
    assert file_name(name, ".csv", 2) == file.removesuffix(".csv") + " 2.csv"
