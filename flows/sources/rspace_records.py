"""Which records RSpace holds for a scope, by its own lists: the yardstick for what an export must hold.

Documents decide; gallery files can be listed for the credential's own user only. Facts: contract rspace.md
sections 5 (lists) and 6 (what an export leaves out by design).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.errors import NothingThere, RequestWrong, SourceRefused, SourceUnavailable, SourceUnexpected
from flows.export import Scope
from flows.sources.client import Answer
from flows.sources.rspace_people import MAX_ID, People
from flows.sources.rspace_scopes import MAX_IDS
from flows.sources.rspace_wire import Wire, mapping, refusal

log = logging.getLogger(__name__)
TYPES = ("DOCUMENT", "FOLDER", "NOTEBOOK", "MEDIA", "SNIPPET")  # of what is in a folder (section 5)
MAX_FOLDERS = 10_000  # of one walk through a tree; more is a tree that turns in circles
MAX_NAMED = 50  # members of a group, in a snapshot's note
MAX_REPEATS = 1_000  # rows in a row that a list has shown before; more is a list that does not end
IDS_AT_ONCE = 100  # in one search: a request line holds 8 KB


@dataclass(frozen=True, slots=True)
class Listing:
    """The documents of a scope at one moment. `problem`: why they cannot be listed; then nothing is known."""

    documents: frozenset[int] = frozenset()
    gallery: frozenset[int] | None = None  # None: not listed for this scope
    gallery_problem: str = ""  # why it could not be
    whose: str = ""  # in words, for who reads the snapshot in ten years and knows no ids
    silent: tuple[str, ...] = ()  # members of whom not one document is shown
    files: tuple[int, ...] = ()  # ids of a selection that are gallery files
    unreadable: tuple[int, ...] = ()  # ids of a selection that are not there, or not for this user
    problem: str = ""
    server_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class ByDesign:
    """What RSpace never puts into an export of this scope, and says nothing about."""

    documents: frozenset[int] = frozenset()
    members: tuple[str, ...] = ()  # of a group, whose home folder the credential may not read (section 1)


class Records:
    """RSpace's own lists of records. Raises SourceUnavailable, SourceUnexpected. Retry: yes."""

    def __init__(self, wire: Wire, people: People) -> None:
        self._wire = wire
        self._people = people

    def listing(self, scope: Scope) -> Listing:
        """What the scope holds now, as far as the credential sees it."""
        now = self._wire.get("/api/v1/status").date
        if scope.kind == "selection":
            return self._selected([int(record) for record in scope.options["ids"]], now)
        owners = self._owners(scope)
        if owners is None:
            problem = f"RSpace does not tell this user who {scope.kind} {scope.id} is"
            return Listing(problem=problem, server_time=now)
        by_owner = {owner: self._ids_by({"owner": owner}) for owner in owners}
        silent = tuple(owner for owner, ids in by_owner.items() if not ids)
        gallery, gallery_problem = None, ""
        if scope.kind == "user" and owners == [self._people.me.username]:
            try:
                gallery = frozenset(_ids(self._wire.rows("/api/v1/files", "files")))
            except (SourceRefused, SourceUnexpected, SourceUnavailable) as exc:
                self._wire.get("/api/v1/status")  # raises where the server is away: that is no gallery's problem
                gallery_problem = f"its gallery cannot be listed: {exc}"
        documents: frozenset[int] = frozenset().union(*by_owner.values())
        whose = self._whose(scope, owners)
        silent = silent if scope.kind == "group" else ()
        return Listing(documents, gallery, gallery_problem, whose, silent, server_time=now)

    def search(self, terms: Mapping[str, str]) -> list[int]:
        """The documents that a search finds. Raises NothingThere, RequestWrong for more than fit an export."""
        found = sorted(self._ids_by(terms))
        shown = ", ".join(f"{key} = {value!r}" for key, value in terms.items())
        if not found:
            raise NothingThere(f"the search ({shown}) finds no document", hint="search for the same in RSpace")
        if len(found) > MAX_IDS:
            raise RequestWrong(
                f"the search ({shown}) finds {len(found)} documents, RSpace exports at most {MAX_IDS} at once",
                hint="narrow it, for instance by modified_from and modified_to, into several scopes",
            )
        return found

    def owners(self, scope: Scope) -> list[str] | None:
        """Whose records a user or group scope is made of; None for a selection, or where it cannot be told."""
        try:
            return self._owners(scope)
        except (SourceRefused, SourceUnexpected, SourceUnavailable) as exc:
            log.info("%s: whose work it is cannot be told: %s", scope.name, exc)
            return None

    def _owners(self, scope: Scope) -> list[str] | None:
        if scope.kind == "user":
            person = self._people.user(scope.id)
            return None if person is None else [person.username]
        group = self._people.group(scope.id) if scope.kind == "group" else None
        return None if group is None else sorted(group.members)

    def newest_change(self, owners: Sequence[str]) -> datetime | None:
        """When the newest document of any of them was changed; None where it cannot be told."""
        try:
            return self._newest_change(owners)
        except (SourceRefused, SourceUnexpected, SourceUnavailable) as exc:
            log.info("the newest change cannot be told: %s", exc)
            return None

    def _newest_change(self, owners: Sequence[str]) -> datetime | None:
        found: list[Mapping[str, Any]] = []
        for owner in owners:
            params = {**_query({"owner": owner}), "orderBy": "lastModified desc", "pageSize": "1"}
            rows = mapping(self._wire.get("/api/v1/documents", params)).get("documents")
            found += [row if isinstance(row, dict) else {} for row in rows] if isinstance(rows, list) else [{}]
        times = [instant(row.get("lastModified")) for row in found]
        known = [at for at in times if at is not None]
        return max(known) if known and len(known) == len(times) else None

    def by_design(self, scope: Scope) -> ByDesign:
        """What this export never holds (section 6): documents that lie in certain folders and nowhere else in the
        owner's home, and members whose home may not be read. A folder that cannot be looked into excuses nothing.
        """
        documents: set[int] = set()
        members: list[str] = []
        try:
            homes = {person.username: person.home for person in self._people.users}
            for owner in self._owners(scope) or []:
                home = homes.get(owner)
                if home is None:
                    continue
                try:
                    documents |= self._aside(home, scope)
                except SourceRefused:
                    if scope.kind == "group":
                        members.append(owner)
                        documents |= self._ids_by({"owner": owner})
        except (SourceRefused, SourceUnexpected, SourceUnavailable) as exc:
            log.warning("%s: what RSpace leaves out by design is not known: %s", scope.name, exc)
        return ByDesign(frozenset(documents), tuple(members))

    def _aside(self, home: int, scope: Scope) -> set[int]:
        """The documents of a home that an export of it passes over. A shared one lies in two places at once."""
        names = {"Examples"} | ({"Templates"} if scope.options["format"] == "html" else set())
        aside: set[int] = set()
        inside: set[int] = set()
        for row in self._folder(home):
            special = row.get("systemFolder") is True and row.get("name") in names
            into = aside if special or row.get("sharedFolder") is True else inside
            if row.get("type") in ("FOLDER", "NOTEBOOK"):
                into |= self.documents_in(_id(row))
            elif row.get("type") == "DOCUMENT":
                into.add(_id(row))
        return aside - inside

    def require_folder(self, folder: int) -> None:
        """Raises RequestWrong where there is no such folder, SourceRefused where it may not be read."""
        next(self._folder(folder), None)

    def documents_in(self, folder: int) -> frozenset[int]:
        """Every document in a folder's tree. Raises SourceRefused, RequestWrong where there is no such folder."""
        return self._records_in(folder)[0]

    def _records_in(self, folder: int) -> tuple[frozenset[int], frozenset[int]]:
        """Documents and gallery files in a folder's tree."""
        found: dict[str, set[int]] = {"DOCUMENT": set(), "MEDIA": set()}
        for row in self._below(folder):
            if row.get("type") not in TYPES:
                raise SourceUnexpected(f"RSpace: folder {folder} holds a record of a type that is not known")
            if row["type"] in found:
                found[row["type"]].add(_id(row))
        return frozenset(found["DOCUMENT"]), frozenset(found["MEDIA"])

    # -- inside

    def _whose(self, scope: Scope, owners: Sequence[str]) -> str:
        if scope.kind == "user":
            person = self._people.user(scope.id)
            return f"the work of {owners[0]}" + (f", {person.name}" if person and person.name else "")
        group = self._people.group(scope.id)
        names = ", ".join(owners[:MAX_NAMED])
        if len(owners) > MAX_NAMED:
            names += f" and {len(owners) - MAX_NAMED} more"
        return f"the work of the group {group.name if group else scope.id}: {names}"

    def _ids_by(self, terms: Mapping[str, str]) -> set[int]:
        return set(_ids(self._wire.rows("/api/v1/documents", "documents", _query(terms))))

    def _selected(self, ids: list[int], now: datetime | None) -> Listing:
        """Documents of a selection: those named, and those in the folders that are named."""
        documents: set[int] = set()
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = ids[start : start + IDS_AT_ONCE]
            documents |= self._ids_by({"records": ",".join(f"SD{number}" for number in some)}) & set(some)
        gallery: set[int] = set()
        files, unreadable = [], []
        for number in [number for number in ids if number not in documents]:
            try:
                inner = self._records_in(number)
                documents |= inner[0]
                gallery |= inner[1]
            except SourceRefused:
                answer = self._wire.ask(f"/api/v1/files/{number}")
                if answer.status == 200:
                    files.append(number)
                elif answer.status in (401, 403, 404, 422):
                    unreadable.append(number)
                else:  # an outage is no reason to leave a record out
                    raise refusal(answer) from None
        return Listing(
            frozenset(documents),
            frozenset(gallery | set(files)) if gallery or files else None,
            files=tuple(files),
            unreadable=tuple(unreadable),
            server_time=now,
        )

    def _below(self, folder: int) -> Iterator[Mapping[str, Any]]:
        """Everything in a folder's tree."""
        waiting, seen = [folder], {folder}
        while waiting:
            for row in self._folder(waiting.pop()):
                number = _id(row)
                yield row
                if row.get("type") in ("FOLDER", "NOTEBOOK") and number not in seen:
                    seen.add(number)
                    waiting.append(number)
                    if len(seen) > MAX_FOLDERS:
                        raise SourceUnexpected(f"RSpace: folder {folder} holds more than {MAX_FOLDERS} folders")

    def _folder(self, folder: int) -> Iterator[Mapping[str, Any]]:
        """One level of the tree."""
        path = f"/api/v1/folders/tree/{folder}"

        def refuse(answer: Answer) -> Exception:
            if answer.status in (404, 422) and answer.json() is not None:
                return RequestWrong(f"RSpace has no folder {folder}")
            if answer.status == 401:
                self._wire.get("/api/v1/status")  # raises for a dead credential; else it is this folder
                return SourceRefused(f"RSpace refuses folder {folder}")
            return refusal(answer)

        return self._wire.rows(path, "records", refuse=refuse)


