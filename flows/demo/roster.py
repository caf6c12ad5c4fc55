"""Everybody and everything in the laboratory beyond its first group: more people, more groups, system folders.

It draws from random numbers of its own, so that the first group's records are the same with and without it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from random import Random

from flows.demo import lab as labs
from flows.demo import prose
from flows.demo.lab import Document, Folder, Group, Lab, TextField, User

FIRST_GROUP = 11
SMALLEST = 3  # people besides the sysadmin, all in the first group
TEMPLATES, EXAMPLES, SHARED = "Templates", "Examples", "Shared"
_FIRST_NAMES = (
    "Anna", "Bogdan", "Chiara", "Dmitri", "Elif", "Femi", "Greta", "Hiro", "Ines", "Jonas", "Katya", "Luis",
    "Mei", "Nadia", "Oskar", "Priya", "Quentin", "Ruth", "Sven", "Tomas", "Ugo", "Vera", "Wanda",
)  # fmt: skip
_LAST_NAMES = (
    "Adler", "Bianchi", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ivanova", "Jansen",
    "Kowalski", "Larsen", "Moreau", "Novak", "Ortiz", "Petrov", "Quist", "Ribeiro", "Sato", "Tanaka",
)  # fmt: skip


def extend(lab: Lab, start: datetime, documents_per_user: int, *, users: int, groups: int) -> None:
    """Enlarge the lab to `users` people besides the sysadmin in `groups` groups.

    The first newcomers lead one new group each; the others are dealt out to all groups in turn.
    Raises ValueError when there are fewer people than three, or not enough to lead the groups.
    """
    newcomers, leaders = users - SMALLEST, groups - 1
    if newcomers < 0 or leaders < 0 or leaders > newcomers:
        raise ValueError(
            f"{users} users in {groups} groups: wants at least {SMALLEST}, and one more per new group"
        )
    for number in range(newcomers):
        user = add_person(lab, labs.opened_at(start), is_pi=number < leaders)
        if number < leaders:
            add_group(lab, user)
        else:
            join(lab, FIRST_GROUP + (number - leaders) % groups, user)
        labs.add_work(lab, Random(f"{lab.seed}:work:{user.id}"), user.id, start, documents_per_user)


def add_person(
    lab: Lab, created_at: datetime, name: str = "", *, is_pi: bool = False, logged_in: bool = True
) -> User:
    """A new user with the next id, in no group yet. `name` is first and last name; without it one is made up."""
    user_id = max([*lab.users, *lab.former]) + 1
    number = user_id - SMALLEST - 2
    first, _, last = name.partition(" ")
    if not name:
        first = _FIRST_NAMES[number % len(_FIRST_NAMES)]
        last = _LAST_NAMES[number % len(_LAST_NAMES)]  # 23 and 20 have no common factor: 460 different people
    username = f"{first[0]}{last}".lower()
    if any(u.username == username for u in [*lab.users.values(), *lab.former.values()]):
        username = f"{username}{user_id}"
    user = User(
        id=user_id, username=username, first_name=first, last_name=last,
        api_key=labs.new_key(Random(f"{lab.seed}:user:{user_id}")), password=f"{username}-demo",
        home_folder_id=lab.new_id() if logged_in else None, created_at=created_at, is_pi=is_pi,
    )  # fmt: skip
    lab.users[user_id] = user
    labs.add_home(lab, user)
    return user


def add_group(lab: Lab, leader: User) -> Group:
    number = max(lab.groups) + 1
    mark = Random(f"{lab.seed}:group:{number}").randbytes(2).hex()
    group = Group(
        number, f"{leader.last_name} Lab", f"{leader.last_name}Lab{mark}", lab.new_id(), leader.id, (leader.id,)
    )
    lab.groups[number] = group
    return group


def join(lab: Lab, group_id: int, user: User) -> None:
    group = lab.groups[group_id]
    lab.groups[group_id] = replace(group, member_ids=(*group.member_ids, user.id))


def remove_person(lab: Lab, user: User) -> None:
    """An account deleted with all its work. Raises ValueError for a PI: a group cannot be without."""
    if any(g.pi_id == user.id for g in lab.groups.values()):
        raise ValueError(f"{user.username} leads a group")
    lab.former[user.id] = lab.users.pop(user.id)
    for group in list(lab.groups.values()):
        left = tuple(i for i in group.member_ids if i != user.id)
        lab.groups[group.id] = replace(group, member_ids=left)
    for document in lab.documents_of(user.id):
        remove_document(lab, document.id)
    lab.files = {i: f for i, f in lab.files.items() if f.owner_id != user.id}
    lab.folders = {i: f for i, f in lab.folders.items() if f.owner_id != user.id}


def remove_document(lab: Lab, document_id: int) -> Document:
    """Its attachments stay in the gallery. Raises KeyError when there is none."""
    document = lab.documents.pop(document_id)
    lab.older.pop(document_id, None)
    lab.tags.pop(document_id, None)
    lab.shared -= {document_id}
    return document


def add_system_folders(lab: Lab, user: User) -> None:
    """Templates and Examples with a document each, and Shared, as every real account has them."""
    home, created_at = user.home_folder_id, user.created_at
    if home is None:
        return
    rng = Random(f"{lab.seed}:system folders:{user.id}")
    for name, title in ((TEMPLATES, "Protocol template"), (EXAMPLES, "Example experiment"), (SHARED, "")):
        folder_id = lab.new_id()
        lab.folders[folder_id] = Folder(
            folder_id, name, "FOLDER", home, user.id, created_at, system=True, shared=name == SHARED
        )
        if title:
            fields = (TextField(lab.new_id(), "Data", (prose.paragraph(rng), prose.paragraph(rng))),)
            new = Document(lab.new_id(), title, folder_id, user.id, created_at, created_at, fields)
            lab.documents[new.id] = new


def left_out(lab: Lab, owner_ids: tuple[int, ...], format_: str) -> set[int]:
    """Ids of the folders that a user's or group's export does not hold, with everything below them.

    Source: ExportArchiveTreeTraversor of rspace-web: Shared and Examples never, Templates not in html.
    """
    names = (SHARED, EXAMPLES) if format_ == "xml" else (SHARED, EXAMPLES, TEMPLATES)
    tops = [f.id for f in lab.folders.values() if f.owner_id in owner_ids and f.system and f.name in names]
    return below(lab, tops)


def below(lab: Lab, folder_ids: list[int]) -> set[int]:
    """These folders and all folders in them."""
    found = set(folder_ids)
    edge = found
    while edge:
        edge = {f.id for f in lab.folders.values() if f.parent_id in edge} - found
        found |= edge
    return found
