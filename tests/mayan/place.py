"""The folder of one Mayan EDMS: its data, its environment, and its stores (redis; PostgreSQL where asked).

Migrating an empty database costs half a minute: each version's new data is made once and kept as a pristine copy
in the cache, `<version>/sqlite/pristine` and `<version>/postgres/pristine`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from tests.mayan import install
from tests.mayan.group import Group

Database = Literal["sqlite", "postgres"]
Found = TypeVar("Found")

USER, PASSWORD = "admin", "of-tests-only"
POLL_S = 0.1
DEADLINE_S = 180.0  # for a start: 5 s on an idle machine, 50 s on one with five times the work it can do
QUOTED = 20  # lines of a log
OFF = {  # what a server would find out about each file, and nobody here reads: most of the work of an upload
    "MAYAN_OCR_AUTO_OCR": "false",
    "MAYAN_DOCUMENT_PARSING_AUTO_PARSING": "false",
    "MAYAN_FILE_METADATA_AUTO_PROCESS": "false",
}
POSTGRES_USER = "postgres" if os.geteuid() == 0 else None  # its server refuses to run as root


@dataclass(frozen=True, slots=True)
class Place:
    """A folder and what its processes must have in their environment."""

    folder: Path
    venv: Path
    version: str
    db: Database
    environ: dict[str, str]

    @classmethod
    def new(cls, version: str, db: Database) -> Place:
        """An empty folder with a short name (a Unix socket's path has 107 characters)."""
        venv = install.environment(version)
        folder = Path(tempfile.mkdtemp(prefix="strongroom-mayan-"))
        folder.chmod(0o711)  # PostgreSQL's own user must reach its folder in here
        for name in ("tmp", "media"):
            (folder / name).mkdir()
        return cls(folder, venv, version, db, _environ(folder, version, db))

    def program(self, name: str) -> str:
        """A program of the version's environment."""
        return str(self.venv / "bin" / name)

    def run(self, name: str, *options: str) -> None:
        """A program, until it ends. Raises install.CannotHave where it fails."""
        install.run([self.program(name), *options], self.environ)

    def start_stores(self, group: Group) -> None:
        """Redis and, where it is asked for, PostgreSQL on the data that is here; returns when they answer."""
        socket = self.folder / "redis.sock"
        group.start(
            "redis",
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"],
            self.environ,
        )
        if self.db == "postgres":
            options = {
                "listen_addresses": "",
                "unix_socket_directories": self.folder / "pg",  # the one that its user may write to
                "fsync": "off",
                "dynamic_shared_memory_type": "mmap",  # in its folder: nothing stays behind in /dev/shm
            }
            flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            command = [_postgres("postgres"), "-D", str(self.folder / "pg"), *flags]
            group.start("postgres", command, self.environ, POSTGRES_USER)
            self.wait(group, "postgres", lambda: "ready to accept connections" in group.log("postgres") or None)
        self.wait(group, "redis", lambda: socket.exists() or None)

    def stop_database(self, group: Group) -> None:
        """PostgreSQL in its own way: killed, it would leave its shared memory behind."""
        if group.lives("postgres"):
            group.end("postgres", signal.SIGINT)

    def wait(self, group: Group, name: str, find: Callable[[], Found | None]) -> Found:
        """What `find` gives in the end.

        Raises RuntimeError with the end of the log: the process ended, or 180 s are over.
        """
        end = time.monotonic() + DEADLINE_S
        while (found := find()) is None:
            if not group.lives(name) or time.monotonic() > end:
                what = f"did not get ready within {DEADLINE_S:.0f} s" if group.lives(name) else "ended"
                last = "\n".join(group.log(name).splitlines()[-QUOTED:])
                raise RuntimeError(f"Mayan EDMS {self.version}: {name} {what}; it said last\n{last}")
            time.sleep(POLL_S)
        return found

    def fill(self) -> None:
        """Copies the pristine data in here; makes it before where there is none."""
        with install.alone(f"{self.version}/{self.db}") as cache:
            # The settings of new document types are those of the moment in which the first one was made.
            kept, part = cache / f"pristine-{zlib.crc32(repr(OFF).encode()):08x}", cache / "part"
            if not kept.exists():
                for old in filter(Path.is_dir, cache.iterdir()):
                    shutil.rmtree(old)
                self._make(part)
                part.rename(kept)
        _copy(kept, self.folder)

    def _make(self, to: Path) -> None:
        made = Place.new(self.version, self.db)
        group = Group(made.folder)
        try:
            if self.db == "postgres":
                data = made.folder / "pg"
                data.mkdir(mode=0o700)
                if POSTGRES_USER:
                    shutil.chown(data, POSTGRES_USER)
                init = [
                    _postgres("initdb"),
                    "-D",
                    str(data),
                    "-U",
                    "postgres",
                    "-A",
                    "trust",
                    "--no-sync",
                    "-E",
                    "UTF8",
                ]
                group.start("initdb", init, made.environ, POSTGRES_USER)
                made.wait(group, "initdb", lambda: "Success" in group.log("initdb") or None)
            made.start_stores(group)
            # the JavaScript of the pages that a browser shows would come from elsewhere; the API needs none
            made.run("mayan-edms.py", "common_initial_setup", "--force", "--no-dependencies")
            made.stop_database(group)
            group.stop()
            for written in (made.folder / "media").glob("config*.yml"):
                written.unlink()  # the settings of that moment, with the paths of that folder
            to.mkdir()
            for name in ("media", "pg"):
                if (made.folder / name).exists():
                    _copy(made.folder / name, to / name)
        finally:
            group.stop()
            shutil.rmtree(made.folder)


def _environ(folder: Path, version: str, db: Database) -> dict[str, str]:
    redis = folder / "redis.sock"
    engine = f"'ENGINE':'django.db.backends.sqlite3','NAME':'{folder}/media/db.sqlite3'"
    engine += f",'OPTIONS':{{{install.RELEASES[version].sqlite}}}"
    if db == "postgres":
        engine = "'ENGINE':'django.db.backends.postgresql','NAME':'postgres','USER':'postgres'"
        engine += f",'PASSWORD':'','HOST':'{folder}/pg','PORT':'5432'"
    return install.bare() | {
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONWARNINGS": "ignore",
        "DJANGO_SETTINGS_MODULE": "mayan.settings.production",
        "MAYAN_MEDIA_ROOT": str(folder / "media"),
        "MAYAN_DATABASES": f"{{'default':{{{engine}}}}}",
        "MAYAN_ALLOWED_HOSTS": "['127.0.0.1','localhost']",
        "MAYAN_CELERY_BROKER_URL": f"redis+socket://{redis}?virtual_host=0",
        "MAYAN_CELERY_RESULT_BACKEND": f"redis+socket://{redis}?virtual_host=1",
        "MAYAN_LOCK_MANAGER_BACKEND": "mayan.apps.lock_manager.backends.redis_lock.RedisLock",
        "MAYAN_LOCK_MANAGER_BACKEND_ARGUMENTS": f"{{'redis_url':'unix://{redis}?db=2'}}",
        "MAYAN_AUTOADMIN_USERNAME": USER,
        "MAYAN_AUTOADMIN_PASSWORD": PASSWORD,
        **OFF,
    }


def _postgres(program: str) -> str:
    """The newest that is installed: Debian keeps these programs off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise install.CannotHave(f"{program}: not below /usr/lib/postgresql")
    return str(found[-1])


def _copy(source: Path, to: Path) -> None:
    """With owners: PostgreSQL's files are its user's."""
    subprocess.run(["cp", "-a", f"{source}/.", str(to)], check=True)
