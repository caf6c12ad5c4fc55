"""The demo server's searches of documents, single files, folders, people: what is found, and who may see it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.demo.conftest import MakeLab
from tests.demo.lab import Lab


def search(lab: Lab, *terms: tuple[str, str], operator: str = "and", user: str = "mrossi") -> httpx.Response:
    query = {"operator": operator, "terms": [{"queryType": kind, "query": text} for kind, text in terms]}
    params = {"advancedQuery": json.dumps(query), "pageSize": "100"}
    return lab.client.get("/api/v1/documents", params=params, headers=lab.key(user))


def found(lab: Lab, *terms: tuple[str, str], **options: Any) -> set[int]:
    return {d["id"] for d in search(lab, *terms, **options).json()["documents"]}


def test_tags_are_listed_and_searched_and_not_archived(lab: Lab) -> None:
    """A tag is found whole and in any case, several must all be there, and the archive does not change."""
    one, two, three = (d.id for d in lab.world.lab.documents_of(1)[:3])
    before = lab.contents("xml/user")
    lab.world.tag(one, "publish", "Draft")
    lab.world.tag(two, "publish")
    lab.world.tag(three, "publishing")

    assert found(lab, ("tag", "publish")) == {one, two}
    assert found(lab, ("tag", "draft, Publish")) == {one}
    assert [lab.get(f"documents/{one}").json()[key] for key in ("tags", "tagMetaData")] == ["publish,Draft"] * 2
    assert lab.contents("xml/user") == before
    lab.world.tag(one)
    assert found(lab, ("tag", "publish")) == {two}


def test_forms_owners_and_records(lab: Lab) -> None:
    """A form by id or name, owners by name, records by id, and all below a folder or notebook."""
    own = lab.world.lab.documents_of(1)
    basic = {d.id for d in lab.world.lab.documents.values() if len(d.fields) == 1}
    assert found(lab, ("form", "FM1")) == found(lab, ("form", "Basic Document")) == basic
    assert found(lab, ("owner", "mrossi")) == {d.id for d in own}
    assert len(found(lab, ("owner", "tokafor,lnguyen"))) == 30
    assert found(lab, ("owner", "mrossi"), user="lnguyen") == set()
    assert found(lab, ("records", f"SD{own[0].id},{own[1].id},SD999999,x")) == {own[0].id, own[1].id}
    home = lab.world.user("mrossi").home_folder_id
    book = next(f.id for f in lab.world.lab.folders.values() if f.owner_id == 1 and f.kind == "NOTEBOOK")
    assert found(lab, ("records", f"FL{home}")) == {d.id for d in own}
    assert found(lab, ("records", f"NB{book}")) == {d.id for d in own if d.parent_id == book}
    assert found(lab, ("records", f"SD{book}")) == set()


def test_terms_are_combined(lab: Lab) -> None:
    """`and` wants every term, `or` any of them; dates are whole days with both ends in."""
    first, second = lab.world.lab.documents_of(1)[0], lab.world.lab.documents_of(2)[0]
    lab.world.tag(first.id, "publish")
    lab.world.tag(second.id, "publish")
    day = f"{first.modified_at:%Y-%m-%d}"
    dated = ("lastModified", f"{day};{day}")

    assert found(lab, ("tag", "publish"), ("owner", "mrossi"), dated) == {first.id}
    assert found(lab, ("tag", "publish"), ("lastModified", "2026-11-16;")) == set()
    assert first.id in found(lab, ("created", f"{day};{day}"))
    either = found(lab, ("records", f"SD{first.id}"), ("records", f"SD{second.id}"), operator="or")
    assert either == {first.id, second.id}
    assert found(lab, ("records", f"SD{first.id}"), ("records", f"SD{second.id}")) == set()


def test_words_are_searched_in_names_and_texts(lab: Lab) -> None:
    """name, fullText, and a plain query over everything."""
    document = lab.world.lab.documents_of(1)[0]
    reading = document.fields[0].paragraphs[0].partition("Reading ")[2][:6]

    assert document.id in found(lab, ("name", document.name))
    assert found(lab, ("fullText", reading)) == {document.id}
    plain = lab.get(f"documents?query={reading}").json()["documents"]
    assert [d["id"] for d in plain] == [document.id]


@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"advancedQuery": "{"}, 422, 42201),
        ({"advancedQuery": "[]"}, 422, 42201),
        ({"advancedQuery": '{"terms":[{"queryType":"colour","query":"x"}]}'}, 422, 42201),
        ({"advancedQuery": '{"operator":"not","terms":[]}'}, 422, 42201),
        ({"advancedQuery": '{"terms":[]}', "query": "x"}, 422, 42201),
        ({"advancedQuery": "x" * 2001}, 400, 40002),
        ({"query": "x" * 2001}, 400, 40002),
        ({"orderBy": "colour asc"}, 400, 40002),
    ],
)
def test_unreadable_searches_are_refused(lab: Lab, params: dict[str, str], status: int, code: int) -> None:
    """What cannot be parsed is 422, what is too long or unknown to validation 400."""
    answer = lab.client.get("/api/v1/documents", params=params)

    assert (answer.status_code, answer.json()["internalCode"]) == (status, code)


def test_single_files(lab: Lab) -> None:
    """A gallery file answers as in the list; unknown ones are 404, other people's 401."""
    listed = lab.get("files").json()["files"][0]

    assert lab.get(f"files/{listed['id']}").json() == listed
    assert lab.get(f"files/{listed['id']}", "sysadmin1").status_code == 200
    assert lab.get(f"files/{listed['id']}", "lnguyen").json()["internalCode"] == 40101
    document = lab.world.lab.documents_of(1)[0].id
    for unknown in (999999, document):
        assert (lab.get(f"files/{unknown}").status_code, lab.get(f"files/{unknown}").json()["internalCode"]) == (
            404,
            50301,
        )
    assert lab.get("files/GL1").json()["internalCode"] == 40006


