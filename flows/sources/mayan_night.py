"""One night of a Mayan scope: the list of its documents, and what of each is to be fetched.

What last night kept is named again where nothing tells of a change; every document is looked at whole in its turn,
whatever the server says. What this user may not see is offered as a file that cannot be had, so that the night is
partial and says why. Facts: contract mayan.md sections 3, 5 and 8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flows.export import ExportFile, Intent
from flows.sources import mayan_document as documents
from flows.sources.base import AtHand
from flows.sources.mayan_document import ABOUT, DOCUMENT, Listed
from flows.sources.mayan_documents import METADATA_TYPES, TYPES, Documents
from flows.sources.mayan_events import Touched, touched
from flows.sources.mayan_wire import Missing
from storage.snapshot import from_text, to_text
from storage.verify import Promise


class Night:
    """For one job; `files` may be asked several times."""

    def __init__(self, source: Documents, intent: Intent, at_hand: AtHand) -> None:
        self._source = source
        self._scope = intent.scope
        self._hand = at_hand
        self._as_of = from_text(intent.baseline["as_of"])
        self._version = intent.account.version

    def files(self) -> Iterator[ExportFile]:
        """Each document's files, then its document.json, there only where they are; at last mayan.json."""
        about = self._source.definitions()
        since, told = self._since()
        named = ("tags", "label"), ("cabinets", "full_path")
        labels = {name: {row[key] for row in about[name]} for name, key in named}
        used: dict[str, set[str]] = {"types": set(), "metadata_types": set()}
        many, gone, seen = 0, [], set[int]()
        for row in self._source.rows(self._scope):
            seen.add(row.id)
            try:
                document = self._known(row, since, told, labels) or self._source.whole(row, self._as_of)
            except Missing:  # deleted between the list and now
                gone.append(row.id)
                continue
            many += 1
            used["types"].add(row.type)
            used["metadata_types"].update(document["metadata"])
            yield from self._offer(row, document, since)
        if not many:
            raise self._source.nothing(self._scope)
        trashed = self._source.trashed()
        for number in sorted(set(self._scope.options.get("ids", ())) - seen):
            where = "in the trash" if number in trashed else "not there, or not for this user to see"
            yield _lacking(f"document {number}", f"document {number} is {where}")
        if any(undefined(about, used)):  # made since the night began
            about = self._source.definitions()
        for sentence in undefined(about, used):
            yield _lacking(sentence, sentence)
        about |= {
            "format": documents.FORMAT,
            "as_of": to_text(self._as_of),
            "version": self._version,
            "documents": many,
            "gone": [{"document": number, "trashed": number in trashed} for number in gone],
            "since": since and to_text(since),
            "changes": told.gap,
            "recent_events": sorted(told.recent),
        }
        yield _text(ABOUT, about, ABOUT)

    def _since(self) -> tuple[datetime | None, Touched]:
        """When the snapshot that is gone on from was begun, and what events tell of since."""
        before = documents.decode(self._hand.before(ABOUT)) or {}
        since, known = None, frozenset[int]()
        with suppress(KeyError, TypeError, ValueError):
            since, known = from_text(before["as_of"]), frozenset(before["recent_events"])
        return since, touched(self._source.wire, since, self._as_of, known)

    def _known(
        self, row: Listed, since: datetime | None, told: Touched, labels: Mapping[str, set[str]]
    ) -> dict[str, Any] | None:
        """What needs not be asked for: what this very job asked, or what was kept and has not changed since."""
        name = f"{row.folder}/{DOCUMENT}"
        arrived = documents.decode(self._hand.arrived(name))
        if arrived is not None and documents.same(arrived, row):
            return arrived
        kept = documents.decode(self._hand.before(name))
        every = self._scope.options["sweep_days"]
        if kept is None or since is None or not documents.same(kept, row):
            return None
        if due(row.id, since=since, now=self._as_of, every_days=every):
            return None
        left_out = self._scope.options.get("except_files", ())
        try:
            renamed = any(not labels[part].issuperset(kept[part]) for part in labels)
            parts = (part for part in documents.parts(kept) if part.id not in left_out)
            whole = all(self._hand.has(part.sha256) for part in parts)
            return kept if whole and not renamed and not told.hit(kept) else None
        except (KeyError, TypeError):
            return None

    def _offer(self, row: Listed, document: dict[str, Any], since: datetime | None) -> Iterator[ExportFile]:
        left_out = self._scope.options.get("except_files", ())
        kinds = {file["id"]: file["mimetype"] for file in document["files"]}
        what = f"document {row.id} ({row.label[:60]!r})"
        for part in documents.parts(document):
            if part.id not in left_out:
                yield ExportFile(
                    f"{row.folder}/{part.name}",
                    Promise(part.size, sha256=part.sha256),
                    kinds[part.id] or "",
                    {"document": row.id, "file": part.id},
                    f"{what}, file {part.id} ({part.name!r})",
                )
        yield from self._exports(row, document, what, since)
        for permission in document["forbidden"]:
            yield _lacking(f"{row.folder}/{permission}", f"{what}: permission {permission} is missing for it")
        name = f"{row.folder}/{DOCUMENT}"
        text = _text(name, document, what)
        kept = self._hand.before(name) == text.locator["text"].encode()
        yield replace(text, promised=self._hand.promise(name) or Promise()) if kept else text

    def _exports(
        self, row: Listed, document: dict[str, Any], what: str, since: datetime | None
    ) -> Iterator[ExportFile]:
        """The exports that the scope asks for; one of the same pages is named again until it is its turn.

        What is drawn over a page, such as a redaction, shows nowhere in the API: only a new export tells.
        """
        wanted = self._scope.options["exports"]
        before = documents.decode(self._hand.before(f"{row.folder}/{DOCUMENT}")) or {}
        every = self._scope.options["sweep_days"]
        turn = since is None or due(row.id, since=since, now=self._as_of, every_days=every)
        for version in document["versions"]:
            if wanted == "none" or (wanted == "active" and not version["active"]) or not version["pages"]:
                continue
            name = f"{row.folder}/{documents.export_name(version['id'])}"
            now = version["id"], version["pages"]
            same = not turn and any((old["id"], old["pages"]) == now for old in before.get("versions", ()))
            promise = self._hand.promise(name) if same else None
            locator = {"document": row.id, "version": version["id"], "pages": len(version["pages"])}
            said = f"{what}, version {version['id']}"
            yield ExportFile(name, promise or Promise(), "application/pdf", locator, said)


