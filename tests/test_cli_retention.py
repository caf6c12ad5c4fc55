"""`forget`, a plan until `--apply`: verdicts, the fuse, rules of its own, dates, schedules, refusals."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from storage.archive import Archive
from storage.backend import LocalDisk
from storage.decisions import Decision
from storage.index import pack_name
from storage.seen import LEVEL
from storage.snapshot import ScopeKey, Snapshot
from storage.verify import Check, Outcome, Promise
from storage.writer import Writer
from tests.doubles import NIGHT, draft, new_archive, noise, pack_of
from tests.test_cli_upkeep import Shell

USER, GROUP = ScopeKey("lab", "user"), ScopeKey("lab", "group:7")
SOURCE = '[[source]]\nname = "lab"\nsystem = "rspace"\nurl = "http://127.0.0.1:9"\napi_key = { env = "NONE" }\n'
POLICY = f'[policy]\ntimezone = "UTC"\nkeep_daily = 3\n{SOURCE}'
EMPTY = Check(LEVEL, Outcome.FAILED, got="0", promised="12", reason="empty: nothing is in it")
# The last half past midnight: never ahead of now, as today's would be before it.
TODAY = (datetime.now(UTC) - timedelta(minutes=30)).replace(hour=0, minute=30, second=0, microsecond=0)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Six nights of one scope and three of another; the policy keeps three of each."""
    return six_nights(tmp_path, monkeypatch, capsys)


def six_nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    (tmp_path / "strongroom.toml").write_text(POLICY)
    new_archive(LocalDisk(tmp_path / "archive"))
    monkeypatch.chdir(tmp_path)
    made = Shell(tmp_path, capsys)
    for ago in range(6, 0, -1):
        keep(made, USER, ago)
    for ago in range(3, 0, -1):
        keep(made, GROUP, ago)
    return made


def store(shell: Shell) -> Archive:
    return Archive.open(LocalDisk(shell.folder / "archive"))


def keep(shell: Shell, key: ScopeKey, ago: int, content: int | None = None, **other: Any) -> Snapshot:
    """A snapshot of so many nights ago; two of the same `content` share it."""
    at = TODAY - ago * NIGHT
    writer = Writer(store(shell), key)
    writer.add("a.bin", BytesIO(noise(1000, ago if content is None else content)), promised=Promise())
    return writer.commit(draft(key, at, **other), clock=lambda: at)


def live(shell: Shell, key: ScopeKey = USER) -> list[int]:
    return [found.number for found in store(shell).snapshots(key)]


def ident(shell: Shell, number: int, key: ScopeKey = USER) -> str:
    return next(found.id for found in store(shell).snapshots(key) if found.number == number)


def test_forget_shows_every_verdict_and_changes_nothing(shell: Shell) -> None:
    """For machines: id, instant, verdict, reasons, and the night on which each goes; for people a table."""
    told = shell.json("forget")
    rows = {(row["scope"], row["number"]): row for row in told["snapshots"]}

    assert len(rows) == 9
    assert [n for (scope, n), row in sorted(rows.items()) if row["verdict"] == "forget"] == [1, 2, 3]
    newest, oldest = rows["user", 6], rows["user", 1]
    assert newest["reasons"][0] == "daily 1 of 3"
    assert newest["id"] == ident(shell, 6)
    assert datetime.fromisoformat(newest["goes_on"]) > datetime.now(UTC)
    assert oldest["missed"].endswith("daily 3 of 3 are newer")
    assert (told["forgetting"], told["refused"], told["fuse"], told["applied"]) == (3, [], "", False)
    assert told["nights_assumed"] == ["lab"]
    said = shell.run("forget", "lab/user")
    assert "lab/user: 6 snapshots, 3 stay, 3 go; keep daily 3 (UTC)" in said.stdout
    assert "group:7" not in said.stdout
    assert "assumed" in said.stderr
    assert live(shell) == [1, 2, 3, 4, 5, 6]


def test_a_configured_schedule_says_when_they_go(shell: Shell) -> None:
    """The source's own cron line, and nothing assumed."""
    (shell.folder / "strongroom.toml").write_text(
        f'{POLICY}schedule = {{ cron = "15 4 * * 0" }}\n[[source.scope]]\nkind = "user"\n'
    )

    told = shell.json("forget", "lab/user")

    night = datetime.fromisoformat(next(row["goes_on"] for row in told["snapshots"] if row["number"] == 4))
    assert (night.hour, night.minute, night.weekday()) == (4, 15, 6)
    assert told["nights_assumed"] == []


