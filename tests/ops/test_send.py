"""Messages and pings arrive at real servers; those that refuse, hang or are away cost a line in a log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import config
from flows.config import Settings
from flows.ops.alarm import Level
from flows.ops.send import Sign, ping, send
from flows.ops.telling import Message
from tests.ops.receivers import (
    SECRET,
    SHORT,
    Mail,
    Web,
    certificate,
    free_port,
    mail_server,
    silent_server,
    web_server,
)

MESSAGE = Message(
    "Strongroom: 1 new alarm (box)", "Host box.\n\ncritical, new: lab/user:7: <b>none</b> & *so*", Level.CRITICAL
)


@pytest.fixture
def mail() -> Iterator[Mail]:
    with mail_server() as made:
        yield made


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as made:
        yield made


def to(folder: Path, *addresses: str) -> Settings:
    """A configuration that names each of them by a file."""
    for number, address in enumerate(addresses):
        (folder / f"address{number}").write_text(f"{address}\n")
    refs = ", ".join(f'{{ file = "address{number}" }}' for number in range(len(addresses)))
    (folder / "strongroom.toml").write_text(f"[notify]\nto = [{refs}]\n")
    return config.load(folder / "strongroom.toml")


def pinging(folder: Path, url: str, of: str = "nightly", more: str = "") -> Settings:
    (folder / "url").write_text(url)
    text = f'[[ping]]\nof = "{of}"\nurl = {{ file = "url" }}\n{more}\n'
    text += "".join(
        f'[[source]]\nname = "{name}"\nsystem = "rspace"\nurl = "http://a"\napi_key = {{ env = "X" }}\n'
        for name in ("lab", "office")
    )
    (folder / "strongroom.toml").write_text(text)
    return config.load(folder / "strongroom.toml")


def test_mail_arrives(tmp_path: Path, mail: Mail) -> None:
    """With its subject, and with every character of the text."""
    (sent,) = send(to(tmp_path, mail.address()), MESSAGE)

    assert (sent.taken, sent.name, sent.why) == (True, "address 1 (mailto)", "")
    ((subject, text),) = mail.texts
    assert subject == MESSAGE.title
    assert "critical, new: lab/user:7: " in text
    assert "<b>none</b> & *so*" in text or "&lt;b&gt;none&lt;/b&gt; &amp; *so*" in text
    assert "github" not in str(mail.got[0])


def test_mail_arrives_by_tls(tmp_path: Path) -> None:
    """STARTTLS, and a password."""
    with mail_server(tls=certificate(tmp_path)) as mail:
        (sent,) = send(to(tmp_path, mail.address(secure=True)), MESSAGE)

    assert (sent.taken, sent.way) == (True, "mailtos")
    assert [subject for subject, _ in mail.texts] == [MESSAGE.title]


def test_json_arrives_as_it_is(tmp_path: Path, web: Web) -> None:
    """Title, text and how bad; no picture of anybody's."""
    (sent,) = send(to(tmp_path, web.address()), MESSAGE)

    assert sent.taken
    (got,) = web.messages
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.title, MESSAGE.body, "failure")
    assert web.paths == [f"/{SECRET}"]


