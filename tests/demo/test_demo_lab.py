"""Larger demo labs, and what people and administrators do to them by hand."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.demo import World
from tests.demo.conftest import MakeLab
from tests.demo.lab import Lab

EVERYBODY = "sysadmin/users?tempAccountsOnly=false&pageSize=100"


def documents_in(names: Collection[str]) -> set[int]:
    """Ids of the documents that an archive's members are of."""
    return {int(found[1]) for name in names if (found := re.match(r"doc_.*-(\d+)/$", name))}


def listed(lab: Lab, user: str = "sysadmin1") -> dict[int, str]:
    """Id of each document that this user can list, and its owner's name."""
    rows: list[dict[str, Any]] = []
    while True:
        page = lab.get(f"documents?pageSize=100&pageNumber={len(rows) // 100}", user).json()
        rows += page["documents"]
        if len(rows) == page["totalHits"]:
            return {row["id"]: row["owner"]["username"] for row in rows}


# -- size -----------------------------------------------------------------------------------------------------


def test_the_lab_of_seed_1_is_what_it_always_was() -> None:
    """Other people's tests and recorded archives rely on these very records."""
    lab = World(seed=1, nights=2).lab
    told = [
        *((u.id, u.username, u.api_key, u.home_folder_id) for u in lab.users.values()),
        *((d.id, d.name, d.parent_id, d.owner_id, d.modified_at, d.fields) for d in lab.documents.values()),
        *((f.id, f.name, f.size_hint, f.seed, f.folder_id) for f in lab.files.values()),
        *((f.id, f.name, f.kind, f.parent_id) for f in lab.folders.values()),
    ]

    assert len(lab.documents) == 46
    assert hashlib.sha256(repr(told).encode()).hexdigest()[:16] == "e99ea2e36c6ca5f2"


def test_twenty_people_in_three_groups(make_lab: MakeLab) -> None:
    """Each group has a leader of its own; everybody has a name, a home and work; the sysadmin sees all."""
    lab = make_lab(users=20, groups=3, documents_per_user=2)

    people = lab.get(EVERYBODY, "sysadmin1").json()["users"]
    groups = lab.get("groups/search?query=", "sysadmin1").json()
    assert len({p["username"] for p in people}) == len({p["homeFolderId"] for p in people}) == 21
    assert [p["username"] for p in people if p["hasPiRole"]] == ["mrossi", "aadler", "bbianchi"]
    assert [(g["id"], g["name"]) for g in groups] == [(11, "Rossi Lab"), (12, "Adler Lab"), (13, "Bianchi Lab")]
    assert [[m["role"] for m in g["members"]].count("PI") for g in groups] == [1, 1, 1]
    assert sorted(m["id"] for g in groups for m in g["members"]) == [1, 2, 3, *range(5, 22)]
    assert len(set(listed(lab).values())) == 20
    mine = {m["username"] for m in groups[1]["members"]}
    assert set(listed(lab, "aadler").values()) == mine
    assert documents_in(lab.contents("xml/group", "aadler")) >= set(listed(lab, "aadler"))
    assert lab.start("xml/group/11", "aadler").status_code == 401


def test_a_larger_lab_holds_the_smaller_one() -> None:
    """The first three people's records do not depend on who came after them, and names repeat with the seed."""
    small, large, again = World(seed=1), World(seed=1, users=12, groups=4), World(seed=1, users=12, groups=4)

    assert small.lab.documents.items() <= large.lab.documents.items()
    assert large.lab == again.lab
    assert small.lab.groups[11].member_ids == large.lab.groups[11].member_ids[:3]
    assert len({u.full_name for u in World(seed=1, users=400, documents_per_user=0).lab.users.values()}) == 401


@pytest.mark.parametrize("wanted", [{"users": 2}, {"groups": 2}, {"users": 4, "groups": 3}, {"groups": 0}])
def test_impossible_labs_are_refused(wanted: dict[str, int]) -> None:
    """The first three people are always there, and each new group needs a newcomer who leads it."""
    with pytest.raises(ValueError, match="wants at least 3"):
        World(seed=1, **wanted)  # type: ignore[arg-type]  # one of several int options


