"""Downloading one file and knowing both its sums: Strongroom's client against `curl -o`, by HTTP and TLS.

nginx serves the file from the page cache on loopback; its own time counts for nobody but it shares the cores.
`curl -o` writes, knows no sum, and leaves the file to the page cache; Strongroom writes, has CRC-32 and SHA-256 at
the last byte, and has the file on the disk (fsync).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.bench import lab
from tests.bench.lab import Spent
from tests.bench.zips import measured

SIZE = 1_400_000_000
_PIECE = 1 << 24
_WAIT_S = 10.0

_NGINX = """\
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; tcp_nopush on;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{
    listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.3;
    root {folder}/www;
  }}
}}
"""


def versions() -> list[str]:
    """Of curl and nginx; ends the program where one is missing."""
    for program in ("curl", "nginx", "openssl"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program}: not installed, the set download needs it (--set names the others)")
    said = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    server = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return [" ".join(said.split()[:2]), server.strip().rpartition(": ")[2]]


def measure(folder: Path, size: int, rounds: int) -> Mapping[tuple[str, str], list[Spent]]:
    """By protocol and client: "curl", "synced" (curl, then `sync -d`), "ours" (from opening the link), "process"
    (ours with Python's start)."""
    (folder / "www").mkdir(parents=True)
    served = folder / "www" / "export.zip"
    rng = Random(size)
    with served.open("wb") as stream:
        for at in range(0, size, _PIECE):
            stream.write(rng.randbytes(min(_PIECE, size - at)))
    expected = measured(served).sha256
    taken: dict[tuple[str, str], list[Spent]] = {}
    with _nginx(folder) as ports:
        for turn in range(rounds):
            for protocol, port in ports.items():
                url = f"{protocol}://localhost:{port}/export.zip"
                turns = [_curl, _synced, _ours] if turn % 2 == 0 else [_ours, _synced, _curl]
                for client in turns:
                    to = folder / "got.zip"
                    lab.empty(folder / "nothing")  # lets the disk finish
                    for name, spent in client(url, to, folder).items():
                        taken.setdefault((protocol, name), []).append(spent)
                    if client is _ours and json.loads((folder / "notes.json").read_text())["sha256"] != expected:
                        raise SystemExit(f"{url}: another SHA-256 than that of the file served")
                    to.unlink()
    lab.empty(folder)
    return taken


def _curl(url: str, to: Path, folder: Path) -> dict[str, Spent]:
    return {
        "curl": lab.run(["curl", "--silent", "--fail", "--cacert", str(folder / "cert.pem"), "-o", str(to), url])
    }


def _synced(url: str, to: Path, folder: Path) -> dict[str, Spent]:
    """What it takes curl to have the file on the disk, as ours has."""
    fetch = ["curl", "--silent", "--fail", "--cacert", str(folder / "cert.pem"), "-o", str(to), url]
    return {"synced": lab.run(["sh", "-c", '"$@" && sync -d "$0"', str(to), *fetch])}


def _ours(url: str, to: Path, folder: Path) -> dict[str, Spent]:
    notes = folder / "notes.json"
    whole = lab.run(
        [sys.executable, "-m", "tests.bench.download_one", url, str(to), str(notes), str(folder / "cert.pem")]
    )
    told = json.loads(notes.read_text("utf-8"))
    return {"ours": Spent(told["wall_s"], told["cpu_s"], whole.peak_bytes), "process": whole}


@contextmanager
def _nginx(folder: Path) -> Iterator[dict[str, int]]:
    """A server on two free ports of loopback, with a certificate for localhost; the ports."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key.pem")),
            *("-out", str(folder / "cert.pem")),
        ],
        capture_output=True,
        check=True,
    )
    folder.chmod(0o755)
    ports = {"http": _free_port(), "https": _free_port()}
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, **ports), encoding="utf-8")
    command = ["nginx", "-e", str(folder / "error.log"), "-c", str(config), "-g", _user()]
    with subprocess.Popen(command) as server:
        try:
            _wait(ports["https"], server)
            yield ports
        finally:
            server.terminate()


def _user() -> str:
    """A worker as the one who runs this: else one of root's nginx is nobody and may not read the folder."""
    import getpass

    return f"user {getpass.getuser()};" if getpass.getuser() == "root" else ""


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("nginx did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
