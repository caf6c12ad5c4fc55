"""The verb that tells people of alarms, without Prefect: for cron, and for a test of the addresses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import ConfigOption, JsonOption, complain, out, print_json
from flows.errors import ConfigError, Exit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flows.config import Settings
    from flows.ops.send import Sent


def register(app: typer.Typer) -> None:
    """Add this verb to the app."""
    app.command()(tell)


def tell(
    test: Annotated[bool, typer.Option("--test", help="Send a test message to every address instead.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    r"""Look at everything, and tell the addresses of \[notify] what is new, as `status --tell` does.

    Exit code 5 where something is critical, 1 where there was something to tell and no address took it. With
    --test: 1 where no address took the message, 3 where some did not. No dead-man switch is pinged.
    """
    from flows import config as configuration
    from flows.ops.look import look

    settings = configuration.load(configuration.find(config))
    if test:
        return _test(settings, json=json)
    looked = look(settings, now=datetime.now(UTC), only_tell=True)
    if json:
        alarms = [alarm.to_json() for alarm in looked.alarms]
        print_json("tell", {"alarms": alarms, "addresses": _addresses(looked.sent)})
    else:
        for alarm in looked.alarms:
            out.print(f"{alarm.level.name.lower()}: {alarm.sentence}", markup=False, soft_wrap=True)
        taken = sum(one.taken for one in looked.sent)
        told = f"told {taken} of {len(looked.sent)} addresses" if looked.sent else "nothing new was to be told"
        nobody = "nobody is to be told: [notify] names no address"
        out.print(told if settings.file.notify.to else nobody, markup=False)
    if looked.unheard:
        return Exit.UNEXPECTED
    return Exit.STALE if looked.critical else Exit.DONE


def _test(settings: Settings, *, json: bool) -> int:
    import socket

    from flows.ops.send import send
    from flows.ops.telling import trial

    if not settings.file.notify.to:
        hint = 'below [notify] add to = [{ env = "STRONGROOM_NOTIFY" }], with an address of Apprise in it'
        raise ConfigError("[notify] to: nobody is to be told", hint=hint)
    sent = send(settings, trial(host=socket.gethostname(), archive=settings.file.archive.url))
    if json:
        print_json("tell", {"addresses": _addresses(sent)})
    for one in sent:
        if not one.taken:
            complain(f"{one.name}: did not take the message: {one.why}", "look at the address and its password")
        elif not json:
            out.print(f"{one.name}: taken", markup=False)
    if all(one.taken for one in sent):
        return Exit.DONE
    return Exit.PARTLY if any(one.taken for one in sent) else Exit.UNEXPECTED


def _addresses(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    return [{"number": one.number, "way": one.way, "taken": one.taken, "why": one.why} for one in sent]
