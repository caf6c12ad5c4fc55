"""Snapshots back into a real Mayan EDMS: whole, compared, beside what is there, and safe to be killed anywhere."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flows.errors import RunFailed, SourceRefused
from flows.sources import mayan_restore_fill
from tests.doubles import Died
from tests.mayan import seeding, spoken
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf
from tests.mayan.homecoming import FAST, Dying, Homecoming, Shell, fill, state
from tests.mayan.office import Office, office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan
RICH = "Letters/"
SEED = 4
SEES = (
    "documents.document_view",
    "documents.document_file_view",
    "documents.document_version_view",
    "documents_types.document_type_view",
    "metadata.metadata_document_view",
    "metadata_setup.metadata_type_view",
    "tags.tag_view",
    "cabinets.cabinet_view",
    "comments.comment_view",
)
MAKES = {
    "documents_types.document_type_create",
    "documents_types.document_type_edit",
    "metadata_setup.metadata_type_create",
    "metadata_setup.metadata_type_edit",
    "tags.tag_create",
    "cabinets.cabinet_create",
    "documents.document_create",
    "documents.document_properties_edit",
    "documents.document_file_new",
    "documents.document_version_create",
    "documents.document_version_edit",
    "documents.document_version_delete",  # what was made before the one above was refused
    "metadata.metadata_document_add",
    "tags.tag_attach",
    "cabinets.cabinet_add_document",
    "comments.comment_create",
}


@pytest.fixture(scope="module")
def origin(start_mayan: StartMayan) -> Iterator[Mayan]:
    """A server with documents of every kind."""
    with start_mayan(settings=FAST) as server:
        with server.mayan.client() as api:
            fill(api, small=3)
        yield server.mayan


@pytest.fixture(scope="module")
def night(origin: Mayan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A snapshot of it."""
    with office(tmp_path_factory.mktemp("night"), origin) as made:
        assert made.night(kind="all").ended == "verified"
        yield made


@pytest.fixture(scope="module")
def server(start_mayan: StartMayan) -> Iterator[Server]:
    """The target, which holds a document of somebody else, a tag and a type of the same names."""
    with start_mayan(settings=FAST) as made:
        with made.mayan.client() as api:
            other = seeding.make_document(api, "small 1", [("x.pdf", pdf("of others"))])
            seeding.wait_versions(api, other.id)
            seeding.tag(api, other.id, "urgent", "#123456")
        yield made


@pytest.fixture
def api(server: Server) -> Iterator[httpx.Client]:
    """The target's administrator."""
    with server.mayan.client() as client:
        yield client


@pytest.fixture
def home(night: Office, server: Server, tmp_path: Path) -> Homecoming:
    """That snapshot into that target, as if for the first time."""
    return Homecoming(night.places.archive, night.newest, server.mayan, tmp_path)


def test_all_comes_back_and_nothing_else_is_touched(home: Homecoming, origin: Mayan, api: httpx.Client) -> None:
    """Every document as it was, in the API's own words; those of others stay as they are to the letter."""
    before = state(api)

    outlook, given = home.run()

    assert (given.equal, given.problems, given.differences) == (4, [], [])
    assert outlook.lacking == ("Default/no file [5]: without a file Mayan EDMS would remove it after a day",)
    assert outlook.notes == ("tag 'urgent' is there with colour #123456, kept #ff0000",)
    assert (outlook.makes["cabinets"], outlook.there["tags"], outlook.there["document types"]) == (4, 1, 1)
    now = state(api)
    assert {number: text for number, text in now.items() if number in before} == before
    with origin.client() as there:
        kept = sorted(
            (spoken.document(there, number) for number in state(there)), key=lambda one: str(one["label"])
        )
    made = sorted(
        (spoken.document(api, number) for number in now if number not in before), key=lambda one: str(one["label"])
    )
    assert made == [one for one in kept if one["files"]]
    colours = {tag["label"]: tag["color"] for tag in seeding.rows(api, "/tags/")}
    assert (colours["urgent"], colours["later"]) == ("#123456", "#00ff00")
    assert list(home.folder.glob("parts")) == []

    again, compared = home.run()
    assert (compared.equal, compared.differences, state(api).keys()) == (4, [], now.keys())
    assert sum(again.makes[kind] for kind in ("document types", "metadata types", "tags", "cabinets")) == 0


def test_a_part_of_it(home: Homecoming, api: httpx.Client) -> None:
    """Only what lies at such paths, and what that refers to."""
    before = state(api)

    outlook, given = home.run(only=("Default/small 1", "Default/small 2"))

    assert (len(outlook.units), given.equal, given.differences) == (2, 2, [])
    new = [number for number in state(api) if number not in before]
    assert [spoken.document(api, number)["label"] for number in new] == ["small 1", "small 2"]


