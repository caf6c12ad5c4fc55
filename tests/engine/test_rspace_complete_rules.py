"""The rule of completeness, and what a ZIP's names say that it holds. Pure, but for small files."""

from __future__ import annotations

import json
import os
import random
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.sources import rspace_complete as complete
from flows.sources.rspace_activity import Exported
from flows.sources.rspace_complete import IN_EVENT, IN_FILE
from flows.sources.rspace_records import ByDesign, Listing
from storage.verify import Outcome

REAL = os.environ.get("STRONGROOM_REAL_EXPORTS", "")
AT = datetime(2026, 11, 16, tzinfo=UTC)
Present = tuple[set[int], set[int]] | None

IDS = st.frozensets(st.integers(1, 8))


@st.composite
def _answers(draw: st.DrawFn) -> tuple[Listing, Listing, Present, Exported | str, list[int]]:
    present = draw(st.none() | st.tuples(IDS.map(set), IDS.map(set)))
    event = draw(st.just("no event") | IDS.map(lambda ids: Exported("x.zip", AT, "xml", "user", ids)))
    return Listing(draw(IDS)), Listing(draw(IDS)), present, event, draw(st.lists(st.integers(1, 8)))


@given(_answers())
def test_a_check_fails_if_and_only_if_an_expected_document_is_not_found(given_: Any) -> None:
    """Expected: listed before and after, and not left out by design."""
    before, after, present, event, by_design = given_
    expected = (before.documents & after.documents) - set(by_design)

    told = {
        check.name: check
        for check in complete.checks(before, after, present, event, ByDesign(frozenset(by_design)))
    }

    for name, found in ((IN_FILE, present and present[0]), (IN_EVENT, event)):
        records = found.records if isinstance(found, Exported) else found
        known = isinstance(records, set | frozenset)
        missing = sorted(expected - records) if known else []
        assert (told[name].outcome is Outcome.FAILED) == bool(missing)
        assert [f"SD{number}" in told[name].reason for number in missing] == [True] * len(missing)
        if told[name].outcome is Outcome.PASSED:
            assert known
            assert before.documents & after.documents or not records or (present and not present[0])


