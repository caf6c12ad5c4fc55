"""What becomes of a run under each switch of the demo server: a table, read by test_every_switch.py.

The switches are those of the contract's section 13, and those of a network and of people who manage a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flows.errors import Exit
from storage.records import Ended

SELECTION = "selection:131,135"  # of mrossi's first documents
EXPORT = timedelta(seconds=50)  # what an undisturbed run takes at most; the export itself takes 37 s
TRIES = timedelta(minutes=2)  # four downloads
OWN_LIST = "documents in RSpace's own list"


@dataclass(frozen=True, slots=True)
class Case:
    """Switches, and how a run under them must end: on the terminal, in the catalog, at the server."""

    name: str
    switches: Mapping[str, Any]
    ended: Ended = Ended.VERIFIED
    exit: Exit = Exit.DONE
    reason: tuple[str, ...] = ()  # words that the user sees
    hint: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)  # checks that are not available -> words of the reason
    exports: int = 1  # started at the server by this run
    next_starts: int = 1  # exports that the next run, with nothing wrong any more, starts
    within: timedelta = EXPORT
    scope: str = "user"
    table: Mapping[str, Any] = field(default_factory=dict)  # keys of [[source]]


def _refused(name: str, switches: Mapping[str, Any], reason: str, hint: str, **other: Any) -> Case:
    """A run that ends at once, with nothing started."""
    return Case(name, switches, reason=(reason,), hint=(hint,), exports=0, within=timedelta(), **other)


def _vendor(name: str, switches: Mapping[str, Any], *reason: str, hint: str, **other: Any) -> Case:
    return Case(name, switches, Ended.FAILED, Exit.VENDOR, reason, (hint,), **other)


NEVER_TOLD = {"size": "came without one", "crc32": "came without one"}
RETRY, REMEMBERED = "run again to retry", "no second export is started"
NO_LOG = "activity log cannot be read"
NEW_EXPORT = "run again for a new export"
AWAY: dict[str, Any] = {"within": timedelta(minutes=31), "next_starts": 0}
UNASKED: dict[str, Any] = {"exports": 0, "next_starts": 1, "within": timedelta(minutes=31)}

CASES = (
    # -- survived: verified, and what could not be asked is told
    Case("a long queue", {"queue_delay_s": 7200.0}, within=timedelta(hours=2, minutes=2)),
    Case("a long planning", {"planning_delay_s": 600.0}, within=timedelta(minutes=11)),
    Case("a comma locale", {"comma_locale": True}),
    Case("an address that only RSpace knows", {"url_prefix": "https://eln.invalid/rspace"}),
    Case("a bucket elsewhere", {"foreign_enclosure": True}),
    Case("a limit on requests", {"throttling": True}, within=timedelta(minutes=2)),
    Case("an answer lost", {"lose_start_answer": True}, silent=NEVER_TOLD),
    Case(
        "an answer cut after the work",
        {"drop_request": 1, "drop_path": "/api/v1/export/xml", "drop_after_work": True},
        silent=NEVER_TOLD,
    ),
    Case("an event lost", {"event_lost": True}, silent={OWN_LIST: "its EXPORT event is not in the activity log"}),
    Case("a log that fails", {"activity_status": 500}, silent={OWN_LIST: f"{NO_LOG}: RSpace answers 500"}),
    Case("a log that is refused", {"activity_status": 401}, silent={OWN_LIST: "does not show this user"}),
    Case("a log moved away", {"activity_rotated": True}, silent={OWN_LIST: "not in the activity log"}),
    Case("each third connection cut", {"drop_request": 3}, within=TRIES),
    # -- the export
    _vendor("a failure", {"job_fails": "java.io.IOException: disk quota exceeded"},
            "the export failed", "java.io.IOException: disk quota exceeded", hint=RETRY),
    _vendor("a launch that failed", {"launch_failed": True}, "RSpace gives no reason", hint=RETRY,
            within=timedelta()),
    _vendor("an error for ever", {"job_500": True}, "has answered with an error since", "Value for key=[result]",
            hint=RETRY, within=timedelta(minutes=12)),
    _vendor("a bucket without the file", {"s3_missing": True}, "Couldn't find export on S3", hint=RETRY,
            within=timedelta(minutes=12)),
    Case("a zombie", {"zombie": True}, Ended.LOST, Exit.VENDOR, ("says STARTED for 1:0", "at most 1:00:00"),
         ("zombie", "close execution 24 in its table BATCH_JOB_EXECUTION"),
         within=timedelta(hours=1, minutes=1), table={"ceiling_s": 3600.0}),
    Case("a history wiped", {"history_wiped": True}, Ended.LOST, Exit.VENDOR,
         ("the job is lost", "does not know this job any more"), ("it starts a new export",)),
    Case("a purge", {"purge_at_once": True}, Ended.EXPIRED, Exit.VENDOR, ("has removed the export file",),
         ("run again to start a new export",)),
    # -- what it holds
    Case("a document missing", {"missing_document": True}, Ended.QUARANTINED, Exit.QUARANTINED,
         ("documents in the file 3 of them, promised 4", "missing: SD131"), ("does not count as a backup",)),
    Case("an empty export", {"empty_export": True}, Ended.QUARANTINED, Exit.QUARANTINED,
         ("0 of them, promised 4", "missing: SD131, SD135"), ("does not count as a backup",)),
    # -- the file
    Case("a wrong checksum", {"wrong_crc": True}, Ended.FAILED, Exit.VERIFICATION,
         ("crc32", "promised", "4 of 4 times"), (NEW_EXPORT,), within=TRIES),
    Case("a web page", {"html_page": "page"}, Ended.FAILED, Exit.VERIFICATION,
         ("size 98, promised", "4 of 4 times"), (NEW_EXPORT,), within=TRIES),
    Case("a web page of the right size", {"html_page": "padded"}, Ended.FAILED, Exit.VERIFICATION,
         ("crc32", "promised", "4 of 4 times"), (NEW_EXPORT,), within=TRIES),
    _vendor("a download that is cut", {"truncate_after": 2000}, "the connection broke", hint=REMEMBERED,
            within=TRIES, next_starts=0),
    _vendor("a proxy's page for the file",
            {"next_status": 503, "next_status_path": "/api/v1/export", "next_status_method": "GET"},
            "RSpace answers 503", hint=REMEMBERED, within=TRIES, next_starts=0),
    # -- the start
    _refused("a refusal", {"refused": True}, "RSpace refuses user: Unauthorized attempt by mrossi",
            "its user may export this scope", ended=Ended.FAILED, exit=Exit.AUTHENTICATION),
    _refused("a full disk there", {"no_disk_space": True}, "Insufficient disk space", "must make room",
            ended=Ended.FAILED, exit=Exit.VENDOR),
    _refused("a launcher that refuses", {"launch_refused": True}, "couldn't launch export job",
            "its administrator finds more in its error log", ended=Ended.FAILED, exit=Exit.VENDOR),
    _refused("a record that may not be read", {"unreadable_id": 135}, "SD135 may not be read by this user",
            "take 135 out of the scope, or set leave_out_unreadable", ended=Ended.FAILED, exit=Exit.USAGE,
            scope=SELECTION),
    _refused("somebody who never logged in", {"no_home": "tokafor"}, "account has not been initialised",
            "never logged in", ended=Ended.EMPTY, exit=Exit.PARTLY, scope="user:2"),
    # -- the key, and the way there
    _refused("a user switched off", {"user_off": "mrossi"}, "RSpace refuses the key", "that its user is enabled",
            ended=Ended.FAILED, exit=Exit.AUTHENTICATION),
    _refused("everybody switched off", {"user_off": "*"}, "RSpace refuses the key", "that its user is enabled",
            ended=Ended.FAILED, exit=Exit.AUTHENTICATION),
    _vendor("a proxy's page", {"next_status": 502}, "RSpace answers 502", hint="run again later", **UNASKED),
    _vendor("each connection cut", {"drop_request": 1}, "the connection broke", hint="run again later", **UNASKED),
    _vendor("a proxy's page for the job", {"next_status": 502, "next_status_path": "/api/v1/jobs"},
            "RSpace answers 502", hint=REMEMBERED, **AWAY),
    _vendor("each question about the job cut", {"drop_request": 1, "drop_path": "/api/v1/jobs"},
            "the connection broke", hint=REMEMBERED, **AWAY),
)  # fmt: skip
