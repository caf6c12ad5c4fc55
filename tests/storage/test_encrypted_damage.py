"""A damaged file of an encrypted archive stops whom it stops in a plain one, and nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import evidence, lease
from storage.archive import ALWAYS, Archive
from storage.backend import Memory
from storage.catalog import Catalog
from storage.decisions import Decision
from storage.drill import drill
from storage.erase import erase, plan_erase
from storage.errors import StorageError
from storage.facts import facts
from storage.giveup import give_up, plan_give_up
from storage.index import pack_name
from storage.planning import plan_scope
from storage.policy import Policy
from storage.prune import forget, free, undelete
from storage.repair import plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import manifest_name, parse_name
from storage.sweeping import GRACE
from tests.doubles import (
    LAB,
    NIGHT,
    OFFICE,
    SECRET,
    START,
    Below,
    Clock,
    copy,
    noise,
    opened,
    overwrite,
    read,
    write,
)
from tests.storage.test_damage import healthy

NOW = START + 9 * NIGHT + GRACE
ROT = 3  # number of the damaged manifest that is given up


def found_by_id(archive: Archive, _: Path) -> None:
    other = archive.snapshots(damaged=[])[-1]
    assert archive.find(other.id[:12]) == other


def latest(archive: Archive, _: Path) -> None:
    archive.find("latest", now=ALWAYS)


def backed_up(archive: Archive, _: Path) -> None:
    found = write(archive, {"a": noise(90, 0), "new": noise(90, 77)}, night=8)
    assert read(archive, found)["new"] == noise(90, 77)


def forgotten(archive: Archive, _: Path) -> None:
    forget(archive, plan_scope(archive, LAB, Policy(keep_last=1), now=NOW), now=NOW)


def brought_back(archive: Archive, _: Path) -> None:
    tombs = archive.tombstones(damaged=[])
    undelete(archive, tombs[-1].id, by="ada", reason="needed", clock=Clock(NOW))


def freed(archive: Archive, _: Path) -> None:
    free(archive, clock=Clock(NOW))


def erased(archive: Archive, _: Path) -> None:
    plan = plan_erase(archive, key=OFFICE, now=NOW)
    erase(archive, plan, reason="he asked for it", by="ada", clock=Clock(NOW))


def decided(archive: Archive, _: Path) -> None:
    found = archive.snapshots(LAB, damaged=[])[-1]
    archive.decide(Decision("reject", LAB, found.number, found.id, NOW, "ada", "wrong"))
    archive.decisions(damaged=[])


def cataloged(archive: Archive, folder: Path) -> None:
    with Catalog.open(folder / "catalog.db") as catalog:
        catalog.reindex(archive, damaged=[])
    facts(archive)


def drilled(archive: Archive, folder: Path) -> None:
    other = archive.snapshots(damaged=[])[-1]
    drill(archive, None, other, folder, record_id="20260320-drill", clock=Clock(NOW))


def mended(archive: Archive, _: Path) -> None:
    plan = plan_repair(archive, scrub(archive).findings)
    repair(archive, plan, clock=Clock(NOW), record_id="20260320-r")


def given_up(archive: Archive, _: Path) -> None:
    give_up(archive, plan_give_up(archive, LAB, ROT, reason="no copy", now=NOW))


def kept_again(archive: Archive, _: Path) -> None:
    for found in archive.snapshots(damaged=[]):
        name = manifest_name(found.key, found.number)
        evidence.keep(archive.backend, name, b"rotten bytes of %s" % name.encode(), now=NOW, reason="again")


DEEDS = [
    found_by_id, latest, backed_up, forgotten, brought_back, freed, erased, decided, cataloged, drilled, mended,
    given_up, kept_again,
]  # fmt: skip


def outcomes(secret: str | None, deed: Callable[[Archive, Path], None], scratch: Path) -> dict[str, Counter[str]]:
    """For each class of files how often, one being damaged, the deed was done, or what it was refused with."""
    memory, _ = healthy(secret)
    told: dict[str, Counter[str]] = {}
    newest = opened(memory).snapshots(LAB)[-1]
    packs = {pack_name(pack) for pack in newest.manifest.packs}  # the matrix of damage has the others
    names = [name for name in Below(opened(memory)).list("") if name.partition("/")[0] not in PLAIN]
    names = [name for name in names if name in packs or not name.startswith("packs/")]
    for number, name in enumerate(names):
        broken = copy(memory)
        overwrite(Below(opened(broken)), name, b"rot")
        folder = scratch / f"{number}{secret is None}"
        folder.mkdir(parents=True)
        told.setdefault(kind(name), Counter())[outcome(broken, deed, folder)] += 1
    return told


PLAIN = ("strongroom.json", "about", "keys")


def kind(name: str) -> str:
    """The place of a file in a chain; of others their folder."""
    return name if parse_name(name) else name.partition("/")[0] + Path(name).suffix


def outcome(memory: Memory, deed: Callable[[Archive, Path], None], folder: Path) -> str:
    try:
        deed(opened(memory), folder)
    except StorageError as exc:
        return type(exc).__name__
    return "done"


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_damaged_stops_whom_it_stops_in_a_plain_archive(
    deed: Callable[[Archive, Path], None], tmp_path: Path
) -> None:
    """Every file, one after another, for everything that is done with an archive."""
    plain = outcomes(None, deed, tmp_path)

    assert outcomes(SECRET, deed, tmp_path) == plain
    assert any("done" in found for found in plain.values())


def test_a_damaged_lease_is_nobody_s(secret: str | None) -> None:
    """Whoever frees next takes the number behind it."""
    memory, _ = healthy(secret)
    view = Below(opened(memory))
    names = list(view.list(lease.FOLDER))
    overwrite(view, names[-1], b"rot")
    free(opened(memory), clock=Clock(NOW))

    assert list(view.list(lease.FOLDER)) != names