@given(_answers(), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(given_: Any, rng: Any) -> None:
    """Nor that a baseline has been through the catalog."""
    before, after, present, event, by_design = given_
    stored = json.loads(json.dumps(complete.remembered(before)))
    stored["documents"] = stored["documents"] * 2
    rng.shuffle(stored["documents"])
    other = by_design * 2
    rng.shuffle(other)

    assert complete.checks(
        complete.recalled({"listed": stored}), after, present, event, ByDesign(frozenset(other))
    ) == complete.checks(before, after, present, event, ByDesign(frozenset(by_design)))


@given(_answers())
def test_a_first_listing_with_a_problem_proves_nothing(given_: Any) -> None:
    """Neither a success nor a failure."""
    _, after, present, event, by_design = given_

    told = complete.checks(Listing(problem="refused"), after, present, event, ByDesign(frozenset(by_design)))

    assert {check.outcome for check in told} == {Outcome.NOT_AVAILABLE}


@given(_answers())
def test_without_a_second_listing_all_of_the_first_must_be_there(given_: Any) -> None:
    """As if nothing had been deleted meanwhile; and the doubt is told with it."""
    before, _, present, event, by_design = given_
    excused = ByDesign(frozenset(by_design))

    told = complete.checks(before, Listing(problem="away"), present, event, excused)

    same = complete.checks(before, before, present, event, excused)
    assert [check.outcome for check in told] == [check.outcome for check in same]
    answered = [check for check in told if check.outcome is not Outcome.NOT_AVAILABLE]
    assert all("away" in check.reason for check in answered)


# -- what a ZIP holds, by the names in it


def _zip(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name in names:
            out.writestr(name, b"")
    return path


@pytest.mark.parametrize(
    ("folder", "number"),
    [
        ("doc_Gel-7", 7),
        ("doc_Gel-7-rev12", 7),
        ("doc_2012-01-31-24-rev1", 24),
        ("doc_Report-7-45", 45),
        ("doc_my-rev2-45", 45),
        ("doc_my-rev2-45-rev3", 45),
        ("doc_Zellzählung-ü-9", 9),
        ("doc_-5", 5),
        ("doc_5", 5),
        ("doc_doc_3-8", 8),
        ("doc_日本-6", 6),
    ],
)
@pytest.mark.parametrize("form", ["xml", "html"])
@pytest.mark.parametrize("above", ["RSpace-2026-xml-x-AAAA/", "restored/RSpace-2026/", "doc_1-1/", ""])
def test_a_document_is_known_by_its_folder_s_name(
    tmp_path: Path, folder: str, number: int, form: str, above: str
) -> None:
    """Digits, revisions and letters of all kinds in its name; folders above it, as a Mac adds one."""
    inside = f"{above}{folder}"
    path = _zip(tmp_path / "a.zip", f"{inside}/", f"{inside}/{folder}.{form}", f"{inside}/b.png")

    assert complete.records_in([path]) == ({number}, set())


@pytest.mark.parametrize(
    "name",
    [
        "top/doc_Gel-7/",  # an empty folder
        "top/doc_Gel-7/gel.png",
        "top/doc_Gel-7/doc_Gel-7_form.xml",
        "__MACOSX/top/doc_Gel-7/._doc_Gel-7.xml",
        "top/doc_Gel-7.xml",  # no folder
        "top/doc_Gel/doc_Gel.xml",
        "top/doc_Gel-7-rev/doc_Gel-7-rev.xml",
        "top/snippet_Gel-7/snippet_Gel-7.xml",
        "top/Doc_Gel-7/Doc_Gel-7.xml",
    ],
)
def test_what_only_looks_like_a_document_is_none(tmp_path: Path, name: str) -> None:
    """Empty folders, a Mac's own files, forms."""
    assert complete.records_in([_zip(tmp_path / "a.zip", name)]) == (set(), set())


TITLES = st.text(st.sampled_from("ab-_ 019üß.rev"), max_size=20)


@given(st.dictionaries(st.integers(1, 10**12), st.tuples(TITLES, st.integers(0, 3)), max_size=5), st.booleans())
def test_every_document_of_an_export_is_found_again(records: dict[int, tuple[str, int]], media: bool) -> None:
    """Whatever its title: the number stands at the end, and revisions are of one document."""
    kind = "media" if media else "doc"
    names = []
    for number, (title, revisions) in records.items():
        suffixes = [f"-rev{revision}" for revision in range(1, revisions + 1)] or [""]
        names += [f"{kind}_{title}-{number}{suffix}" for suffix in suffixes]

    found = complete.named([f"top/{name}/{name}.xml" for name in names])

    assert found == ((set(), set(records)) if media else (set(records), set()))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"no zip at all"])
def test_a_file_that_cannot_be_read_is_unknown(tmp_path: Path, content: bytes) -> None:
    """Neither empty nor complete."""
    path = tmp_path / "a.zip"
    path.write_bytes(content)

    assert complete.records_in([path]) is None


# What is known of real exports in the sources of RSpace (contract rspace.md section 6): documents, gallery files.
KNOWN = {
    "a2.zip": (8, 3),
    "v1-35.zip": (14, 0),  # eight folders of gallery files are empty
    "RSPAC-890.zip": (9, 12),
    "RSPAC-1917-1-61chemtest.zip": (1, 0),
    "Rob-RSpaceTrainingandCertification.zip": (1, 0),
}


@pytest.mark.optional
@pytest.mark.skipif(not REAL, reason="STRONGROOM_REAL_EXPORTS names no folder")
@pytest.mark.parametrize("name", KNOWN)
def test_real_exports_show_their_records(name: str) -> None:
    """Untouched ones and ones that a Mac has packed again."""
    found = complete.records_in([Path(REAL) / name])

    assert found is not None
    assert (len(found[0]), len(found[1])) == KNOWN[name]


def test_whatever_stands_in_a_file_it_is_read_or_it_is_not(tmp_path: Path) -> None:
    """Bytes flipped and cut anywhere in a ZIP: an answer, never an error."""
    whole = _zip(tmp_path / "a.zip", "top/doc_Gel-7/doc_Gel-7.xml", "top/media_a-8/media_a-8.xml").read_bytes()
    rng = random.Random(1)
    for _ in range(400):
        data = bytearray(whole[: rng.choice((len(whole), rng.randrange(len(whole))))])
        for _ in range(rng.randint(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "b.zip").write_bytes(data)

        found = complete.records_in([tmp_path / "b.zip"])

        assert found is None or len(found) == 2
