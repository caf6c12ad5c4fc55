"""What a restore into Mayan EDMS does, planned without a server: every document ends as it was kept."""

from __future__ import annotations

import hashlib
import random
from itertools import count
from typing import Any

import pytest

from flows.sources import mayan_cabinets
from flows.sources.base import Outlook
from flows.sources.mayan_restore_outlook import EXAMPLES, Tally
from flows.sources.mayan_restore_plan import (
    Attach,
    Drop,
    Edit,
    MakeVersion,
    Place,
    Say,
    Step,
    Upload,
    Value,
    Wish,
    differences,
    files_there,
    sequence,
    todo,
    wish_of,
)
from flows.sources.mayan_restore_shared import Shared, add_needed, missing, told, unlike

FOLDER = "Letters/Alpha [7]"


def kept(
    *, files: list[tuple[str, int]], versions: list[list[tuple[int, int]]], active: int = -1
) -> dict[str, Any]:
    """A document.json: files by content and number of pages; versions by the places of files, and pages."""
    rows = [
        {
            "id": 10 + place,
            "name": f"{place}.pdf",
            "filename": f"{place}.pdf",
            "size": len(text),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "comment": f"of {place}" if place % 2 else "",
        }
        for place, (text, _) in enumerate(files)
    ]
    return {
        "id": 7,
        "uuid": "c1a1d0f2-0000-4000-8000-000000000007",
        "label": "Alpha",
        "description": "of old",
        "language": "deu",
        "type": "Letters",
        "files": rows,
        "versions": [
            {
                "id": 20 + number,
                "active": number == active % len(versions),
                "comment": "remapped" if number % 2 else "",
                "pages": [
                    {"page": place, "file": 10 + file, "page_of_file": page}
                    for place, (file, page) in enumerate(pages, start=1)
                ],
            }
            for number, pages in enumerate(versions)
        ],
        "metadata": {"invoice": "42", "empty": None},
        "tags": ["urgent"],
        "cabinets": ["Top / Sub"],
        "comments": [{"id": n, "at": f"2026-01-0{n}", "text": text} for n, text in ((3, "b"), (1, "a"), (2, "b"))],
    }


def wish(document: dict[str, Any]) -> Wish:
    """With every file in the snapshot."""
    return wish_of(document, FOLDER, lambda _: True)[0]


class Imitation:
    """A document at a target that does as Mayan does: replace makes a version of all pages, one is active."""

    def __init__(self, pages: dict[str, int]) -> None:
        self._pages = pages  # of each content, by SHA-256
        self._ids = count(100)
        self.got: dict[str, Any] = {
            "label": "Alpha",
            "description": "of old",
            "language": "deu",
            "type": "Letters",
            **{part: [] for part in ("files", "versions", "tags", "cabinets", "comments")},
            "metadata": {},
        }

    def do(self, step: Step, wish: Wish) -> None:
        match step:
            case Upload(place, action):
                file = wish.files[place]
                row: dict[str, Any] = {
                    "id": next(self._ids),
                    "sha256": file.sha256,
                    "size": file.size,
                    "filename": "x",
                    "comment": "",
                }
                self.got["files"].append(row)
                if action == "replace":
                    pages = range(1, self._pages[file.sha256] + 1)
                    self._version([(row["id"], page) for page in pages], comment="", active=True)
            case MakeVersion(place):
                files = files_there(wish, self.got["files"])
                version = wish.versions[place]
                mapped = [(files[file]["id"], page) for file, page in version.pages]
                self._version(mapped, comment=version.comment, active=version.active)
            case Drop(kind, number):
                self.got[kind] = [row for row in self.got[kind] if row["id"] != number]
            case Edit(kind, number, facts):
                (edited,) = (row for row in self.got[kind] if row["id"] == number)
                edited.update(facts)
                self._one_active(edited)
            case Value(name, text):
                self.got["metadata"][name] = text
            case Attach(tag):
                self.got["tags"].append(tag)
            case Place(cabinet):
                self.got |= mayan_cabinets.members([*mayan_cabinets.of(self.got), cabinet])
            case Say(text, _):
                self.got["comments"].append({"text": text})

    def _version(self, pages: list[tuple[int, int]], *, comment: str, active: bool) -> None:
        mapped = [{"page": n, "file": file, "page_of_file": page} for n, (file, page) in enumerate(pages, start=1)]
        row = {"id": next(self._ids), "active": active, "comment": comment, "pages": mapped}
        self.got["versions"].append(row)
        self._one_active(row)

    def _one_active(self, chosen: dict[str, Any]) -> None:
        if chosen.get("active") and "pages" in chosen:
            for row in self.got["versions"]:
                row["active"] = row is chosen


