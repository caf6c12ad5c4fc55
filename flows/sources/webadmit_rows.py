"""What stands in WebAdMIT's answers: identities, templates, runs and their files, each as it must be.

Facts: contract webadmit.md section A3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from flows.errors import SourceUnexpected
from flows.export import JobRef, Scope, State
from flows.sources.client import Answer
from flows.sources.webadmit_names import PDFS, Identity, Template, format_of
from flows.sources.webadmit_status import state_of
from flows.sources.webadmit_wire import API, plain

NAME = {"export": "export_files", "pdf": "pdf_manager_batch"}  # of the object in an answer about one run
WORD = {"export": "status", "pdf": "state"}  # what tells how it stands
_RUN = re.compile(
    r"/api/v1/(?:exports/[0-9]{1,18}/export_files|user_identities/[0-9]{1,18}/pdf_manager_batches)/[0-9]{1,18}"
)
_ZIP = re.compile(r"/api/v1/user_identities/[0-9]{1,18}/pdf_manager_zip_files/([0-9]{1,18})/download")

Row = Mapping[str, Any]


def rows(answer: Answer, name: str) -> list[Row]:
    """A list of an answer. Raises SourceUnexpected: what is not read would be missed by nobody."""
    body = answer.json()
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise SourceUnexpected(f"WebAdMIT: an answer without a list of {name}", hint="check url")
    return list(found)


def the_one(answer: Answer, name: str) -> Row:
    """The object of that name; of a batch, older answers have it without the name around it.

    Raises SourceUnexpected.
    """
    body = answer.json()
    found = body.get(name, body) if isinstance(body, dict) else None
    if not isinstance(found, dict) or "id" not in found:
        raise SourceUnexpected(f"WebAdMIT: an answer without {name}", hint="check url")
    return found


def number(row: Row, name: str = "id") -> int:
    """An id. Raises SourceUnexpected."""
    found = row.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 2**63:
        raise SourceUnexpected(f"WebAdMIT: {name} {str(found)[:40]!r} is no number")
    return found


def text(row: Row, name: str) -> str:
    """A text; "" where it is null or missing. Raises SourceUnexpected for one that is none."""
    found = row.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise SourceUnexpected(f"WebAdMIT: {name} is no text")
    return plain(found)


def run_path(row: Row) -> str:
    """Where a run is asked for: its own href, which must be a path of the documented form: the key goes there.

    Raises SourceUnexpected.
    """
    found = row.get("href")
    if not isinstance(found, str) or not _RUN.fullmatch(found):
        raise SourceUnexpected("WebAdMIT: a run whose href is not as documented")
    return found


def zip_paths(row: Row) -> list[str]:
    """Where a batch's files are asked for, in the order of their numbers. Raises SourceUnexpected."""
    found = row.get("download_hrefs") or []
    if not isinstance(found, list):
        raise SourceUnexpected("WebAdMIT: download_hrefs is no list")
    numbered: dict[int, str] = {}
    for href in found:
        match = _ZIP.fullmatch(href) if isinstance(href, str) else None
        if match is None or int(match[1]) in numbered:
            raise SourceUnexpected("WebAdMIT: a batch whose download_hrefs are not as documented")
        numbered[int(match[1])] = href
    return [numbered[key] for key in sorted(numbered)]


def kind_of(ref: JobRef) -> str:
    """Whether a run is an export's or a batch of PDF Manager's."""
    return "pdf" if "/pdf_manager_batches/" in ref.handle["href"] else "export"


def ref_of(row: Row, scope: Scope, at: datetime, adopted: Literal["no", "yes", "unknown"]) -> JobRef:
    """The handle of a run, with the path where it is asked for. Raises SourceUnexpected."""
    identity, template, run = scope.options["identity"], scope.options["template"], number(row)
    if "href" in row:
        href = run_path(row)
    elif scope.kind == "export":
        href = f"{API}/exports/{template}/export_files/{run}"
    else:
        href = f"{API}/user_identities/{identity}/pdf_manager_batches/{run}"
    handle = {"identity": identity, "id": run, "href": href}
    return JobRef(handle, at, adopted)


def failed(word: object) -> bool:
    """Whether a run is known to have failed."""
    try:
        return state_of(word) is State.FAILED
    except SourceUnexpected:
        return False


def is_of(row: Row, scope: Scope) -> bool:
    """Whether a run in the list is of this template. Of an export's the href says it as well as its export_id.

    The vendor's own example has two numbers there that differ (section A3).
    """
    template = scope.options["template"]
    if scope.kind == "export":
        return bool(row.get("export_id") == template) or f"/exports/{template}/" in str(row.get("href"))
    of = row.get("pdf_manager_template")
    return isinstance(of, dict) and of.get("id") == template


def identities(answer: Answer) -> list[Identity]:
    """Those that the key may use. Raises SourceUnexpected."""
    keys = ("type", "association", "organization", "institution", "cycle")
    found = rows(answer, "user_identities")
    return [Identity(number(row), **{key: text(row, key) for key in keys}) for row in found]


def template_in(row: Row, kind: str) -> Template:
    """An export or a template of PDF Manager's. Raises SourceUnexpected."""
    name = text(row, "name")
    if kind == "pdf":
        return Template(number(row), name, PDFS, "application/zip")
    clipboard = text(row, "list_type").lower() == "clipboard"
    return Template(number(row), name, format_of(text(row, "format")), text(row, "mime_type"), clipboard)
