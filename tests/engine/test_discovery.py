"""Every-scopes by rule and on a real demo server: who runs, who is new, who has vanished, and how it is told."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import discovery, health
from flows.discovery import Tonight
from flows.errors import ConfigError, Exit, SourceError
from flows.export import Scope
from flows.night import Found, Line, Night
from flows.roster import Muster, known_members, member_called, muster
from flows.sources.rspace_scopes import member, scope_from_table
from storage.records import Ended, KnownScope
from tests.engine.bench import GROUP, Bench

IDS = st.sets(st.integers(1, 30))


def every_user(*left_out: int, **table: Any) -> Scope:
    """An every-scope."""
    return scope_from_table({"kind": "user", "every": True, "except": list(left_out), **table})


def user(number: int) -> KnownScope:
    """A user that was backed up before."""
    return KnownScope(f"user:{number}", {"kind": "user", "id": str(number), "format": "xml"}, live=True)


def mustered(every: Scope, listed: set[int] | None, known: list[KnownScope], **given: Any) -> Muster:
    """`muster` with numbers."""
    call = partial(member, every)
    scopes = None if listed is None else [call(str(number)) for number in sorted(listed)]
    return muster(every, call, scopes, known, **given)


def names(numbers: set[int]) -> set[str]:
    """Chains of users."""
    return {f"user:{number}" for number in numbers}


# -- the rules


@given(listed=IDS, live=IDS, tried=IDS, left_out=IDS, alone=IDS)
def test_nobody_is_forgotten_and_nobody_runs_twice(
    listed: set[int], live: set[int], tried: set[int], left_out: set[int], alone: set[int]
) -> None:
    """Who is listed runs; who has a snapshot and is not listed has vanished; only `except` silences."""
    known = [user(number) for number in live]
    known += [KnownScope(one.name, one.request, live=False) for one in map(user, tried - live)]

    found = mustered(every_user(*left_out), listed, known, alone=names(alone))

    assert set(found.run) == names(listed - left_out - alone)
    assert set(found.vanished) == names(live - listed - left_out - alone)
    assert len(set(found.run)) == len(found.run)
    assert found.first == (not live and not tried)
    assert set(found.new) == (set() if found.first else names(listed - live - tried - left_out - alone))


@given(live=IDS, tried=IDS, left_out=IDS, alone=IDS)
def test_where_nobody_can_be_asked_all_who_are_known_run(
    live: set[int], tried: set[int], left_out: set[int], alone: set[int]
) -> None:
    """And nothing is said of who is new or gone, for nobody knows."""
    known = [user(number) for number in live]
    known += [KnownScope(one.name, one.request, live=False) for one in map(user, tried - live)]

    found = mustered(every_user(*left_out), None, known, alone=names(alone))

    assert set(found.run) == names((live | tried) - left_out - alone)
    assert (found.new, found.vanished, found.first) == ((), (), False)


def test_members_are_told_by_name_and_by_what_was_asked() -> None:
    """Another format, a prefix, a selection of the same name or another kind are other chains."""
    known = [
        user(10),
        user(9),
        KnownScope("user:7:html", {"kind": "user", "id": "7", "format": "html"}, live=True),
        KnownScope("full:user:7", {"kind": "user", "id": "7", "format": "xml", "revisions": True}, live=True),
        KnownScope("group:7", {"kind": "group", "id": "7", "format": "xml"}, live=True),
        KnownScope("user:8", {"kind": "selection", "id": "", "ids": [1]}, live=True),
        KnownScope("user", {"kind": "user", "id": "", "format": "xml"}, live=True),
    ]

    def of(**table: Any) -> list[str]:
        every = every_user(**table)
        return list(known_members(every, partial(member, every), known))

    assert of() == ["user:9", "user:10"]
    assert of(format="html") == ["user:7:html"]
    assert of(name="full", revisions=True) == ["full:user:7"]
    assert of(kind="group") == ["group:7"]


@given(number=st.integers(1, 10**9), name=st.text("abu:ser7", max_size=12))
def test_a_member_is_found_by_its_name_alone(number: int, name: str) -> None:
    """Whatever prefix its every-scope has."""
    every = every_user(name=name) if name.strip() else every_user()
    call = partial(member, every)

    assert member_called(call, call(str(number)).name) == call(str(number))
    assert member_called(call, every.name) is None


# -- how it is told


def line(number: int, ended: str, exit: Exit = Exit.DONE) -> Line:
    """A scope of a night."""
    return Line("lab", f"user:{number}", ended, exit)


def test_a_night_is_one_sentence() -> None:
    """Counts in the order of how good they are, then who is not well."""
    lines = [line(number, "verified") for number in range(20)]
    lines += [
        line(20, "failed", Exit.AUTHENTICATION),
        line(21, "lost", Exit.VENDOR),
        line(22, "quarantined", Exit.QUARANTINED),
    ]

    assert Night(tuple(lines)).sentence() == (
        "23 scopes: 20 verified, 1 refused, 1 lost, 1 quarantined; not well: lab/user:20, lab/user:21, lab/user:22"
    )
    assert Night(tuple(lines[:20])).sentence() == "20 scopes: 20 verified"
    assert Night((line(1, "skipped"), line(2, "unchanged"), line(3, "verified"))).sentence() == (
        "3 scopes: 1 verified, 1 unchanged, 1 skipped"
    )
    many = Night(tuple(line(number, "failed", Exit.VENDOR) for number in range(7))).sentence()
    assert many.startswith("7 scopes: 7 failed; not well: lab/user:0, ")
    assert many.endswith(" and 2 more")


def test_what_became_of_an_every_scope_is_told_apart_from_its_members() -> None:
    """A listing is no scope; a vanished member is one."""
    found = Found("lab", "every user", 1, vanished=("user:9",), new=("user:24",), notes=("never logged in: x",))
    refused = Found("lab", "every group", None, trouble="refused", hint="ask", exit=Exit.AUTHENTICATION, tried=3)
    night = Night((line(1, "verified"), *found.lines(), *refused.lines()), (found, refused))

    assert night.sentence() == (
        "2 scopes: 1 verified, 1 vanished; 1 listing failed; not well: lab/user:9, lab/every group"
    )
    assert night.remarks == ["lab/every user: taken in: user:24", "lab/every user: never logged in: x"]
    gone, failed = night.bad
    assert (gone.word, gone.exit) == ("vanished", Exit.PARTLY)
    assert "its snapshots stay" in gone.reason
    assert "except" in gone.hint
    assert (failed.reason, failed.exit) == ("refused; those known from earlier nights are tried: 3", 12)
    told = night.to_json()
    assert told["roster"]["lab/every user"]["vanished"] == ["user:9"]
    assert told["summary"] == night.sentence()


def test_a_listing_that_names_nobody_is_not_well() -> None:
    """Silence is not an all-clear."""
    (empty,) = Found("lab", "every user", 0, first=True).lines()

    assert (empty.word, empty.well) == ("listing empty", False)


# -- on a real server

EVERY_USER = {"kind": "user", "every": True}
EVERY_GROUP = {"kind": "group", "every": True, "format": "html"}
USERS = "/api/v1/sysadmin/users"


def night(bench: Bench, *scopes: dict[str, Any], user: str = "sysadmin1", key: str = "") -> Tonight:
    """What a night would do, by the server and the catalog as they stand."""
    bench.table["scope"] = list(scopes)
    settings = bench.settings(user=user, key=key)
    known = bench.catalog.known_scopes("lab", now=bench.clock.now())
    return discovery.tonight(settings, settings.source("lab"), known, clock=bench.clock, patient=False)


def backed_up(bench: Bench, *usernames: str) -> list[str]:
    """Their chains, after a run of each."""
    bench.table["scope"] = [EVERY_USER]
    chains = [f"user:{bench.world.user(name).id}" for name in usernames]
    for chain in chains:
        assert bench.run(chain, user="sysadmin1").ended is Ended.VERIFIED
    return chains


def test_a_first_night_takes_everybody_and_says_how_many(bench: Bench) -> None:
    """An administrator's key sees all users; who never logged in is left out, with the reason."""
    bench.world.add_user("Nina Never", logged_in=False)

    tonight = night(bench, {"kind": "user"}, EVERY_USER, EVERY_GROUP)

    ids = [user.id for user in bench.world.lab.users.values() if user.home_folder_id is not None]
    assert tonight.scopes == ("user", *(f"user:{number}" for number in ids), f"group:{GROUP}:html")
    users, groups = tonight.found
    assert (users.listed, users.first, users.new, users.vanished) == (len(ids), True, (), ())
    assert "nnever" in users.notes[0]
    assert users.remarks()[0] == f"lab/every user: listed for the first time: {len(ids)}"
    assert (groups.listed, groups.lines()) == (1, [])
    assert tonight.labels is not None
    assert "Marta Rossi" in tonight.labels[f"user:{bench.world.user('mrossi').id}"]


