"""strongroom.toml: what is right is read, and what is wrong is named by file and key, without a secret's value."""

from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from flows import config
from flows.config import Settings
from flows.credentials import connection
from flows.errors import ConfigError

SECRET = "s3cr3tVALUE"

LAB = """
[[source]]
name = "lab"
system = "rspace"
url = "https://eln.example.org"
api_key = { env = "RSPACE_API_KEY" }
"""

EVERY_USER = "[[source.scope]]\nkind = 'user'\nevery = true\n"

EXAMPLE = """
[archive]
url = "archive"                      # a folder beside this file, or an absolute path; object storage later

[policy]                             # default for every scope; a source or scope may have its own
timezone = "Europe/Vienna"
keep_daily = 14
keep_weekly = 8
keep_monthly = 24
keep_yearly = 10

[[source]]
name = "lab"
system = "rspace"
url = "https://eln.example.org"
api_key = { env = "RSPACE_API_KEY" }          # or { file = "…" } { command = "…" } { prefect_secret = "…" }
schedule = { cron = "30 3 * * *", timezone = "Europe/Vienna" }

[[source.scope]]
kind = "group"                                # user, group, selection
id = 1234                                     # none: the key's own
format = "xml"
"""


def _load(folder: Path, text: str) -> Settings:
    path = folder / "strongroom.toml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return config.load(path)


def _refused(folder: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text)
    return caught.value


def test_the_example_is_read_as_it_stands(tmp_path: Path) -> None:
    """Archive, policy, source, schedule and scope of the documented file."""
    settings = _load(tmp_path, EXAMPLE)

    (source,) = settings.sources
    assert settings.file.archive.url == "archive"
    assert (settings.policy("lab", "all").keep_daily, settings.policy("lab", "all").timezone) == (
        14,
        "Europe/Vienna",
    )
    assert source.schedule is not None
    assert source.schedule.cron == "30 3 * * *"
    (scope,) = source.scopes()
    assert (scope.name, scope.kind, scope.id, dict(scope.options)) == (
        "group:1234", "group", "1234", {"format": "xml"},
    )  # fmt: skip
    assert settings.state == tmp_path / "state"
    assert settings.catalog_path.parent == settings.spool.parent == settings.state


def test_an_empty_file_has_every_default(tmp_path: Path) -> None:
    """Nothing is required before there is a source."""
    settings = _load(tmp_path, "")

    assert (settings.sources, settings.file.archive.url) == ((), "archive")
    assert not settings.policy("lab", "all").rules()


def test_a_source_s_own_policy_replaces_the_default_one(tmp_path: Path) -> None:
    """Whole, not key by key."""
    settings = _load(tmp_path, f"[policy]\nkeep_daily = 3\n{LAB}policy = {{ keep_weekly = 2 }}\n")

    assert (settings.policy("lab", "all").keep_daily, settings.policy("lab", "all").keep_weekly) == (0, 2)


