"""What should be deployed, and how it differs from what is there: values."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import config
from flows.config import Settings
from flows.discovery import chosen
from flows.errors import ConfigError
from flows.ops.deployments import (
    MAINTENANCE,
    Deployment,
    Step,
    Thing,
    deployments,
    difference,
    mark,
    sentence,
    slug,
)

SOURCE = """
[[source]]
name = "{name}"
system = "rspace"
url = "https://eln.example.org"
api_key = {{ env = "RSPACE_API_KEY" }}
{more}
"""
SCHEDULE = 'schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }\n'
SCOPES = """
[[source.scope]]
kind = "user"

[[source.scope]]
kind = "group"
id = 7
schedule = { cron = "0 5 * * 0", timezone = "UTC" }

[[source.scope]]
kind = "user"
every = true
name = "all"
schedule = { cron = "0 6 * * 0", timezone = "UTC" }
"""


def settings(folder: Path, text: str) -> Settings:
    (folder / "strongroom.toml").write_text(text)
    return config.load(folder / "strongroom.toml")


def table(folder: Path, text: str) -> dict[str, Deployment]:
    return {each.full_name: each for each in deployments(settings(folder, text), ["strongroom:12345678"])}


def test_each_source_has_its_nights_and_its_scopes_have_theirs(tmp_path: Path) -> None:
    """One deployment per source; a schedule of its own for each scope that has one, named for ever."""
    text = SOURCE.format(name="lab", more=SCHEDULE + SCOPES) + SOURCE.format(name="by-hand", more="")
    made = table(tmp_path, text)

    assert list(made) == [
        "nightly/lab",
        "nightly/by-hand",
        "backup/adhoc",
        *(f"{name}/{name}" for name in MAINTENANCE),
    ]
    night = made["nightly/lab"]
    assert night.parameters == {"source": "lab", "config": str(tmp_path / "strongroom.toml")}
    assert night.tags == ("strongroom", "nightly", "strongroom:12345678")
    assert [(each.slug, each.text()) for each in night.schedules] == [
        ("nightly", "30 3 * * * Europe/Vienna"),
        (slug("group:7"), '0 5 * * 0 UTC {"scope": "group:7"}'),
        ("scope-all", '0 6 * * 0 UTC {"scope": "all"}'),
    ]
    assert made["nightly/by-hand"].schedules == ()


def test_slugs_of_scopes_differ_as_their_names_do() -> None:
    """What may not stand in a slug is replaced, and names that then look alike have different slugs."""
    names = ["all", "group:7", "group 7", "group-7", "Group:7", "Gäste", "★"]
    made = [slug(name) for name in names]

    assert len(set(made)) == len(names)
    assert made[0] == "scope-all"
    assert all(
        one.startswith("scope-") and set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for one in made
    )


def test_maintenance_has_its_usual_times_and_those_that_are_configured(tmp_path: Path) -> None:
    """In the policy's zone where none is named; `false` leaves it to whoever starts it by hand."""
    usual = table(tmp_path, '[policy]\ntimezone = "Europe/Vienna"\n')
    assert {name: [each.text() for each in usual[f"{name}/{name}"].schedules] for name in MAINTENANCE} == {
        "scrub": ["0 12 * * * Europe/Vienna"],
        "drill": ["0 13 * * 6 Europe/Vienna"],
        "upkeep": ["30 12 * * 0 Europe/Vienna"],
        "prune": [],
        "watch": ["15 * * * * Europe/Vienna"],
    }

    other = table(
        tmp_path,
        """
        [policy]
        timezone = "Europe/Vienna"
        [upkeep.schedules]
        scrub = { cron = "0 14 * * *" }
        drill = { cron = "0 15 1 * *", timezone = "Asia/Tokyo" }
        upkeep = false
        prune = { cron = "0 16 * * *" }
        """,
    )
    assert {name: [each.text() for each in other[f"{name}/{name}"].schedules] for name in MAINTENANCE} == {
        "scrub": ["0 14 * * * Europe/Vienna"],
        "drill": ["0 15 1 * * Asia/Tokyo"],
        "upkeep": [],
        "prune": ["0 16 * * * Europe/Vienna"],
        "watch": ["15 * * * * Europe/Vienna"],
    }


@pytest.mark.parametrize("wrong", ['scrub = { cron = "x" }', "scrub = true", "nights = false"])
def test_a_wrong_schedule_of_upkeep_is_told(tmp_path: Path, wrong: str) -> None:
    """With the key."""
    with pytest.raises(ConfigError, match=r"upkeep\.schedules"):
        settings(tmp_path, f"[upkeep.schedules]\n{wrong}\n")


def test_no_usual_time_is_in_the_hour_that_some_nights_lack() -> None:
    """Nor at three, when nights begin."""
    for usual in MAINTENANCE.values():
        assert usual.cron is None or usual.cron.split()[1] not in ("2", "3")


def test_a_scheduled_night_leaves_out_who_has_one_of_his_own(tmp_path: Path) -> None:
    """By schedule the rest, by hand all, by name one; a name that is none is told."""
    lab = settings(tmp_path, SOURCE.format(name="lab", more=SCHEDULE + SCOPES)).source("lab")

    assert chosen(lab, None, own=False) == {"user"}
    assert chosen(lab, None, own=True) == {"user", "group:7", "all"}
    assert chosen(lab, "all", own=False) == {"all"}
    with pytest.raises(ConfigError, match="no scope 'user:7'; there are: user, group:7, all"):
        chosen(lab, "user:7", own=True)


def test_the_mark_is_the_archives() -> None:
    """Whichever configuration it is in."""
    assert mark("0123456789abcdef") == "strongroom:01234567"


def test_a_difference_tells_each_field_and_touches_only_ours() -> None:
    """Made, changed with old and new, removed, unchanged; somebody else's is in the way, or no matter."""
    same = Thing("deployment", "a/same", {"pool": "x"})
    old = Thing("deployment", "a/changed", {"pool": "x", "schedule gone": "0 1 * * *", "tags": "t"})
    new = Thing("deployment", "a/changed", {"pool": "y", "schedule new": "0 4 * * *", "tags": "t"})
    made = Thing("limit", "a/same", {"at once": "1"})  # another kind: the name is free
    goes = Thing("deployment", "a/goes", {})
    theirs = Thing("deployment", "a/theirs", {}, ours=False)
    wanted = Thing("deployment", "a/theirs", {"pool": "y"})
    foreign = Thing("deployment", "b/foreign", {}, ours=False)

    steps = difference([same, new, made, wanted], [goes, foreign, theirs, old, same])

    assert steps == [
        Step("unchanged", same),
        Step(
            "changed",
            new,
            (("pool", "x", "y"), ("schedule new", None, "0 4 * * *"), ("schedule gone", "0 1 * * *", None)),
        ),
        Step("made", made),
        Step("in the way", theirs),
        Step("removed", goes),
    ]
    assert list(steps[1].lines())[:2] == ["changed deployment a/changed", "  pool: x → y"]
    assert sentence(steps) == "1 made, 1 changed, 1 removed, 1 in the way"
    assert sentence(steps[:1]) == "nothing changed: 1 are as configured"


def test_doing_the_difference_leaves_none() -> None:
    """A second time nothing is to be done."""
    wanted = [Thing("limit", str(number), {"at once": str(number)}) for number in range(3)]
    there = [Thing("limit", "2", {"at once": "9"}), Thing("limit", "old", {})]

    assert {step.what for step in difference(wanted, there)} == {"made", "changed", "removed"}
    assert {step.what for step in difference(wanted, wanted)} == {"unchanged"}