def test_folders_that_are_not_there_or_not_ours(lab: Lab) -> None:
    """An unknown folder is 404, another's home 401, for the group's leader and the sysadmin it opens."""
    theirs = lab.world.user("tokafor").home_folder_id

    assert lab.get("folders/tree/999999").json()["internalCode"] == 50301
    assert lab.get(f"folders/tree/{lab.world.lab.documents_of(1)[0].id}").status_code == 404
    assert lab.get(f"folders/tree/{theirs}", "lnguyen").json()["internalCode"] == 40101
    assert lab.get(f"folders/tree/{theirs}").status_code == 200
    assert lab.get(f"folders/tree/{theirs}", "sysadmin1").status_code == 200
    assert lab.get("folders/tree/home").json()["internalCode"] == 40006


def test_somebody_without_a_home_has_no_tree(make_lab: MakeLab) -> None:
    """The tree of an account that was never opened is not found."""
    lab = make_lab(never_logged_in=1)

    assert lab.get("folders/tree", "aadler").status_code == 404
    assert lab.get("documents", "aadler").json()["totalHits"] == 0


def test_the_sysadmin_finds_everybody(make_lab: MakeLab) -> None:
    """whoami tells the role; the search shows whole groups, the list can be cut by creation date."""
    lab = make_lab(users=4, groups=2, documents_per_user=1)

    me = lab.get("userDetails/whoami", "sysadmin1").json()
    assert (me["hasSysAdminRole"], me["hasPiRole"], me["id"]) == (True, False, 4)
    assert lab.get("userDetails/whoami", "tokafor").json()["hasSysAdminRole"] is False
    groups = lab.get("groups/search?query=adler", "sysadmin1").json()
    assert [[(m["username"], m["role"]) for m in g["members"]] for g in groups] == [[("aadler", "PI")]]
    assert len(lab.get("groups/search?query=", "sysadmin1").json()) == 2
    lab.world.add_user("Nora Newton")
    everybody = "sysadmin/users?tempAccountsOnly=false"
    assert lab.get(everybody, "sysadmin1").json()["totalHits"] == 6
    assert lab.get(f"{everybody}&createdBefore=2026-11-15", "sysadmin1").json()["totalHits"] == 5
    assert lab.get(f"{everybody}&createdBefore=2018-04-30", "sysadmin1").json()["totalHits"] == 0