def test_each_address_is_tried_and_none_is_logged(
    tmp_path: Path, mail: Mail, web: Web, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Refused by 401, by a redirect, by a password, by an answer; away, silent, not there; no address."""
    web.statuses[:] = [401, 302]
    caplog.set_level(1)
    with silent_server() as silent, mail_server() as full:
        full.refuse = f"452 no room for {SECRET}"
        settings = to(
            tmp_path,
            web.address(),
            web.address(),
            mail.address(password=f"not-{SECRET}"),
            full.address(),
            f"json://ops:{SECRET}@127.0.0.1:{free_port()}/{SECRET}?{SHORT}",
            f"json://127.0.0.1:{silent}/{SECRET}?{SHORT}",
            f"mailto://ops:{SECRET}@127.0.0.1:{silent}?from=s@example.org&to=o@example.org&mode=insecure&{SHORT}",
            "",
            f"nonsense://{SECRET}",
            SECRET,
            f"json://{SECRET} {web.address()}",
            f"https://127.0.0.1:{web.port}/{SECRET}",
            mail.address(),
        )
        sent = send(settings, MESSAGE)

    said = [(one.number, one.way, one.taken, one.why) for one in sent]
    nobody = "no connection, no answer, or a refusal"
    unknown = "it is no address that Apprise knows"
    assert said[:7] == [
        (1, "json", False, "the server said 401"),
        (2, "json", False, "the server said 302"),
        (3, "mailto", False, nobody),
        (4, "mailto", False, nobody),
        (5, "json", False, nobody),
        (6, "json", False, nobody),
        (7, "mailto", False, nobody),
    ]
    assert said[7] == (8, "", False, "[notify] to: address 8: file address7 is empty or not set")
    assert said[8:10] == [(9, "nonsense", False, unknown), (10, "", False, unknown)]
    assert said[12] == (13, "mailto", True, "")
    assert "/elsewhere" not in web.paths
    out, err = capfd.readouterr()
    for place in (caplog.text, out, err, repr(sent)):
        assert SECRET not in place


@pytest.mark.parametrize(
    ("sign", "path"),
    [
        (Sign.BEGUN, "/ping/a-b/start?create=1"),
        (Sign.WELL, "/ping/a-b?create=1"),
        (Sign.FAILED, "/ping/a-b/fail?create=1"),
    ],
)
def test_pings_go_to_the_url_its_start_and_its_fail(tmp_path: Path, web: Web, sign: Sign, path: str) -> None:
    """A query stays where it belongs."""
    ping(pinging(tmp_path, web.url("/ping/a-b/?create=1")), "nightly", None, lambda _: sign, sleep=never)

    assert [(method, asked) for method, asked, _ in web.got] == [("GET", path)]


def test_a_switch_of_a_source_hears_of_that_source(tmp_path: Path, web: Web) -> None:
    """Of its nights and of the nights of all; not of another's, and not of a scrub."""
    settings = pinging(tmp_path, web.url(), more='source = "lab"')
    for of, source in (("nightly", "office"), ("scrub", None), ("nightly", "lab"), ("nightly", None)):
        ping(settings, of, source, lambda _: Sign.WELL, sleep=never)

    assert len(web.got) == 2


def test_a_ping_is_tried_again(tmp_path: Path, web: Web, caplog: pytest.LogCaptureFixture) -> None:
    """After 500 and 429: three times in all, with growing waits; after a 404 not."""
    waited: list[float] = []
    settings = pinging(tmp_path, web.url())
    web.statuses[:] = [500, 429]
    ping(settings, "nightly", None, lambda _: Sign.WELL, sleep=waited.append)
    assert (len(web.got), waited, caplog.text) == (3, [1, 2], "")

    web.statuses[:] = [503, 503, 503, 404]
    ping(settings, "nightly", None, lambda _: Sign.WELL, sleep=waited.append)
    ping(settings, "nightly", None, lambda _: Sign.WELL, sleep=never)
    assert len(web.got) == 7
    assert caplog.messages == ["ping 1 of nightly: the server said 503", "ping 1 of nightly: the server said 404"]


def test_a_ping_that_nobody_takes_raises_nothing_and_tells_no_url(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Away, silent, a redirect, not there, not an address."""
    monkeypatch.setattr("flows.ops.send.TIMEOUT_S", 0.2)
    caplog.set_level(1)
    web.statuses[:] = [302]
    waited: list[float] = []
    with silent_server() as silent:
        urls = (
            f"http://127.0.0.1:{free_port()}/{SECRET}",
            f"http://127.0.0.1:{silent}/{SECRET}",
            web.url(f"/{SECRET}"),
            "",
            f"ftp://127.0.0.1/{SECRET}",
            f"http://127.0.0.1:port/{SECRET}",
            f"ops:{SECRET}",
        )
        for url in urls:
            ping(pinging(tmp_path, url), "nightly", None, lambda _: Sign.WELL, sleep=waited.append)

    said = [record.getMessage() for record in caplog.records if record.name == "flows.ops.send"]
    assert said[:5] == [
        "ping 1 of nightly: no answer (ConnectError)",
        "ping 1 of nightly: no answer (ReadTimeout)",
        "ping 1 of nightly: the server said 302",
        "ping 1 of nightly: ping 1: file url is empty or not set",
        "ping 1 of nightly: its URL is no http or https address",
    ]
    assert said[5:] == [
        "ping 1 of nightly: no answer (InvalidURL)",
        "ping 1 of nightly: its URL is no http or https address",
    ]
    assert waited == [1, 2] * 2
    assert "/elsewhere" not in web.paths
    assert SECRET not in caplog.text


def never(_: float) -> None:
    raise AssertionError("waited")