def test_forget_applies_and_the_catalog_follows(shell: Shell) -> None:
    """What went is listed as gone, in the archive and in the catalog, and a second time changes nothing."""
    done = shell.run("forget", "--apply")

    assert (done.returncode, live(shell)) == (0, [4, 5, 6])
    assert "3 forgotten" in done.stdout
    assert {row["number"] for row in shell.json("snapshots", "--gone")["gone"]} == {1, 2, 3}
    assert shell.run("catalog", "check").returncode == 0
    assert shell.json("forget", "--apply")["forgotten"] == []


def test_a_source_that_is_not_configured_keeps_everything(shell: Shell) -> None:
    """The default policy is for what is configured: each answer says so, and how to let some of it go."""
    (shell.folder / "strongroom.toml").write_text(POLICY.replace('"lab"', '"other"'))
    said = "source lab is not in strongroom.toml: everything of it is kept"
    newest = ident(shell, 6)

    for verb in (["forget"], ["prune"], ["forget", "--explain", newest], ["forget", "--at", "2099-01-01"]):
        told = shell.run(*verb)
        assert told.returncode == 0, told
        assert said in told.stderr, (verb, told)
        assert "--keep-last" in told.stderr
    simulated = shell.run("forget", "lab", "--simulate", "30 3 * * *").stdout
    assert said in simulated
    assert "A all, · forgotten or none" in simulated
    assert f"lab/user: 6 snapshots, 6 stay, 0 go; {said}" in shell.run("forget").stdout
    plan = shell.json("forget", "--apply")
    assert (plan["forgetting"], plan["not_configured"]) == (0, ["lab"])
    assert {row["verdict"] for row in plan["snapshots"]} == {"keep"}
    assert plan["snapshots"][0]["reasons"][-1] == said
    assert shell.json("prune", "--apply")["not_configured"] == ["lab"]
    assert shell.json("forget", "--explain", newest)["snapshot"]["policy"] == said
    assert live(shell) == [1, 2, 3, 4, 5, 6]

    own = shell.run("forget", "lab/user", "--keep-last", "5", "--apply", "--confirm", "1")
    assert (own.returncode, live(shell)) == (0, [2, 3, 4, 5, 6])
    assert said not in own.stderr


def test_the_fuse_stops_a_forgetting_until_the_exact_number_is_said(shell: Shell) -> None:
    """Five of nine are more than three: exit code 3, nothing done; only 5 confirms it."""
    (shell.folder / "strongroom.toml").write_text(f"[policy]\nkeep_last = 1\n{SOURCE}")

    blown = shell.run("forget", "--apply")
    wrong = shell.run("forget", "--apply", "--confirm", "4")
    assert (blown.returncode, wrong.returncode, live(shell)) == (3, 3, [1, 2, 3, 4, 5, 6])
    assert "5 of 9 snapshots" in blown.stderr
    assert "--confirm 5" in blown.stderr
    assert shell.run("forget").returncode == 0

    assert shell.run("forget", "--apply", "--confirm", "5").returncode == 0
    assert live(shell) == [5, 6]


