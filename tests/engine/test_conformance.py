"""What every dialect must bear, point by point (contract webadmit.md, section B5): each one by a test for each.

A system that comes now takes the class of contract.py and a line in BY_CONTRACT. The first three have tests that
were written with their dialects; the table names them. What these show in one way is here, as one story over the
demo servers; for Mayan EDMS, which has no demo, it is in tests/mayan/test_conformance.py.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from flows.demo import Admissions, WebAdmitServer
from flows.demo.message import Response
from flows.errors import Exit
from flows.lifecycle import Engine
from flows.sources import DIALECTS, mayan, rspace, webadmit
from flows.sources.base import Capabilities, Source
from storage.archive import Archive
from storage.backend import open_url
from storage.records import Ended, RunRecord
from tests.engine import test_gitlab_contract as gitlab
from tests.engine.bench import Bench, Dying, Killed, Wrap, carry
from tests.engine.contract import Contract, Twice, Watched, process
from tests.engine.school import School

ROOT = Path(__file__).parents[2]
ENGINE, MAYAN = "tests/engine", "tests/mayan"
RSPACE, WEBADMIT = f"{ENGINE}/test_rspace", f"{ENGINE}/test_webadmit"
SWITCHES = f"{WEBADMIT}_switches.py"
HERE, THERE = f"{ENGINE}/test_conformance.py", f"{MAYAN}/test_conformance.py"
CAPABILITIES = {
    "rspace": rspace.CAPABILITIES,
    "webadmit": webadmit.CAPABILITIES,
    "mayan": mayan.CAPABILITIES,
}
LENGTHS = f"{ENGINE}/test_download.py::test_a_body_of_another_length_than_announced_is_refused"  # whose body it is

# The point, and by which tests it is proven for a dialect. A function tells by its capabilities why there is none.
POINTS: dict[str, dict[str, tuple[str, ...] | Callable[[Capabilities], bool]]] = {
    "a question and a job go on in a new process": {
        "rspace": ("tests/crash/test_kill.py::test_a_killed_run_is_finished_by_the_next",),
        "webadmit": (f"{HERE}::test_a_killed_process_is_gone_on_with",),
        "mayan": (f"{MAYAN}/test_kill.py::test_a_killed_night_is_finished_by_the_next",),
    },
    "each opening asks for a link of its own": {
        "rspace": (f"{HERE}::test_each_opening_asks_for_a_link",),
        "webadmit": (f"{HERE}::test_each_opening_asks_for_a_link",),
        "mayan": (f"{THERE}::test_each_try_asks_anew",),
    },
    "no link and no secret is written": {
        "rspace": (f"{ENGINE}/test_secrets_and_hostile.py::test_a_whole_night_puts_no_secret_anywhere",
                   "tests/e2e/test_secrets.py::test_the_key_is_nowhere"),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": (f"{THERE}::test_nothing_secret_is_written",
                  f"{ENGINE}/test_mayan_secrets.py::test_a_refusal_repeats_no_secret"),
    },
    "a death between the question and its note": {
        "rspace": (f"{ENGINE}/test_resume.py::test_a_run_killed_inside_a_verb_is_gone_on_with",),
        "webadmit": (f"{HERE}::test_a_death_inside_a_verb",),
        "mayan": (f"{MAYAN}/test_kill.py::test_a_killed_night_is_finished_by_the_next",),
    },
    "an unknown word is neither running nor done": {
        "rspace": (f"{RSPACE}_failures.py::test_an_unknown_word_is_neither_done_nor_running",),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": lambda caps: caps.recognised_by == "nothing to wait for",
    },
    "a range that is ignored is no tail": {
        "rspace": lambda caps: not caps.ranges,
        "webadmit": (f"{SWITCHES}::test_a_range_that_is_ignored",),
        "mayan": lambda caps: not caps.ranges,
    },
    "a link that expires between two tries": {
        "rspace": (f"{RSPACE}_bad_files.py::test_a_cut_download_is_fetched_again",),
        "webadmit": (f"{SWITCHES}::test_a_download_goes_on_where_it_broke",),
        "mayan": (f"{MAYAN}/test_export_failures.py::test_an_export_that_expires_before_it_is_fetched",),
    },
    "a short body, and a long one": {
        "rspace": (LENGTHS, f"{RSPACE}_bad_files.py::test_a_download_that_is_always_cut_keeps_the_job"),
        "webadmit": (LENGTHS, f"{SWITCHES}::test_every_switch"),
        "mayan": (LENGTHS, f"{MAYAN}/test_half_exports.py::test_one_that_breaks_off"),
    },
    "a page is no file": {
        "rspace": (f"{RSPACE}_bad_files.py::test_a_web_page_instead_of_the_zip_is_never_kept",),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": (f"{THERE}::test_a_page_is_no_file",),
    },
    "a run of somebody else's is told": {
        "rspace": lambda caps: caps.second_start == "refused",
        "webadmit": (f"{SWITCHES}::test_a_run_of_somebody_elses",),
        "mayan": lambda caps: caps.second_start == "new job",
    },
    "nothing, and a part, are no success": {
        "rspace": (f"{RSPACE}_selections.py::test_a_search_without_a_hit_ends_empty",
                   f"{RSPACE}_left_out.py::test_what_the_lists_do_not_show_is_left_out_where_that_is_allowed"),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": (f"{MAYAN}/test_login.py::test_a_scope_with_nothing_in_it_is_empty",
                  f"{MAYAN}/test_exports.py::test_a_version_that_goes_before_it_is_asked_for"),
    },
    "a refusal without a body is asked about once": {
        "rspace": (f"{HERE}::test_a_bare_refusal",),
        "webadmit": (f"{HERE}::test_a_bare_refusal",),
        "mayan": (f"{THERE}::test_a_bare_refusal_in_the_night",),
    },
    "what is somebody else's is neither taken nor removed": {
        "rspace": (f"{RSPACE}_found_again.py::test_the_file_of_another_scope_is_not_taken",),
        "webadmit": (f"{SWITCHES}::test_runs_of_others_are_left_alone",),
        "mayan": (f"{MAYAN}/test_exports.py::test_exports_of_others_and_by_hand_are_left_alone",),
    },
    "nothing is cleaned up that is not kept": {
        "rspace": (f"{HERE}::test_a_clean_up_has_its_receipt",),
        "webadmit": (f"{HERE}::test_a_clean_up_has_its_receipt",),
        "mayan": (f"{MAYAN}/test_kill.py::test_a_killed_night_is_finished_by_the_next",),  # from the spool on
    },
    "a new key in the middle of the night": {
        "rspace": (f"{RSPACE}_stuck.py::test_a_token_that_runs_out_is_read_again",),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": (f"{THERE}::test_a_bare_refusal_in_the_night",),
    },
    "a file that is another one at the next try": {
        "rspace": lambda caps: not caps.ranges,
        "webadmit": (f"{SWITCHES}::test_an_object_that_changed_is_fetched_whole",),
        "mayan": lambda caps: not caps.ranges,
    },
    "there is an end to waiting": {
        "rspace": (f"{RSPACE}_failures.py::test_a_zombie_ends_the_run_at_the_ceiling_and_is_remembered",),
        "webadmit": (f"{SWITCHES}::test_every_switch",),
        "mayan": (f"{MAYAN}/test_export_failures.py::test_without_a_worker",),
    },
}  # fmt: skip


# The point, and the test of `Contract` for it; and the class of each system that has that contract.
CONTRACT = {
    "a question and a job go on in a new process": "test_a_killed_process_is_gone_on_with",
    "each opening asks for a link of its own": "test_each_opening_asks_for_a_link",
    "no link and no secret is written": "test_nothing_secret_is_written",
    "a death between the question and its note": "test_a_death_inside_a_verb",
    "an unknown word is neither running nor done": "test_an_unknown_word_is_neither_done_nor_running",
    "a range that is ignored is no tail": "test_what_broke_off_is_fetched_whole",
    "a link that expires between two tries": "test_a_link_that_expires_between_two_tries",
    "a short body, and a long one": "test_a_short_body_and_a_long_one",
    "a page is no file": "test_a_page_is_no_file",
    "a run of somebody else's is told": "test_a_run_of_somebody_elses_is_told",
    "nothing, and a part, are no success": "test_nothing_and_a_part_are_no_success",
    "a refusal without a body is asked about once": "test_a_bare_refusal",
    "what is somebody else's is neither taken nor removed": "test_what_is_somebody_elses_is_not_taken",
    "nothing is cleaned up that is not kept": "test_a_clean_up_has_its_receipt",
    "a new key in the middle of the night": "test_a_new_key_in_the_middle_of_the_night",
    "a file that is another one at the next try": "test_what_broke_off_is_fetched_whole",
    "there is an end to waiting": "test_there_is_an_end_to_waiting",
}
BY_CONTRACT = {"gitlab": gitlab.TestGitLab}

# What clients of WebAdMIT's do wrong in the wild (section A6), in its order, and what shows that ours does not.
WILD = {
    "waits for ever for Available": f"{WEBADMIT}_status.py::test_every_end_ends",
    "knows one spelling": f"{WEBADMIT}_status.py::test_both_spellings_mean_the_same",
    "takes 201 for an error": f"{WEBADMIT}_night.py::test_any_success_and_either_spelling",
    "takes the first of a list": f"{SWITCHES}::test_runs_of_others_are_left_alone",
    "takes the last field for the link": f"{WEBADMIT}_night.py::test_a_night",
    "sends the key to the store": f"{WEBADMIT}_night.py::test_the_key_stays_where_it_belongs",
    "keeps an error as the file": f"{WEBADMIT}_link.py::test_what_the_store_says_instead",
    "holds the file in memory": f"{WEBADMIT}_link.py::test_a_file_passes_in_pieces",
    "prints its key": f"{SWITCHES}::test_every_switch",
    "sends a batch without its wrapper": f"{WEBADMIT}_wire.py::test_a_question_is_sent_as_documented",
    "forgets a file whose download failed": f"{SWITCHES}::test_every_switch",
    "prints the link": f"{WEBADMIT}_link.py::test_no_error_holds_a_link",
}


def test_each_mistake_of_others_has_a_test() -> None:
    """That ours does not make it."""
    assert len(WILD) == 12
    assert [name for name in WILD.values() if not exists(name)] == []


def test_each_point_is_proven_for_each_dialect() -> None:
    """By tests that exist, or its capabilities say why there is nothing to prove."""
    assert len(POINTS) == 17
    for point, dialects in POINTS.items():
        assert dialects.keys() == CAPABILITIES.keys(), point
        for system, proof in dialects.items():
            if callable(proof):
                assert proof(CAPABILITIES[system]), (point, system)
            else:
                assert [name for name in proof if not exists(name)] == [], (point, system)
                assert proof, (point, system)


def test_each_system_has_its_proof() -> None:
    """In the table, or by the class, which leaves none of its tests out."""
    assert CAPABILITIES.keys() | BY_CONTRACT.keys() == DIALECTS.keys()
    assert CONTRACT.keys() == POINTS.keys()
    named = {name for name in vars(Contract) if name.startswith("test_")}
    assert named == set(CONTRACT.values())
    for proof in BY_CONTRACT.values():
        assert issubclass(proof, Contract)
        assert not named & vars(proof).keys()


def exists(name: str) -> bool:
    """Whether there is a test of that name."""
    path, _, wanted = name.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == wanted for node in tree.body)


# -- one story over the demo servers


@dataclass
class Site:
    """A dialect, its bench, and what the tests ask of both."""

    bench: Bench | School
    engine: Callable[..., Engine]
    links: Callable[[], int]  # that were asked for
    asked: Callable[[], int]  # requests
    cut: str  # the switch that cuts a download
    refuse: Callable[[], None]  # from now on with 401 and no body


@pytest.fixture(params=["rspace", "webadmit"])
def site(request: pytest.FixtureRequest) -> Site:
    """Of the dialects that a demo server speaks."""
    if request.param == "webadmit":
        school: School = request.getfixturevalue("school")
        return Site(
            school,
            school.engine,
            lambda: school.world.links_issued,
            lambda: len(school.server.requests),
            "cut_after",
            lambda: school.world.faults.set(key_off="*"),
        )
    bench: Bench = request.getfixturevalue("bench")
    return Site(
        bench,
        bench.engine,
        lambda: sum("/jobs/" in seen[1] for seen in bench.server.requests),
        lambda: len(bench.server.requests),
        "truncate_after",
        lambda: bench.lie("/", lambda _request, _answer: Response(401, b"", "")),
    )


def test_each_opening_asks_for_a_link(site: Site) -> None:
    """Of two openings the second uses nothing of the first."""

    def links(wrap: Wrap) -> int:
        asked: list[int] = []
        record = carry(
            site.engine(wrap=wrap),
            between=lambda phase: asked.append(site.links()) if phase in ("download", "keep") else None,
        )
        assert record.ended is Ended.VERIFIED
        return asked[1] - asked[0]

    assert links(lambda source: cast(Source, Twice(source))) - links(lambda source: source) == 1


def test_a_bare_refusal(site: Site) -> None:
    """Exit 12 at once: a key that is dead does not live again by being asked about."""
    carry(site.engine())
    site.refuse()
    before = site.asked()
    record = carry(site.engine())

    assert (record.ended, record.exit_code) == (Ended.FAILED, Exit.AUTHENTICATION)
    assert site.asked() - before == 1
    assert record.hint


def test_a_clean_up_has_its_receipt(site: Site) -> None:
    """Once, when the snapshot is there; and never after a night that kept nothing."""
    watched: list[Watched] = []

    def night() -> RunRecord:
        def wrap(source: Source) -> Source:
            watched.append(Watched(source, site.bench.archive))
            return cast(Source, watched[-1])

        return carry(site.engine(wrap=wrap))

    site.bench.world.faults.set(**{site.cut: 100})
    assert (night().ended, watched[-1].receipts) == (Ended.FAILED, [])
    site.bench.world.faults.reset()
    record = night()
    assert (record.ended, watched[-1].receipts) == (Ended.VERIFIED, [record.snapshot])


# -- what has no test of its own beside WebAdMIT's


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["login", "discover", "prepare", "start", "poll", "files", "open", "inspect"])
def test_a_death_inside_a_verb(school: School, verb: str, after: bool) -> None:
    """One run, even where the process died between the answer to the question and our note of it."""
    with pytest.raises(Killed):
        carry(school.engine(wrap=lambda source: cast(Source, Dying(source, verb, after=after))))
    record = school.run()

    assert record.ended is Ended.VERIFIED
    assert len(school.ours()) == 1
    assert [found.id for found in school.archive.snapshots()] == [record.snapshot]


@pytest.mark.parametrize(
    "step",
    [
        "flows.sources.webadmit:WebAdMIT.prepare",
        "flows.sources.webadmit:WebAdMIT.start",
        "flows.sources.webadmit:WebAdMIT.poll",
        "flows.sources.webadmit:WebAdMIT.open",
        "storage.backend:LocalDisk.put_new",
    ],
)
def test_a_killed_process_is_gone_on_with(tmp_path: Path, step: str) -> None:
    """What is kept of a question and of its job is enough for another process: verified, by the one run."""
    archive = Archive.create(open_url(str(tmp_path / "archive")), now=datetime.now(UTC))
    with WebAdmitServer(Admissions(seed=1, start=datetime.now(UTC))) as server:
        (tmp_path / "strongroom.toml").write_text(
            f'[[source]]\nname = "admissions"\nsystem = "webadmit"\nurl = "{server.url}"\n'
            'poll_first_s = 0.05\npoll_longest_s = 0.2\napi_key = { env = "STRONGROOM_TEST_KEY" }\n'
            '[[source.scope]]\nname = "it"\nexport = "Nightly applicants"\n'
            'organization = "Demo School of Nursing"\n'
        )
        key = server.world.keys["rjones"]
        assert process(tmp_path, key, "admissions", step, 1) is None
        answer = process(tmp_path, key, "admissions", "none", 0)

        assert answer is not None
        assert answer["ended"] == "verified", answer
        assert len([run for run in server.world.runs.values() if run.started_by == "rjones"]) == 1
    assert len(archive.snapshots()) == 1
