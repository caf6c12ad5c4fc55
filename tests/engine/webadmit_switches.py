"""What becomes of a night under each switch of the demo's WebAdMIT: a table, read by test_webadmit_switches.py.

The switches are those of the contract's section A7, and those of a network and of people who manage a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flows.errors import Exit
from storage.records import Ended
from tests.engine.school import NIGHTLY, PAPERS, SCHOOL

NIGHT = timedelta(minutes=2)  # what an undisturbed run takes at most; the export itself takes 37 s
TRIES = timedelta(minutes=4)  # four downloads
PATIENCE = timedelta(minutes=36)
EVERYTHING = f'export = "Everything"\n{SCHOOL}'  # CSVs in a ZIP
WORKBOOK = f'export = "Dean\'s workbook"\n{SCHOOL}'
FIXED = f'export = "Fixed width for SIS"\n{SCHOOL}'
PAGE = f'export = "Committee page"\n{SCHOOL}'


@dataclass(frozen=True, slots=True)
class Case:
    """Switches, and how a night under them must end: on the terminal, in the catalog, at the server."""

    name: str
    switches: Mapping[str, Any]
    ended: Ended = Ended.VERIFIED
    exit: Exit = Exit.DONE
    reason: tuple[str, ...] = ()  # words that the user sees
    hint: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)  # checks not available -> words of the reason
    runs: int = 1  # that the night starts
    next_runs: int = 1  # ... and the next one, with nothing wrong any more
    within: timedelta = NIGHT
    scope: str = NIGHTLY
    times: int | None = None  # uses of the switches
    table: Mapping[str, Any] = field(default_factory=dict)  # keys of [[source]]
    renewed: bool = False  # who makes a new key puts it where the source reads it
    then: str = "run"  # before the next night: "ends", what runs is available; "days", two days pass
    told: str = ""  # in what the checks got


def _vendor(name: str, switches: Mapping[str, Any], reason: str, hint: str, **other: Any) -> Case:
    return Case(name, switches, Ended.FAILED, Exit.VENDOR, (reason,), (hint,), **other)


def _store(name: str, switches: Mapping[str, Any], reason: str, **other: Any) -> Case:
    """The file cannot be had: its run is remembered, and the next night has it."""
    return _vendor(name, switches, reason, "no second export is started", next_runs=0, within=TRIES, **other)


def _odd(name: str, switches: Mapping[str, Any], *reason: str, hint: str = "does not count", **other: Any) -> Case:
    return Case(name, switches, Ended.QUARANTINED, Exit.QUARANTINED, reason, (hint,), **other)


NEWER, GONE = "may be newer than this version", "does not know this run any more"
LOST: dict[str, Any] = {
    "ended": Ended.LOST,
    "exit": Exit.VENDOR,
    "reason": (GONE,),
    "hint": ("starts a new export",),
}
REFUSED: dict[str, Any] = {
    "ended": Ended.FAILED, "exit": Exit.AUTHENTICATION, "reason": ("refuses the API key",),
    "hint": ("put the new one in its place",),
}  # fmt: skip
AWAY: dict[str, Any] = {"next_runs": 0, "within": PATIENCE}
OVER: dict[str, dict[str, Any]] = {
    "429": {}, "403": {"over_limit": 403}, "told": {"retry_after": True}, "fixed": {"fixed_window": True},
}  # fmt: skip
BROKE, AGAIN = "the connection broke", "run again later"

CASES = (
    # -- how a run ends
    Case("nothing wrong", {}),
    Case("success with errors", {"ends": "success_with_errors"}, Ended.PARTIAL, Exit.PARTLY),
    Case("documents with errors", {"ends": "success_with_errors"}, Ended.PARTIAL, Exit.PARTLY, scope=PAPERS),
    Case("an empty list", {"ends": "empty_list"}, Ended.EMPTY, Exit.PARTLY, ("nothing to export",),
         ("whether the scope holds anything",)),
    _vendor("a failure", {"ends": "failed"}, "WebAdMIT gives no reason", "run again to retry"),
    Case("an empty list, as in the documents", {"ends": "empty_list", "status_style": "seed"}, Ended.EMPTY,
         Exit.PARTLY, ("nothing to export",), ("whether the scope holds anything",)),
    _vendor("a failure, as in the documents", {"ends": "failed", "status_style": "seed"},
            "WebAdMIT gives no reason", "run again to retry"),
    _vendor("success with errors, and no file", {"ends": "success_with_errors", "no_link": True},
            "there is no file", "run again to retry"),
    _vendor("documents with errors, and no file", {"ends": "success_with_errors", "no_zips": True},
            "there is no file", "run again to retry", scope=PAPERS),
    _vendor("an end that nobody knows", {"ends": "polishing"}, "status 'Polishing' is not known", NEWER,
            then="days", within=PATIENCE),
    Case("no end", {"never_ends": True}, Ended.LOST, Exit.VENDOR, ("says In Progress for 1:0", "at most 1:00:00"),
         ("no call that ends a run", "a later end is used"), within=timedelta(hours=1, minutes=3),
         table={"ceiling_s": 3600.0}, then="ends", next_runs=0),
    Case("a long queue", {"queue_delay_s": 7200.0}, within=timedelta(hours=2, minutes=3)),
    # -- what it holds
    _odd("few rows", {"rows_left": 5}, "5 records, promised at least", hint="strongroom accept"),
    _odd("a heading alone", {"no_rows": True}, "0 records", hint="strongroom accept"),
    _odd("no documents", {"no_rows": True}, "0 members", hint="strongroom accept", scope=PAPERS),
    _odd("a ragged table", {"ragged": True}, "has 12 columns, the heading has 13"),
    _odd("a ragged report", {"ragged": True}, "has 239 characters, the first has 240", scope=FIXED),
    _odd("a file that ends early", {"short_object": 2000}, "is no CSV"),
    _odd("a broken member", {"bad_member": True}, "zip structure", scope=EVERYTHING),
    _odd("a broken document", {"bad_member": True}, "zip structure", scope=PAPERS),
    Case("a workbook as Excel writes it", {"xls_biff": True}, scope=WORKBOOK),
    _vendor("a batch without a file", {"no_zips": True}, "'available' and has no link", "Recent Files",
            scope=PAPERS, then="days", within=PATIENCE),
    Case("a batch of three files", {"zips": 3}, scope=PAPERS),
    # -- the start
    Case("a colleague's run", {"colleague_first": True}, runs=0, told="which was not there before"),
    Case("no run is shared", {"no_dedup": True}),
    Case("200 for a new run", {"post_code": 200}),
    Case("an error instead of the answer", {"start_500": True}, told="found again after its answer was lost"),
    Case("an answer lost", {"lose_start_answer": True}, told="found again after its answer was lost"),
    Case("an answer cut after the work", {"drop_request": 1, "drop_path": "{start}", "drop_after_work": True},
         told="found again after its answer was lost"),
    Case("an answer lost, and a number that is off", {"lose_start_answer": True, "export_id_off": True},
         told="found again after its answer was lost"),
    Case("a new key that nobody gave us", {"key_rotated": True}, **REFUSED, next_runs=0),
    Case("a new key in its place", {"key_rotated": True}, renewed=True),
    Case("callbacks", {"callback_early": True, "callback_doubled": True, "callback_forged": True,
                       "callback_on_failure": True}),  # none is asked for, so none comes
    # -- what a run says of itself
    _vendor("a word that nobody knows", {"status_word": "Polishing"}, "status 'Polishing' is not known", NEWER,
            **AWAY),
    _vendor("no link", {"no_link": True}, "'Available' and has no link", "Recent Files", **AWAY),
    Case("a link that is late", {"no_link": True}, times=2, within=TRIES),
    Case("a link that is null", {"null_link": True}),
    Case("a run forgotten", {"run_forgotten": True}, **LOST),
    Case("a run forgotten, as long ago", {"run_forgotten": True, "legacy_404": True}, **LOST),
    Case("a run forgotten, by the schema", {"run_forgotten": True, "schema_404": True}, **LOST),
    Case("a number that is off", {"export_id_off": True}),
    _vendor("a run elsewhere", {"strange_href": "https://evil.example.org/"}, "href is not as documented", NEWER,
            next_runs=0),
    # -- the link
    Case("a link that expired", {"link_life_s": -5.0}, times=2),
    _store("links that always expired", {"link_life_s": -5.0}, "the link had expired before it was used"),
    _vendor("a link elsewhere", {"link_origin": "https://evil.example.org"}, "a link to evil.example.org",
            "link_hosts", next_runs=0),
    Case("a link as they are today", {"sigv4": True}),
    Case("a name without quotes", {"bare_filename": True}),
    # -- the store
    _store("a refusal", {"store_status": 403}, "the store answers 403 (AccessDenied)"),
    _store("a store that is slow", {"store_status": 503}, "the store answers 503 (SlowDown)"),
    Case("an object gone", {"store_status": 404}, Ended.EXPIRED, Exit.VENDOR, ("NoSuchKey",), ("run again",)),
    _store("a page for the file", {"store_page": "html"}, "an HTML page in its place"),
    _store("an error for the file", {"store_page": "xml"}, "an XML document in its place"),
    _odd("a page for a page", {"store_page": "html"}, "it has no table", scope=PAGE),
    Case("a download cut", {"cut_after": 2000}, times=2, within=TRIES),
    _store("a download cut each time", {"cut_after": 2000}, BROKE),
    Case("a download cut, from the beginning again", {"cut_after": 2000, "no_range": True}, times=1, within=TRIES),
    Case("a download cut, and another object", {"cut_after": 2000, "object_changes": True}, times=1, within=TRIES),
    Case("another object afterwards", {"object_changes": True}, times=1),
    _store("more announced than comes", {"length_off": 100}, BROKE),
    _odd("less announced than there is", {"length_off": -100}, "has 2 columns, the heading has 13"),
    _store("no length", {"no_length": True}, "does not say how many bytes"),
    Case("a slow download", {"drip_s": 20.0}, within=TRIES),
    Case("a file in parts", {"parts_etag": True}, silent={"etag": "says nothing of its bytes"}),
    # -- everywhere
    Case("statuses as in the documents", {"status_style": "seed"}),
    Case("statuses of both kinds", {"status_style": "mixed"}),
    Case("fields that nobody knows", {"extra_fields": True}),
    Case("a short list", {"short_list": 1}),
    Case("a list without order", {"shuffled_list": True}),
    *(Case(f"an allowance used up ({name})", {"rate_limit": 6, **more}, within=timedelta(hours=4))
      for name, more in OVER.items()),
    Case("errors now and then", {"random_500": 0.3}, within=TRIES),
    Case("a key switched off", {"key_off": "rjones"}, **REFUSED, runs=0),
    Case("every key switched off", {"key_off": "*"}, **REFUSED, runs=0),
    Case("their clock ahead", {"clock_skew_s": 7200.0}),
    _odd("their clock behind", {"clock_skew_s": -7200.0}, "our clock and the system's do not agree",
         hint="strongroom accept"),
    # -- the way there
    _vendor("a proxy's page", {"next_status": 502}, "WebAdMIT answers 502", AGAIN, runs=0, within=PATIENCE),
    _vendor("a proxy's page for the run", {"next_status": 502, "next_status_path": "/api/v1/exports"},
            "WebAdMIT answers 502", AGAIN, **AWAY),
    Case("a proxy's page for the question", {"next_status": 502, "next_status_method": "POST"}, times=1,
         within=PATIENCE),
    _vendor("each connection cut", {"drop_request": 1}, BROKE, AGAIN, runs=0, within=PATIENCE),
    Case("each third connection cut", {"drop_request": 3}, within=TRIES),
)  # fmt: skip
