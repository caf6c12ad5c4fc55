"""The switches that make WebAdMIT's dialect misbehave, one plain field each; unset means a healthy server.

Where nobody knows what the real one does, the default is what a careful client must expect, and a switch does the
other. What a switch does is written where it is taken; how it is set and counted is in switches.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from flows.demo.switches import Switches


@dataclass
class WebAdmitFaults(Switches):
    """Those of a run can be aimed at one export, as "export/<id>", or one PDF template, as "template/<id>"."""

    targets: ClassVar[str] = r"(export|template)/\d+"
    targets_told: ClassVar[str] = "export/<id> or template/<id>"
    aimable_until: ClassVar[str] = "status_style"

    # taken by POST of a run, kept by the run that it starts
    ends: str = ""  # success_with_errors, empty_list, failed or any other word, instead of available
    never_ends: bool = False  # in_progress for ever, so every later POST gets this run
    queue_delay_s: float = 0.0  # seconds in queued, instead of the world's own
    rows_left: int = 0  # the file holds only so many rows, the first ones
    no_rows: bool = False  # the file holds a header and no row; a PDF zip no document
    ragged: bool = False  # the last row lacks a column, or a character in a fixed width report
    short_object: int = 0  # the file itself ends after so many bytes, and nothing else tells
    bad_member: bool = False  # the last member of a zip does not have its CRC-32
    xls_biff: bool = False  # [?] Microsoft Excel is an OLE2/BIFF8 file instead of an HTML table
    no_zips: bool = False  # a PDF batch is available without any zip
    zips: int = 0  # a PDF batch comes in so many zips instead of one
    # taken by POST of a run
    colleague_first: bool = False  # a colleague has started the same just before: the POST gets that older run
    no_dedup: bool = False  # each POST starts a run of its own, whatever is running
    post_code: int = 0  # this status instead of 201
    start_500: bool = False  # the run starts, the answer is a 500
    lose_start_answer: bool = False  # the run starts, the connection is cut instead of the answer
    key_rotated: bool = False  # right after this answer the caller's key is replaced in the web interface
    callback_early: bool = False  # the callback says Available while the run is queued
    callback_doubled: bool = False  # the callback comes three times
    callback_forged: bool = False  # a callback names a run that never was
    callback_on_failure: bool = False  # [?] the callback comes for failed and empty_list, too
    # taken by GET of a run
    status_word: str = ""  # this word as status, whatever is true
    no_link: bool = False  # available, but without download_url
    null_link: bool = False  # [?] download_url is there as null while there is no file
    run_forgotten: bool = False  # [?] 404 for this run, though it was there
    export_id_off: bool = False  # export_id is another number than the one in href
    strange_href: str = ""  # this text as href
    # taken when a link is issued
    link_life_s: float = 0.0  # seconds that the link lives, instead of 25; negative: it comes too late already
    link_origin: str = ""  # https://host that the link points to, instead of the object store
    sigv4: bool = False  # [?] the link is signed as S3 does it today, with X-Amz-Signature
    bare_filename: bool = False  # [?] the file name in the link has no quotes
    # taken by GET at the object store
    store_status: int = 0  # this status with S3's error XML: 403, 404, 500, 503
    store_page: str = ""  # 200 with something else than the file: "html" or "xml"
    cut_after: int = 0  # bytes of the body sent, then the connection is cut
    length_off: int = 0  # Content-Length is wrong by so much; the connection is closed after the body
    no_length: bool = False  # no Content-Length, the body ends with the connection
    drip_s: float = 0.0  # seconds before each 4,096 bytes of the body
    no_range: bool = False  # Range is ignored: 200 with everything
    object_changes: bool = False  # after this download the object is another one, with another ETag
    parts_etag: bool = False  # the ETag is that of a multipart upload, no MD5
    # not of one run, so they cannot be aimed: from here on
    status_style: str = ""  # "seed": statuses of exports in snake_case; "mixed": now so, now so
    legacy_404: bool = False  # {"message":"Not Found"} instead of what was not found
    schema_404: bool = False  # {"errors":{"schema":[...]}} instead of a message
    extra_fields: bool = False  # fields that no documentation knows, in each JSON object
    short_list: int = 0  # Recent Files shows only so many, the newest ones
    shuffled_list: bool = False  # Recent Files comes in another order each time
    rate_limit: int = 0  # calls per key and hour, instead of 5,000
    over_limit: int = 0  # [?] status beyond the limit, instead of 429
    retry_after: bool = False  # [?] the answer beyond the limit tells when to come back
    fixed_window: bool = False  # [?] the hour of the limit begins anew as a whole, instead of rolling
    random_500: float = 0.0  # share of GETs that answer 500
    key_off: str = ""  # username whose key gets 401 everywhere; "*" for all
    clock_skew_s: float = 0.0  # WebAdMIT's and the store's clocks are ahead of the world by so much


SWITCHES: dict[str, Any] = WebAdmitFaults.healthy()
AIMABLE = WebAdmitFaults.aimable()