def test_rules_of_the_command_line_are_applied_only_with_the_number(shell: Shell) -> None:
    """They replace the policy's; a plan is free, doing it wants the number, whatever the fuse."""
    plan = shell.json("forget", "lab/user", "--keep-last", "5")
    assert plan["forgetting"] == 1

    assert shell.run("forget", "lab/user", "--keep-last", "5", "--apply").returncode == 2
    assert shell.run("forget", "lab/user", "--keep-last", "5", "--apply", "--confirm", "2").returncode == 2
    assert live(shell) == [1, 2, 3, 4, 5, 6]
    assert shell.run("forget", "lab/user", "--keep-last", "5", "--apply", "--confirm", "1").returncode == 0
    assert live(shell) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (["--keep-last", "2", "--keep-within", "4d"], [3, 4, 5, 6]),
        (["--keep-daily", "-1"], [1, 2, 3, 4, 5, 6]),
        (["--keep-last", "2", "--keep-tag", "audit,signed", "--keep-tag", "year-end"], [5, 6, 7, 8]),
    ],
)
def test_rules_in_restics_words(shell: Shell, rules: list[str], kept: list[int]) -> None:
    """Counts, spans and sets of tags, of an archive that is named alone."""
    if "--keep-tag" in rules:
        keep(shell, USER, 9, tags=("audit", "signed", "x"))
        keep(shell, USER, 8, tags=("year-end",))
        keep(shell, USER, 7, tags=("audit",))

    told = shell.json("forget", "lab/user", *rules, "--archive", "archive")

    # Numbers 8 and 9 are floors by number: what was committed last stays.
    numbers = {row["number"] for row in told["snapshots"] if row["verdict"] == "keep"}
    assert numbers == {*kept, *({9} if "--keep-tag" in rules else ())}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["forget", "nope"], "nope: no snapshot of it was ever kept; there are: lab/group:7, lab/user"),
        (["forget", "--keep-within", "14d"], "spans and tags only add to a count"),
        (["forget", "--keep-within", "2 weeks", "--keep-last", "1"], "--keep-within '2 weeks' is no span"),
        (["forget", "--timezone", "Mars/Base"], "no IANA time zone"),
        (["forget", "--apply", "--at", "2030-01-01"], "--apply and --at ask for different things"),
        (["forget", "--at", "2020-01-01"], "is past"),
        (["forget", "--at", "soon"], "--at 'soon': no date"),
        (["forget", "--simulate", "30 3 * *"], "is no cron line"),
        (["forget", "--simulate", "30 3 * * *", "--for", "soon"], "--for 'soon' is no span"),
        (["forget", "--simulate", "30 3 * * *", "--picture", "a.txt"], "a picture is one of"),
        (["forget", "--picture", "a.png"], "add --simulate"),
        (["hold", "nope", "--reason", "x"], "no snapshot has an id that begins so"),
        (["hold", "latest", "--reason", " "], "--reason: is empty"),
        (["hold", "latest", "--reason", "x", "--until", "2020-01-01"], "is past already"),
        (["release", "latest"], "is not held"),
        (["undelete", "00000000", "--reason", "x"], "00000000"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(shell: Shell, arguments: list[str], said: str) -> None:
    """Exit code 2, with the option or the name that is wrong."""
    done = shell.run(*arguments)

    assert done.returncode == 2, done
    assert said in done.stderr
    assert live(shell) == [1, 2, 3, 4, 5, 6]
    assert store(shell).decisions() == []


def test_explain_tells_everything_about_one(shell: Shell) -> None:
    """Standing, rules met or missed, floors, holds, what came after, when it goes, who decided what."""
    shell.run("hold", ident(shell, 2)[:8], "--reason", "the audit", "--until", "2099-12-31")

    said = shell.run("forget", "--explain", ident(shell, 2)[:8]).stdout
    for words in ("lab/user, number 2", "counts", "keep daily 3", "the audit", "4 snapshots, 4 of them count",
                  "goes on  stays", "hold by "):  # fmt: skip
        assert words in said, (words, said)
    told = shell.json("forget", "--explain", ident(shell, 1))["snapshot"]
    assert told["verdict"] == "forget"
    assert told["missed"].startswith("daily: ")
    assert (told["newer"], told["standing"]["counts"], told["decisions"]) == (5, True, [])
    newest = shell.run("forget", "--explain", ident(shell, 6)).stdout
    assert "floor    verified copy 1 of the newest 2" in newest


def test_what_is_kept_at_a_date(shell: Shell) -> None:
    """If every night goes well, three nights to come have taken the places."""
    day = f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"

    told = shell.json("forget", "lab/user", "--at", day)

    assert [row["id"] for row in told["snapshots"]] == [None] * 3
    assert told["snapshots"][0]["taken_at"].startswith(f"{day}T03:30")
    said = shell.run("forget", "lab/user", "--at", day).stdout
    assert "to come" in said
    assert f"kept at the end of {day} UTC" in said
    assert f"kept on {day} 12:00 UTC" in shell.run("forget", "lab/user", "--at", f"{day}T12:00").stdout


def test_a_schedule_is_simulated_without_an_archive(shell: Shell, tmp_path: Path) -> None:
    """A calendar in the terminal, and as a picture."""
    (shell.folder / "strongroom.toml").unlink()
    picture = tmp_path / "calendar.png"
    arguments = ("forget", "--simulate", "30 3 * * *", "--keep-daily", "7", "--keep-monthly", "12", "--for", "2y")

    done = shell.run(*arguments, "--picture", str(picture))
    told = shell.json(*arguments)

    assert done.returncode == 0, done
    assert re.search(r"for 2y: 18 of 73[01] nights are kept; keep daily 7, monthly 12 \(UTC\)", done.stdout)
    assert "M monthly, D daily, · forgotten or none" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(told["kept"]) == 18


def test_a_damaged_scope_is_refused_and_the_others_are_pruned(shell: Shell) -> None:
    """Exit code 3; the damaged file is named; the other scope's plan is carried out."""
    keep(shell, GROUP, 0)
    path = shell.folder / "archive" / store(shell).snapshots(USER)[0].name
    path.chmod(0o600)
    path.write_bytes(b"{}")

    done = shell.run("forget", "--apply")

    assert done.returncode == 3, done
    assert "lab/user: snapshots/" in done.stderr
    assert len(store(shell).links(USER)) == 6
    assert live(shell, GROUP) == [2, 3, 4]


def test_prune_forgets_beside_a_damaged_scope_too_and_frees_nothing(shell: Shell) -> None:
    """As a night does; the plan can be looked at before."""
    keep(shell, GROUP, 0)
    path = shell.folder / "archive" / store(shell).snapshots(USER)[0].name
    path.chmod(0o600)
    path.write_bytes(b"{}")

    assert "lab/user: snapshots/" in shell.run("prune").stderr
    done = shell.json("prune", "--apply")

    assert (len(done["forgotten"]), done["freed"], live(shell, GROUP)) == (1, None, [2, 3, 4])
    assert "nothing is forgotten until it is mended" in done["refused"][0]


def test_what_cannot_be_erased_yet_stops_no_other_scope(shell: Shell) -> None:
    """A pack of one scope lost its end, so what must go of it waits for a repair; that is told, exit code 4."""
    (shell.folder / "strongroom.toml").write_text(f'[policy]\nkeep_daily = 3\nkeep_at_most = "50d"\n{SOURCE}')
    first = ScopeKey("lab", "first")
    chain = [keep(shell, first, ago, content=99) for ago in (63, 62, 61, 1)]
    file = shell.folder / "archive" / pack_name(pack_of(store(shell), chain[0], "a.bin"))
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-40])

    done = shell.run("forget", "--apply", "--confirm", "5")

    assert done.returncode == 4, done
    assert "damaged, so it cannot be told what others need of it" in done.stderr
    assert (live(shell, first), live(shell)) == ([1, 2, 3, 4], [4, 5, 6])


