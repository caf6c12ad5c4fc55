"""Nothing of what an encrypted archive is about lies in its files or their names, at any time of its life."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest

from storage import about, recipes, records, upkeep_records
from storage.archive import Archive
from storage.backend import Memory
from storage.decisions import Decision
from storage.drill import drill
from storage.erase import erase, plan_erase
from storage.index import Index, pack_digest, pack_name
from storage.lease import FOLDER as LEASES
from storage.lease import TTL
from storage.mark import MARK
from storage.prune import free, undelete
from storage.repair import plan_repair, repair
from storage.scrub import scrub
from storage.snapshot import ScopeKey, Snapshot
from storage.sweeping import GRACE
from storage.upkeep_records import ScrubRecord
from storage.verify import Check, Outcome, Promise
from storage.writer import Writer
from tests.doubles import (
    NIGHT,
    SECRET,
    START,
    Below,
    Clock,
    copy,
    draft,
    drop,
    new_archive,
    noise,
    opened,
    overwrite,
    pack_of,
    run_record,
)
from tests.storage.zips import M, build

KEY = ScopeKey("quellwort", "bereichwort 7")
OTHER = ScopeKey("quellwort", "nachbarwort")
# What is stored as it is in a plain archive, and what only listings and plans hold, which are compressed there.
SHOWN = [
    *("quellwort", "bereichwort", "nachbarwort", "systemwort", "bittewort", "kontowort", "prüfwort"),
    *("notizwort", "tagwort", "werkzeugwort", "inhaltwort", "laufwort", "personwort", "haltewort"),
    *("annahmewort", "vergesswort", "holwort", "faulwort", "löschwort"),
]
PACKED = ["pfadwort", "mitgliedwort"]


class Seen(Memory):
    """Remembers everything that was ever put."""

    def __init__(self) -> None:
        super().__init__()
        self.ever: list[tuple[str, bytes]] = []

    def put_new(self, name: str, chunks: Iterable[bytes]) -> bool:
        data = b"".join(chunks)
        self.ever.append((name, data))
        return super().put_new(name, [data])


@dataclass
class Life:
    """An archive's life: what was put, and what nobody without a key may learn of it."""

    seen: Seen = field(default_factory=Seen)
    sums: set[bytes] = field(default_factory=set)  # 32 bytes each: of files, objects, manifests
    oids: set[bytes] = field(default_factory=set)  # those of objects
    runs: set[str] = field(default_factory=set)

    def told(self, needles: Iterable[bytes]) -> set[bytes]:
        """Those that stand in what was put, in a name or in bytes, in whatever case."""
        text = b"\0".join(
            name.encode() + b"\0" + data for name, data in self.seen.ever if name not in about.texts()
        )
        lower = text.lower()
        return {needle for needle in needles if needle in text or needle in lower}


