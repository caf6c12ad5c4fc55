"""README and code in lock-step: commands, exit codes, configuration, words, the test command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from flows import config
from flows.cli.app import app
from flows.cli.prepare import TEMPLATE
from flows.errors import EXIT_MEANINGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme_and_has_help(verb: str) -> None:
    """No command without words about it."""
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]

    assert f"`strongroom {verb}" in README
    assert command.help


BLOCKS = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_readmes_configurations_parse(tmp_path: Path, block: str) -> None:
    """What a user copies is accepted, commented options included."""
    path = tmp_path / "strongroom.toml"
    for text in (block, re.sub(r"^# (\w+ = )", r"\1", block, flags=re.MULTILINE)):
        path.write_text(text.replace('ca_file = "our-ca.pem"', ""))
        settings = config.load(path)
        assert len(settings.sources) == 1
        assert len(settings.sources[0].scopes()) == block.count("[[source.scope]]") > 1


def test_the_template_is_sound_with_and_without_its_comments(tmp_path: Path) -> None:
    """`init` writes a file without an active source, and what it comments out is right."""
    path = tmp_path / "strongroom.toml"
    path.write_text(TEMPLATE)
    assert config.load(path).sources == ()

    body = re.sub(r"^# ?(\[\[|[a-z_]+ = )", r"\1", TEMPLATE, flags=re.MULTILINE)
    path.write_text(body)
    assert [source.name for source in config.load(path).sources] == ["lab", "office", "admissions", "forge"]


def test_every_exit_code_is_in_readme_and_help() -> None:
    """One table, said twice."""
    for code in EXIT_MEANINGS:
        assert re.search(rf"\b{int(code)} \w", README)


def test_ci_runs_the_readmes_test_command() -> None:
    """As it stands."""
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)

    assert commands[1].strip() in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_readme_names_every_module_it_points_to() -> None:
    """Paths in the README exist."""
    for path in re.findall(r"`((?:flows|storage|tests)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


def test_nothing_names_a_machine_or_a_registry() -> None:
    """The project speaks of itself alone."""
    for path in ROOT.glob("*.*"):
        if path.suffix in (".md", ".toml", ".txt", ".yaml"):
            assert not re.search(r"/work/|/root/|index-url|find-links", path.read_text()), path
