"""The switches that make GitLab's dialect misbehave, one plain field each; unset means a healthy server.

How they are set and counted is in switches.py; what a switch does is written where it is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flows.demo.switches import Switches


@dataclass
class GitLabFaults(Switches):
    """Those of an export can be aimed at one project, as "project/<id>"."""

    targets: ClassVar[str] = r"project/\d+"
    targets_told: ClassVar[str] = "project/<id>"
    aimable_until: ClassVar[str] = "exports_off"

    # taken by POST export, kept by the export that it starts
    export_fails: bool = False  # it ends, and there is no new file; nobody says so
    never_ends: bool = False  # started for ever
    pickup_s: float = 0.0  # seconds until a worker takes it up and the status tells of it, instead of the world's
    no_bundle: bool = False  # the repository is left out
    cut_bundle: int = 0  # ... or its bundle ends after so many bytes
    no_tree: bool = False  # what describes the project is left out
    bad_line: bool = False  # a line of issues.ndjson is no JSON
    short_file: int = 0  # the file itself ends after so many bytes, and nothing else tells
    tar_stops: bool = False  # the tar within the gzip ends in the middle, as when a disk was full
    # taken by POST export
    old_stays: bool = False  # the older file is not removed when a new export is asked for
    too_large: bool = False  # 400: the project exceeds the limit of exports
    start_500: bool = False  # it starts, the answer is a 500
    lose_start_answer: bool = False  # it starts, the connection is cut instead of the answer
    token_replaced: bool = False  # right after this answer the caller's token is another one
    # taken by GET export
    status_word: str = ""  # this word, whatever is true
    # taken by GET download
    stored: bool = False  # 302 to the object store, as without proxy_download
    login_page: bool = False  # 302 to a page of GitLab's own, as of a single sign-on before it
    not_yet: bool = False  # 404: not available yet
    html_page: str = ""  # 200 with a web page instead of the file
    cut_after: int = 0  # bytes sent, then the connection is cut; also at the store
    length_off: int = 0  # Content-Length is wrong by so much; the connection is closed after the body
    no_length: bool = False  # no Content-Length, the body ends with the connection
    link_life_s: float = 0.0  # seconds that a link to the store lives, instead of 600; negative: it is too old
    # of no single export, so they cannot be aimed: from here on
    exports_off: bool = False  # an administrator has switched project exports off: 404
    failed_word: bool = False  # as newer versions: `failed` instead of `none`, for a week
    no_limits: bool = False  # exports and downloads are not counted
    retry_after: bool = False  # 429 tells when to come back
    token_off: bool = False  # 401 without a body, for everybody
