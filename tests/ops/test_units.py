"""systemd's units: systemd itself reads them, whatever the paths are called, and finds them closed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import config
from flows.config import Settings
from flows.errors import ConfigError
from flows.ops import units

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here: apt-get install systemd")
WORST = 20  # tenths: exposure as `systemd-analyze security` counts it; 100 is wide open, 96 a service as it comes
SETS = {"serve": (0, False), "workers": (2, False), "postgres": (2, True)}
ODD = 'a folder\'s 100% "odd" $HOME \\ name'  # each sign is something to systemd


def settings(folder: Path, text: str = "") -> Settings:
    """A configuration in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "strongroom.toml").write_text(text)
    return config.load(folder / "strongroom.toml")


def written(folder: Path, kind: str, to: Path) -> units.Machine:
    """The units of a kind, as files."""
    workers, postgres = SETS[kind]
    made = units.machine(
        settings(folder, '[metrics]\nfile = "/var/lib/prometheus/node-exporter/strongroom.prom"\n'),
        user="daemon", workers=workers, postgres=postgres,
    )  # fmt: skip
    to.mkdir()
    for name, text in units.units(made).items():
        (to / name).write_text(text)
    return made


def analyze(*arguments: str | Path) -> tuple[int, str]:
    """What systemd says."""
    assert ANALYZE is not None
    command = [ANALYZE, "--no-pager", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


@needs_systemd
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("name", ["plain", ODD])
def test_systemd_takes_every_unit(tmp_path: Path, kind: str, name: str) -> None:
    """Not one warning, also where a path has every sign that means something to it."""
    folder = tmp_path / "etc" / name
    written(folder, kind, tmp_path / "units")
    # Programs that are not there would be told, and what an instance is of has no unit of its own.
    for unit in sorted((tmp_path / "units").iterdir()):
        shown = unit.with_name("strongroom-worker@1.service") if "@" in unit.name else unit
        code, said = analyze("verify", "--man=no", shown)
        assert (code, said) == (0, ""), shown.name


@needs_systemd
@pytest.mark.parametrize("kind", SETS)
def test_systemd_finds_them_closed(tmp_path: Path, kind: str) -> None:
    """Each service is below the threshold; one that may do anything is not."""
    written(tmp_path / "etc", kind, tmp_path / "units")
    for unit in sorted((tmp_path / "units").glob("*.service")):
        code, said = analyze("security", "--offline=true", f"--threshold={WORST}", unit)
        assert code == 0, said.splitlines()[-1]

    (tmp_path / "open.service").write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=true", f"--threshold={WORST}", tmp_path / "open.service")[0] != 0


def test_all_that_is_written_to_is_open_and_nothing_else(tmp_path: Path) -> None:
    """State, archive, and the folder of the metrics; the server writes to the state alone."""
    text = '[archive]\nurl = "/srv/kept"\n[state]\nfolder = "/var/lib/state"\n[metrics]\nfile = "/run/m/s.prom"\n'
    made = units.units(units.machine(settings(tmp_path, text), workers=2))

    assert "ReadWritePaths=/var/lib/state -/srv/kept -/run/m\n" in made["strongroom-worker@.service"]
    assert "ReadWritePaths=/var/lib/state\n" in made["strongroom-server.service"]
    assert "RequiresMountsFor=/srv/kept /var/lib/state\n" in made["strongroom-worker@.service"]
    assert " --limit 8 " in made["strongroom-worker@.service"]
    assert "PREFECT_HOME=/var/lib/state/prefect\n" in made["strongroom-server.service"]
    # A server of one worker and a `serve` must have the same leases: neither in memory.
    assert "lease_storage.filesystem" in made["strongroom-server.service"]


@pytest.mark.parametrize(
    ("folder", "closed"), [("/etc/strongroom", "yes"), ("/home/ann/s", "read-only"), ("/root/s", "read-only")]
)
def test_a_home_that_is_needed_can_be_read(monkeypatch: pytest.MonkeyPatch, folder: str, closed: str) -> None:
    """ProtectHome closes homes, except where the configuration or the program lies in one."""
    monkeypatch.setattr(sys, "executable", "/opt/strongroom/bin/python")
    made = units.machine(Settings(Path(folder) / "strongroom.toml", config.File()))

    assert f"ProtectHome={closed}\n" in units.units(made)["strongroom-serve.service"]
    assert "PrivateTmp=yes\n" in units.units(made)["strongroom-serve.service"]


@pytest.mark.parametrize("name", ["line\nend", "tab\there", "ends in \\"])
def test_a_path_that_no_unit_can_hold_is_refused(name: str) -> None:
    """Before anything is written: half a line more would be a setting of somebody else's."""
    made = units.machine(Settings(Path("/srv") / name / "strongroom.toml", config.File()))

    with pytest.raises(ConfigError, match="no unit of systemd"):
        units.units(made)


def test_what_is_enabled(tmp_path: Path) -> None:
    """One process, or a server and as many workers as were asked for; the watch always."""
    here = settings(tmp_path)

    assert units.machine(here).enable == ("strongroom-serve", "strongroom-watch.timer")
    assert units.machine(here, workers=2).enable == (
        "strongroom-server", "strongroom-worker@1", "strongroom-worker@2", "strongroom-watch.timer",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--postgres"):
        units.machine(here, postgres=True)