def restore(target: Imitation, wished: Wish, *, steps: int = 200) -> int:
    """Do what is to be done, at most so many steps; how many were done."""
    done = 0
    while done < steps and (plan := todo(wished, target.got, ours=True)):
        for step in plan[: steps - done]:
            target.do(step, wished)
            done += 1
    return done


def random_document(dice: random.Random) -> tuple[dict[str, Any], dict[str, int]]:
    """Files, some of them the same, versions of whole files and of any pages; pages of each content."""
    pages = {f"content {n}": dice.randint(1, 4) for n in range(3)}
    files = [(text, pages[text]) for text in dice.choices(sorted(pages), k=dice.randint(1, 5))]
    versions = []
    for place, (_, many) in enumerate(files):
        if dice.random() < 0.7:
            versions.append([(place, page) for page in range(1, many + 1)])
        if dice.random() < 0.4:
            all_pages = [(file, page) for file in range(place + 1) for page in range(1, files[file][1] + 1)]
            versions.append(dice.sample(all_pages, dice.randint(1, len(all_pages))))
    document = (
        kept(files=files, versions=versions, active=dice.randrange(8))
        if versions
        else kept(files=files, versions=[])
    )
    return document, {hashlib.sha256(text.encode()).hexdigest(): many for text, many in pages.items()}


@pytest.mark.parametrize("seed", range(60))
def test_every_document_ends_as_it_was_kept(seed: int) -> None:
    """Whatever its files and versions, and wherever the restore was broken off and begun again."""
    dice = random.Random(seed)
    document, pages = random_document(dice)
    wished = wish(document)
    whole = Imitation(pages)
    many = restore(whole, wished)
    assert differences(wished, whole.got) == []
    assert [row["sha256"] for row in whole.got["files"]] == [file.sha256 for file in wished.files]

    broken = Imitation(pages)
    restore(broken, wished, steps=dice.randrange(many))
    if broken.got["files"] and dice.random() < 0.5:  # an upload that was sent twice
        last = len(files_there(wished, broken.got["files"])) - 1
        broken.do(Upload(last, dice.choice(("keep", "replace"))), wished)
    restore(broken, wished)
    assert differences(wished, broken.got) == []


def test_a_version_follows_the_upload_that_makes_it() -> None:
    """Pages that are all of one file come with it; others are mapped; what no version shows is kept beside."""
    document = kept(files=[("a", 2), ("b", 1), ("c", 1)], versions=[[(0, 1), (0, 2)], [(1, 1), (0, 1)]])

    assert list(sequence(wish(document))) == [
        Upload(0, "replace"), MakeVersion(0), Upload(1, "keep"), MakeVersion(1), Upload(2, "keep"),
    ]  # fmt: skip


def test_what_is_not_ours_any_more_is_not_removed() -> None:
    """A finished document that somebody went on with: theirs stays, and is told as a difference."""
    document = kept(files=[("a", 1)], versions=[[(0, 1)]])
    wished = wish(document)
    target = Imitation({file.sha256: 1 for file in wished.files})
    restore(target, wished)
    target.do(Upload(0, "keep"), wished)

    assert todo(wished, target.got, ours=False) == []
    assert len(differences(wished, target.got)) == 4  # SHA-256s, sizes, names, comments of the files
    assert [type(step) for step in todo(wished, target.got, ours=True)] == [Drop]


def test_what_was_refused_is_not_done_again_and_holds_nothing_up() -> None:
    """The rest goes on around it."""
    wished = wish(kept(files=[("a", 1), ("b", 1)], versions=[[(0, 1)]]))
    target = Imitation({file.sha256: 1 for file in wished.files})
    refused: set[Step] = {Upload(0, "replace"), Value("invoice", "42")}

    (*_, last) = todo(wished, target.got, ours=True, failed=refused)

    assert last == MakeVersion(0)
    assert not refused & set(todo(wished, target.got, ours=True, failed=refused))


