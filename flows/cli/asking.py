"""Questions to whoever sits at the terminal, and what is said where nobody answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from flows.errors import ConfigError

T = TypeVar("T")
KEY = "`STRONGROOM_KEY_FILE` names a file that holds it, `STRONGROOM_KEY` is it"


def somebody() -> bool:
    """Whether standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()  # closed by who started us, it is None


def confirmed(question: str, *, default: bool = False) -> bool:
    """Yes or no. Raises ConfigError where the input ends without."""
    return _answered(question, "`--yes` asks nothing", lambda: typer.confirm(question, default=default, err=True))


def asked(question: str, *, instead: str, hidden: bool = False, twice: bool = False) -> str:
    """What is typed. Raises ConfigError where the input ends before; `instead` says how to do without asking."""
    return _answered(
        question,
        instead,
        lambda: str(typer.prompt(question, hide_input=hidden, confirmation_prompt=twice, err=True)),
    )


def unanswered(question: str, instead: str) -> ConfigError:
    """What is raised where the input ends and nothing was said."""
    return ConfigError(f"no answer to {question!r}: the input has ended", hint=instead)


def _answered(question: str, instead: str, ask: Callable[[], T]) -> T:
    if sys.stdin is None:
        raise unanswered(question, instead)
    try:
        return ask()
    except typer.Abort as exc:
        if not isinstance(exc.__context__, EOFError):
            raise
        typer.echo(err=True)  # the question stands there without an end
        raise unanswered(question, instead) from None
