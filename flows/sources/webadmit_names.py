"""Which identity and which template a scope means tonight: by their names, never by place, never by number.

Pure. Identities and exports get new numbers with each cycle, and lists have no order. Facts: contract webadmit.md
sections A3 and A5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flows.errors import RequestWrong, SourceRefused

NEWEST = "newest"
WHO = ("association", "organization", "institution", "type")  # what tells identities apart, beside their cycle
FORMATS = {
    "comma_separated_values": "csv",
    "microsoft_excel": "xls",
    "website_html": "html",
    "fixed_width_report": "fixed",
    "comma_separated_values_in_multiple_files": "csv-zip",
}
PDFS = "pdf-zip"
CLIPBOARD = "what it holds is what somebody last put on the clipboard"
MOST = 12  # of what was found, in a message
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """A person's access to one organisation in one cycle, which everything hangs on."""

    id: int
    type: str = ""
    association: str = ""
    organization: str = ""
    institution: str = ""
    cycle: str = ""

    @property
    def words(self) -> str:
        """For messages and notes."""
        who = (getattr(self, key) for key in ("association", "organization", "institution", "type", "cycle"))
        return ", ".join(dict.fromkeys(word for word in who if word)) or f"identity {self.id}"


@dataclass(frozen=True, slots=True)
class Template:
    """An export, or a template of PDF Manager's: made by people in WebAdMIT, run by us."""

    id: int
    name: str
    format: str  # one of FORMATS' values, PDFS, or the vendor's own word
    media_type: str = ""
    clipboard: bool = False


def same(text: str) -> str:
    """A name as it is compared: spaces at the ends and doubled ones are no difference."""
    return " ".join(text.split())


def format_of(word: str) -> str:
    """Our word for a format; a word that is not known stays as it is."""
    return FORMATS.get(re.sub(r"[^a-z]+", "_", word.strip().lower()).strip("_"), word)


def file_name(name: str, suffix: str, number: int = 1) -> str:
    """What a file is called in a snapshot: as its template, each night the same; the second of several has a 2.

    The store's own name for it is not read: it stands in a link.
    """
    plain = re.sub(r"[^\w .,()&+'-]+", "-", name.removesuffix(suffix)).strip(" .-")[:80].rstrip() or "export"
    return f"{plain}{f' {number}' if number > 1 else ''}{suffix}"


def identity_of(found: Sequence[Identity], wanted: Mapping[str, Any]) -> Identity:
    """The one identity that `wanted` names: association, organization, institution, type, and the rule of cycles.

    Raises SourceRefused where there is none at all, RequestWrong where none or several are meant; both say what
    there is.
    """
    if not found:
        raise SourceRefused(
            "WebAdMIT: the API key has no identity",
            hint='the permission "API Access" is given to identities one by one, each cycle anew',
        )
    named = [key for key in WHO if key in wanted]
    like = [one for one in found if all(same(getattr(one, key)) == same(wanted[key]) for key in named)]
    rule = str(wanted.get("cycle", NEWEST))
    meant = _newest(like) if rule == NEWEST else [one for one in like if _years(one.cycle, rule)]
    said = ", ".join([*(f"{key} = {wanted[key]!r}" for key in named), f"cycle = {rule!r}"])
    return _one(meant, f"identity with {said}", meant or found, lambda one: one.words)


def template_of(found: Sequence[Template], name: str, kind: str, where: str) -> Template:
    """The one template of that name. Raises RequestWrong for none, several, or one of the clipboard's."""
    what = f"export {name!r}" if kind == "export" else f"PDF Manager template {name!r}"
    meant = [one for one in found if same(one.name) == same(name)]
    chosen = _one(meant, f"{what} of {where}", meant or found, lambda one: f"{one.name!r}")
    if chosen.clipboard:
        raise RequestWrong(
            f"WebAdMIT: {what} exports the clipboard: {CLIPBOARD}",
            hint="base the export on a list in WebAdMIT, or on all applicants",
        )
    return chosen


def _one(meant: Sequence[T], what: str, there: Iterable[T], words: Callable[[T], str]) -> T:
    if len(meant) == 1:
        return meant[0]
    names = sorted(words(one) for one in there)
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    listed = "; ".join(names[:MOST]) + more or "nothing"
    if meant:
        hint = "tell them apart in strongroom.toml, or rename one in WebAdMIT: nothing is chosen by its place"
        raise RequestWrong(f"WebAdMIT: {len(meant)} things are called {what}: {listed}", hint=hint)
    hint = (
        "names are compared letter by letter; a new cycle needs its exports transferred (Transfer Settings), and "
        '"API Access" for its identity'
    )
    raise RequestWrong(f"WebAdMIT: no {what}; there is: {listed}", hint=hint)


def _newest(found: Sequence[Identity]) -> list[Identity]:
    """The newest cycle of each organisation: who means one of two must say which, whatever their cycles are.

    All of an organisation where one of its identities has no cycle, or one that cannot be ordered.
    """
    groups: dict[tuple[str, ...], list[Identity]] = {}
    for one in found:
        groups.setdefault(tuple(same(getattr(one, key)) for key in WHO), []).append(one)
    meant: list[Identity] = []
    for group in groups.values():
        spans = [_span(one.cycle) for one in group]
        known = [span for span in spans if span is not None]
        last = max(known) if len(known) == len(spans) else None
        meant += [one for one, span in zip(group, spans, strict=True) if last in (None, span)]
    return meant


def _years(cycle: str, rule: str) -> bool:
    span = _span(rule)
    return same(cycle) == same(rule) or (span is not None and _span(cycle) == span)


def _span(cycle: str) -> tuple[int, int] | None:
    """The years of a cycle such as "2025 - 2026"; None where it is written otherwise."""
    parts = re.fullmatch(r"\s*(\d{4})\s*[-–/]\s*(\d{4})\s*", cycle)
    return None if parts is None else (int(parts[1]), int(parts[2]))