def test_what_cannot_come_back_is_told() -> None:
    """Empty files, files that the snapshot lacks, versions that show them; the rest of the document comes."""
    document = kept(files=[("", 0), ("gone", 1), ("c", 1)], versions=[[(2, 1)], [(1, 1), (2, 1)]])

    wished, lacking = wish_of(document, FOLDER, lambda file: file.path != f"{FOLDER}/1.pdf")

    assert [file.path for file in wished.files] == [f"{FOLDER}/2.pdf"]
    assert [(version.pages, version.active) for version in wished.versions] == [(((0, 1),), True)]
    assert wished.comments == ("a", "b", "b")
    assert lacking == (
        "file '0.pdf' is empty, and Mayan EDMS takes no empty file",
        "file '1.pdf' is not in the snapshot",
        "version 21 has pages of something that cannot come back",
    )
    assert wish_of(kept(files=[], versions=[]), FOLDER, lambda _: True)[1] == (
        "without a file Mayan EDMS would remove it after a day",
    )


def test_every_difference_is_seen() -> None:
    """Each member of a document, changed alone, is told."""
    wished = wish(kept(files=[("a", 2), ("b", 1)], versions=[[(0, 1), (0, 2)], [(1, 1)]]))
    changes: list[tuple[str, Any]] = [
        ("label", "x"), ("description", "x"), ("language", "x"), ("type", "x"), ("files", []), ("versions", []),
        ("metadata", {"invoice": "43", "empty": ""}), ("tags", []), ("cabinets", ["Top"]),
        ("comments", [{"text": "a"}]),
    ]  # fmt: skip
    for name, value in changes:
        target = Imitation({wished.files[0].sha256: 2, wished.files[1].sha256: 1})
        restore(target, wished)
        assert differences(wished, target.got) == []
        target.got[name] = value
        assert differences(wished, target.got), name


def test_the_outlook_counts_what_is_there_and_what_is_not() -> None:
    """A document that is there by its UUID is left alone; examples of losses are few, however many there are."""
    tally = Tally(frozenset({b"here"}), frozenset({b"trashed"}))
    wished = wish(kept(files=[("a", 1), ("b", 1)], versions=[[(0, 1)]]))
    assert not tally.add("T/a [1]/document.json", wished, (), b"here")
    assert not tally.add("T/b [2]/document.json", wished, (), b"trashed")
    assert tally.add("T/c [3]/document.json", wished, ("a loss",), b"new")
    for number in range(EXAMPLES + 5):
        tally.unreadable(f"T/d [{number}]/document.json", "damaged")

    found = tally.outlook({"tags": 1}, {"tags": 2}, ["a note"])

    assert isinstance(found, Outlook)
    assert found.units == ("T/c [3]/document.json",)
    assert found.makes == {"documents": 1, "files": 2, "versions": 1, "bytes": 2, "tags": 1}
    assert found.there == {"documents": 1, "documents in the trash": 1, "tags": 2}
    assert found.lacking[0].startswith("T/b [2]: it is in the target's trash")
    assert (found.lacking[1], found.lacking[-1]) == ("T/c [3]: a loss", "and 7 more like these")
    assert len(found.lacking) == EXAMPLES + 1


def test_definitions_that_documents_need() -> None:
    """Only theirs, with the cabinets above; what is there under the same name and is another is told."""
    known = told(
        {
            "types": [
                {"label": "Letters", "metadata": {"invoice": {"required": True}}},
                {"label": "X", "metadata": {}},
            ],
            "metadata_types": [{"name": "invoice", "label": "Invoice", "default": None, "lookup": "1,2"}],
            "tags": [{"label": "urgent", "color": "#FF0000"}, {"label": "idle", "color": "#000000"}],
            "cabinets": [{"full_path": path} for path in ("Top", "Top / Sub", "Other")],
        }
    )
    needed = Shared()
    add_needed(needed, wish(kept(files=[("a", 1)], versions=[])), known)

    assert needed.types == {"Letters": {"invoice": True, "empty": False}}
    assert needed.cabinets == {("Top",), ("Top", "Sub")}
    assert needed.tags == {"urgent": "#FF0000"}
    there = Shared(
        {"Letters": {}},
        {"invoice": {"label": "Invoice", "default": "", "lookup": "1"}},
        {"urgent": "#ff0000"},
        {("Top",)},
    )
    assert missing(needed, there) == {"document types": 0, "metadata types": 1, "tags": 0, "cabinets": 1}
    assert unlike(needed, there) == [
        "metadata type 'invoice' is there with another lookup",
        "document type 'Letters' is there and gets metadata types empty, invoice, not required",
    ]
