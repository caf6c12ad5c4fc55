"""The rules about every-scopes: whom a night backs up, who is new, who has vanished.

Pure. An every-scope is one table of the configuration that stands for all users, or all groups, that the
credential may export. Who they are is asked anew each night (`discovery.py`); who they were is in the catalog.
Nobody is forgotten because he is no longer listed: a list may be wrong, and the backup of who is gone is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from flows.export import Scope
from storage.records import KnownScope

Member = Callable[[str], Scope]  # the scope of one id; ValueError for what is none


@dataclass(frozen=True, slots=True)
class Muster:
    """Whom a night backs up for an every-scope. Names of scopes throughout."""

    run: tuple[str, ...]
    new: tuple[str, ...] = ()  # listed, and not known while others are
    vanished: tuple[str, ...] = ()  # have a snapshot, and are not listed any more
    first: bool = False  # nobody was known before: all are new, which needs no list


def excepted(every: Scope) -> frozenset[str]:
    """The ids that an every-scope leaves out."""
    return frozenset(str(member_id) for member_id in every.options.get("except", ()))


def member_called(member: Member, name: str) -> Scope | None:
    """The member whose chain has this name; None where no member's can. A name is made of parts between colons."""
    for part in name.split(":"):
        try:
            found = member(part)
        except ValueError:
            continue
        if found.name == name:
            return found
    return None


def known_members(every: Scope, member: Member, known: Iterable[KnownScope]) -> dict[str, KnownScope]:
    """The members that had a run or a snapshot, by name, the lowest id first; without those left out."""
    without = excepted(every)
    return {scope.name: scope for member_id, scope in _chains(every, member, known) if member_id not in without}


def muster(
    every: Scope,
    member: Member,
    listed: Iterable[Scope] | None,
    known: Collection[KnownScope],
    *,
    alone: Collection[str] = (),
) -> Muster:
    """Whom to back up tonight.

    `listed`: what the system says now, in its order; None where it could not be asked: then all who are known are
    tried. `alone`: names of scopes that are configured by themselves and are none of this table's business.
    """
    before = {name: scope for name, scope in known_members(every, member, known).items() if name not in alone}
    if listed is None:
        return Muster(tuple(before))
    without = excepted(every)
    there = dict.fromkeys(scope.name for scope in listed if scope.id not in without and scope.name not in alone)
    first = not _chains(every, member, known)
    return Muster(
        run=tuple(there),
        new=() if first else tuple(name for name in there if name not in before),
        vanished=tuple(name for name, scope in before.items() if scope.live and name not in there),
        first=first,
    )


def _chains(every: Scope, member: Member, known: Iterable[KnownScope]) -> list[tuple[str, KnownScope]]:
    """Known scopes that are members, with their ids in order, those left out among them."""
    found = []
    for scope in known:
        one = member_called(member, scope.name)
        # A chain may bear the name by an accident of the past, such as a selection that was called like a user.
        if one is not None and (scope.request.get("kind"), scope.request.get("id")) == (every.kind, one.id):
            found.append((one.id, scope))
    return sorted(found, key=lambda item: (len(item[0]), item[0]))
