"""The demo server's other calls: keys and tokens, people, folders, documents, activity, headers.

Exports are in test_demo.py.
"""

from __future__ import annotations

from tests.demo.lab import Lab


def test_wrong_key_unknown_address_and_wrong_method(lab: Lab) -> None:
    """A bad key is 401 with its first letters, an unknown address a web page, a wrong method 405."""
    refused = lab.keyless.get("/api/v1/status", headers={"apiKey": "abcdefgh"})

    assert refused.json()["message"] == "User could not be authenticated for token abcd..."
    assert refused.json()["errors"] == ["Authorisation error"]
    assert lab.keyless.get("/api/v1/status").status_code == 401
    assert lab.get("nothing/here").headers["content-type"] == "text/html;charset=utf-8"
    assert lab.get("nothing/here").status_code == 404
    assert lab.keyless.delete("/api/v1/jobs/23", headers=lab.key("mrossi")).json()["internalCode"] == 40501


def test_bearer_tokens_work_and_the_key_wins(lab: Lab) -> None:
    """A token from the password grant is accepted; when both are sent only the key counts."""
    form = {"grant_type": "password", "username": "lnguyen", "password": "lnguyen-demo"}
    token = lab.keyless.post("/oauth/token", data=form).json()
    bearer = {"Authorization": f"Bearer {token['access_token']}"}

    assert set(token) == {"access_token", "refresh_token", "expires_in", "scope", "token_type"}
    assert lab.keyless.get("/api/v1/userDetails/whoami", headers=bearer).json()["username"] == "lnguyen"
    both = lab.keyless.get("/api/v1/userDetails/whoami", headers=bearer | lab.key("mrossi"))
    assert both.json()["username"] == "mrossi"
    assert lab.keyless.post("/oauth/token", data=form | {"password": "x"}).status_code == 401


def test_people_and_groups(lab: Lab) -> None:
    """whoami names the key's user, groups only one's own, and the sysadmin's list needs tempAccountsOnly=false."""
    me = lab.get("userDetails/whoami").json()
    assert (me["username"], me["hasPiRole"], me["hasSysAdminRole"]) == ("mrossi", True, False)
    group = lab.get("groups").json()[0]
    assert [m["role"] for m in group["members"]] == ["PI", "USER", "USER"]
    assert lab.get("groups", "sysadmin1").json() == []
    assert lab.get("groups/11", "sysadmin1").status_code == 404
    assert lab.get("sysadmin/users", "sysadmin1").json()["totalHits"] == 0
    assert lab.get("sysadmin/users?tempAccountsOnly=false", "sysadmin1").json()["totalHits"] == 4
    assert lab.get("sysadmin/users").status_code == 401


def test_documents_are_paged_newest_first_and_filtered_by_day(lab: Lab) -> None:
    """Documents come newest first with page links; lastModified narrows them to what a night changed."""
    last = lab.get("documents?pageSize=20&pageNumber=2").json()
    assert (last["totalHits"], len(last["documents"])) == (45, 5)
    assert {link["rel"] for link in last["_links"]} == {"prev", "first", "last", "self"}
    assert lab.get("documents?pageSize=101").json()["internalCode"] == 40002

    lab.world.pass_nights()
    query = '{"operator":"and","terms":[{"query":"2026-11-16;","queryType":"lastModified"}]}'
    changed = lab.get(f"documents?advancedQuery={query}").json()["documents"]
    assert 3 <= len(changed) <= 4
    assert changed == sorted(changed, key=lambda d: d["lastModified"], reverse=True)


def test_folder_tree_shows_one_level(lab: Lab) -> None:
    """Without an id the tree is the caller's home; a folder lists its own children and can be narrowed."""
    home = lab.get("folders/tree").json()
    names = [r["name"] for r in home["records"]]
    assert {"Gallery", "Projects", "Lab Book"} <= set(names)
    book = next(r for r in home["records"] if r["name"] == "Lab Book")
    inside = lab.get(f"folders/tree/{book['id']}?typesToInclude=document").json()
    assert all(r["type"] == "DOCUMENT" and r["parentFolderId"] == book["id"] for r in inside["records"])
    assert lab.get(f"folders/tree/{book['id']}", "lnguyen").status_code == 401


def test_activity_tells_what_an_export_held(lab: Lab) -> None:
    """The EXPORT event appears after success only, with the zip's name and the records really archived."""
    lab.start("xml/user")
    assert lab.get("activity?actions=EXPORT").json()["totalHits"] == 0
    lab.world.advance(1)

    event = lab.get("activity?actions=EXPORT").json()["activities"][0]

    assert event["payload"]["exportPath"]["name"] == lab.world.jobs[23].zip_name
    exported = {row["id"] for row in event["payload"]["exported"]}
    assert {d.id for d in lab.world.lab.documents_of(1)} <= exported
    assert lab.get("activity?actions=SEARCH").json()["totalHits"] == 2
    assert lab.get("activity?actions=EXPORT", "tokafor").json()["totalHits"] == 0
    assert lab.get("activity?actions=COPY").status_code == 400


def test_rate_headers_are_constants_while_throttling_is_off(lab: Lab) -> None:
    """Every API answer carries the rate headers, errors too."""
    for answer in (lab.get("status"), lab.get("jobs/99")):
        assert answer.headers["x-rate-limit-limit"] == "10"
        assert answer.headers["x-rate-limit-remaining-day"] == "10.0"
        assert answer.headers["x-rate-limit-waittimemillis"] == "100"


def test_date_is_the_world_s_and_requests_are_logged(lab: Lab) -> None:
    """The Date header follows the world's clock; the log tells method, path, credentials and status."""
    lab.world.advance(86400)

    assert lab.get("status?x=1").headers["date"] == "Tue, 17 Nov 2026 02:30:00 GMT"
    lab.keyless.post("/api/v1/export/xml/user/")
    assert lab.server.requests == [
        ("GET", "/api/v1/status", True, 200),
        ("POST", "/api/v1/export/xml/user/", False, 401),
    ]
