"""Who may export what in the demo's WebAdMIT: people, their identities, export templates and PDF templates.

It holds and copies; runs, files and the clock are elsewhere. Names of associations and schools are made up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

DIRECTOR, OTHER = "rjones", "kmeyer"
ADMISSIONS = "Admissions User"
FORMATS = {  # format -> mime type
    "Comma-Separated Values": "text/csv;charset=iso-8859-1",
    "Microsoft Excel": "application/vnd.ms-excel",
    "Website HTML": "text/html",
    "Fixed Width Report": "text/plain",
    "Comma-Separated Values in Multiple Files": "application/zip",
}
LIST_TYPES = (None, "all", "clipboard", "search")
_EXPORTS = (  # name, list_type, format
    ("Committee page", None, "Website HTML"),
    ("Clipped applicants", "clipboard", "Comma-Separated Values"),
    ("Nightly applicants", "all", "Comma-Separated Values"),
    ("Fixed width for SIS", "all", "Fixed Width Report"),
    ("Dean's workbook", "search", "Microsoft Excel"),
    ("Everything", "all", "Comma-Separated Values in Multiple Files"),
)
_TEMPLATES = (("Accepted Offers for Review", "Offer Accepted"), ("Full applications", "All Applicants"))
_SCHOOL_OPENS = 7  # July: the month from which a cycle is named after this year and the next


@dataclass(frozen=True, slots=True)
class Identity:
    id: int
    person: str
    type: str
    association: str | None
    institution: str | None
    organization: str | None
    cycle: str | None
    api_access: bool = True


@dataclass(frozen=True, slots=True)
class Export:
    id: int
    identity_id: int
    name: str
    list_type: str | None
    format: str

    @property
    def mime_type(self) -> str:
        return FORMATS[self.format]


@dataclass(frozen=True, slots=True)
class Template:
    """A PDF Manager template."""

    id: int
    identity_id: int
    name: str
    list_name: str


@dataclass
class Office:
    """Everything by id, in the order in which WebAdMIT lists it."""

    identities: dict[int, Identity] = field(default_factory=dict)
    exports: dict[int, Export] = field(default_factory=dict)
    templates: dict[int, Template] = field(default_factory=dict)
    former: dict[int, Identity] = field(default_factory=dict)  # retired; their runs are still there
    _identity_ids: Iterator[int] = field(default_factory=lambda: itertools.count(37442))
    _export_ids: Iterator[int] = field(default_factory=lambda: itertools.count(86446, 7))
    _template_ids: Iterator[int] = field(default_factory=lambda: itertools.count(512))

    def add_identity(self, identity: Identity) -> Identity:
        """With the next id, whatever id it had."""
        new = replace(identity, id=next(self._identity_ids))
        self.identities[new.id] = new
        return new

    def add_export(self, identity_id: int, name: str, list_type: str | None, format_: str) -> Export:
        """Somebody makes a template in the web interface. Raises ValueError on what WebAdMIT does not know."""
        if identity_id not in self.identities or list_type not in LIST_TYPES or format_ not in FORMATS:
            raise ValueError(f"no such identity, list type or format: {identity_id}, {list_type}, {format_}")
        export = Export(next(self._export_ids), identity_id, name, list_type, format_)
        self.exports[export.id] = export
        return export

    def add_template(self, identity_id: int, name: str, list_name: str) -> Template:
        template = Template(next(self._template_ids), identity_id, name, list_name)
        self.templates[template.id] = template
        return template

    def exports_of(self, identity_id: int) -> list[Export]:
        return [e for e in self.exports.values() if e.identity_id == identity_id]

    def templates_of(self, identity_id: int) -> list[Template]:
        return [t for t in self.templates.values() if t.identity_id == identity_id]

    def readable(self, person: str) -> list[Identity]:
        """Those that this person's key covers."""
        return [i for i in self.identities.values() if i.person == person and i.api_access]

    def roll_over(self, *, transfer: bool, retire: bool) -> None:
        """A new cycle opens: each admissions identity of the newest cycle gets a successor with a new id.

        With `transfer` their templates move along, under new ids; with `retire` the older identities are gone.
        """
        newest = max(i.cycle for i in self.identities.values() if i.cycle)
        for old in [i for i in self.identities.values() if i.cycle == newest and i.type == ADMISSIONS]:
            new = self.add_identity(replace(old, cycle=following(newest)))
            if transfer:
                self._copy_templates(old.id, new.id)
        if retire:
            gone = [i.id for i in self.identities.values() if i.cycle and i.cycle <= newest]
            self.former |= {i: self.identities[i] for i in gone}
            self.identities = {i: v for i, v in self.identities.items() if i not in gone}
            self.exports = {i: v for i, v in self.exports.items() if v.identity_id not in gone}
            self.templates = {i: v for i, v in self.templates.items() if v.identity_id not in gone}

    def _copy_templates(self, old: int, new: int) -> None:
        for export in self.exports_of(old):
            self.add_export(new, export.name, export.list_type, export.format)
        for template in self.templates_of(old):
            self.add_template(new, template.name, template.list_name)


def build(start: datetime) -> Office:
    """Two schools in two associations; one of them has two cycles. The newest comes last, never first."""
    cycle = cycle_at(start)
    office = Office()
    university = "Demo University"
    nursing = Identity(0, DIRECTOR, ADMISSIONS, "NurseDemoCAS", university, "Demo School of Nursing", cycle)
    pharmacy = replace(nursing, association="PharmaDemoCAS", organization="Demo School of Pharmacy")
    for identity in (
        replace(nursing, cycle=preceding(cycle)),
        replace(nursing, type="Association User", institution=None, organization=None, api_access=False),
        pharmacy,
        nursing,
        replace(nursing, person=OTHER, organization="Demo School of Midwifery"),
        replace(nursing, type="Institution User", association=None, organization=None, cycle=None),
    ):
        made = office.add_identity(identity)
        if made.type == ADMISSIONS:
            for name, list_type, format_ in _EXPORTS:
                office.add_export(made.id, name, list_type, format_)
            for name, list_name in _TEMPLATES:
                office.add_template(made.id, name, list_name)
    return office


def cycle_at(moment: datetime) -> str:
    first = moment.year if moment.month >= _SCHOOL_OPENS else moment.year - 1
    return f"{first} - {first + 1}"


def following(cycle: str) -> str:
    return _moved(cycle, 1)


def preceding(cycle: str) -> str:
    return _moved(cycle, -1)


def _moved(cycle: str, years: int) -> str:
    first = int(cycle[:4]) + years
    return f"{first} - {first + 1}"
