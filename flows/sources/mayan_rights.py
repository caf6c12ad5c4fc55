"""What a backup user must be allowed, looked at before anything is fetched: each missing permission by its name.

Mayan answers a question without permission with an empty list or 404, so what is missing shows only beside
something that must be there. Facts: contract mayan.md sections 2 and 8.
"""

from __future__ import annotations

from flows.errors import RequestWrong, SourceRefused
from flows.export import Account, Scope
from flows.sources.mayan_document import Listed
from flows.sources.mayan_documents import HINT, Documents, require_some
from flows.sources.mayan_wire import Wire, member

EVENTS = "events.events_view"
DOWNLOADS_SINCE = (4, 5)  # section 4


def who(wire: Wire) -> Account:
    """The user and the server. A call without credentials is answered 200 with an empty list, but not this one."""
    user = wire.get("/users/current/")
    version = member(wire.get("/project/"), "__version__", str)
    return Account(member(user, "username", str), version, user.date)


def look(wire: Wire, source: Documents, scope: Scope, account: Account) -> tuple[str, ...]:
    """Raises SourceRefused that names what is missing; else notes on what may be missing without a loss.

    Looks at the first documents of the scope: three or four requests, and one event in Mayan's log.
    """
    with_file = with_version = None
    many = 0
    for row in source.rows(scope):
        many += 1
        with_file = with_file or (row if row.file_latest else None)
        with_version = with_version or (row if row.version_active else None)
        if (with_file and with_version) or many == 100:
            break
    require_some(scope, many)
    missing = [*_of_a_file(wire, with_file), *_of_a_version(wire, with_version), *_of_types(wire)]
    notes: list[str] = []
    if wire.ask("/events/", {"page_size": "1"}).status != 200:
        days = scope.options["sweep_days"]
        notes.append(
            f"permission {EVENTS} is missing: changes of metadata, tags, cabinets and comments alone are seen "
            f"within {days} days"
        )
    if scope.options["exports"] != "none":
        _exports_can_be_had(account)
        missing += [] if not notes else [EVENTS]
        missing += [] if wire.ask("/messages/", {"page_size": "1"}).status == 200 else ["messaging.message_view"]
    if missing:
        raise SourceRefused(f"Mayan EDMS: {account.user} lacks permission {', '.join(missing)}", hint=HINT)
    return tuple(notes)


def _of_a_file(wire: Wire, row: Listed | None) -> list[str]:
    if row is None:
        return []
    if not wire.count(f"/documents/{row.id}/files/"):
        return ["documents.document_file_view"]
    download = wire.head(f"/documents/{row.id}/files/{row.file_latest}/download/")
    return ["document_downloads.document_file_download"] if download == 404 else []


def _of_a_version(wire: Wire, row: Listed | None) -> list[str]:
    return (
        [] if row is None or wire.count(f"/documents/{row.id}/versions/") else ["documents.document_version_view"]
    )


def _of_types(wire: Wire) -> list[str]:
    return [] if wire.count("/document_types/") else ["documents.document_type_view"]


def _exports_can_be_had(account: Account) -> None:
    numbers = tuple(int(part) for part in account.version.split(".")[:2] if part.isdecimal())
    if numbers < DOWNLOADS_SINCE:
        raise RequestWrong(
            f"Mayan EDMS {account.version}: version exports cannot be fetched (the downloads API came in 4.5); "
            "files can be backed up",
            hint='set exports = "none" in this scope',
        )
