"""The switches that make RSpace's dialect misbehave, one plain field each; unset means a healthy server.

It is a list; how they are set and counted is in switches.py, what a switch does is written where it is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from flows.demo.switches import Switches


@dataclass
class Faults(Switches):
    """Those of an export can be aimed at the target of the request.

    A user's own export is "user", or "user/<id>" if asked by id.
    """

    targets: ClassVar[str] = r"(user|group)(/\d+)?|selection"
    targets_told: ClassVar[str] = "user, user/<id>, group, group/<id> or selection"
    aimable_until: ClassVar[str] = "history_wiped"

    # taken by POST export, kept by the job it starts
    queue_delay_s: float = 0.0  # seconds in STARTING, instead of the world's own
    job_fails: str = ""  # FAILED, with this exception text in `errors`
    job_500: bool = False  # each GET of the finished job answers 500, for ever
    zombie: bool = False  # STARTED for ever, so every later POST of this user gets 429
    launch_failed: bool = False  # the 202 already says FAILED
    purge_at_once: bool = False  # COMPLETED with null size, download 500
    wrong_crc: bool = False  # the promised CRC32 is not the file's
    missing_document: int = 0  # this document or gallery file is silently left out (True: the first document)
    empty_export: bool = False  # COMPLETED with a small valid zip without documents
    foreign_enclosure: bool = False  # the download link points to the second host, signed, S3 style
    s3_missing: bool = False  # as foreign_enclosure, but the object is gone: each GET of the job answers 500
    event_lost: bool = False  # its EXPORT event never appears in the activity log
    # taken by POST export, before there is a job
    refused: bool = False  # 401/40101 as for somebody who may not export this
    planning_delay_s: float = 0.0  # real seconds before the 202
    lose_start_answer: bool = False  # the job starts, the connection is cut instead of the 202
    no_disk_space: bool = False  # 500/50001 instead of starting
    launch_refused: bool = False  # 500/50004 instead of starting
    unreadable_id: int = 0  # a selection holding this id is refused with 500/50004
    no_home: str = ""  # this username never logged in: exporting it is refused with 500/50001
    # taken by GET job
    comma_locale: bool = False  # polling a started job answers 422, as before 2.25
    # taken by GET download
    truncate_after: int = 0  # bytes sent of the promised Content-Length, then the connection is cut
    html_page: str = ""  # 200 with a web page instead of the zip: "page", or "padded" to the promised size
    # not of one export, so they cannot be aimed: from here on
    history_wiped: bool = False  # taken by GET job: all present jobs are forgotten, 404
    # taken by GET activity
    activity_status: int = 0  # this HTTP status with an ApiError
    activity_rotated: bool = False  # the log is rotated: what is older than now is no longer found, 200
    # for any request
    throttling: bool = False  # real token buckets instead of constant headers
    url_prefix: str = ""  # host written into links, instead of the request's own
    user_off: str = ""  # username whose key gets 401 everywhere; "*" for all


SWITCHES: dict[str, Any] = Faults.healthy()
AIMABLE = Faults.aimable()
