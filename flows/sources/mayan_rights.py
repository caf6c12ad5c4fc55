"""What a backup user must be allowed, looked at before anything is fetched: each missing permission by its name.

Mayan answers a question without permission with an empty list or 404, so what is missing shows only beside
something that must be there. Facts: contract mayan.md sections 2 and 8.
"""

from __future__ import annotations

from flows.errors import RequestWrong, SourceRefused, SourceUnavailable
from flows.export import Account, Scope
from flows.sources.mayan_document import Listed
from flows.sources.mayan_documents import (
    FILES,
    HINT,
    METADATA_TYPES,
    PARTS,
    TYPES,
    VERSIONS,
    Documents,
)
from flows.sources.mayan_events import EVENTS
from flows.sources.mayan_wire import Missing, Wire, detail, member, refusal

DOWNLOAD = "document_downloads.document_file_download"
ERRORS = "logging.error_log_view"
DOWNLOADS_SINCE = (4, 5)  # section 4
MOST = 100  # documents of the scope that are gone through for one with a file, and one with a version


def who(wire: Wire) -> Account:
    """The user and the server. A call without credentials is answered 200 with an empty list, but not this one.

    Raises SourceRefused where the credential is not accepted.
    """
    user = wire.ask("/users/current/")
    if user.status in (401, 403):
        raise SourceRefused(f"Mayan EDMS does not accept this {wire.credential}: {detail(user)}")
    if user.status != 200:
        raise refusal(user, "/users/current/")
    version = member(wire.get("/project/"), "__version__", str)
    return Account(member(user, "username", str), version, user.date)


def look(wire: Wire, source: Documents, scope: Scope, account: Account) -> tuple[str, ...]:
    """Raises SourceRefused that names what is missing; else notes on what may be missing without a loss.

    Looks at the first documents of the scope: a dozen requests, and one event in Mayan's log. Retry: yes.
    """
    first = with_file = with_version = None
    for many, row in enumerate(source.rows(scope), start=1):
        first = first or row
        with_file = with_file or (row if row.file_latest else None)
        with_version = with_version or (row if row.version_active else None)
        if (with_file and with_version) or many == MOST:
            break
    if first is None:
        raise source.nothing(scope)
    missing = [*_of_a_file(wire, with_file), *_of_a_version(wire, with_version), *_of_parts(wire, source, first)]
    notes: list[str] = []
    events = wire.ask("/events/", {"page_size": "1"}).status == 200
    if not events:
        days = scope.options["sweep_days"]
        notes.append(
            f"permission {EVENTS} is missing: changes of metadata, tags, cabinets and comments alone are seen "
            f"within {days} days"
        )
    if not wire.count("/metadata_types/"):
        notes.append(f"no metadata types are shown: there are none, or permission {METADATA_TYPES} is missing")
    if scope.options["exports"] != "none":
        _exports_can_be_had(account)
        missing += [] if events else [EVENTS]
        notes += _of_errors(wire, with_version)
    if missing:
        raise SourceRefused(f"Mayan EDMS: {account.user} lacks permission {', '.join(missing)}", hint=HINT)
    return tuple(notes)


def _of_a_file(wire: Wire, row: Listed | None) -> list[str]:
    if row is None:
        return []
    if not _some(wire, f"/documents/{row.id}/files/"):
        return [FILES]
    path = f"/documents/{row.id}/files/{row.file_latest}/download/"
    try:
        with wire.stream(path, lambda answer: refusal(answer, path)):  # a HEAD is answered without permission, too
            return []
    except Missing:
        return [DOWNLOAD]
    except SourceUnavailable as exc:
        if not exc.answered:
            raise
        return []  # this file cannot be read there, which costs itself


def _of_a_version(wire: Wire, row: Listed | None) -> list[str]:
    return [] if row is None or _some(wire, f"/documents/{row.id}/versions/") else [VERSIONS]


def _some(wire: Wire, path: str) -> bool:
    answer = wire.ask(path, {"page_size": "1"})
    return answer.status != 404 and bool(member(answer, "count", int))


def _of_parts(wire: Wire, source: Documents, row: Listed) -> list[str]:
    missing = []
    for part, permission in PARTS.items():
        answer = wire.ask(f"/documents/{row.id}/{part}/", {"page_size": "1"})
        if answer.status == 404:
            missing.append(permission)
        elif part == "metadata" and member(answer, "count", int) and not wire.count("/metadata_types/"):
            missing.append(METADATA_TYPES)
    if missing:
        try:
            source.one(row.id)
        except Missing as exc:
            raise SourceUnavailable(f"document {row.id} went while it was looked at", answered=True) from exc
    return [*missing, *([] if wire.count("/document_types/") else [TYPES])]


def _of_errors(wire: Wire, row: Listed | None) -> list[str]:
    if row is None:
        return []
    path = f"/objects/documents/documentversion/{row.version_active}/errors/"
    if wire.ask(path, {"page_size": "1"}).status == 200:
        return []
    return [f"permission {ERRORS} is missing: why an export failed is not told, and seen late"]


def _exports_can_be_had(account: Account) -> None:
    numbers = tuple(int(part) for part in account.version.split(".")[:2] if part.isdecimal())
    if numbers < DOWNLOADS_SINCE:
        raise RequestWrong(
            f"Mayan EDMS {account.version}: version exports cannot be fetched (the downloads API came in 4.5); "
            "files can be backed up",
            hint='set exports = "none" in this scope',
        )