def instant(text: object) -> datetime | None:
    """A time as RSpace writes it: ISO 8601 with a zone. None for anything else."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None


def _query(terms: Mapping[str, str]) -> dict[str, str]:
    """The `advancedQuery` for these terms, all of which must hold (section 5)."""
    parts = [{"query": value, "queryType": key} for key, value in terms.items() if not key.startswith("modified_")]
    dates = [terms.get("modified_from", ""), terms.get("modified_to", "")]
    if any(dates):
        parts.append({"query": ";".join(dates), "queryType": "lastModified"})
    # By creation, new ones come last: a page that was read does not move while others are asked for.
    return {"advancedQuery": json.dumps({"operator": "and", "terms": parts}), "orderBy": "created asc"}


def _id(row: Mapping[str, Any]) -> int:
    """A record's number. A list in which one has none is no yardstick."""
    value = row.get("id")
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < MAX_ID:
        raise SourceUnexpected("RSpace: a list of records of which one has no usable id")
    return value


def _ids(rows: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """The numbers of a list, each once."""
    seen: set[int] = set()
    repeats = 0
    for number in map(_id, rows):
        if number in seen:
            repeats += 1
            if repeats > MAX_REPEATS:
                raise SourceUnexpected("RSpace: a list of records that repeats itself")
            continue
        repeats = 0
        seen.add(number)
        yield number
