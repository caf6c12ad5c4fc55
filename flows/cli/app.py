"""The app: its verbs, and the one place where errors become exit codes."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from flows.cli import (
    book,
    browse,
    compare,
    convert,
    decide,
    demonstrate,
    deploy,
    erase,
    give,
    install,
    key,
    look,
    make,
    mend,
    prepare,
    prune,
    report,
    retain,
    runs,
    standing,
    tell,
    upkeep,
)
from flows.cli.console import complain
from flows.errors import EXIT_MEANINGS, ConfigError, Exit, SourceError, verdict, without_traceback
from flows.server_at_hand import PrefectTrouble
from storage.errors import StorageError
from storage.snapshot import FORMAT

_EXITS = " · ".join(f"{int(code)} {meaning}" for code, meaning in EXIT_MEANINGS.items())

app = typer.Typer(
    name="strongroom",
    help="Nightly, proven backups of systems that give their data out only through asynchronous exports.",
    epilog=f"Exit codes: {_EXITS}.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (
    *(demonstrate, prepare, make, deploy, look, runs, browse, compare, standing, tell, report, give),
    *(retain, prune, decide, erase, upkeep, mend, book, key, convert, install),
):
    _module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        ours, python = version("strongroom"), platform.python_version()
        print(f"strongroom {ours}, snapshots of format {FORMAT}, Python {python}")
        raise typer.Exit


_Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which this is.")]


@app.callback()
def _program(_: _Version = False) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Run one command. Its exit code; never raises for what a user, a file or a server did."""
    if {"status", "--nagios"} <= {*arguments}:
        return _as_plugin(arguments)
    try:
        result = app(args=list(arguments) or ["--help"], standalone_mode=False)
    except typer.Exit as exc:
        return exc.exit_code
    except typer.Abort:  # Ctrl-C, as typer has it
        complain("interrupted", "run again: it goes on where it stopped")
        return Exit.INTERRUPTED
    except TyperException as exc:
        verb = next((word for word in arguments if not word.startswith("-")), "")
        complain(exc.format_message(), f"strongroom {verb} --help".replace("  ", " "))
        return Exit.USAGE
    except (ConfigError, SourceError, StorageError) as exc:
        complain(str(exc), exc.hint)
        return int(verdict(exc)[1])
    except PrefectTrouble as exc:
        complain(str(exc), exc.hint)
        return Exit.UNEXPECTED
    except KeyboardInterrupt:
        complain("interrupted", "run again: it goes on where it stopped")
        return Exit.INTERRUPTED
    except SystemExit as exc:
        if isinstance(exc.__context__, BrokenPipeError):  # the reader has seen enough: head, less
            return Exit.DONE
        raise
    return result if isinstance(result, int) else Exit.DONE


def _as_plugin(arguments: Sequence[str]) -> int:
    """The same for whoever asks as Nagios does: any error whatever is UNKNOWN, one line on standard output, 3."""
    from flows.ops.nagios import unknown

    try:
        code = int(app(args=list(arguments), standalone_mode=False) or Exit.DONE)
        if code != Exit.INTERRUPTED:
            return code
        text, code = unknown("interrupted")
    except typer.Exit as exc:
        return exc.exit_code
    except SystemExit:  # the reader has seen enough
        return Exit.DONE
    except BaseException as exc:  # exit codes 1 and 2, which it would else end with, mean something else there
        text, code = unknown(_told(exc))
    print(text)
    return code


def _told(error: BaseException) -> str:
    """An error on one line; of one that is none of ours only its name, since its text may hold anything."""
    if isinstance(error, TyperException):
        return error.format_message()
    if isinstance(error, ConfigError | SourceError | StorageError | PrefectTrouble):
        return without_traceback(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return "interrupted"
    return f"unexpected error: {type(error).__name__}; `strongroom status` without --nagios shows it"