def test_a_scope_s_own_policy_replaces_its_source_s(tmp_path: Path) -> None:
    """Also for the members of an every-scope; spans are text, and -1 is no limit."""
    text = f"""{LAB}policy = {{ keep_weekly = 2 }}
[[source.scope]]
kind = "group"
id = 7
policy = {{ keep_daily = -1, keep_within = "1y6m", keep_tags = ["audit", ["a", "b"]], keep_at_most = "10y" }}
[[source.scope]]
kind = "user"
every = true
policy = {{ keep_last = 9 }}
"""
    settings = _load(tmp_path, text)

    own = settings.policy("lab", "group:7")
    assert (own.keep_daily, own.keep_weekly, str(own.keep_within), str(own.keep_at_most)) == (-1, 0, "1y6m", "10y")
    assert own.keep_tags == (frozenset({"audit"}), frozenset({"a", "b"}))
    assert settings.policy("lab", "user:12").keep_last == 9
    assert settings.policy("lab", "group:8").keep_weekly == 2


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("keep_within = '14d'", "policy: keep_within: spans and tags only add to a count"),
        ("keep_daily = 0", "policy: every count is 0"),
        ("keep_daily = -2", "policy.keep_daily = -2"),
        ("keep_last = 3\nkeep_within = '14 days'", "policy.keep_within: '14 days' is no span"),
        ("keep_last = 3\nkeep_within = '0d'", "policy: keep_within = 0h: a span of nothing"),
        ("keep_last = 3\nkeep_at_least = '0h'", "policy: keep_at_least = 0h: a span of nothing; at least 1h"),
        ("keep_yearly = 10\nkeep_at_most = '7y'", "policy: keep_at_most = 7y: shorter than what keep_yearly"),
        ("keep_last = 3\nkeep_at_least = '2d'\nkeep_at_most = '1d'", "shorter than what keep_at_least"),
        ("keep_at_least = '3d'", "policy: keep_at_least = 3d: says nothing"),
        ("timezone = 'Mars/Base'", "policy.timezone: 'Mars/Base' is no IANA time zone"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_by_its_key(tmp_path: Path, policy: str, said: str) -> None:
    """In the default table, and in that of a scope, which is named."""
    whole = _refused(tmp_path, f"[policy]\n{policy}\n")
    table = ", ".join(policy.split("\n"))
    scope = _refused(tmp_path, f"{LAB}[[source.scope]]\nkind = 'group'\nid = 7\npolicy = {{ {table} }}\n")

    assert said in str(whole)
    assert "source 'lab': scope 1: policy" in str(scope)
    assert said.removeprefix("policy") in str(scope)


def test_times_of_a_source_reach_its_pace(tmp_path: Path) -> None:
    """Configured values instead of the dialect's, the others as they are."""
    source = _load(tmp_path, f"{LAB}poll_first_s = 2\nceiling_s = 60\nfresh_for_s = 30\n").source("lab")

    pace = source.pace()
    assert (pace.first_s, pace.longest_s, pace.ceiling_s, pace.patience_s) == (2, 45, 60, 1800)
    assert source.fresh_for == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[archive]\nurl = ", "not TOML"),
        ("[archive]\nurl = 5", "archive.url = 5: "),
        ("[archive]\nurl = ''", "archive.url = '': "),
        ("[archiv]\nurl = 'a'", "archiv: not a key that is known here"),
        ("[archive]\nurll = 'a'", "archive.urll: not a key that is known here"),
        ("[policy]\nkeep_daily = -2", "policy.keep_daily = -2: "),
        ("[policy]\nkeep_daily = '14'", "policy.keep_daily = '14': "),
        ("[policy]\nkeep_daily = true", "policy.keep_daily = True: "),
        ("[policy]\ntimezone = 'Europe/Wien'", "policy.timezone: 'Europe/Wien' is no IANA time zone"),
        (LAB.replace("lab", "Lab"), "source 1.name = 'Lab': "),
        (LAB.replace('name = "lab"\n', ""), "source 1.name: "),
        (LAB.replace("https", "ftp"), "source 1.url = 'ftp://eln.example.org': "),
        (LAB.replace("example.org", "example.org?x=1"), "source 1.url = "),
        (LAB.replace("example.org", "example.org:99999"), "source 1.url: "),
        (LAB.replace("eln.example.org", "[::1"), "source 1.url: "),
        (LAB.replace('"rspace"', '"elabftw"'), "source 'lab': system = 'elabftw': this version knows rspace"),
        (LAB.replace("api_key", "password"), "source 'lab': needs api_key or token, has password"),
        (LAB.replace("env", "var"), "source 1.api_key.var: not a key that is known here"),
        (
            LAB.replace(' env = "RSPACE_API_KEY" ', ""),
            "expected exactly one of env, file, command",
        ),
        (LAB.replace(' env = "RSPACE_API_KEY" ', " env = 'A', file = 'b' "), "expected exactly one of"),
        (f"{LAB}schedule = {{ cron = '61 3 * * *' }}", "source 1.schedule.cron: '61 3 * * *' is no cron line"),
        (f"{LAB}schedule = {{ cron = 'nightly' }}", "source 1.schedule.cron: 'nightly' is no cron line"),
        (f"{LAB}schedule = {{ cron = '0 3 * * *', timezone = 'CET+1' }}", "schedule.timezone: 'CET+1' is no"),
        (f"{LAB}schedule = '0 3 * * *'", "source 1.schedule"),
        (f"{LAB}ceiling_s = 0", "source 1.ceiling_s = 0"),
        (f"{LAB}download_tries = 21", "source 1.download_tries = 21"),
        (f"{LAB}proxy = 'squid:3128'", "source 1.proxy = 'squid:3128': "),
        (f"{LAB}busy_wait_s = 0", "source 1.busy_wait_s = 0"),
        (f"{LAB}skip_unchanged_days = 91", "source 1.skip_unchanged_days = 91"),
        (f"{LAB}skip_unchanged_days = -1", "source 1.skip_unchanged_days = -1"),
        (f"{LAB}retries = 3", "source 1.retries: not a key that is known here"),
        (LAB + LAB, "source 'lab': there are two of this name"),
        (f"{LAB}[[source.scope]]\nkind = 'users'", "source 'lab': scope 1: kind = 'users': expected one of user"),
        (f"{LAB}[[source.scope]]\nid = 7", "scope 1: kind = None"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nid = '7'", "scope 1: id = '7': expected RSpace's number"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nid = 0", "scope 1: id = 0: expected"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nformat = 'pdf'", "scope 1: format = 'pdf': expected xml or html"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nids = [1]", "ids: only a selection has them"),
        (f"{LAB}[[source.scope]]\nkind = 'selection'\nid = 1", "id: a selection has ids"),
        (f"{LAB}[[source.scope]]\nkind = 'selection'", "a selection has exactly one of ids"),
        (f"{LAB}[[source.scope]]\nkind = 'selection'\nids = []", "ids: a selection needs a list"),
        (f"{LAB}[[source.scope]]\nkind = 'selection'\nids = ['SD12']", "'SD12' is no record number"),
        (f"{LAB}[[source.scope]]\nkind = 'selection'\nids = {list(range(1, 2002))}", "at most 2000 at once"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nlink_level = 101", "link_level = 101: expected a whole number"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nrevisions = 'yes'", "revisions = 'yes': expected true or false"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nname = 'a/b'", "name = 'a/b': expected at most 60 characters"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\nnmae = 'a'", "nmae: not a key of an rspace scope; it has"),
        (f"{LAB}[[source.scope]]\nkind = 'user'\n[[source.scope]]\nkind = 'user'", "two scopes are called 'user'"),
        (f"{LAB}{EVERY_USER}{EVERY_USER}revisions = true", "two scopes are called 'every user'"),
        (
            f"{LAB}{EVERY_USER}[[source.scope]]\nkind = 'selection'\nids = [1]\nname = 'user:7'",
            "a scope is called 'user:7', and 'every user' calls user 7 so",
        ),
    ],
)
def test_each_mistake_is_named_by_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    """The message begins with the file and says which key has which value and what was expected."""
    error = str(_refused(tmp_path, text))

    assert error.startswith(f"{tmp_path / 'strongroom.toml'}: ")
    assert said in error
    assert all(len(line) < 400 for line in error.splitlines())


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    """One line for each."""
    error = str(_refused(tmp_path, "[archive]\nurl = 1\n[policy]\nkeep_last = -2\n"))

    assert len(error.splitlines()) == 2


