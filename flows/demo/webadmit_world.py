"""The demo's admissions offices: their clock, keys, runs, files and switches. It speaks no HTTP.

WebAdMIT's dialect asks it; tests and the control address change it.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

from flows.demo import webadmit_office, webadmit_papers, webadmit_runs
from flows.demo.webadmit_applicants import Pool, Row, rows
from flows.demo.webadmit_callbacks import Callbacks
from flows.demo.webadmit_faults import WebAdmitFaults
from flows.demo.webadmit_formats import export_file
from flows.demo.webadmit_limits import Limits
from flows.demo.webadmit_links import issue
from flows.demo.webadmit_office import DIRECTOR, OTHER, Export, Identity, Template
from flows.demo.webadmit_runs import BATCH, EXPORT, FOR_EVER, Run, Stored
from flows.demo.worldclock import START, WorldClock

LINK_LIFE_S = 25.0
_KEPT = 8  # objects in memory; the others are made again when asked for
_OPEN_FOR = timedelta(days=60)  # the current cycle, when the world begins


class Admissions:
    """Thread-safe. What is in the files depends on seed, `applicants`, `start` and the clock, on nothing else.

    `applicants` of an organisation are there on the day on which its cycle opened, sixty days before `start`;
    since then 0 to 3 more have come each day, and about one in twenty has changed. `clock`: that of another
    world, to share it; by default one of its own that begins at `start`.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        applicants: int = 40,
        start: datetime = START,
        clock: WorldClock | None = None,
        ticks: Callable[[], float] = time.monotonic,
        init_s: float = 0.02,
        queue_s: float = 0.03,
        run_s: float = 0.15,
    ) -> None:
        self.seed = seed
        self.clock = clock or WorldClock(start, ticks)
        self.faults = WebAdmitFaults()
        self.limits = Limits()
        self.office = webadmit_office.build(self.clock.base())
        self.init_s = init_s  # seconds that a run stays Initializing
        self.queue_s = queue_s  # ... Queued
        self.run_s = run_s  # ... In Progress
        self.pdf_bytes = 0  # in each PDF besides its page, not compressible
        self.serve_file: Path | None = None  # the next run that is started over HTTP serves this file instead
        self.store_origin = ""  # http://host:port of the object store
        self.wait: Callable[[float], object] = threading.Event().wait  # real seconds, for slow downloads
        self.runs: dict[int, Run] = {}  # of exports
        self.batches: dict[int, Run] = {}
        self.links_issued = 0
        self.issued: set[str] = set()  # path and query of every link
        self.links_altered = 0  # requests to the store by a link that was not issued like that
        self.leaked: list[str] = []  # whose x-api-key reached the object store; "?" where nobody has such a key
        self.callbacks = Callbacks()
        self.keys = {person: self._new_key(person, 0) for person in (DIRECTOR, OTHER)}
        self._rotations = 0
        self._applicants = applicants
        self._began = self.clock.base()
        self._opened: dict[str, date] = {}
        self._run_ids = itertools.count(267520)
        self._batch_ids = itertools.count(4201)
        self._zip_ids = itertools.count(9001)
        self._made: dict[tuple[str, int], bytes] = {}  # the objects that were last asked for
        self.lock = threading.RLock()
        self._remember_schedule()

    # -- time ---------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self.clock.now()

    def server_now(self) -> datetime:
        """By WebAdMIT's own clock, and the object store's."""
        return self.now() + timedelta(seconds=self.faults.peek("clock_skew_s"))

    def advance(self, seconds: float) -> None:
        """Move the clock, and deliver the callbacks that were due."""
        self.clock.advance(seconds)
        self.deliver()

    def pass_nights(self, count: int = 1) -> None:
        """Move on by whole days: applicants come and change by the calendar."""
        self.advance(count * timedelta(days=1).total_seconds())

    def deliver(self) -> None:
        """Send every callback that is due by now."""
        with self.lock:
            found = [*self.runs.values(), *self.batches.values()]
        self.callbacks.send_due(found, self.now())

    # -- keys and people ----------------------------------------------------------------------------------

    def person_of(self, key: str) -> str:
        """Whose key it is; "" for nobody's, and while it is switched off."""
        person = next((name for name, own in self.keys.items() if own == key), "")
        off = self.faults.peek("key_off", "")
        if person and off in (person, "*"):
            self.faults.take("key_off")
            return ""
        return person

    def rotate_key(self, person: str = DIRECTOR) -> str:
        """Somebody generates a new key in the web interface: the old one is worth nothing. Returns the new one."""
        if person not in self.keys:
            raise ValueError(f"rotate_key: no such user {person}, known are {', '.join(self.keys)}")
        self._rotations += 1
        self.keys[person] = self._new_key(person, self._rotations)
        return self.keys[person]

    def _new_key(self, person: str, rotation: int) -> str:
        return hashlib.sha256(f"{self.seed}:{person}:{rotation}".encode()).hexdigest()[:32]

    def identity(self, organization: str = "Demo School of Nursing", cycle: str = "") -> Identity:
        """An admissions identity by its organisation, of its newest cycle by default. Raises KeyError for none."""
        found = [i for i in self.office.identities.values() if i.organization == organization]
        found = [i for i in found if cycle in ("", i.cycle)]
        if not found:
            raise KeyError(organization)
        return max(found, key=lambda i: i.cycle or "")

    def export(self, name: str = "Nightly applicants", organization: str = "Demo School of Nursing") -> Export:
        """An export of the newest cycle by its name. Raises KeyError for none."""
        for export in self.office.exports_of(self.identity(organization).id):
            if export.name == name:
                return export
        raise KeyError(name)

    def template(self, name: str = "Full applications") -> Template:
        """A PDF template of the nursing school's newest cycle by its name. Raises KeyError for none."""
        for template in self.office.templates_of(self.identity().id):
            if template.name == name:
                return template
        raise KeyError(name)

    # -- runs ---------------------------------------------------------------------------------------------

    def running(self, kind: str, template_id: int) -> Run | None:
        """The run of this export or template that has not ended."""
        now = self.now()
        with self.lock:
            found = (self.runs if kind == EXPORT else self.batches).values()
            return next(
                (r for r in found if r.template_id == template_id and webadmit_runs.is_running(r, now)), None
            )

    def start(
        self, template: Export | Template, by: str, *, began_at: datetime | None = None, ends: str = ""
    ) -> Run:
        """A new run, whatever else is running. Takes the switches that decide how it will end.

        `by` is a username, or "schedule". With `began_at` it has begun then, is healthy, and takes no switch.
        """
        with self.lock:
            kind, runs, ids = (EXPORT, self.runs, self._run_ids)
            if isinstance(template, Template):
                kind, runs, ids = (BATCH, self.batches, self._batch_ids)
            faults = self.faults if began_at is None else WebAdmitFaults()
            target = f"{kind}/{template.id}"
            began = began_at or self.now()
            queued = began + timedelta(seconds=self.init_s)
            works = queued + timedelta(seconds=faults.take("queue_delay_s", target) or self.queue_s)
            work = FOR_EVER if faults.take("never_ends", target) else timedelta(seconds=self.run_s)
            number = next(ids)
            run = Run(
                number, kind, template, by, began, queued, works, works + work,
                ends or faults.take("ends", target) or "available",
                webadmit_runs.flaws(faults, target), self._files(kind, number, target, faults),
            )  # fmt: skip
            if began_at is None:
                run.serve_file, self.serve_file = self.serve_file, None
            run.callback_early = faults.take("callback_early", target)
            run.callback_doubled = faults.take("callback_doubled", target)
            run.callback_forged = faults.take("callback_forged", target)
            run.callback_on_failure = faults.take("callback_on_failure", target)
            runs[run.id] = run
            return run

    def start_elsewhere(
        self, template_id: int, *, ago_s: float = 0.0, by: str = "schedule", ends: str = ""
    ) -> Run:
        """Somebody starts an export or a PDF batch in the web interface. Raises ValueError on an unknown id."""
        found = self.office.exports.get(template_id) or self.office.templates.get(template_id)
        if found is None:
            raise ValueError(f"{template_id}: no such export or template")
        return self.start(found, by, began_at=self.now() - timedelta(seconds=ago_s), ends=ends)

    def close_stuck(self) -> int:
        """Set what hangs to failed, as the vendor's support does; how many there were."""
        now = self.now()
        with self.lock:
            stuck = [r for r in [*self.runs.values(), *self.batches.values()] if r.ends_at - now > FOR_EVER / 2]
            for run in stuck:
                webadmit_runs.close(run, now)
            return len(stuck)

    def most_at_once(self, by: str = DIRECTOR) -> int:
        """How many runs that one person started were running at the same time, at most."""
        with self.lock:
            return webadmit_runs.most_at_once([*self.runs.values(), *self.batches.values()], by)

    def _remember_schedule(self) -> None:
        """The runs of the last nights that an SFTP schedule started, of each identity."""
        for identity in self.office.identities.values():
            for days in (2, 1):
                for export in self.office.exports_of(identity.id)[2:4]:
                    self.start_elsewhere(export.id, ago_s=days * 86400.0)

    def _files(self, kind: str, number: int, target: str, faults: WebAdmitFaults) -> tuple[Stored, ...]:
        if kind == EXPORT:
            return (Stored(self._key("export_files/reports", number, "txt"), number),)
        if faults.take("no_zips", target):
            return ()
        count = faults.take("zips", target) or 1
        ids = [next(self._zip_ids) for _ in range(count)]
        return tuple(
            Stored(self._key("pdf_manager_zip_files/zips", id_, "zip"), id_, part, count)
            for part, id_ in enumerate(ids)
        )

    def _key(self, folder: str, number: int, suffix: str) -> str:
        digits = f"{number:09d}"
        secret = Random(f"{self.seed}:{folder}:{number}").randbytes(16).hex()
        return f"{folder}/{digits[:3]}/{digits[3:6]}/{digits[6:]}/{secret}_original.{suffix}"

    # -- files --------------------------------------------------------------------------------------------

    def applicants(self, identity_id: int, at: datetime) -> list[Row]:
        """Everybody in the pool of an identity's organisation and cycle, as known at that moment."""
        identity = (self.office.identities | self.office.former)[identity_id]
        cycle = identity.cycle or ""
        current = webadmit_office.cycle_at(self._began)
        opened = self._opened.get(cycle, (self._began - _OPEN_FOR).date())
        first = self._applicants
        if cycle < current:
            opened, first = opened - timedelta(days=365), self._applicants + 20
        elif cycle > current:
            first = self._applicants // 4
        return rows(Pool(f"{self.seed}:{identity.organization}:{cycle}", opened, first), at.date())

    def roll_over(self, *, transfer: bool = True, retire: bool = False) -> None:
        """A new cycle opens today: new identity ids, new export ids, few applicants."""
        with self.lock:
            self.office.roll_over(transfer=transfer, retire=retire)
            self._opened[max(i.cycle for i in self.office.identities.values() if i.cycle)] = self.now().date()

    def body(self, run: Run, stored: Stored) -> bytes:
        """The bytes of one object: the same at each question, until `object_changes`."""
        with self.lock:
            name = (stored.key, run.flaws.revised)
            if name not in self._made:
                while len(self._made) >= _KEPT:
                    del self._made[next(iter(self._made))]
                self._made[name] = self._make(run, stored)
            return self._made[name]

    def _make(self, run: Run, stored: Stored) -> bytes:
        if run.serve_file is not None:
            return run.serve_file.read_bytes()
        listed = self._listed(run)
        if isinstance(run.template, Export):
            return export_file(run.template.format, listed, run.flaws)
        shown = listed if run.flaws.rows is None else listed[: run.flaws.rows]
        data = webadmit_papers.zip_file(
            shown, stored.part, stored.parts,
            ballast=self.pdf_bytes, bad_member=run.flaws.bad_member, revised=run.flaws.revised,
        )  # fmt: skip
        return data[: run.flaws.short_to] if run.flaws.short_to else data

    def _listed(self, run: Run) -> list[Row]:
        """The applicants of a run's list, as they were when it began its work."""
        everybody = self.applicants(run.identity_id, run.works_at)
        list_type = run.template.list_type if isinstance(run.template, Export) else "all"
        if list_type == "clipboard":
            return everybody[:3]
        return [row for row in everybody if row[7] != "In Progress"] if list_type == "search" else everybody

    def find(self, key: str) -> tuple[Run, Stored] | None:
        """Whose object lies under a key."""
        with self.lock:
            for run in [*self.runs.values(), *self.batches.values()]:
                for stored in run.files:
                    if stored.key == key:
                        return run, stored
        return None

    def link(self, run: Run, stored: Stored, *, filename: str, mime_type: str) -> str:
        """A new signed link to an object, by WebAdMIT's own clock."""
        with self.lock:
            self.links_issued += 1
            life = self.faults.take("link_life_s", run.target) or LINK_LIFE_S
            quoted = filename if self.faults.take("bare_filename", run.target) else f'"{filename}"'
            url = issue(
                self.faults.take("link_origin", run.target) or self.store_origin,
                stored.key,
                serial=self.links_issued,
                until=self.server_now() + timedelta(seconds=life),
                now=self.server_now(),
                overrides={
                    "response-content-disposition": f"attachment; filename={quoted}",
                    "response-content-type": mime_type,
                },
                v4=self.faults.take("sigv4", run.target),
            )
            self.issued.add("/" + url.split("/", 3)[3])
            return url
