"""The planning scan of RSpace's export: what was asked, who may have it, and which records it covers.

It starts no job and builds no archive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flows.demo import roster
from flows.demo.jobs import Plan, Revision
from flows.demo.lab import Document, Folder, GalleryFile, User
from flows.demo.message import Request
from flows.demo.rspace_errors import Refusal, invalid, unauthorized
from flows.demo.world import World

VERSION = "2.25.0"
_MOST_IDS = 2000
_BOOLEANS = {
    "true": True,
    "on": True,
    "yes": True,
    "1": True,
    "false": False,
    "off": False,
    "no": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The parameters of one export request, checked for form only."""

    format: str
    scope: str
    id: int | None
    selections: tuple[int, ...]
    with_revisions: bool
    max_link_level: int

    @property
    def target(self) -> str:
        """What switches can be aimed at; a selection's id means nothing."""
        return self.scope if self.id is None or self.scope == "selection" else f"{self.scope}/{self.id}"


def read_wish(request: Request, format_: str, scope: str, id_: str | None) -> Wish:
    """Raises Refusal 400 with every problem found, as bean validation does."""
    problems: list[tuple[str, Any, str]] = []
    if format_ not in ("xml", "html"):
        problems.append(("format", format_, "Format must be either xml or html."))
    if scope not in ("user", "group", "selection"):
        problems.append(("scope", scope, "Scope must be user, group or selection."))
    id_text = id_ if id_ is not None else request.parameter("id")
    level = request.parameter("maxLinkLevel", "1")
    revisions = request.parameter("includeRevisionHistory", "false").lower()
    ids = [part.strip() for text in request.parameters().get("selections", []) for part in text.split(",")]
    if id_text and not id_text.isdecimal():
        problems.append(("id", id_text, "must be a number"))
    if not level.isdecimal():
        problems.append(("maxLinkLevel", level, "must be greater than or equal to 0"))
    if revisions not in _BOOLEANS:
        problems.append(("includeRevisionHistory", revisions, "must be true or false"))
    if bad := [i for i in ids if i and not i.isdecimal()]:
        problems.append(("selections", ",".join(bad), "must be numeric ids"))
    if problems:
        raise invalid(problems, "exportApiConfig")
    selected = tuple(dict.fromkeys(int(i) for i in ids if i))
    return Wish(format_, scope, int(id_text) if id_text else None, selected, _BOOLEANS[revisions], int(level))


@dataclass(frozen=True, slots=True)
class Covered:
    """What the scope stands for, permission on the scope itself being given."""

    owners: tuple[int, ...] = ()
    selected: tuple[int, ...] = ()
    who: str = "SELECTION"


def permit(world: World, user: User, wish: Wish) -> Covered:
    """Raises Refusal 401 when the caller may not export this scope, 422 for an unusable selection."""
    refused = bool(world.faults.take("refused", wish.target))
    if wish.scope == "selection":
        return _permit_selection(world, user, wish, refused)
    if wish.scope == "group":
        return _permit_group(world, user, wish, refused)
    owner = world.lab.users.get(wish.id) if wish.id is not None else user
    if owner is None:
        raise _not_there("User", wish.id)
    if refused or not world.lab.can_read(user, owner.id):
        raise unauthorized(
            f"Unauthorized attempt by {user.username} to export records belonging to {owner.username}"
        )
    if world.faults.peek("no_home", wish.target) == owner.username and world.faults.take("no_home", wish.target):
        raise _not_initialised(owner)
    if owner.home_folder_id is None:
        raise _not_initialised(owner)
    # named after whoever exports, also when it is somebody else's work
    return Covered(owners=(owner.id,), who=_plain(user.username))


def _permit_group(world: World, user: User, wish: Wish, refused: bool) -> Covered:
    groups = world.lab.groups
    own = next((g for g in groups.values() if g.pi_id == user.id), None)
    group = groups.get(wish.id) if wish.id is not None else own
    if group is None and wish.id is not None:
        raise _not_there("Group", wish.id)
    if refused or group is None or not (user.is_sysadmin or group.pi_id == user.id):
        raise unauthorized(f"Unauthorized attempt by {user.username} to export a user or group")
    members = [world.lab.users[i] for i in group.member_ids]
    if newcomer := next((m for m in members if m.home_folder_id is None), None):
        raise _not_initialised(newcomer)
    # whose work may not be read is left out without a word
    owners = tuple(i for i in group.member_ids if world.lab.can_read(user, i))
    return Covered(owners=owners, who=_plain(group.name))


