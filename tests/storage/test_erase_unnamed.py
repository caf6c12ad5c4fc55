"""Erasing beside what a backup that died left: it stays for its seven days, and the plan says so."""

from __future__ import annotations

import pytest

from storage.archive import Archive
from storage.backend import Memory
from storage.erase import plan_erase
from storage.prune import free
from storage.sweeping import GRACE
from tests.doubles import LAB, NIGHT, OFFICE, Died, new_archive, noise, write
from tests.storage.acting import Runner
from tests.storage.test_erase import NOW, SECRET, Interrupting, die, go, has_word, tick


def test_packs_that_no_snapshot_names_are_told() -> None:
    """How many and how long; when they are gone, or where there never were any, nothing is said of them."""
    memory = Memory()
    archive = new_archive(memory)
    write(archive, {"a": noise(400, 1)})
    write(archive, {"z": noise(100, 7)}, key=OFFICE)
    assert not [said for said in plan_erase(archive, key=LAB, now=NOW).stays if "no snapshot names" in said]
    with pytest.raises(Died):
        Runner(Interrupting(memory, die, lambda: None), LAB, {"s": SECRET}, NOW).finish()
    (left,) = has_word(memory)
    (told,) = (said for said in plan_erase(archive, key=LAB, now=NOW).stays if "no snapshot names" in said)
    go(archive, LAB)

    assert "2 packs" in told
    assert "7 days" in told
    assert has_word(memory) == [left]
    free(Archive.open(memory), clock=tick())
    free(Archive.open(memory), clock=tick(NOW + GRACE + NIGHT))
    assert has_word(memory) == []
    assert not [said for said in plan_erase(archive, key=OFFICE, now=NOW).stays if "no snapshot names" in said]
