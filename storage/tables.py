"""The catalog's tables, as SQLModel classes. No queries and no rules: those are `catalog.py`.

Rows are not domain values: `table=True` classes do not validate. Instants are text as `snapshot.to_text` writes
it, so that text order is time order and a row reads well in any SQLite shell. Columns marked *in flight* are
known to the catalog alone; everything else can be made again from the archive.
"""

from __future__ import annotations

from sqlmodel import Field, Index, SQLModel


class Source(SQLModel, table=True):
    """A configured account on a system, or one that files were imported for."""

    name: str = Field(primary_key=True)
    system: str


class Scope(SQLModel, table=True):
    """What is exported of a source."""

    source: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    request: str  # JSON: kind, ids, format, options, as asked last


class Run(SQLModel, table=True):
    """One execution for one scope. `ended_at` is empty while it is under way."""

    __table_args__ = (Index("run_by_scope", "source", "scope", "started_at"),)

    id: str = Field(primary_key=True)
    source: str
    scope: str
    system: str
    request: str  # JSON
    trigger: str
    flow_run: str
    job: str
    started_at: str
    holder: str = ""  # in flight: JSON of the process that runs it
    phase: str = ""  # in flight: what it is doing
    ended_at: str = ""
    ended: str = ""
    exit_code: int | None = None
    reason: str = ""
    hint: str = ""
    snapshot: str = ""
    bytes_fetched: int = 0


class Job(SQLModel, table=True):
    """An export at the vendor, from the intent to ask for it until its file is kept. In flight, all of it."""

    __table_args__ = (Index("job_by_scope", "source", "scope", "closed_at"),)

    id: str = Field(primary_key=True)
    source: str
    scope: str
    intent: str  # JSON
    opened_at: str
    asked_at: str = ""  # just before the request went out: from here on an export may exist
    ref: str = ""  # JSON; "" until the vendor's answer is saved
    status: str = ""  # JSON of the first answer that said ready
    closed_at: str = ""
    closed_because: str = ""


class SnapshotRow(SQLModel, table=True):
    """A snapshot, live or gone; of an erased or lost one, columns may be empty."""

    __tablename__ = "snapshot"
    __table_args__ = (Index("snapshot_by_scope", "source", "scope", "taken_at"),)

    id: str = Field(primary_key=True)  # of a lost one that nobody knows, its place
    source: str
    scope: str
    number: int
    run: str
    taken_at: str
    committed_at: str
    quality: str
    files: int
    size: int
    stored_bytes: int
    forgotten_at: str = ""
    forgotten_because: str = ""
    gone: str = ""  # why, as its tombstone says: forgotten, erased, lost; "" for a live one


class DecisionRow(SQLModel, table=True):
    """What a person decided about a snapshot."""

    __tablename__ = "decision"

    source: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    n: int = Field(primary_key=True)
    kind: str
    snapshot: str
    made_at: str
    by: str
    reason: str
    until: str = ""


class File(SQLModel, table=True):
    """A file of a snapshot: what was promised, what was measured."""

    snapshot: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    size: int
    crc32: int
    sha256: str = Field(index=True)
    promised_size: int | None = None
    promised_crc32: int | None = None
    promised_sha256: str | None = None


class CheckRow(SQLModel, table=True):
    """An answer of a run's verification."""

    __tablename__ = "check"

    run: str = Field(primary_key=True)
    place: int = Field(primary_key=True)
    name: str
    outcome: str
    file: str
    promised: str
    got: str
    reason: str
    count: int


class Lease(SQLModel, table=True):
    """Who may export with a credential now. In flight."""

    credential: str = Field(primary_key=True)
    holder: str  # JSON
    since: str
    expires_at: str


class PackRow(SQLModel, table=True):
    """A pack that a scrub has read: when it was last good, and when last not."""

    __tablename__ = "pack"

    digest: str = Field(primary_key=True)
    size: int  # bytes; 0 where it was never good
    last_good_at: str = ""
    last_bad_at: str = ""


class Head(SQLModel, table=True):
    """A link that was the newest of its chain when a scrub noted it."""

    chain: str = Field(primary_key=True)  # source/scope
    number: int = Field(primary_key=True)
    id: str = Field(primary_key=True)
    noted_at: str  # last


class ScrubRow(SQLModel, table=True):
    """A scrub."""

    __tablename__ = "scrub"

    id: str = Field(primary_key=True)
    started_at: str
    ended_at: str
    asked: str
    packs: int
    packs_read: int
    bytes_read: int
    findings: int


class DrillRow(SQLModel, table=True):
    """A restore for practice."""

    __tablename__ = "drill"

    id: str = Field(primary_key=True)
    snapshot: str
    source: str
    scope: str
    started_at: str
    ended_at: str
    outcome: str
    files: int
    bytes: int
    milliseconds: int
    problem: str  # the first; "" for none


class NoticeRow(SQLModel, table=True):
    """Something wrong that no run has a record of. In flight: each night says anew what goes on."""

    __tablename__ = "notice"

    kind: str = Field(primary_key=True)
    of: str = Field(primary_key=True)  # what was asked: the next answer takes the place of all of its notices
    about: str = Field(primary_key=True)  # what is wrong
    since: str  # first said, without a break
    said_at: str  # last
    sentence: str
    hint: str


UPKEEP = ("pack", "head", "scrub", "drill")  # tables since schema 2
DECISIONS = ("decision",)  # since schema 3
NOTICES = ("notice",)  # since schema 4


class Fact(SQLModel, table=True):
    """What the catalog knows of itself: the archive it indexes, the host it lives on."""

    name: str = Field(primary_key=True)
    value: str
