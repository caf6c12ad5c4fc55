"""Names inside an export: of its folders, of the random pictures, and the manifest's lines.

It renders no document; archive_xml and archive_html share it.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from flows.demo import prose
from flows.demo.jobs import Plan, Revision
from flows.demo.lab import Document, GalleryFile

FORMS = {1: "Basic Document", 2: "Experiment"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive, made only when it is written."""

    name: str  # below the top folder
    data: Callable[[], bytes]
    at: datetime

    @classmethod
    def text(cls, name: str, text: str, at: datetime) -> Entry:
        return cls(name, text.encode, at)


def random_text(rng: Random) -> str:
    """14 characters of base64url = 80 random bits, the only secret that protects a download."""
    return base64.urlsafe_b64encode(rng.randbytes(10)).decode().rstrip("=")


def plain_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]", "", re.sub(r"[ _]", "-", name))[:50]


def form_id(document: Document) -> int:
    return 1 if len(document.fields) == 1 else 2


class Naming:
    """Where things are in one export. Record names are stable; picture names and the id are not."""

    def __init__(self, plan: Plan, rng: Random, random_seed: str, lab_seed: int) -> None:
        self._plan = plan
        self._random_seed = random_seed
        self._lab_seed = lab_seed
        self.archive_id = str(uuid.UUID(bytes=rng.randbytes(16), version=4))
        self.files = {f.id: f for f in plan.files}
        # a selection carries attachments beside the document; user and group exports have the gallery itself
        self.with_gallery = plan.scope != "selection"

    def document(self, revision: Revision) -> str:
        return f"doc_{plain_name(revision.document.name)}-{revision.document.id}{revision.suffix}"

    def media(self, file: GalleryFile) -> str:
        suffix = "-rev1" if self._plan.with_revisions else ""
        return f"media_{plain_name(file.name)}-{file.id}{suffix}"

    def link(self, file: GalleryFile) -> str:
        """A file's address as seen from inside a document's folder."""
        return f"../{self.media(file)}/{file.name}" if self.with_gallery else file.name

    def attachments(self, document: Document) -> list[GalleryFile]:
        return [self.files[i] for i in document.file_ids if i in self.files]

    def picture(self, revision: Revision) -> str:
        """The rendered picture's file name: another one in each export, though the picture is the same."""
        rng = Random(f"{self._random_seed}:{revision.document.id}{revision.suffix}")
        ending = "svg" if revision.document.rendered == "math" else "png"
        return f"{revision.document.rendered}{random_text(rng)}.{ending}"

    def picture_data(self, document: Document) -> bytes:
        rng = Random(f"{self._lab_seed}:picture:{document.id}")
        if document.rendered != "math":
            return prose.png(rng, 4000)
        path = " ".join(f"L{rng.randint(0, 900)} {rng.randint(0, 400)}" for _ in range(60))
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 400"><path d="M0 0 {path}"/></svg>\n'
        return svg.encode()

    def icon(self, document: Document) -> tuple[str, Callable[[], bytes]]:
        number = form_id(document)
        return f"formIcon_{number}.png", lambda: prose.png(Random(f"form icon {number}"), 900)

    def document_extras(self, revision: Revision, at: datetime) -> list[Entry]:
        """Everything in a document's folder besides its own text."""
        folder, document = self.document(revision), revision.document
        icon, icon_data = self.icon(document)
        entries = [Entry(f"{folder}/{icon}", icon_data, at)]
        if document.rendered:
            picture = self.picture(revision)
            entries.append(Entry(f"{folder}/{picture}", lambda: self.picture_data(document), at))
        if not self.with_gallery:
            entries += [Entry(f"{folder}/{f.name}", f.data, f.created_at) for f in self.attachments(document)]
        return entries


def manifest_lines(plan: Plan, archive_id: str) -> str:
    """`key:value` lines, sorted; the spelling RSPace is the product's own."""
    rows = {
        "Database version": plan.version,
        "Exported by": plan.exporter.full_name,
        "RSPace application version": plan.version,
        "Source URL": plan.source_url,
        "archiveId": archive_id,
        "archiveSource": "ResearchSpace",
        "exportDate": f"{plan.planned_at:%Y-%m-%d}",
        "scope": plan.scope.upper(),
    }
    return "".join(f"{key}:{rows[key]}\n" for key in sorted(rows))