def _permit_selection(world: World, user: User, wish: Wish, refused: bool) -> Covered:
    if not wish.selections:
        raise Refusal(422, 42201, "Please include one or more IDs to export")
    if len(wish.selections) > _MOST_IDS:
        raise Refusal(
            422,
            42201,
            f"Maximum number of Ids to export is {_MOST_IDS}, request contains {len(wish.selections)} Ids",
        )
    lab = world.lab
    known = tuple(i for i in wish.selections if i in lab.documents or i in lab.folders or i in lab.files)
    if refused or not known:
        raise unauthorized(f"Unauthorized attempt by {user.username} to export a selection")
    if any(i in lab.folders and not lab.can_read(user, lab.folders[i].owner_id) for i in known):
        raise unauthorized(f"Unauthorized attempt by {user.username} to export a selection")
    names = [lab.documents[i].name for i in known if i in lab.documents]
    return Covered(selected=known, who=_plain(names[0]) if len(known) == len(names) == 1 else "SELECTION")


def plan(world: World, user: User, wish: Wish, covered: Covered, source_url: str) -> Plan:
    """Raises Refusal 500/50004 when one document of a selection may not be read: the whole export is refused."""
    lab = world.lab
    if covered.owners:
        outside = roster.left_out(lab, covered.owners, wish.format)
        folders = [f for f in lab.folders.values() if f.owner_id in covered.owners and f.id not in outside]
        documents = [
            d for d in lab.documents.values() if d.owner_id in covered.owners and d.parent_id not in outside
        ]
        files = [f for f in lab.files.values() if f.owner_id in covered.owners]
    else:
        folders, documents, files = _selected(world, user, covered.selected, wish.target)
    documents = _with_links(world, user, documents, wish.max_link_level)
    file_ids = {f.id for f in files} | {i for d in documents for i in d.file_ids}
    # a selection has the files that it names, and attachments beside their documents; others the gallery itself
    gallery_ids = {f.id for f in files} if wish.scope == "selection" else file_ids
    return Plan(
        format=wish.format, scope=wish.scope, exporter=user, who=covered.who, version=VERSION,
        source_url=source_url,
        planned_at=world.now(), users=tuple(lab.users.values()), with_revisions=wish.with_revisions,
        target=wish.target,
        revisions=tuple(r for d in documents for r in _revisions(world, d, wish.with_revisions)),
        files=tuple(lab.files[i] for i in sorted(file_ids)), folders=tuple(folders),
        gallery=tuple(lab.files[i] for i in sorted(gallery_ids)),
    )  # fmt: skip


def _selected(
    world: World, user: User, ids: tuple[int, ...], target: str
) -> tuple[list[Folder], list[Document], list[GalleryFile]]:
    lab = world.lab
    folders: list[Folder] = []
    waiting = [lab.folders[i] for i in ids if i in lab.folders]
    while waiting:
        if waiting[0].shared:  # left out in every scope, with all below it
            waiting.pop(0)
            continue
        folders.append(waiting.pop(0))
        waiting += [f for f in lab.folders.values() if f.parent_id == folders[-1].id]
    inside = {f.id for f in folders}
    documents = [d for d in lab.documents.values() if d.id in ids or d.parent_id in inside]
    files = [f for f in lab.files.values() if f.id in ids or f.folder_id in inside]
    switched = 0
    if world.faults.peek("unreadable_id", target) in ids:
        switched = world.faults.take("unreadable_id", target)
    records: list[Document | GalleryFile] = [*documents, *files]
    for record in records:
        if record.id == switched or not lab.can_read(user, record.owner_id):
            raise Refusal(
                500, 50004, f"Unauthorized attempt by : {user.username} to export record with id {record.id}"
            )
    return folders, documents, files


def _with_links(world: World, user: User, documents: list[Document], levels: int) -> list[Document]:
    """Linked documents come along for every scope; unreadable ones are left out without a word."""
    found = {d.id: d for d in documents}
    edge = list(documents)
    for _ in range(levels):
        ids = {i for d in edge for i in d.link_ids if i not in found and i in world.lab.documents}
        edge = [world.lab.documents[i] for i in sorted(ids)]
        edge = [d for d in edge if world.lab.can_read(user, d.owner_id)]
        found |= {d.id: d for d in edge}
        if not edge:
            break
    return [found[i] for i in sorted(found)]


def _revisions(world: World, document: Document, all_of_them: bool) -> list[Revision]:
    if not all_of_them:
        return [Revision(document)]
    history = [*world.lab.older.get(document.id, ()), document]
    return [Revision(d, f"-rev{number}") for number, d in enumerate(history, 1)]


def _not_initialised(user: User) -> Refusal:
    message = f"User {user.username}'s account has not been initialised - there is nothing to archive!"
    return Refusal(500, 50001, message)


def _not_there(what: str, id_: int | None) -> Refusal:
    """A missing user or group is a server error, not a 404: the lookup's exception is not translated."""
    return Refusal(500, 50001, f"Could not load entity of type [{what}] with id [{id_}]")


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "", name)