def test_what_is_there_as_itself_is_left_alone(night: Office, origin: Mayan, tmp_path: Path) -> None:
    """Into the server that it came from: nothing but what is missing there."""
    home = Homecoming(night.places.archive, night.newest, origin, tmp_path)
    with origin.client() as api:
        (victim,) = (row["id"] for row in seeding.rows(api, "/documents/") if row["label"] == "small 2")
        seeding.trash(api, victim)
        outlook, given = home.run()
        assert (outlook.units, outlook.there["documents"], given.equal) == ((), 4, 0)
        assert any("it is in the target's trash" in sentence for sentence in outlook.lacking)
        assert set(outlook.makes.values()) == {0}

        seeding.ok(api.delete(f"/trashed_documents/{victim}/"))
        seeding.wait(lambda: not seeding.rows(api, "/trashed_documents/") or None, "the trash is empty")
        before = state(api)
        outlook, given = home.run()
        assert (outlook.there["documents"], given.equal, given.differences) == (4, 1, [])
        now = state(api)
        assert {number: text for number, text in now.items() if number in before} == before
        assert [spoken.document(api, number)["label"] for number in now if number not in before] == ["small 2"]


def test_what_differs_afterwards_is_told(home: Homecoming, api: httpx.Client) -> None:
    """A restored document that somebody changed, or removed, is neither mended nor made again."""
    before = state(api)
    home.run(only=("Default/",))
    new = [number for number in state(api) if number not in before]
    seeding.ok(api.patch(f"/documents/{new[0]}/", json={"label": "changed"}))
    seeding.trash(api, new[1])
    there = state(api)

    _, given = home.run(only=("Default/",))

    assert given.equal == 1
    assert [sentence.partition(": ")[2] for sentence in given.differences] == [
        "label: 'changed', kept 'small 0'",
        f"document {new[1]} is not there any more, or not for this user to see",
    ]
    assert state(api) == there


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run asked for is soon asked for again, perhaps before it comes."""
    monkeypatch.setattr(mayan_restore_fill, "LOST_S", 2.0)


def ids(api: httpx.Client) -> set[int]:
    """The documents of a server."""
    return {int(row["id"]) for row in seeding.rows(api, "/documents/")}


def killed(home: Homecoming, api: httpx.Client, at: int, when: str) -> None:
    """Die at a call, begin again, and have it all, once."""
    before = ids(api)
    with pytest.raises(Died):
        home.run(only=(RICH,), dying=Dying(at, when))
    _, given = home.run(only=(RICH,))
    assert (given.equal, given.problems, given.differences) == (1, [], []), (at, when)
    assert len(ids(api) - before) == 1, (at, when)


@pytest.fixture(scope="module")
def calls(night: Office, server: Server, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many calls a restore of the rich document makes that a kill could fall on, where what it refers to is
    there already: as it is for all restores into this target but the first."""
    for name in ("first", "counting"):
        counting = Dying()
        folder = tmp_path_factory.mktemp(name)
        Homecoming(night.places.archive, night.newest, server.mayan, folder).run(only=(RICH,), dying=counting)
    return counting.calls


@pytest.mark.usefixtures("impatient")
def test_killed_at_some_calls(
    night: Office, server: Server, api: httpx.Client, calls: int, tmp_path: Path
) -> None:
    """Before it or after it: begun again, nothing is missing and nothing is doubled."""
    points = [(at, when) for at in range(1, calls + 1) for when in ("before", "after")]
    for at, when in random.Random(SEED).sample(points, 4):
        home = Homecoming(night.places.archive, night.newest, server.mayan, tmp_path / f"{at}-{when}")
        killed(home, api, at, when)


@pytest.mark.full
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_call(
    night: Office, server: Server, api: httpx.Client, calls: int, tmp_path: Path, when: str
) -> None:
    """Likewise, at each of them."""
    assert calls > 20
    for at in range(1, calls + 1):
        home = Homecoming(night.places.archive, night.newest, server.mayan, tmp_path / f"{at}-{when}")
        killed(home, api, at, when)


def test_the_command(origin: Mayan, start_mayan: StartMayan, tmp_path: Path) -> None:
    """A dry run changes nothing; `kill -9` at random instants costs nothing; the last says that all is there."""
    dice = random.Random(SEED)
    with start_mayan(settings=FAST) as fresh, fresh.mayan.client() as api:
        shell = Shell(tmp_path, origin=origin, fresh=fresh.mayan)
        assert shell.run("init", "--no-encryption")[0] == 0
        assert shell.run("run", "origin")[0] == 0

        code, out, err = shell.run("restore", "--to-source", "fresh", "--dry-run")
        assert (code, state(api)) == (0, {})
        assert "would be made: " in out
        assert "cannot come back: Default/no file" in out
        assert "never comes back: ids and UUIDs" in out
        assert "nothing was changed" in err
        plan = shell.json("restore", "--to-source", "fresh", "--dry-run")
        assert (plan["dry_run"], plan["plan"]["units"], plan["exit"]) == (
            True,
            plan["plan"]["makes"]["documents"],
            0,
        )

        for _ in range(4):
            process = shell.start("restore", "--to-source", "fresh")
            time.sleep(dice.uniform(1.5, 6))
            process.kill()
            process.communicate()
        done = shell.json("restore", "--to-source", "fresh")
        many = plan["plan"]["units"]
        assert (done["equal"], done["problems"], done["differences"], done["exit"]) == (many, [], [], 3)
        assert len(state(api)) == many

        code, _, err = shell.run("restore", "--to-source", "fresh", "--only", "Nowhere/")
        assert (code, "nothing in snapshot" in err) == (2, True)
        first = min(state(api))
        seeding.ok(api.patch(f"/documents/{first}/", json={"description": "changed"}))
        code, _, err = shell.run("restore", "--to-source", "fresh")
        assert (code, f"{many - 1} of {many} documents are there" in err, "description: 'changed'" in err) == (
            4,
            True,
            True,
        )


