"""The proof sheet of a snapshot: one page of plain text that an auditor reads and files.

Pure: values to text. The words are for people who never saw an archive; no line is wider than WIDTH, and nothing
that a system said can break a line or hide one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flows.proof import Reread, Sheet
from storage.snapshot import from_text
from storage.verify import Check, Outcome

WIDTH = 98  # columns
IN_FULL = 3  # files: with more of them each gets two lines
MAX_FILES = 10  # named on the page; damaged ones come first
MAX_CHECKS = 40  # as many as `verify.fold` leaves in a usual manifest; failed ones come first
MAX_PROBLEMS = 6
MAX_LINES = 4  # of one value, such as the ids of a long selection

_ADOPTED = {
    "yes": "; somebody else had started it",
    "unknown": "; whether this run had started it is not known",
}
_MEND = "Bring what is damaged back from a copy of the archive; `strongroom scrub --all` names all of it."


def page(sheet: Sheet) -> str:
    """The sheet as text, every line at most WIDTH columns, without control characters."""
    parts = [_top(sheet), _what(sheet), _files(sheet), _checks(sheet.found.manifest.draft.checks)]
    parts += [_notes(sheet.found.manifest.draft.notes), _chain(sheet), _again(sheet), _signature()]
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _top(sheet: Sheet) -> list[str]:
    draft, problems = sheet.found.manifest.draft, sheet.problems
    quality = f"DAMAGED (when taken: {draft.quality.value})" if sheet.lost else draft.quality.value.upper()
    lines = ["PROOF OF BACKUP", "=" * WIDTH]
    lines += _wrapped(f"{sheet.found.key}, {_day(draft.taken_at)}: {quality}", indent=0)
    lines += _wrapped(f"{_counted(draft.checks)} {sheet.meaning}", indent=0)
    read = sum(file.got.size for file in sheet.files)
    if not problems:
        return lines + _wrapped(
            f"Read again from the archive when this page was printed, on {_day(sheet.printed_at)}: all "
            f"{read:,} bytes of {_files_of(len(sheet.files))}, every one as it was kept.",
            indent=0,
        )
    kept = "NOT AS IT WAS KEPT" if sheet.lost else "NOT AS IT SHOULD BE"
    lines += _wrapped(
        f"{kept}: read again from the archive on {_day(sheet.printed_at)}, this was found:", indent=0
    )
    for problem in problems[:MAX_PROBLEMS]:
        lines += _wrapped(f"- {problem}", hang=2)
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"  and {len(problems) - MAX_PROBLEMS:,} more")
    return lines + _wrapped(_MEND, indent=0)


def _counted(checks: Sequence[Check]) -> str:
    """How many checks ended how; `fold` keeps their number."""
    passed, failed, silent = (
        sum(check.count for check in checks if check.outcome is outcome)
        for outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.NOT_AVAILABLE)
    )
    return f"Checks when taken: {passed:,} passed, {failed:,} failed, {silent:,} could not be made."


def _what(sheet: Sheet) -> list[str]:
    manifest, draft = sheet.found.manifest, sheet.found.manifest.draft
    vendor = draft.vendor
    imported = not vendor and not draft.job
    handle = ", ".join(f"{key} {value}" for key, value in sorted(draft.job.items()) if key != "adopted")
    said = f", which answered {vendor['said']}" if vendor.get("said") else ""
    job = f"{handle or 'none recorded'}{said}{_ADOPTED.get(str(draft.job.get('adopted')), '')}"
    rows = [
        ("System", f"{draft.system} {vendor.get('version', '(version not recorded)')}"),
        ("Address", vendor.get("url") or "not recorded"),
        ("Account", vendor.get("user") or vendor.get("account") or "not recorded"),
        ("Asked for", _request(draft.request)),
        ("Exported on", f"{_day(draft.taken_at)}, as the file, or who imported it, says")
        if imported
        else ("Asked on", f"{_day(draft.taken_at)}; what it holds is not older than that"),
        ("System clock", _instant(str(vendor.get("server_time") or ""))),
        ("Committed", _day(manifest.committed_at)),
        ("Run", f"{draft.run_id}; job {draft.job_id}"),
        ("Job there", job),
        ("Written by", _versions(draft.tool)),
        ("Printed by", _versions(sheet.printed_by)),
    ]
    return ["1. What was backed up", *_rows([row for row in rows if row[1]])]


def _files(sheet: Sheet) -> list[str]:
    manifest = sheet.found.manifest
    lines = [f"2. {_files_of(manifest.files).capitalize()}, {manifest.size:,} bytes in all"]
    if sheet.no_files:
        named = ", ".join(sorted({check.file for check in manifest.draft.checks if check.file}))
        told = f" The checks below name {named}." if named else ""
        return lines + _wrapped(
            f"NOT READABLE: the list of the files is damaged, so none could be compared.{told}", most=MAX_LINES
        )
    ordered = sheet.damaged + [file for file in sheet.files if not file.problem]
    if len(ordered) <= IN_FULL:
        for file in ordered:
            lines += _in_full(file, sheet.printed_at)
        return lines
    lines += _wrapped(
        "Per file: size in bytes; CRC-32 promised by the system / measured; SHA-256 measured; read again"
    )
    for file in ordered[:MAX_FILES]:
        lines += _in_short(file)
    rest = ordered[MAX_FILES:]
    if rest:
        bad = sum(1 for file in rest if file.problem)
        state = f"{bad:,} of them NOT equal" if bad else "each equal when read again"
        lines += _wrapped(
            f"and {len(rest):,} more, in the manifest, {state}. `strongroom show {sheet.found.id[:8]} --json` "
            f"names all. SHA-256 of the list of all files: {manifest.listing_sha256}"
        )
    return lines


def _in_full(file: Reread, at: datetime) -> list[str]:
    kept, promised = file.entry.measured, file.entry.promised
    size = "no size" if promised.size is None else f"{promised.size:,}"
    crc32 = "none" if promised.crc32 is None else f"{promised.crc32:08x}"
    sha256 = [("", f"{promised.sha256} promised by the system")] if promised.sha256 else []
    again = file.problem and f"NOT EQUAL: {file.problem}"
    return _wrapped(file.entry.path, most=2) + _rows(
        [
            ("Size", f"{kept.size:,} bytes; the system promised {size}"),
            ("CRC-32", f"{kept.crc32:08x} measured; the system promised {crc32}"),
            ("SHA-256", f"{kept.sha256} measured"),
            *sha256,
            ("Read again", f"from the archive on {_day(at)}:"),
            ("", again or f"{file.got.size:,} bytes, CRC-32 and SHA-256 equal"),
        ]
    )


def _in_short(file: Reread) -> list[str]:
    kept, promised = file.entry.measured, file.entry.promised
    crc32 = "-" if promised.crc32 is None else f"{promised.crc32:08x}"
    room = WIDTH - 44
    name = plain(file.entry.path)
    name = name if len(name) <= room else f"{name[: room - 9]}…{name[-8:]}"
    equal = "NOT EQUAL" if file.problem else "equal"
    return [f"   {name:<{room}}{kept.size:>19,}  {crc32:>8} / {kept.crc32:08x}", f"     {kept.sha256}  {equal}"]


def _checks(checks: Sequence[Check]) -> list[str]:
    lines = ['3. Checks made when it was taken ("not available": could not be made, for the reason given)']
    if len(checks) > MAX_CHECKS:
        checks = sorted(checks, key=lambda check: check.outcome is not Outcome.FAILED)
    one = len({check.file for check in checks if check.file}) <= 1
    for check in checks[:MAX_CHECKS]:
        words = [check.got and f"got {check.got}", check.promised and f"promised {check.promised}", check.reason]
        words += [f"{check.count:,} times" if check.count > 1 else "", "" if one else check.file]
        outcome = "FAILED" if check.outcome is Outcome.FAILED else check.outcome.value
        head = f"{plain(check.name)[:26]:<27}{outcome:<15}"
        lines += _wrapped(head + ("; ".join(word for word in words if word) or "-"), hang=len(head))
    if len(checks) > MAX_CHECKS:
        lines.append(f"   and {len(checks) - MAX_CHECKS:,} more, in the manifest")
    return lines


def _notes(notes: Sequence[str]) -> list[str]:
    lines = ["4. What is NOT in this backup, and what to know of it"]
    for note in notes or ("Nothing is noted. That does not promise that nothing is missing.",):
        lines += _wrapped(f"- {note}", hang=2, most=MAX_LINES)
    return lines


def _chain(sheet: Sheet) -> list[str]:
    found, manifest, chain = sheet.found, sheet.found.manifest, sheet.chain
    if chain.broken:
        back = f"BROKEN: {chain.broken}"
    elif chain.first > 1:
        back = f"led back to number {chain.first}, written when number {chain.first - 1} could not be read"
    else:
        back = "led back to number 1 without a gap" if manifest.number > 1 else "this is the first of its chain"
    first = "none: it is the first" if manifest.number == 1 else "none: it could not be read then"
    lines = ["5. The chain", *_rows([
        ("Archive", manifest.archive_id),
        ("Number", f"{manifest.number} in the chain of {found.key}"),
        ("ID", found.id),
        ("Previous ID", manifest.previous or first),
        ("Followed now", back),
    ])]  # fmt: skip
    lines += _wrapped(
        "The ID is the SHA-256 of this snapshot's manifest, a small file in the archive. In it stands the SHA-256 "
        "of the list of files, in the list that of each file, and in the manifest also the previous ID. So who "
        "knows this ID can tell whether one bit of this backup, or of a manifest before it in the chain, was "
        "changed later."
    )
    return lines + _wrapped(
        "What this does not prove: that the system gave all it has, or that the times are right (they are those "
        "of the computers involved). And who can write to the archive could replace all of it, IDs included. Only "
        "an ID noted elsewhere shows that: NOTE THIS ID, or file this page, where they cannot change it."
    )


def _again(sheet: Sheet) -> list[str]:
    lines = ["6. To check it again without Strongroom"]
    lines += _wrapped(
        "- The manifest: in the archive's folder, this prints the ID (macOS: shasum -a 256):", hang=2
    )
    lines += _wrapped(f"sha256sum {sheet.found.name}", indent=7)
    lines += _wrapped("- A file that was given back: `sha256sum FILE` prints its SHA-256 of section 2.", hang=2)
    return lines + _wrapped(
        "- The archive, should Strongroom be gone: FORMAT.md, which comes with its source, says to the byte how "
        "to read files out of it. Keep a copy beside the archive.",
        hang=2,
    )


def _signature() -> list[str]:
    blank = "_" * 24
    return ["", f"Name {blank}   Date {blank[:16]}   Signature {blank}"]


def _request(request: Mapping[str, Any]) -> str:
    """What was asked, in words: kind and id, then format and options."""
    options = {key: value for key, value in request.items() if key not in ("kind", "id", "resolved")}
    subject = f"{request.get('kind', '?')} {request.get('id') or ''}".strip()
    if request.get("kind") == "user" and not request.get("id"):
        subject = "user (the account itself)"
    words = [subject, *(f"{key.replace('_', ' ')} {_value(value)}" for key, value in sorted(options.items()))]
    if isinstance(request.get("resolved"), Mapping):
        words.append(f"which meant: {_request(request['resolved'])}")
    return "; ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _versions(tool: Mapping[str, str]) -> str:
    return ", ".join(f"{name.capitalize()} {tool[name]}" for name in sorted(tool, reverse=True)) or "not recorded"


def _files_of(count: int) -> str:
    return f"{count:,} file" if count == 1 else f"{count:,} files"


def _day(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _instant(text: str) -> str:
    """An instant out of a manifest, as people read it; text of another shape as it is."""
    try:
        return _day(from_text(text))
    except ValueError:
        return text


def _rows(rows: Iterable[tuple[str, Any]]) -> list[str]:
    lines = []
    for label, value in rows:
        lines += _wrapped(f"{label:<14}{plain(str(value))}", hang=14, most=MAX_LINES)
    return lines


def _wrapped(text: str, *, indent: int = 3, hang: int = 0, most: int | None = None) -> list[str]:
    """Lines of at most WIDTH columns. A word that does not fit, such as a file's name, is cut."""
    return textwrap.wrap(
        plain(text), WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + hang),
        break_on_hyphens=False, drop_whitespace=True, max_lines=most, placeholder=" …",
    )  # fmt: skip


def plain(text: str) -> str:
    """Text from elsewhere that can neither break a line nor move a cursor."""
    return "".join(char if char.isprintable() else "�" for char in text)