def one_life(secret: str | None, run: str, scratch: Path) -> Life:
    """Backups, decisions, forgetting, bringing back, freeing, damage, scrub, drill, repair with a copy and
    without, erasing. `run`: what the ids of its runs end with."""
    life = Life()
    archive = new_archive(life.seen, secret)

    def back_up(night: int, key: ScopeKey = KEY) -> Snapshot:
        writer, at = Writer(archive, key), START + night * NIGHT
        member = M(b"mitgliedwort/%d.bin" % night, noise(700, night))
        files = {
            "pfadwort/same.bin": noise(900, 90) + b"inhaltwort" + noise(900, 91),
            f"pfadwort/{night}.bin": noise(1500, night),
            "pfadwort/export.zip": build([member, M(b"mitgliedwort/same.bin", noise(800, 92))]),
        }
        for path, data in files.items():
            writer.add(path, BytesIO(data), promised=Promise(size=len(data)))
            life.sums.add(hashlib.sha256(data).digest())
        run_id = f"{at:%Y%m%d-%H%M%S}-{night:04x}{run}"
        made = draft(
            key, at, system="systemwort", request={"kind": "bittewort"}, run_id=run_id, job_id=run_id,
            vendor={"account": "kontowort"}, checks=(Check("size", Outcome.PASSED, "prüfwort", "3", "3"),),
            notes=("notizwort",), tags=("tagwort",), tool={"werkzeugwort": "1"},
        )  # fmt: skip
        found = writer.commit(made, clock=Clock(at))
        life.runs.add(run_id)
        archive.put_record(
            run_id, records.encode(run_record(run_id, key=key, reason="laufwort", snapshot=found.id))
        )
        note()
        return found

    def note() -> None:
        index = Index(archive.backend, archive.scheme)
        packs = [pack for pack in map(pack_digest, archive.backend.list("packs/")) if pack]
        index.load_readable(packs)
        life.oids.update(oid for pack in packs for oid in index.oids(pack) or ())
        life.sums.update(bytes.fromhex(found.id) for found in archive.snapshots(damaged=[]))
        life.sums.update(life.oids)

    def scrubbed(at: int) -> upkeep_records.Heads:
        found, when = scrub(archive), START + at * NIGHT
        record = ScrubRecord(
            f"{when:%Y%m%d-%H%M%S}-5c{run}", when, when, "everything", found.packs, found.packs_read,
            found.bytes_read, found.good, found.findings, found.heads,
        )  # fmt: skip
        archive.put_record(record.id, upkeep_records.encode(record))
        return found.heads

    def mended(number: int, twin: Archive | None = None) -> None:
        plan = plan_repair(archive, scrub(archive).findings, copy=twin)
        assert plan
        name = f"20260401-0{number}0000-5d{run}"
        repair(archive, plan, copy=twin, clock=Clock(START + 31 * NIGHT), record_id=name)
        note()

    first, second, third, fourth = (back_up(night) for night in range(4))
    back_up(4, OTHER)
    archive.decide(Decision("hold", KEY, 3, third.id, START, "personwort", "haltewort"))
    archive.decide(Decision("accept", KEY, 4, fourth.id, START, "personwort", "annahmewort"))
    for found in (first, second):
        drop(archive, found, now=START + 9 * NIGHT, why="vergesswort")
    undelete(archive, second.id, by="personwort", reason="holwort", clock=Clock(START + 10 * NIGHT))
    free(archive, clock=Clock(START + 11 * NIGHT))
    free(archive, clock=Clock(START + 11 * NIGHT + GRACE + TTL))
    scrubbed(20)
    drill(archive, None, fourth, scratch / "drill", record_id=f"20260322-000000-d1{run}", clock=Clock(START))
    twin = opened(copy(life.seen))
    below = Below(archive)
    small = next(iter(archive.backend.list("records/")))
    overwrite(below, small, below.get(small)[:-1] + b"?")
    mended(1, twin)
    name = pack_name(pack_of(archive, fourth, "pfadwort/3.bin"))
    data = bytearray(below.get(name))
    data[len(data) // 2] ^= 1
    overwrite(below, name, bytes(data))
    scrubbed(30)
    mended(2)
    assert len(list(archive.backend.list("evidence/"))) == 2
    archive.decide(Decision("reject", KEY, 4, fourth.id, START, "personwort", "faulwort"))
    plan = plan_erase(archive, key=OTHER, now=START + 40 * NIGHT)
    erase(archive, plan, reason="löschwort", by="personwort", clock=Clock(START + 40 * NIGHT))
    note()
    assert archive.hits()
    assert all(finding.lost for finding in scrub(archive).findings)
    return life


@pytest.fixture(autouse=True)
def small_zips_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that plans and payloads are among what is written."""
    monkeypatch.setattr(recipes, "CUT_FROM", 0)


def words(*kinds: list[str]) -> dict[bytes, str]:
    """As they may stand in files: UTF-8, and as URLs and JSON write them."""
    return {form: word for kind in kinds for word in kind for form in (word.encode(), word.encode("latin-1"))}


def test_no_word_no_sum_and_no_name_is_found_in_it(tmp_path: Path) -> None:
    """Paths, contents, sources, scopes, people, reasons, tags; sums of files, objects, manifests, in any form."""
    life = one_life(SECRET, "abcd", tmp_path)
    sums = [form for one in life.sums for form in (one, one.hex().encode())]

    assert len(life.sums) > 30
    assert life.told([*words(SHOWN, PACKED), *sums]) == set()
    names = {name for name, _ in life.seen.ever}
    shown = {run for run in life.runs for name in names if run in name}
    assert {name for name in names if any(run in name for run in life.runs)} == {
        f"records/{run[:6]}/{run}.json" for run in shown
    }
    assert not life.told(b'"%s"' % run.encode() for run in life.runs)


def test_in_a_plain_archive_they_are(tmp_path: Path) -> None:
    """Or the test above would mean nothing."""
    life = one_life(None, "abcd", tmp_path)
    told = life.told([*words(SHOWN), *(one.hex().encode() for one in life.sums), *life.oids])

    assert {word for form, word in words(SHOWN).items() if form in told} == set(SHOWN)
    assert life.oids & told == life.oids
    assert len([one for one in life.sums if one.hex().encode() in told]) > 10


def test_two_archives_of_the_same_share_nothing(tmp_path: Path) -> None:
    """The same nights with the same key file: no name but the plain ones, and no sum of one in the other."""
    one, two = one_life(SECRET, "abcd", tmp_path), one_life(SECRET, "dcba", tmp_path)
    shared = {name for name, _ in one.seen.ever} & {name for name, _ in two.seen.ever}
    sums = [form for found in (one, two) for oid in found.sums for form in (oid, oid.hex().encode())]

    assert one.oids & two.oids
    assert {name for name in shared if not name.startswith(LEASES)} == {MARK, *about.texts()}
    assert one.told(sums) == set()
    assert two.told(sums) == set()
    same = {data for _, data in one.seen.ever} & {data for _, data in two.seen.ever}
    assert same == set(about.texts().values())