def test_somebody_who_never_logged_in(make_lab: MakeLab) -> None:
    """He is listed without a home folder, and his export is a 500 for whoever may ask for it."""
    lab = make_lab(never_logged_in=1)

    newcomer = lab.get(EVERYBODY, "sysadmin1").json()["users"][-1]
    assert (newcomer["id"], newcomer["homeFolderId"]) == (5, None)
    refused = lab.start("xml/user/5", "sysadmin1")
    assert (refused.status_code, refused.json()["internalCode"]) == (500, 50001)
    assert refused.json()["message"].startswith("User aadler's account has not been initialised")
    assert lab.start("xml/user/5").status_code == 401
    assert lab.start("xml/user", "sysadmin1").status_code == 202


def test_a_member_who_never_logged_in_breaks_the_group_export(lab: Lab) -> None:
    """A group with such a member cannot be exported, though the others can."""
    lab.world.add_user("Nora Newton", group_id=11, logged_in=False)

    assert lab.start("xml/group").json()["internalCode"] == 50001
    assert lab.start("xml/user").status_code == 202


def test_the_command_serves_a_lab_of_any_size() -> None:
    """Its options are the world's, and the line that it prints tells of everybody."""
    wishes = ["--users", "5", "--groups", "2", "--never-logged-in", "1", "--system-folders"]
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "flows.demo", *wishes]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        rspace = json.loads(process.stdout.readline())["rspace"]
        key = next(u["api_key"] for u in rspace["users"] if u["username"] == "sysadmin1")
        tree = httpx.get(f"{rspace['url']}/api/v1/folders/tree", headers={"apiKey": key}).json()
        process.terminate()

    assert [len(rspace["users"]), len(rspace["groups"])] == [7, 2]
    assert {r["name"] for r in tree["records"]} == {"Gallery", "Templates", "Examples", "Shared"}


# -- system folders -------------------------------------------------------------------------------------------


def system_folders(lab: Lab, user: str) -> dict[str, dict[str, Any]]:
    rows = lab.get("folders/tree?pageSize=100", user).json()["records"]
    return {r["name"]: r for r in rows if r["type"] == "FOLDER" and r["systemFolder"]}


def test_system_folders_and_their_documents_are_listed(make_lab: MakeLab) -> None:
    """Templates, Examples and Shared are in each home; the two documents are their owner's like any other."""
    lab = make_lab(system_folders=True)

    found = system_folders(lab, "lnguyen")
    assert {name: row["sharedFolder"] for name, row in found.items()} == {
        "Gallery": False, "Templates": False, "Examples": False, "Shared": True,
    }  # fmt: skip
    inside = [lab.get(f"folders/tree/{found[n]['id']}").json()["records"] for n in ("Templates", "Examples")]
    assert [[r["type"] for r in rows] for rows in inside] == [["DOCUMENT"], ["DOCUMENT"]]
    owners = listed(lab)
    assert {owners[rows[0]["id"]] for rows in inside} == {"lnguyen"}
    assert list(owners.values()).count("lnguyen") == 17
    assert set(system_folders(make_lab(), "lnguyen")) == {"Gallery"}


@pytest.mark.parametrize(
    ("what", "holds"),
    [
        ("xml/user", {"Templates"}),
        ("html/user", set()),
        ("xml/group", {"Templates"}),
        ("html/group", set()),
        ("xml/selection", {"Templates", "Examples"}),
        ("html/selection", {"Templates", "Examples"}),
    ],
)
def test_exports_leave_system_folders_out(make_lab: MakeLab, what: str, holds: set[str]) -> None:
    """Examples come with a selection only, Templates not with html of users and groups, Shared never."""
    lab = make_lab(system_folders=True, documents_per_user=2)
    folders = system_folders(lab, "mrossi")
    ids = ",".join(str(folders[name]["id"]) for name in ("Templates", "Examples", "Shared"))

    names = lab.contents(f"{what}?selections={ids}")

    documents = {d.parent_id: d.id for d in lab.world.lab.documents_of(1)}
    special = {name: documents[folders[name]["id"]] for name in ("Templates", "Examples")}
    assert {name for name, id_ in special.items() if id_ in documents_in(names)} == holds
    pages = {name: f"{name}-{folders[name]['id']}.html" for name in ("Templates", "Examples", "Shared")}
    tree = names["folderTree.xml"].decode() if what.startswith("xml") else " ".join(names)
    marks = {n: f'id="{folders[n]["id"]}"' if what.startswith("xml") else page for n, page in pages.items()}
    assert {name for name, mark in marks.items() if mark in tree} == holds


