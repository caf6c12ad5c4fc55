"""The memory of a restore: on the disk before the next step, whole after a kill, one at a time."""

from __future__ import annotations

import json
import random
import resource
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from flows.ledger import open_ledger, place
from storage.errors import BackendFailed, Busy

ID, URL = "ab" * 32, "http://localhost:1"


def test_what_was_noted_is_there_again(tmp_path: Path) -> None:
    """Newer facts in the place of older ones; another snapshot or target has a ledger of its own."""
    with open_ledger(tmp_path, ID, URL) as ledger:
        ledger.note("one", above=3)
        ledger.note("one", id=4)
        ledger.note("two", above=4)
    with open_ledger(tmp_path, ID, URL) as ledger:
        ledger.note("two", above=5)
        assert (ledger.of("one"), ledger.of("two"), ledger.of("three")) == (
            {"above": 3, "id": 4},
            {"above": 5},
            {},
        )
    with open_ledger(tmp_path, ID, "http://localhost:2") as other:
        assert other.of("one") == {}


def test_a_line_cut_short_tells_nothing(tmp_path: Path) -> None:
    """Wherever a kill cut the last line, those before it count, and the next is whole."""
    with open_ledger(tmp_path, ID, URL) as ledger:
        ledger.note("one", id=1)
        ledger.note("two", id=2)
    path = place(tmp_path, ID, URL)
    whole = path.read_bytes()
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        with open_ledger(tmp_path, ID, URL) as ledger:
            assert (ledger.of("one"), ledger.of("two")) == ({"id": 1}, {})
            ledger.note("two", id=3)
        with open_ledger(tmp_path, ID, URL) as ledger:
            assert ledger.of("two") == {"id": 3}


def test_two_restores_at_once_are_refused(tmp_path: Path) -> None:
    """The second one changes nothing."""
    with open_ledger(tmp_path, ID, URL), pytest.raises(Busy), open_ledger(tmp_path, ID, URL):
        pass


def test_a_ledger_that_is_none_is_refused(tmp_path: Path) -> None:
    """Nothing is guessed from it: what was made would be made once more."""
    path = place(tmp_path, ID, URL)
    for text in (b"no json\n", b"[1]\n", b'{"unit": ""}\n{"id": 2}\n'):
        path.write_bytes(text)
        with pytest.raises(BackendFailed, match="ledger"), open_ledger(tmp_path, ID, URL):
            pass
        assert path.read_bytes() == text


def test_the_notes_of_many_units_are_all_there(tmp_path: Path) -> None:
    """In whatever order they came, over several runs; little is held of each, however many there are."""
    many, dice = 4_000, random.Random(1)
    notes: list[tuple[str, dict[str, Any]]] = []
    for number in range(many):
        unit = f"Invoices/Invoice {number:06d} of \u6587\u66f8 [{number}]/document.json"
        facts = (
            {"above": number},
            {"id": number + 1},
            {"file": 0, "tries": 1},
            {"tries": 2, "file": 1},
            {"done": True},
        )
        notes += [(unit, dict(fact)) for fact in facts[: dice.randint(1, len(facts))]]
    dice.shuffle(notes)
    promised: dict[str, dict[str, Any]] = {}
    for unit, fact in notes:
        promised.setdefault(unit, {}).update(fact)
    with open_ledger(tmp_path, ID, URL) as ledger:
        ledger.note(notes[0][0], **notes[0][1])
    with place(tmp_path, ID, URL).open(
        "a", encoding="utf-8"
    ) as earlier:  # as `note` does, without the disk's time
        earlier.writelines(
            json.dumps({"unit": unit, **fact}, ensure_ascii=False) + "\n" for unit, fact in notes[1:]
        )

    tracemalloc.start()
    with open_ledger(tmp_path, ID, URL) as ledger:
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert {unit: ledger.of(unit) for unit in promised} == promised
        ledger.note(notes[0][0], id=-1)
    with open_ledger(tmp_path, ID, URL) as ledger:
        assert ledger.of(notes[0][0]) == {**promised[notes[0][0]], "id": -1}
        assert ledger.of(notes[-1][0]) == promised[notes[-1][0]]
    assert held < 450 * many


def test_a_full_disk_is_told_and_costs_no_note(tmp_path: Path) -> None:
    """The note that found no room is none; those before it are there, and with room again it goes on."""
    before, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(BackendFailed, match="No space left"), open_ledger(tmp_path, ID, URL) as ledger:
            ledger.note("one", id=1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 9, limits[1]))
            ledger.note("two", id=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    with open_ledger(tmp_path, ID, URL) as ledger:
        ledger.note("three", id=3)
    with open_ledger(tmp_path, ID, URL) as ledger:
        assert [ledger.of(unit) for unit in ("one", "two", "three")] == [{"id": 1}, {}, {"id": 3}]