def test_who_comes_is_taken_in_and_who_goes_is_reported(bench: Bench) -> None:
    """The next night knows the difference; `except` says that it is right."""
    chains = backed_up(bench, "mrossi", "lnguyen")
    gone = bench.world.user("lnguyen").id
    bench.world.remove_user("lnguyen")
    new = bench.world.add_user("Nora Neu", group_id=GROUP)

    tonight = night(bench, EVERY_USER)

    (found,) = tonight.found
    assert found.vanished == (f"user:{gone}",)
    assert f"user:{new.id}" in found.new
    assert chains[0] in tonight.scopes
    assert chains[1] not in tonight.scopes
    silenced = night(bench, {**EVERY_USER, "except": [gone, new.id]})
    assert silenced.found[0].vanished == ()
    assert f"user:{new.id}" not in (*silenced.scopes, *silenced.found[0].new)


def test_one_configured_by_itself_is_no_business_of_the_every_scope(bench: Bench) -> None:
    """It runs once, with its own options, in its own place, and is never called vanished."""
    (chain,) = backed_up(bench, "lnguyen")
    own = {"kind": "user", "id": bench.world.user("lnguyen").id, "link_level": 2}
    assert night(bench, EVERY_USER, own).scopes.count(chain) == 1
    bench.world.remove_user("lnguyen")

    tonight = night(bench, EVERY_USER, own)

    assert tonight.scopes[-1] == chain
    assert tonight.found[0].vanished == ()