def test_tags_are_shown_and_wrong_ones_refused(shell: Shell) -> None:
    """By `show` and `snapshots --json`; a tag that is none stops a run before anything is started."""
    tagged = keep(shell, USER, 0, tags=("audit", "year-end"))

    assert re.search(r"tags +audit, year-end", shell.run("show", tagged.id).stdout)
    assert shell.json("snapshots", "--last", "1")["snapshots"][-1]["tags"] == ["audit", "year-end"]
    done = shell.run("import", "a.zip", "--source", "lab", "--scope", "user:1", "--tag", "two words")
    assert done.returncode == 2
    assert "--tag: tag 'two words'" in done.stderr


def test_each_refusal_comes_with_its_own_way_out(shell: Shell) -> None:
    """A date ahead that nothing contradicts is for a person to reject; what must go waits for a backup."""
    (shell.folder / "strongroom.toml").write_text(f'[policy]\nkeep_at_most = "32d"\n{SOURCE}')
    old = ScopeKey("lab", "old")
    keep(shell, old, 400)
    for key in (USER, GROUP):
        odd = keep(shell, key, -400)

    ahead = shell.run("forget", "lab/group:7")
    for found in store(shell).snapshots():
        if found.manifest.committed_at > TODAY:
            store(shell).decide(Decision("reject", found.key, found.number, found.id, TODAY, "ada", "odd"))
    last = shell.run("prune", "--apply")

    assert (ahead.returncode, last.returncode) == (3, 3)
    assert "time runs backwards" in ahead.stderr
    assert f"`strongroom accept {odd.id[:8]} --reason …`" in ahead.stderr
    assert "1 of 1 snapshots, the last copies" in last.stderr and "strongroom erase" in last.stderr
    assert "scrub" not in ahead.stderr + last.stderr
    assert live(shell, old) == [1]


def test_what_the_last_scrub_found_damaged_displaces_nothing(shell: Shell) -> None:
    """The newest of six rotted: a prune lets one fewer go, and `--explain` names the scrub."""
    packs = {found.number: set(found.manifest.packs) for found in store(shell).snapshots(USER)}
    users = [pack for found in store(shell).snapshots() for pack in found.manifest.packs]
    own = next(pack for pack in packs[6] if users.count(pack) == 1 or pack not in packs[5])
    file = shell.folder / "archive" / pack_name(own)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:80] + b"rotten" + file.read_bytes()[86:])
    assert shell.run("scrub", "--all").returncode == 4

    told = shell.json("forget", "lab/user")

    assert [row["number"] for row in told["snapshots"] if row["verdict"] == "forget"] == [2, 1]
    assert "by the scrub of" in shell.run("forget", "--explain", ident(shell, 6)).stdout
