"""Who is told, in tests: a real mail server, a real web server, one that never answers, and one that is away."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

logging.getLogger("mail.log").setLevel(logging.ERROR)  # the mail server's own: it logs what it is told
SECRET = "hunter2-planted-secret"
SHORT = "cto=0.3&rto=0.3"  # Apprise's time-outs in an address: to connect, to be answered


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Mail:
    """A mail server that keeps what it is given. It knows the user `ops` with SECRET."""

    port: int
    got: list[Message] = field(default_factory=list)
    refuse: str = ""  # what it says instead of taking a mail

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        if not self.refuse:
            content = envelope.content
            assert isinstance(content, bytes)
            self.got.append(message_from_bytes(content, policy=default))
        return self.refuse or "250 OK"

    def address(self, *, password: str = SECRET, secure: bool = False) -> str:
        scheme, more = ("mailtos", "&mode=starttls&verify=no") if secure else ("mailto", "&mode=insecure")
        return (
            f"{scheme}://ops:{password}@127.0.0.1:{self.port}?from=s@example.org&to=ops@example.org&{SHORT}{more}"
        )

    @property
    def texts(self) -> list[tuple[str, str]]:
        """Subject and text of each mail."""
        return [(str(one["subject"]), _text(one)) for one in self.got]


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None) -> Iterator[Mail]:
    made = Mail(free_port())

    def known(_s: Any, _x: Any, _e: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        return AuthResult(success=given.login == b"ops" and given.password == SECRET.encode())

    controller = Controller(
        made, "127.0.0.1", made.port, tls_context=tls, require_starttls=tls is not None,
        authenticator=known, auth_required=True, auth_require_tls=tls is not None,
    )  # fmt: skip
    controller.start()
    try:
        yield made
    finally:
        controller.stop()


def certificate(folder: Path) -> ssl.SSLContext:
    """TLS for 127.0.0.1, signed by nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "mail.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@dataclass
class Web:
    """A web server that keeps what it is asked."""

    port: int = 0
    got: list[tuple[str, str, bytes]] = field(default_factory=list)  # method, path with query, body
    statuses: list[int] = field(default_factory=list)  # of the next answers; then 200

    def address(self, token: str = SECRET) -> str:
        """For Apprise."""
        return f"json://127.0.0.1:{self.port}/{token}?{SHORT}"

    def url(self, path: str = "/ping") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.got]

    @property
    def messages(self) -> list[dict[str, str]]:
        """What Apprise sent: title, message, type."""
        return [json.loads(body) for method, _, body in self.got if method == "POST"]


@contextmanager
def web_server() -> Iterator[Web]:
    made = Web()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            made.got.append((self.command, self.path, body))
            status = made.statuses.pop(0) if made.statuses else 200
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", f"http://127.0.0.1:{made.port}/elsewhere")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        do_GET = do_POST = _any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of one that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield listening.getsockname()[1]


def _text(mail: Message) -> str:
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    return "\n".join(str(part.get_payload(decode=True), "utf-8") for part in parts)  # type: ignore[arg-type]