def test_a_list_that_is_refused_does_not_cost_the_known_ones_their_night(bench: Bench) -> None:
    """They are tried; the other every-scope of the same source is listed all the same."""
    chains = backed_up(bench, "mrossi", "lnguyen")
    bench.world.faults.set(next_status=401, next_status_path=USERS)

    tonight = night(bench, EVERY_USER, EVERY_GROUP)

    assert tonight.scopes == (*chains, f"group:{GROUP}:html")
    (line,) = tonight.found[0].lines()
    assert (line.word, line.exit, tonight.found[0].tried) == ("listing failed", Exit.AUTHENTICATION, 2)
    assert line.hint
    assert tonight.found[1].lines() == []


@pytest.mark.parametrize("trouble", ["key", "server"])
def test_without_any_answer_all_who_are_known_are_tried(bench: Bench, trouble: str) -> None:
    """A dead key, or an answer of no use; and no text holds the key."""
    chains = backed_up(bench, "mrossi")
    if trouble == "server":
        bench.world.faults.set(next_status=404, next_status_path="/api/v1/")

    tonight = night(bench, EVERY_USER, EVERY_GROUP, key="x" * 32 if trouble == "key" else "")

    assert tonight.scopes == tuple(chains)
    for found in tonight.found:
        (line,) = found.lines()
        assert not line.well
        assert "xxxxxxxx" not in f"{found}"


def test_a_secret_that_is_not_there_is_a_failed_listing(bench: Bench) -> None:
    """The known ones are tried, and tell the same."""
    chains = backed_up(bench, "mrossi")
    bench.table["scope"] = [EVERY_USER]
    settings = bench.settings(user="sysadmin1")
    (settings.folder / "key-sysadmin1").unlink()

    known = bench.catalog.known_scopes("lab", now=bench.clock.now())
    tonight = discovery.tonight(settings, settings.source("lab"), known, clock=bench.clock, patient=True)

    assert tonight.scopes == tuple(chains)
    assert tonight.found[0].exit is Exit.USAGE


def test_a_night_of_one_scope_and_one_that_leaves_out_who_has_nights_of_his_own(bench: Bench) -> None:
    """By name one scope, an every-scope with its members; by schedule the rest, of whom nobody else is asked."""
    own = {"schedule": {"cron": "0 5 * * 0", "timezone": "UTC"}}
    bench.table["scope"] = [{"kind": "user"}, {**EVERY_USER, "name": "all", **own}, {"kind": "group", **own}]
    settings = bench.settings(user="sysadmin1")

    def asked(scope: str | None, *, own: bool) -> list[str]:
        plan = discovery.plan_night(
            settings,
            bench.archive,
            bench.catalog,
            "lab",
            scope=scope,
            own=own,
            since=None,
            clock=bench.clock,
            patient=False,
        )
        return [ask.scope for ask in plan.asks]

    everybody = asked("all", own=False)
    assert len(everybody) > 1
    assert asked(None, own=True) == ["user", *everybody, "group"]
    before = len(bench.server.requests)
    assert asked(None, own=False) == ["user"]
    assert len(bench.server.requests) == before
    with pytest.raises(ConfigError, match="no scope 'user:1'; there are: user, all, group"):
        asked("user:1", own=False)
    with pytest.raises(ConfigError, match="of which source"):
        discovery.plan_night(
            settings,
            bench.archive,
            bench.catalog,
            None,
            scope="all",
            since=None,
            clock=bench.clock,
            patient=False,
        )


def test_somebody_who_may_export_nobody_else(bench: Bench) -> None:
    """His list is himself; of groups he has none, and that is told."""
    users = night(bench, EVERY_USER, user="lnguyen")
    groups = night(bench, EVERY_GROUP, user="lnguyen")

    assert users.scopes == (f"user:{bench.world.user('lnguyen').id}",)
    assert groups.scopes == ()
    assert [line.word for line in groups.found[0].lines()] == ["listing empty"]


def test_the_doctor_counts_who_is_there(bench: Bench) -> None:
    """Members and notes of an every-scope; nobody is a failure."""
    bench.world.add_user("Nina Never", logged_in=False)
    bench.table["scope"] = [{"kind": "user"}, EVERY_USER]
    settings = bench.settings(user="sysadmin1")

    said = health.source(settings, settings.source("lab"))

    assert "scopes: user, every user (4 now; never logged in, nothing to export: nnever)" in said
    bench.table["scope"] = [EVERY_GROUP]
    settings = bench.settings(user="lnguyen")
    with pytest.raises(SourceError, match="every group html: nobody is listed"):
        health.source(settings, settings.source("lab"))
