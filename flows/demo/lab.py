"""The demo laboratory: users, groups, folders, documents, gallery files, built from a seed.

It knows who may read whose work, but nothing of time passing, of jobs, or of HTTP. What is there beyond the
first group is added by roster.py.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from flows.demo import prose

_PEOPLE = (
    ("mrossi", "Marta", "Rossi"), ("tokafor", "Tobias", "Okafor"), ("lnguyen", "Linh", "Nguyen"),
    ("sysadmin1", "Sam", "Keller"),
)  # fmt: skip
_KEY_LETTERS = string.ascii_letters + string.digits + "_"


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str
    first_name: str
    last_name: str
    api_key: str  # 32 characters of [A-Za-z0-9_]
    password: str  # for POST /oauth/token only
    home_folder_id: int | None  # None: never logged in
    created_at: datetime
    is_pi: bool = False
    is_sysadmin: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}"

    @property
    def email(self) -> str:
        return f"{self.username}@lab.example.org"


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    name: str
    unique_name: str
    shared_folder_id: int
    pi_id: int
    member_ids: tuple[int, ...]  # the PI first


@dataclass(frozen=True, slots=True)
class Folder:
    id: int
    name: str
    kind: str  # FOLDER or NOTEBOOK
    parent_id: int | None  # None: a home folder
    owner_id: int
    created_at: datetime
    system: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class GalleryFile:
    """An attachment. Its bytes are made from `seed` when needed, so a large lab needs no memory."""

    id: int
    name: str
    kind: str  # key of prose.KINDS
    size_hint: int
    seed: str
    folder_id: int
    owner_id: int
    created_at: datetime

    def data(self) -> bytes:
        return prose.attachment_bytes(self.kind, self.seed, self.size_hint)


@dataclass(frozen=True, slots=True)
class TextField:
    id: int
    name: str
    paragraphs: tuple[str, ...]  # html


@dataclass(frozen=True, slots=True)
class Document:
    id: int
    name: str
    parent_id: int
    owner_id: int
    created_at: datetime
    modified_at: datetime
    fields: tuple[TextField, ...]
    file_ids: tuple[int, ...] = ()  # gallery files shown in the text
    link_ids: tuple[int, ...] = ()  # other documents linked from the text
    version: int = 1
    rendered: str = ""  # chemd, sktch, math or annot: a picture that gets a random name in every export


@dataclass
class Lab:
    """All records by id. Values are frozen and replaced on change, so a planned export keeps what it saw."""

    seed: int
    users: dict[int, User] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    folders: dict[int, Folder] = field(default_factory=dict)
    files: dict[int, GalleryFile] = field(default_factory=dict)
    documents: dict[int, Document] = field(default_factory=dict)
    older: dict[int, tuple[Document, ...]] = field(default_factory=dict)  # document id -> earlier versions
    tags: dict[int, tuple[str, ...]] = field(default_factory=dict)  # document id -> tags; not part of archives
    former: dict[int, User] = field(default_factory=dict)  # removed users; their lines stay in the activity log
    shared: frozenset[int] = frozenset()  # document ids: listed in the owner's Shared folder as well
    closed: frozenset[int] = frozenset()  # owners whose home folder the PI of their group may not read
    last_id: int = 100

    def copy(self) -> Lab:
        """A lab of its own, sharing the frozen records."""
        return replace(
            self, users=dict(self.users), groups=dict(self.groups), folders=dict(self.folders),
            files=dict(self.files), documents=dict(self.documents), older=dict(self.older),
            tags=dict(self.tags), former=dict(self.former),
        )  # fmt: skip

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def can_read(self, reader: User, owner_id: int) -> bool:
        """Own work, a sysadmin, or the PI of a group the owner belongs to."""
        if reader.id == owner_id or reader.is_sysadmin:
            return True
        if owner_id in self.closed:
            return False
        return any(g.pi_id == reader.id and owner_id in g.member_ids for g in self.groups.values())

    def is_shown(self, reader: User, document: Document) -> bool:
        """What a list of documents has: whatever may be read, and what is shared with a group of the reader."""
        if self.can_read(reader, document.owner_id):
            return True
        both = {reader.id, document.owner_id}
        return document.id in self.shared and any(both <= {*g.member_ids} for g in self.groups.values())

    def documents_of(self, owner_id: int) -> list[Document]:
        return [d for d in self.documents.values() if d.owner_id == owner_id]

    def work_of(self, owner_id: int) -> list[Document]:
        """The documents somebody works on: not those in Templates, Examples and Shared."""
        return [d for d in self.documents_of(owner_id) if not self.folders[d.parent_id].system]

    def files_folder(self, owner_id: int, kind: str) -> int:
        wanted = "Images" if kind in ("png", "jpg") else "Documents"
        return next(
            f.id for f in self.folders.values() if f.owner_id == owner_id and f.system and f.name == wanted
        )


def build(seed: int, start: datetime, documents_per_user: int) -> Lab:
    """The laboratory as it stands on night 0. Same arguments, same laboratory, byte for byte."""
    lab = Lab(seed)
    rng = Random(f"{seed}:lab")
    for number, (username, first, last) in enumerate(_PEOPLE):
        lab.users[number + 1] = User(
            id=number + 1, username=username, first_name=first, last_name=last,
            api_key=new_key(rng), password=f"{username}-demo",
            home_folder_id=lab.new_id(), created_at=opened_at(start), is_pi=number == 0,
            is_sysadmin=username == "sysadmin1",
        )  # fmt: skip
        add_home(lab, lab.users[number + 1])
    members = tuple(u.id for u in lab.users.values() if not u.is_sysadmin)
    lab.groups[11] = Group(11, "Rossi Lab", "RossiLab1a2B", lab.new_id(), members[0], members)
    for user_id in members:
        add_work(lab, rng, user_id, start, documents_per_user)
    return lab


def opened_at(start: datetime) -> datetime:
    """When the accounts that are there on night 0 were opened."""
    return start - timedelta(days=400)


def new_key(rng: Random) -> str:
    return "".join(rng.choice(_KEY_LETTERS) for _ in range(32))


def add_work(lab: Lab, rng: Random, owner_id: int, start: datetime, count: int) -> None:
    """The documents that somebody wrote in the year before `start`."""
    for number in range(count):
        days = 380 - number * 20.5 % 370
        add_document(lab, rng, owner_id, start - timedelta(days=days, minutes=rng.randint(0, 600)))


def add_home(lab: Lab, user: User) -> None:
    """The folders of a new account; nothing for somebody who never logged in."""
    home, created_at = user.home_folder_id, user.created_at
    if home is None:
        return
    lab.folders[home] = Folder(home, user.username, "FOLDER", None, user.id, created_at)

    def add(name: str, parent_id: int, kind: str = "FOLDER", *, system: bool = False) -> int:
        new = Folder(lab.new_id(), name, kind, parent_id, user.id, created_at, system)
        lab.folders[new.id] = new
        return new.id

    gallery = add("Gallery", home, system=True)
    add("Images", gallery, system=True)
    add("Documents", gallery, system=True)
    if not user.is_sysadmin:
        add("Projects", home)
        add("Lab Book", home, "NOTEBOOK")
        add("Methods & Recipes", home, "NOTEBOOK")


def add_file(lab: Lab, rng: Random, owner_id: int, created_at: datetime) -> GalleryFile:
    kind = prose.pick_kind(rng)
    file_id = lab.new_id()
    subject = rng.choice(("scan", "trace", "gel", "plate", "report", "run"))
    name = f"{subject}_{rng.randint(1, 999)}_{file_id}.{kind}"
    seed = f"{lab.seed}:file:{file_id}"
    folder_id = lab.files_folder(owner_id, kind)
    new = GalleryFile(file_id, name, kind, prose.pick_size(rng, kind), seed, folder_id, owner_id, created_at)
    lab.files[file_id] = new
    return new


def add_document(lab: Lab, rng: Random, owner_id: int, created_at: datetime) -> Document:
    """One document with text, some attachments and, now and then, a link or a rendered picture."""
    places = [f for f in lab.folders.values() if f.owner_id == owner_id and not f.system]
    files = [add_file(lab, rng, owner_id, created_at) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    earlier = lab.work_of(owner_id)
    links = (rng.choice(earlier).id,) if earlier and rng.random() < 0.2 else ()
    names = ("Data",) if rng.random() < 0.7 else ("Objective", "Method", "Results")
    fields = tuple(
        TextField(lab.new_id(), name, tuple(prose.paragraph(rng) for _ in range(rng.randint(2, 12))))
        for name in names
    )
    # about one document in ten, and always each owner's second, so that even a small lab shows the effect
    rendered = rng.choice(("chemd", "sktch", "math", "annot")) if rng.random() < 0.05 or len(earlier) == 1 else ""
    new = Document(
        lab.new_id(), prose.title(rng), rng.choice(places).id, owner_id, created_at, created_at, fields,
        tuple(f.id for f in files), links, 1, rendered,
    )  # fmt: skip
    lab.documents[new.id] = new
    return new