def due(number: int, *, since: datetime, now: datetime, every_days: int) -> bool:
    """Whether it is this document's turn to be looked at whole, on the day of `now` or on one after that of
    `since`. Days are UTC's; every document has one turn in so many days."""
    days = range(since.astimezone(UTC).toordinal() + 1, now.astimezone(UTC).toordinal() + 1)
    return len(days) >= every_days or any((number + day) % every_days == 0 for day in days)


def undefined(about: Mapping[str, Any], used: Mapping[str, set[str]]) -> Iterator[str]:
    """What documents refer to and this user is not shown, a sentence for each kind."""
    kinds = (
        ("types", "label", "document types", TYPES),
        ("metadata_types", "name", "metadata types", METADATA_TYPES),
    )
    for part, key, words, permission in kinds:
        hidden = sorted(used[part] - {row[key] for row in about[part]})
        if hidden:
            more = ", …" if len(hidden) > 5 else ""
            yield f"{words} {', '.join(hidden[:5])}{more}: permission {permission} is missing for them"


def _text(name: str, content: Mapping[str, Any], said: str) -> ExportFile:
    data = documents.encode(content)
    return ExportFile(name, Promise(), "application/json", {"text": data.decode()}, said)


def _lacking(name: str, sentence: str) -> ExportFile:
    return ExportFile(f"{name} (not to be had)", Promise(), locator={"lacking": sentence}, said=sentence)