@pytest.mark.parametrize(
    "text",
    [
        LAB.replace('{ env = "RSPACE_API_KEY" }', f'"{SECRET}"'),
        LAB.replace('{ env = "RSPACE_API_KEY" }', f'["{SECRET}"]'),
        LAB.replace('{ env = "RSPACE_API_KEY" }', f'{{ value = "{SECRET}" }}'),
        LAB.replace("eln.example.org", f"mrossi:{SECRET}@eln.example.org"),
        LAB.replace("[[source]]", "[source]").replace('{ env = "RSPACE_API_KEY" }', f'"{SECRET}"'),
        f'{LAB}apikey = "{SECRET}"\n',
        f'{LAB}password = "{SECRET}"\n',
        f'{LAB}proxy = "socks5://me:{SECRET}@squid:1080"\n',
        f'{LAB}schedule = {{ cron = 5, api_key = "{SECRET}" }}\n',
        f'api_key = "{SECRET}\n',
    ],
)
def test_a_secret_written_into_the_file_is_never_repeated(tmp_path: Path, text: str) -> None:
    """Not by the message, not by the hint, whatever else is wrong."""
    error = _refused(tmp_path, text)

    assert SECRET not in str(error) + error.hint


def test_a_secret_in_the_file_is_explained(tmp_path: Path) -> None:
    """The message shows how a secret is named."""
    error = _refused(tmp_path, LAB.replace('{ env = "RSPACE_API_KEY" }', f'"{SECRET}"'))

    assert 'a secret is named, never written here: { env = "NAME" }' in str(error)


def test_a_missing_file_is_told_with_a_way_out(tmp_path: Path) -> None:
    """The path, and the command that writes one."""
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "none.toml")

    assert str(caught.value) == f"{tmp_path / 'none.toml'}: not found"
    assert "strongroom init" in caught.value.hint


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """A file in another encoding is named, not crashed on."""
    path = tmp_path / "strongroom.toml"
    path.write_bytes(b'[archive]\nurl = "\xff"\n')

    with pytest.raises(ConfigError, match="not TOML"):
        config.load(path)


def test_the_file_is_found_by_option_then_environment_then_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, always as an absolute path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(config.ENVIRONMENT, raising=False)
    assert config.find() == tmp_path / "strongroom.toml"

    monkeypatch.setenv(config.ENVIRONMENT, "other.toml")
    assert config.find() == tmp_path / "other.toml"
    assert config.find("third.toml") == tmp_path / "third.toml"


