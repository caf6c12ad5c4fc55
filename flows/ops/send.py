"""Messages to people by Apprise, and pings to dead-man switches. Nothing here raises, and nothing logs an address.

Only the configured addresses are asked. An address is a secret as a whole: it is spoken of by its number in
`[notify] to` and by its scheme, such as "address 2 (slack)".
Source of the pings: https://healthchecks.io/docs/measuring_script_run_time/ (url/start) and
https://healthchecks.io/docs/signaling_failures/ (url/fail); the URL alone says that all is well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import tenacity

from flows.config import Settings
from flows.configtables import SecretRef
from flows.credentials import secret
from flows.errors import ConfigError
from flows.ops.alarm import Level
from flows.ops.tables import PingTable
from flows.ops.telling import Message

if TYPE_CHECKING:
    import apprise

log = logging.getLogger(__name__)
TIMEOUT_S = 10.0  # of a ping, for each of: connect, send, answer
TRIES = 3  # of a ping
USER_AGENT = "strongroom"
_STATUS = re.compile(r"error=([0-9]{3})\b")  # as Apprise's plug-ins say what a server answered

# httpx logs every URL at INFO, urllib3 (which Apprise uses) the path of each at DEBUG: it may hold a token.
for _name in ("httpx", "httpcore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Sign(Enum):
    """What a ping says, as what is appended to the path of its URL."""

    BEGUN = "/start"
    WELL = ""
    FAILED = "/fail"


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message at one address."""

    number: int  # place in `[notify] to`, from 1
    way: str  # the scheme of the address; "" where the address is not at hand
    taken: bool
    why: str = ""  # it was not

    @property
    def name(self) -> str:
        """The address, without its secret."""
        return f"address {self.number} ({self.way})" if self.way else f"address {self.number}"


def send(settings: Settings, message: Message) -> list[Sent]:
    """Send to every address, one after another; how each took it.

    An address that does not answer costs what Apprise waits: 4 s to connect and 4 s for the answer, 15 s for mail;
    `?cto=` and `?rto=` at the address change that.
    """
    addresses = enumerate(settings.file.notify.to, start=1)
    return [_send(ref, number, settings.folder, message) for number, ref in addresses]


def _send(ref: SecretRef, number: int, folder: Path, message: Message) -> Sent:
    try:
        address = secret(ref, f"[notify] to: address {number}", folder)
    except ConfigError as exc:
        return Sent(number, "", False, str(exc))
    scheme = address.partition("://")[0].lower()
    way = scheme if re.fullmatch(r"[a-z][a-z0-9]{1,19}", scheme) and "://" in address else ""
    with _heard() as said:
        try:
            taken = _notify(address, message)
        except Exception as exc:  # a plug-in's own, of every kind; its text may hold the address
            return Sent(number, way, False, type(exc).__name__)
    if taken is None:
        return Sent(number, way, False, "it is no address that Apprise knows")
    return Sent(number, way, taken, "" if taken else _why(said))


def is_address(text: str) -> bool:
    """Whether Apprise knows such an address. Nothing is sent."""
    with _heard():
        try:
            return _plugin(text) is not None
        except Exception:  # a plug-in's own, of every kind; its text may hold the address
            return False


def _plugin(address: str) -> apprise.NotifyBase | None:
    import apprise  # noqa: PLC0415 - late: it takes half a second, and most looks tell nothing

    asset = apprise.AppriseAsset(
        app_id="Strongroom",
        app_desc="Strongroom",
        app_url="",
        image_url_mask="",  # no picture from elsewhere
        image_url_logo="",
        async_mode=False,
        http_redirects=False,  # a token goes to whom it was given for
        pgp_autogen=False,
        storage_mode="memory",
    )
    plugin = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
    return plugin if isinstance(plugin, apprise.NotifyBase) else None


def _notify(address: str, message: Message) -> bool | None:
    """Whether it was taken; None for what is no address."""
    import apprise  # noqa: PLC0415

    plugin = _plugin(address)
    if plugin is None:
        return None
    service = apprise.Apprise(asset=plugin.asset)
    service.add(plugin)
    kind = {
        Level.CRITICAL: apprise.NotifyType.FAILURE,
        Level.WARNING: apprise.NotifyType.WARNING,
        None: apprise.NotifyType.SUCCESS,
    }[message.level]
    return bool(
        service.notify(
            body=message.body, title=message.title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
        )
    )


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What Apprise says meanwhile. No handler of any log gets it: its errors may hold the address as it is."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    logger = logging.getLogger("apprise")
    logger.addFilter(keep)
    try:
        yield said
    finally:
        logger.removeFilter(keep)


def _why(said: list[str]) -> str:
    """The status that a server answered with, and no other word of a text that may hold the address."""
    statuses = [found[1] for text in said for found in _STATUS.finditer(text)]
    return f"the server said {statuses[-1]}" if statuses else "no connection, no answer, or a refusal"


def ping(
    settings: Settings,
    of: str,
    source: str | None,
    sign: Callable[[PingTable], Sign],
    *,
    sleep: Callable[[float], None],
) -> None:
    """Tell the dead-man switches of `of`, as `sign` decides for each. What failed after TRIES is logged.

    `source`: whose night it is; None for all, which every switch of a source hears of as well.
    """
    for number, table in enumerate(settings.file.ping, start=1):
        if table.of == of and (source is None or table.source in (None, source)):
            said = _ping(table.url, f"ping {number}", settings.folder, sign(table), sleep)
            if said:
                log.warning("ping %d of %s: %s", number, of, said)


def _ping(ref: SecretRef, where: str, folder: Path, sign: Sign, sleep: Callable[[float], None]) -> str:
    """Why it was not taken; "" where it was."""
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(TRIES),
        wait=tenacity.wait_exponential(multiplier=1, max=10),
        retry=tenacity.retry_if_exception_type(httpx.TransportError)
        | tenacity.retry_if_result(lambda status: status == 429 or status >= 500),
        sleep=sleep,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else 0,
    )
    try:
        url = httpx.URL(secret(ref, where, folder))
        if url.scheme not in ("http", "https") or not url.host:
            return "its URL is no http or https address"
        status = retrying(_status, url.copy_with(path=url.path.rstrip("/") + sign.value))
    except ConfigError as exc:
        return str(exc)
    except Exception as exc:  # httpx's, of every kind; their text may hold the address
        return f"no answer ({type(exc).__name__})"
    return "" if 200 <= status < 300 else f"the server said {status}"


def _status(url: httpx.URL) -> int:
    """What a GET is answered with. The answer's text is not read."""
    headers = {"User-Agent": USER_AGENT}
    with (
        httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, headers=headers) as client,
        client.stream("GET", url) as response,
    ):
        return response.status_code