def test_nobody_works_on_system_documents(make_lab: MakeLab) -> None:
    """Nights change only people's own work, also when each account brings examples."""
    lab = make_lab(system_folders=True)
    before = {d.id: d for d in lab.world.lab.documents.values() if lab.world.lab.folders[d.parent_id].system}

    lab.world.pass_nights(40)

    assert len(before) == 8
    assert all(lab.world.lab.documents[i] == document for i, document in before.items())


# -- by hand --------------------------------------------------------------------------------------------------


def test_a_created_document_is_listed_logged_and_exported(lab: Lab) -> None:
    """It is its owner's newest document, and its CREATE event has the world's time."""
    lab.world.advance(60)
    new = lab.world.create_document("tokafor")

    assert lab.get("documents?pageSize=1").json()["documents"][0]["id"] == new.id
    event = lab.get(f"activity?actions=CREATE&oid=SD{new.id}").json()["activities"][0]
    assert (event["username"], event["timestamp"]) == ("tokafor", "2026-11-16T02:31:00.000Z")
    assert new.id in documents_in(lab.contents("xml/user/2"))


def test_a_deleted_document_is_gone_but_its_event_stays(lab: Lab) -> None:
    """It is neither listed nor found nor exported; a selection of it alone is refused as for an unknown id."""
    gone = lab.world.lab.documents_of(2)[0].id
    lab.world.delete_document(gone)

    assert gone not in listed(lab)
    assert lab.get(f"documents/{gone}").status_code == 404
    assert gone not in documents_in(lab.contents("xml/group"))
    assert lab.start(f"xml/selection?selections={gone}").status_code == 401
    assert lab.get(f"activity?actions=DELETE&oid=SD{gone}").json()["totalHits"] == 1
    with pytest.raises(KeyError):
        lab.world.delete_document(gone)


def test_a_removed_user_vanishes_with_all_work(lab: Lab) -> None:
    """Key, membership and records are gone, others' keys stay, and only the sysadmin sees his old lines."""
    lab.world.create_document("tokafor")
    old = lab.key("tokafor")
    lab.world.remove_user("tokafor")

    assert lab.keyless.get("/api/v1/status", headers=old).status_code == 401
    assert [p["id"] for p in lab.get(EVERYBODY, "sysadmin1").json()["users"]] == [1, 3, 4]
    assert [m["id"] for m in lab.get("groups").json()[0]["members"]] == [1, 3]
    assert set(listed(lab).values()) == {"mrossi", "lnguyen"}
    assert lab.start("xml/user/2", "sysadmin1").json()["internalCode"] == 50001
    assert lab.start("xml/group").status_code == 202
    assert lab.get("activity?usernames=tokafor", "sysadmin1").json()["totalHits"] == 1
    assert lab.get("activity?usernames=tokafor").json()["totalHits"] == 0
    with pytest.raises(ValueError, match="mrossi leads a group"):
        lab.world.remove_user("mrossi")


def test_an_added_user_has_a_new_id_and_an_empty_account(lab: Lab) -> None:
    """Ids are never used twice; he joins a group if asked to, and begins to write by himself."""
    first = lab.world.add_user()
    lab.world.remove_user(first.username)
    keys = {u.api_key for u in lab.world.lab.users.values()}
    second = lab.world.add_user("Nora Newton", group_id=11)

    assert (first.id, second.id, second.username) == (5, 6, "nnewton")
    assert second.api_key not in keys
    me = lab.keyless.get("/api/v1/userDetails/whoami", headers={"apiKey": second.api_key}).json()
    assert (me["firstName"], me["lastName"], me["homeFolderId"]) == ("Nora", "Newton", second.home_folder_id)
    assert documents_in(lab.contents("xml/user", "nnewton")) == set()
    written = lab.world.create_document("nnewton")
    assert listed(lab)[written.id] == "nnewton"
    assert lab.get("groups", "nnewton").json()[0]["members"][-1]["username"] == "nnewton"
