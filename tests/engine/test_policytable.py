"""`[policy]` in strongroom.toml: each key is read, and what is wrong is named by file, table and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import config
from flows.errors import ConfigError
from flows.policytable import PolicyTable
from storage.policy import COUNTS, RULES, SPANS, Policy, Span

LAB = 'name = "lab"\nsystem = "rspace"\nurl = "https://eln.example.org"\napi_key = { env = "KEY" }\n'
SPAN_KEYS = (*SPANS, "keep_at_least", "keep_at_most")


def _told(folder: Path, text: str) -> str:
    """What is said of a file, without the file's own name, which each line begins with."""
    path = folder / "strongroom.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return "\n".join(line.removeprefix(f"{path}: ") for line in lines)


def test_every_key_is_read() -> None:
    """Each of them, as retention takes it, and no other."""
    table = PolicyTable.model_validate(
        {
            **{name: n for n, name in enumerate(COUNTS, start=1)},
            **{name: f"{n}d" for n, name in enumerate(SPANS, start=1)},
            "keep_tags": ["audit", ["a", "b"]],
            "timezone": "Europe/Vienna",
            "keep_at_least": "2d",
            "keep_at_most": "10y",
        }
    )

    counts: dict[str, Any] = {name: n for n, name in enumerate(COUNTS, start=1)}
    spans: dict[str, Any] = {name: Span(days=n) for n, name in enumerate(SPANS, start=1)}
    assert table.policy() == Policy(
        **counts,
        **spans,
        keep_tags=(frozenset({"audit"}), frozenset({"a", "b"})),
        timezone="Europe/Vienna",
        keep_at_least=Span(days=2),
        keep_at_most=Span(years=10),
    )
    assert set(PolicyTable.model_fields) == {*RULES, "timezone", "keep_at_least", "keep_at_most"}
    assert PolicyTable().policy() == Policy()


@pytest.mark.parametrize("key", COUNTS)
@pytest.mark.parametrize("value", ["-2", "100001", "'7'", "true", "7.0", "'7d'"])
def test_a_count_is_a_number(tmp_path: Path, key: str, value: str) -> None:
    """From -1 to 100,000, and not a text, a truth or a fraction of that."""
    got = {"true": "True"}.get(value, value)
    assert _told(tmp_path, f"[policy]\n{key} = {value}\n").startswith(f"policy.{key} = {got}: ")


@pytest.mark.parametrize("key", SPAN_KEYS)
@pytest.mark.parametrize("value", ["14", "'14'", "'14w'", "''", "true", "['14d']"])
def test_a_span_is_a_text_of_a_span(tmp_path: Path, key: str, value: str) -> None:
    """A number alone has no unit."""
    told = _told(tmp_path, f"[policy]\nkeep_last = 1\n{key} = {value}\n")

    assert told.startswith(f"policy.{key}")
    assert "is no span; expected" in told


@pytest.mark.parametrize("value", ["'audit'", "[1]", "[[]]", "[['a', 1]]", "[[['a']]]", "{ a = 1 }"])
def test_tags_are_lists(tmp_path: Path, value: str) -> None:
    """Of texts, or of lists of texts."""
    told = _told(tmp_path, f"[policy]\nkeep_last = 1\nkeep_tags = {value}\n")

    assert told.startswith("policy.keep_tags")
    assert "expected lists of tags" in told


@pytest.mark.parametrize("value", ["'Mars/Base'", "''", "'../UTC'", "'europe/vienna'", "1"])
def test_a_zone_has_its_iana_name(tmp_path: Path, value: str) -> None:
    """As the zone database writes it, whatever a file system takes it for."""
    assert _told(tmp_path, f"[policy]\ntimezone = {value}\n").startswith("policy.timezone")


@pytest.mark.parametrize("rule", ["keep_within = '14d'", "keep_tags = ['a']", "keep_daily = 0", "keep_dayly = 3"])
def test_the_table_is_named(tmp_path: Path, rule: str) -> None:
    """That of the archive, of a source, and of a scope."""
    key = "keep_dayly" if "dayly" in rule else "policy"
    whole = _told(tmp_path, f"[policy]\n{rule}\n")
    source = _told(tmp_path, f"[[source]]\n{LAB}policy = {{ {rule} }}\n")
    scope = _told(tmp_path, f"[[source]]\n{LAB}[[source.scope]]\nkind = 'group'\nid = 7\npolicy = {{ {rule} }}\n")

    assert whole.startswith("policy") and key in whole
    assert source.startswith("source 1.policy") and key in source
    assert scope.startswith("source 'lab': scope 1: policy") and key in scope


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Each in its own line."""
    told = _told(tmp_path, "[policy]\nkeep_last = -2\nkeep_daily = 'x'\ntimezone = 'Mars/Base'\n")

    assert sorted(line.split(" ")[0].rstrip(":") for line in told.split("\n")) == [
        "policy.keep_daily", "policy.keep_last", "policy.timezone",
    ]  # fmt: skip


def test_a_source_that_is_not_configured_keeps_everything(tmp_path: Path) -> None:
    """One that was taken out, or imported: the default policy is for configured sources. Its zone stays."""
    path = tmp_path / "strongroom.toml"
    default = "[policy]\nkeep_daily = 3\nkeep_at_most = '9y'\ntimezone = 'Europe/Vienna'\n"
    path.write_text(f"{default}[[source]]\n{LAB}[[source.scope]]\nkind = 'group'\nid = 7\n", encoding="utf-8")
    settings = config.load(path)

    gone = settings.policy("gone", "all")
    assert (gone.keeps_all(), gone.keep_at_most, gone.timezone) == (True, None, "Europe/Vienna")
    assert gone.unset == "source gone is not in strongroom.toml: everything of it is kept"
    assert settings.policy("lab", "group:8").keep_daily == 3  # a scope that was taken out of one that is there