def test_no_worker(
    night: Office, start_mayan: StartMayan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that accepts files and does nothing ends the restore; with a worker it goes on, nothing doubled."""
    monkeypatch.setattr(mayan_restore_fill, "TAKEN_S", 2.0)
    with start_mayan(settings=FAST, workers=0) as fresh, fresh.mayan.client() as api:
        home = Homecoming(night.places.archive, night.newest, fresh.mayan, tmp_path)
        with pytest.raises(RunFailed, match="accepted it, and does not list it"):
            home.run(only=("Default/",))
        assert [row["file_latest"] for row in seeding.rows(api, "/documents/")] == [None] * 3
        monkeypatch.setattr(mayan_restore_fill, "TAKEN_S", 60.0)
        fresh.start_worker()
        _, given = home.run(only=("Default/",))
        assert (given.equal, given.differences, len(state(api))) == (3, [], 3)


def test_a_user_without_a_right(home: Homecoming, server: Server, api: httpx.Client) -> None:
    """The permission that is missing is named, before anything is made."""
    reads = ("documents.document_view", "documents_types.document_type_view", "metadata_setup.metadata_type_view")
    person = seeding.make_user(api, "restorer", [*reads, "tags.tag_view", "cabinets.cabinet_view"])
    before = state(api).keys()
    home.target = replace(server.mayan, user=person.name, password=person.password, token=person.token)
    with pytest.raises(SourceRefused, match=r"documents\.document_create"):
        home.run(only=("Default/",))
    assert state(api).keys() == before


def test_each_right_that_is_missing_is_named(night: Office, start_mayan: StartMayan, tmp_path: Path) -> None:
    """By a refusal, one after another; with those that were named and no others, the same command goes on to a
    whole document. They are those of the README."""
    with start_mayan(settings=FAST) as fresh, fresh.mayan.client() as api:
        person = seeding.make_user(api, "step-by-step", SEES)
        target = replace(fresh.mayan, user=person.name, password=person.password, token=person.token)
        home = Homecoming(night.places.archive, night.newest, target, tmp_path)
        named: set[str] = set()
        while not named >= MAKES:
            with pytest.raises(SourceRefused) as caught:
                home.run(only=(RICH,))
            new = set(re.findall(r"[a-z]\w+\.[a-z]\w+", str(caught.value))) - named
            assert new
            assert new <= MAKES, str(caught.value)
            for permission in new:
                seeding.grant(api, person, permission)
            named |= new

        _, given = home.run(only=(RICH,))
        assert (given.equal, given.problems, given.differences, len(state(api))) == (1, [], [], 1)
        assert named == MAKES
    readme = (Path(__file__).parents[2] / "README.md").read_text().partition("## Back into Mayan EDMS")[2]
    assert [permission for permission in sorted({*SEES, *MAKES}) if f"`{permission}`" not in readme] == []


HIDING = [permission for permission in SEES if permission.split(".")[0] in ("comments", "metadata")]


@pytest.mark.parametrize("hidden", [*SEES[1:3], *HIDING])
def test_what_is_not_shown_is_not_taken_for_lost(home: Homecoming, server: Server, hidden: str) -> None:
    """A restore that may not see what it makes says which permission is missing, at the first document."""
    with server.mayan.client() as api:
        sees = [permission for permission in SEES if permission != hidden]
        person = seeding.make_user(api, f"blind-to-{hidden}", [*sees, *MAKES])
        home.target = replace(server.mayan, user=person.name, password=person.password, token=person.token)
        with pytest.raises(SourceRefused, match=hidden):
            home.run(only=("Default/",))
        seeding.grant(api, person, hidden)
        _, given = home.run(only=("Default/",))
    assert (given.equal, given.problems, given.differences) == (3, [], [])


@pytest.mark.full
@pytest.mark.parametrize("version", ["4.11.5", "4.5.13"])
def test_older_servers_take_it(night: Office, start_mayan: StartMayan, tmp_path: Path, version: str) -> None:
    """By the same calls."""
    with start_mayan(version=version) as old:
        _, given = Homecoming(night.places.archive, night.newest, old.mayan, tmp_path).run()
        assert (given.problems, given.differences) == ([], [])
        assert given.equal >= 3