def test_unknown_names_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    """For a source and for a scope."""
    settings = _load(tmp_path, f"{LAB}[[source.scope]]\nkind = 'user'\nname = 'mine'\n")

    with pytest.raises(ConfigError, match="no source 'lib'; there are: lab"):
        settings.source("lib")
    with pytest.raises(ConfigError, match="expected user") as caught:
        settings.scope(settings.source("lab"), "theirs")
    assert caught.value.hint == "scopes configured for lab: mine"


def test_who_an_every_scope_stands_for_has_its_options(tmp_path: Path) -> None:
    """By the name of the chain, however the number is written; a scope configured by itself wins."""
    scopes = (
        f"{EVERY_USER}except = [9]\nlink_level = 2\n[[source.scope]]\nkind = 'user'\nid = 8\nrevisions = true\n"
    )
    settings = _load(tmp_path, f"{LAB}{scopes}{EVERY_USER}name = 'full'\nrevisions = true\n")
    lab = settings.source("lab")

    plain = {"format": "xml", "link_level": 2}
    for text in ("user:7", "user:007"):
        seven = settings.scope(lab, text)
        assert (seven.name, seven.kind, seven.id, seven.options) == ("user:7", "user", "7", plain)
    full = settings.scope(lab, "full:user:7")
    assert (full.name, full.id, full.options) == ("full:user:7", "7", {"format": "xml", "revisions": True})
    assert settings.scope(lab, "user:8").options == {"format": "xml", "revisions": True}
    assert settings.scope(lab, "user:9").options == plain  # left out of nights, and may be asked for by hand
    assert settings.scope(lab, "group:7").options == {"format": "xml"}


def test_an_every_scope_itself_cannot_be_run(tmp_path: Path) -> None:
    """The message says what can."""
    settings = _load(tmp_path, f"{LAB}{EVERY_USER}")

    with pytest.raises(ConfigError, match="stands for every user") as caught:
        settings.scope(settings.source("lab"), "every user")
    assert "`strongroom run lab`" in caught.value.hint


def test_waiting_and_skipping_have_their_defaults(tmp_path: Path) -> None:
    """Half an hour for a busy credential; silence is never trusted unless somebody says for how long."""
    lab = _load(tmp_path, LAB).source("lab")

    assert (lab.busy_wait_s, lab.skip_unchanged_days) == (1800, 0)


@pytest.mark.parametrize("text", ["user:0", "user:x", "group:1:2", "selection", "selection:", "selection:SD2", ""])
def test_a_scope_on_the_command_line_is_checked_as_one_in_the_file(tmp_path: Path, text: str) -> None:
    """The same rules, as a ConfigError."""
    settings = _load(tmp_path, LAB)

    with pytest.raises(ConfigError):
        settings.scope(settings.source("lab"), text)


def _key(folder: Path, reference: str) -> str:
    settings = _load(folder, LAB.replace('env = "RSPACE_API_KEY"', reference))
    return connection(settings, settings.source("lab")).secrets["api_key"]


def test_a_secret_comes_from_environment_file_or_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line counts; paths and commands are relative to the configuration's folder."""
    monkeypatch.setenv("LAB_KEY", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\nsecond line\n")

    assert _key(tmp_path, 'env = "LAB_KEY"') == SECRET
    assert _key(tmp_path, 'file = "key"') == SECRET
    assert _key(tmp_path, 'command = "cat key"') == SECRET


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ('env = "NOT_SET_HERE"', "environment variable NOT_SET_HERE is empty or not set"),
        ('file = "none"', "none cannot be read: No such file"),
        ('file = "empty"', "file empty is empty"),
        ('file = "accents"', "characters that no header can carry"),
        ('file = "binary"', "binary cannot be read"),
        (f"command = \"sh -c 'echo {SECRET}; exit 3'\"", "the command ended with exit code 3"),
        ('command = "/no/such/program"', "the command could not be run (FileNotFoundError)"),
        ('command = "echo \'open"', "the command could not be run (ValueError)"),
        ('command = "true"', "command is empty"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_by_its_key(tmp_path: Path, reference: str, said: str) -> None:
    """The source, the key and the place, never a value or a command's output."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "accents").write_text(f"{SECRET}é\n")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff")

    with pytest.raises(ConfigError) as caught:
        _key(tmp_path, reference)

    assert str(caught.value).startswith("source 'lab': api_key: ")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_connection_never_prints_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor str."""
    monkeypatch.setenv("RSPACE_API_KEY", SECRET)
    settings = _load(tmp_path, LAB)
    link = connection(settings, settings.source("lab"))

    assert SECRET not in f"{link} {link!r} {settings.file!r}"
