"""Every way to say who we are: a night each; and what is told where it is wrong."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.errors import Exit, NothingThere, SourceError
from tests.mayan import seeding
from tests.mayan.files import pdf
from tests.mayan.office import office
from tests.mayan_server import Mayan, Server

pytestmark = pytest.mark.mayan

SESSION = """
from importlib import import_module
from django.conf import settings
from django.contrib import auth
user = auth.get_user_model().objects.get(username="admin")
session = import_module(settings.SESSION_ENGINE).SessionStore()
session[auth.SESSION_KEY] = str(user.pk)
session[auth.BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print("session", session.session_key)
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A server with one document of one type, and a person who may do nothing."""

    server: Server
    scope: dict[str, Any]
    document: int
    nobody: seeding.Person

    @property
    def mayan(self) -> Mayan:
        return self.server.mayan

    def given(self, way: str) -> dict[str, Any]:
        """What a connection is given to log in that way, as the administrator."""
        both = {"username": self.mayan.user, "password": self.mayan.password}
        match way:
            case "token":
                return {"secrets": {"token": self.mayan.token}}
            case "password":
                return {"secrets": both}
            case "basic":
                return {"secrets": both, "login": "basic"}
            case _:
                said = self.server.shell(SESSION).splitlines()
                (key,) = (line.split()[1] for line in said if line.startswith("session "))
                return {"secrets": {"session": key}}


@pytest.fixture(scope="module")
def site(mayan_server: Server) -> Iterator[Site]:
    """On the session's server."""
    with mayan_server.mayan.client() as api:
        kind = seeding.make_type(api, "Logins")
        made = seeding.make_document(api, "Key", [("key.pdf", pdf("key"))], type_id=kind)
        seeding.wait_versions(api, made.id)
        nobody = seeding.make_user(api, "nobody", [])
        yield Site(mayan_server, {"kind": "type", "id": str(kind)}, made.id, nobody)


@pytest.mark.parametrize("way", ["token", "password", "basic", "session"])
def test_a_night(site: Site, tmp_path: Path, way: str) -> None:
    """With an export, which is asked for by POST and removed by DELETE: a session must prove those are its own."""
    with office(tmp_path, site.mayan, **site.given(way)) as here:
        record = here.night(**site.scope, exports="active")

        assert (record.ended, record.exit_code) == ("verified", 0)
        assert here.within(site.document)["key.pdf"] == pdf("key")
        assert any(name.startswith("version ") for name in here.within(site.document))
    with site.mayan.client() as api:
        assert seeding.rows(api, "/downloads/") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secrets": {"token": "of-nobody-1"}}, "does not accept this token: Invalid token."),
        ({"secrets": {"username": "admin", "password": "wrong-1"}}, "does not know this user name and password"),
        (
            {"secrets": {"username": "admin", "password": "wrong-1"}, "login": "basic"},
            "does not accept this user name and password: Invalid username/password.",
        ),
        ({"secrets": {"session": "of-nobody-1"}}, "does not accept this session: Authentication credentials were"),
    ],
)
def test_what_is_wrong_is_told(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, given: dict[str, Any], said: str
) -> None:
    """In a sentence that holds no secret, and with the exit code of a refusal."""
    with (
        caplog.at_level(logging.DEBUG),
        office(tmp_path, site.mayan, **given) as here,
        pytest.raises(SourceError) as caught,
    ):
        here.night(**site.scope)

    assert said in str(caught.value)
    assert caught.value.exit is Exit.AUTHENTICATION
    secret = list(given["secrets"].values())[-1]
    coded = base64.b64encode(f"admin:{secret}".encode()).decode()
    assert here.places.archive.snapshots() == []
    for text in (
        str(caught.value),
        caught.value.hint,
        caplog.text,
        repr(here.places.catalog.last_ended("office")),
    ):
        assert secret not in text
        assert coded not in text


@pytest.mark.parametrize("kind", ["all", "type"])
def test_who_sees_nothing_is_an_alarm(site: Site, tmp_path: Path, kind: str) -> None:
    """Never an empty backup that counts: it looks like an archive that was emptied."""
    scope = {"kind": "all"} if kind == "all" else site.scope
    with (
        office(tmp_path, site.mayan, secrets={"token": site.nobody.token}) as here,
        pytest.raises(SourceError) as caught,
    ):
        here.night(**scope)

    assert caught.value.exit is Exit.AUTHENTICATION
    wanted = "documents.document_view" if kind == "all" else "documents_types.document_type_view"
    assert wanted in str(caught.value)
    assert here.places.archive.snapshots() == []


def test_a_scope_with_nothing_in_it_is_empty(site: Site, tmp_path: Path) -> None:
    """Told as such where other documents are seen: not refused, and no snapshot."""
    with site.mayan.client() as api:
        kind = seeding.make_type(api, "Nothing yet")
    with office(tmp_path, site.mayan) as here, pytest.raises(NothingThere) as caught:
        here.night(kind="type", id=str(kind))

    assert caught.value.exit is Exit.PARTLY
    assert here.places.archive.snapshots() == []
