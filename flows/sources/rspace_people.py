"""Who is who on an RSpace server: the credential's user, those it may export, the members of a group.

Facts: contract rspace.md section 5 (lists) and section 1 (who may export whom).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flows.errors import SourceRefused, SourceUnexpected
from flows.export import Scope
from flows.sources.base import Roster
from flows.sources.client import Answer
from flows.sources.rspace_scopes import member
from flows.sources.rspace_wire import MAX_FIELD, Wire, field, mapping, message, plain, refusal

MAX_ID = 10**19  # RSpace's numbers have 64 bits
# A lab admin needs "view all" besides, which no list tells (section 1).
EXPORTING_ROLES = ("PI", "LAB_ADMIN")


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `home` is his home folder; None where he never logged in, or where a list does not tell."""

    id: int
    username: str
    name: str
    home: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A group, with the usernames of its members."""

    id: int
    name: str
    people: tuple[Person, ...]
    may_export: bool  # by its own member, the credential's user

    @property
    def members(self) -> tuple[str, ...]:
        """Their usernames."""
        return tuple(person.username for person in self.people)


class People:
    """What the credential sees of users and groups. Asked when first needed, remembered for one run.

    Raises SourceUnavailable, SourceRefused, SourceUnexpected. Retry: yes.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @cached_property
    def whoami(self) -> Answer:
        """The credential's user, as RSpace describes it."""
        return self._wire.get("/api/v1/userDetails/whoami")

    @property
    def me(self) -> Person:
        """The credential's user."""
        field(self.whoami, "username", str)
        (person,) = _people([mapping(self.whoami)])
        return person

    @property
    def sysadmin(self) -> bool:
        """Whether it is a system administrator: he may export everybody, and list all users."""
        return mapping(self.whoami).get("hasSysAdminRole") is True

    @cached_property
    def users(self) -> list[Person]:
        """Everybody whose work the credential may export, as far as RSpace tells; himself among them."""
        if self.sysadmin:
            # Without this parameter only temporary accounts are listed (section 5).
            rows = self._wire.rows("/api/v1/sysadmin/users", "users", {"tempAccountsOnly": "false"})
            try:
                return _people(rows)
            except SourceRefused as exc:
                raise SourceRefused(
                    "RSpace does not list its users to this administrator",
                    hint="this host's address must be on RSpace's list for administrators' calls",
                ) from exc
        found = {self.me.id: self.me}
        # The list has the members of all his groups, also of those in which he is a plain member (section 1).
        led = {name for group in self._own_groups if group.may_export for name in group.members}
        if led:
            listed = _people(self._list("/api/v1/userDetails/groupMembers"))
            found |= {person.id: person for person in listed if person.username in led}
        return list(found.values())

    @cached_property
    def groups(self) -> list[Group]:
        """The groups that the credential may export; for an administrator all that a search shows."""
        found = {group.id: group for group in self._own_groups if group.may_export or self.sysadmin}
        if self.sysadmin:
            found |= {group.id: group for group in self._search_groups()}
        return list(found.values())

    def user(self, user_id: str) -> Person | None:
        """A user by his id; "" is the credential's own. None where no list has him."""
        if user_id in ("", str(self.me.id)):
            return self.me
        try:
            users = self.users
        except SourceRefused:  # by his address: the groups name their members as well
            users = [person for group in self.groups for person in group.people]
        return next((person for person in users if str(person.id) == user_id), None)

    def group(self, group_id: str) -> Group | None:
        """A group by its id; "" is the first one that the credential's user leads. None where no list has it."""
        if not group_id:
            return next((group for group in self._own_groups if group.may_export), None)
        return next((group for group in [*self._own_groups, *self.groups] if str(group.id) == group_id), None)

    def roster(self, every: Scope) -> Roster:
        """The scopes that an every-scope stands for now."""
        excepted = set(every.options.get("except", ()))
        if every.kind == "group":
            named = {str(group.id): group.name for group in self.groups if group.id not in excepted}
            # Section 5: there is no list of all groups; the search shows laboratories with a public profile.
            hidden = "RSpace shows an administrator only lab groups with a public profile: name others by id"
            notes: tuple[str, ...] = (hidden,) if self.sysadmin else ()
        else:
            users = [person for person in self.users if person.id not in excepted]
            # Section 1: their export is refused, "there is nothing to archive".
            never = [person.username for person in users if self.sysadmin and person.home is None]
            named = {str(p.id): f"{p.username}, {p.name}" for p in users if p.username not in never}
            notes = (f"never logged in, nothing to export: {', '.join(sorted(never))}",) if never else ()
        scopes = {user_id: member(every, user_id) for user_id in named}
        labels = {scope.name: named[user_id] for user_id, scope in scopes.items()}
        return Roster(tuple(scopes.values()), notes, labels)

    @cached_property
    def _own_groups(self) -> list[Group]:
        return _groups(self._list("/api/v1/groups"), self.me.username)

    def _search_groups(self) -> list[Group]:
        answer = self._wire.ask("/api/v1/groups/search", {"query": ""})
        if answer.status in (400, 422):  # a version that wants some letters to search for
            raise SourceUnexpected(f"RSpace does not list all groups: {message(answer) or answer.status}")
        if answer.status != 200:
            raise refusal(answer)
        return _groups(_rows(answer), self.me.username)

    def _list(self, path: str) -> list[Mapping[str, Any]]:
        try:
            return _rows(self._wire.get(path))
        except SourceRefused as exc:
            raise SourceRefused(f"{path}: {exc}", hint="this list is not for this user") from exc


def _rows(answer: Answer) -> list[Mapping[str, Any]]:
    rows = answer.json()
    if not isinstance(rows, list):
        raise SourceUnexpected("RSpace: a list of people or groups that is none")
    if not all(isinstance(row, dict) for row in rows):  # whom it does not show would be missed by nobody
        raise SourceUnexpected("RSpace: a list of people or groups with something else in it")
    return rows


def _people(rows: Iterable[Mapping[str, Any]]) -> list[Person]:
    people = []
    for row in rows:
        user_id, username, home = _number(row.get("id")), row.get("username"), _number(row.get("homeFolderId"))
        if user_id is None or not _is_username(username):
            raise SourceUnexpected("RSpace: a user without id or username")
        name = " ".join(plain(row.get(part)) for part in ("firstName", "lastName")).strip()
        people.append(Person(user_id, str(username), name[:100], home))
    return people


def _groups(rows: Iterable[Mapping[str, Any]], me: str) -> list[Group]:
    groups = []
    for row in rows:
        group_id, members = _number(row.get("id")), row.get("members")
        if group_id is None or not isinstance(members, list):
            raise SourceUnexpected("RSpace: a group without id or members")
        if not all(isinstance(m, dict) and _is_username(m.get("username")) for m in members):
            raise SourceUnexpected("RSpace: a group with a member without username")
        mine = any(m["username"] == me and m.get("role") in EXPORTING_ROLES for m in members)
        people = tuple(Person(_number(m.get("id")) or 0, m["username"], "", None) for m in members)
        groups.append(Group(group_id, plain(row.get("name"))[:100], people, mine))
    return groups


def _number(value: object) -> int | None:
    """A number of RSpace's; None for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 1 <= value < MAX_ID else None


def _is_username(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_FIELD
