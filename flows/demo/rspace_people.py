"""RSpace's calls about the server and its people: status, whoami, users, groups.

It reads the laboratory and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.demo.lab import Group, User
from flows.demo.rspace_call import Call, day_range, missing, page, to_number
from flows.demo.rspace_errors import unauthorized
from flows.demo.rspace_plan import VERSION
from flows.demo.world import World


def _status(_: Call) -> Any:
    return {"message": "OK", "rspaceVersion": VERSION}


def person(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
        "homeFolderId": user.home_folder_id,
        "workbenchId": None,
        "hasPiRole": user.is_pi,
        "hasSysAdminRole": user.is_sysadmin,
        "_links": [],
    }


def _whoami(call: Call) -> Any:
    return person(call.user) | {"workbenchId": 1000 + call.user.id}


def _group_members(call: Call) -> Any:
    ids = sorted({i for g in _groups_of(call.world, call.user) for i in g.member_ids})
    return [person(call.world.lab.users[i]) for i in ids]


def _search_people(call: Call) -> Any:
    """E-mail and the like of strangers, people without a common group, are null."""
    query = call.request.parameter("query").lower()
    familiar = {i for g in _groups_of(call.world, call.user) for i in g.member_ids} | {call.user.id}
    found = [u for u in call.world.lab.users.values() if query in f"{u.username} {u.full_name}".lower()]
    hidden = {"email": None, "homeFolderId": None}
    return [person(u) if u.id in familiar or call.user.is_sysadmin else person(u) | hidden for u in found]


def _all_users(call: Call) -> Any:
    """Without tempAccountsOnly=false the list is empty: the code's default asks for temporary accounts only."""
    if not call.user.is_sysadmin:
        raise unauthorized(f"{call.user.username} has no system administrator role")
    wants_all = call.request.parameter("tempAccountsOnly", "true").lower() == "false"
    _, before = day_range(f";{call.request.parameter('createdBefore')}")
    found = [u for u in call.world.lab.users.values() if wants_all and u.created_at < before]
    return page(call, "users", [person(u) for u in found])


def _groups_of(world: World, user: User) -> list[Group]:
    return [g for g in world.lab.groups.values() if user.id in g.member_ids]


def _group(world: World, group: Group) -> dict[str, Any]:
    members = [
        {"id": i, "username": world.lab.users[i].username, "role": "PI" if i == group.pi_id else "USER"}
        for i in group.member_ids
    ]
    return {
        "id": group.id,
        "globalId": f"GP{group.id}",
        "name": group.name,
        "uniqueName": group.unique_name,
        "type": "LAB_GROUP",
        "sharedFolderId": group.shared_folder_id,
        "sharedSnippetFolderId": None,
        "raid": None,
        "members": members,
        "_links": [],
    }


def _groups(call: Call) -> Any:
    """Only the caller's own; there is no call for all groups, not even for a sysadmin."""
    return [_group(call.world, g) for g in _groups_of(call.world, call.user)]


def _search_groups(call: Call) -> Any:
    query = call.request.parameter("query").lower()
    return [_group(call.world, g) for g in call.world.lab.groups.values() if query in g.name.lower()]


def _one_group(call: Call, id_: str) -> Any:
    group = next((g for g in _groups_of(call.world, call.user) if g.id == to_number(id_)), None)
    if group is None:
        raise missing("Group", id_)
    return _group(call.world, group)


# path below /api/v1, as a pattern -> the function that answers
ENDPOINTS: dict[str, Callable[..., Any]] = {
    "status": _status,
    "userDetails/whoami": _whoami,
    "userDetails/groupMembers": _group_members,
    "userDetails/search": _search_people,
    "sysadmin/users": _all_users,
    "groups": _groups,
    "groups/search": _search_groups,
    r"groups/((?!search$)[^/]+)": _one_group,
}
