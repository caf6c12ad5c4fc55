"""What a laboratory does in a day: a few edited paragraphs, a new attachment or a new document.

It changes a `Lab` and returns what happened; it neither moves the clock nor writes the activity log.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from flows.demo import lab as labs
from flows.demo import prose

_EDITED_SHARE = 0.02  # of each owner's documents, at least one


@dataclass(frozen=True, slots=True)
class Change:
    """What happened at `document.modified_at`."""

    action: str  # WRITE or CREATE, RSpace's own words
    document: labs.Document


def work_a_day(lab: labs.Lab, night: int, now: datetime) -> list[Change]:
    """Let every owner work on the day before `now`. Depends only on the lab, its seed and `night`."""
    rng = Random(f"{lab.seed}:night:{night}")
    owners = [i for i in sorted({d.owner_id for d in lab.documents.values()}) if lab.work_of(i)]
    changes = []
    for owner_id in owners:
        own = lab.work_of(owner_id)
        for document in rng.sample(own, min(len(own), max(1, round(len(own) * _EDITED_SHARE)))):
            changes.append(Change("WRITE", _edit(lab, rng, document, _moment(rng, now))))
    if owners:
        changes.append(
            _grow(lab, rng, owners[night % len(owners)], _moment(rng, now), with_document=night % 2 == 0)
        )
    return changes


def _moment(rng: Random, now: datetime) -> datetime:
    return now - timedelta(minutes=rng.randint(8 * 60, 17 * 60), milliseconds=rng.randint(0, 999))


def _edit(lab: labs.Lab, rng: Random, document: labs.Document, at: datetime) -> labs.Document:
    fields = list(document.fields)
    which = rng.randrange(len(fields))
    paragraphs = list(fields[which].paragraphs)
    paragraphs[rng.randrange(len(paragraphs))] = prose.paragraph(rng)
    fields[which] = replace(fields[which], paragraphs=tuple(paragraphs))
    return _store(lab, document, replace(document, fields=tuple(fields), modified_at=at))


def _grow(lab: labs.Lab, rng: Random, owner_id: int, at: datetime, *, with_document: bool) -> Change:
    if with_document:
        return Change("CREATE", labs.add_document(lab, rng, owner_id, at))
    document = rng.choice(lab.work_of(owner_id))
    new = labs.add_file(lab, rng, owner_id, at)
    changed = replace(document, file_ids=(*document.file_ids, new.id), modified_at=at)
    return Change("WRITE", _store(lab, document, changed))


def _store(lab: labs.Lab, old: labs.Document, new: labs.Document) -> labs.Document:
    new = replace(new, version=old.version + 1)
    lab.older[old.id] = (*lab.older.get(old.id, ()), old)
    lab.documents[new.id] = new
    return new
