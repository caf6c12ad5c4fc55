"""The shape of the house, checked by a machine: who imports whom, how long files are, who reads the clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("flows", "storage")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ALL = SOURCES + sorted((ROOT / "tests").rglob("*.py"))
LONGEST = 400  # lines of a file
MEDIAN = 160

# Foreign libraries, and the only modules that may import them.
OWNERS = {
    "prefect": {
        "flows.backup",
        "flows.upkeep",
        "flows.orchestration",
        "flows.serving",
        "flows.pages",
        "flows.ops.automations",
        "flows.ops.deploy",
    },
    "httpx": {"flows.sources.client", "flows.ops.send"},
    "sqlmodel": {
        "storage.catalog",
        "storage.finished",
        "storage.jobs",
        "storage.notices",
        "storage.readings",
        "storage.schema",
        "storage.tables",
    },
    "sqlalchemy": {"storage.catalog", "storage.schema"},
    "zstandard": {"storage.packs", "storage.steps", "storage.standalone"},
    "pyfastcdc": {"storage.recipes"},
    "cryptography": {"storage.cipher", "storage.keys", "storage.standalone_decrypt"},
    "pydantic": {
        "flows.config",
        "flows.configtables",
        "flows.policytable",
        "flows.ops.tables",
        "flows.ops.prefectyaml",
    },
    "yaml": {"flows.ops.prefectyaml"},
    "typer": {"flows.cli"},
    "rich": {"flows.cli"},
    "tenacity": {"flows.sources.client", "flows.ops.send"},
    "segno": {"flows.cli.key"},
    "python_calamine": {"flows.sources.webadmit_xls"},
    "psutil": {"storage.holder", "flows.server_at_hand", "flows.health", "flows.ops.health"},
    "cronsim": {"flows.configtables", "flows.schedule"},
    "matplotlib": {"flows.cli.calendar", "flows.ops.report"},
    "apprise": {"flows.ops.send"},
    "prometheus_client": {"flows.ops.metrics"},
    "jinja2": {"flows.ops.report", "flows.ops.units"},
}
# Rules are functions of values: these modules import nothing that acts.
PURE = (
    "flows.export",
    "flows.night",
    "flows.ops.alarm",
    "flows.ops.deployments",
    "flows.ops.report.figures",
    "flows.ops.report.series",
    "flows.ops.document",
    "flows.ops.nagios",
    "flows.ops.nights",
    "flows.ops.room",
    "flows.ops.scopes",
    "flows.ops.survey",
    "flows.ops.watch",
    "flows.ops.whole",
    "flows.ops.words",
    "flows.roster",
    "flows.proof",
    "flows.proofpage",
    "flows.changes",
    "flows.sources.gitlab_status",
    "flows.ops.telling",
    "flows.sources.mayan_asking",
    "flows.sources.mayan_cabinets",
    "flows.sources.webadmit_budget",
    "flows.sources.webadmit_names",
    "flows.sources.webadmit_status",
    "flows.sources.mayan_restore_plan",
    "flows.sources.mayan_restore_outlook",
    "storage.compare",
    "storage.forecast",
    "storage.policy",
    "storage.clocks",
    "storage.dates",
    "storage.levels",
    "storage.retention",
    "storage.seen",
    "storage.standing",
    "storage.rows",
    "storage.snapshot",
    "storage.records",
    "storage.replaced",
    "storage.decisions",
    "storage.tombstone",
    "storage.upkeep_records",
    "storage.turns",
    "storage.listing",
    "storage.listing1",
    "storage.columns",
    "storage.inflate",
    "storage.zipplan",
    "storage.verify",
    "storage.patterns",
    "storage.keytext",
    "storage.difference",
)
ACTS = {"os", "time", "subprocess", "socket", "pathlib", "shutil", "threading", "tempfile", "logging"}
# Programs that lie in every archive, and the one library that each needs.
ALONE = {"storage.standalone": "zstandard", "storage.standalone_decrypt": "cryptography"}
# What a dialect may know of flows: all else imports the dialects.
BELOW_SOURCES = {"flows.disk", "flows.errors", "flows.export", "flows.sources"}
# Who may ask what time it is; everybody else is told.
CLOCKS = {"flows.clock", "flows.health", "flows.server_at_hand", "flows.orchestration", "flows.pages"}


def module(path: Path) -> str:
    """The dotted name of a file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_imports_go_one_way(path: Path) -> None:
    """Storage knows nothing of flows; a dialect knows no other; a library has its own few importers."""
    name = module(path)
    for imported in imports(path):
        top = imported.partition(".")[0]
        if name.startswith("storage"):
            assert top != "flows", f"{name} imports {imported}"
        if top in OWNERS:
            allowed = OWNERS[top]
            assert any(name == owner or name.startswith(f"{owner}.") for owner in allowed), (
                f"{name} imports {imported}"
            )
        if name in ALONE:
            assert top in sys.stdlib_module_names or top == ALONE[name], f"{name} imports {imported}"
        assert not imported.startswith(tuple(ALONE)), f"{name} imports {imported}"
        if name.startswith("flows.demo"):
            assert top in sys.stdlib_module_names or imported.startswith("flows.demo"), (
                f"{name} imports {imported}"
            )
        if name.startswith("flows.sources") and top == "flows" and imported != "flows":
            assert ".".join(imported.split(".")[:2]) in BELOW_SOURCES, f"{name} imports {imported}"
        if name.startswith("flows.sources.") and imported.startswith("flows.sources."):
            own = name.split(".")[2].partition("_")[0]
            other = imported.split(".")[2].partition("_")[0]
            assert other in (own, "base", "client"), f"{name} imports {imported}"


@pytest.mark.parametrize("name", PURE)
def test_rules_do_not_act(name: str) -> None:
    """A rule imports nothing that reads a clock, a file or the network."""
    path = ROOT / f"{name.replace('.', '/')}.py"
    tops = {imported.partition(".")[0] for imported in imports(path)}

    assert not tops & (ACTS | OWNERS.keys())


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_the_clock_is_passed_in(path: Path) -> None:
    """Nobody asks for the time of day but those at the edge."""
    name = module(path)
    if name in CLOCKS or name.startswith(("flows.cli", "flows.demo")):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            call = f"{node.value.id}.{node.attr}"
            assert call not in ("datetime.now", "datetime.utcnow", "date.today", "time.time"), f"{name}: {call}"


@pytest.mark.parametrize("path", ALL, ids=module)
def test_no_file_is_too_long(path: Path) -> None:
    """A file that passes 400 lines is two files."""
    assert len(path.read_text().splitlines()) <= LONGEST


def test_files_are_short_on_the_whole() -> None:
    """The median file fits on a few screens."""
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES)

    assert lengths[len(lengths) // 2] <= MEDIAN


def test_no_module_hides_one_of_python() -> None:
    """`flows/` may stand first on the path of a flow's process: a file named like a stdlib module would win."""
    for path in SOURCES:
        if path.parent == ROOT / "flows":
            assert path.stem == "__init__" or path.stem not in sys.stdlib_module_names


def test_entrypoints_are_dotted() -> None:
    """A file entrypoint would load a second copy of every class."""
    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        assert "/" not in deployment["entrypoint"]
        assert not deployment["entrypoint"].endswith(".py")
        assert "concurrency_limit" not in deployment


def test_no_task_is_submitted_and_forgotten() -> None:
    """A failed `.submit()` that nobody waits for leaves a Prefect flow Completed: we call tasks directly."""
    for path in (path for path in SOURCES if module(path).startswith("flows")):
        tree = ast.parse(path.read_text())
        calls = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        assert "submit" not in calls, module(path)


def test_top_level_is_what_the_readme_says() -> None:
    """Nothing lies at the top but what belongs there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tops = {name.partition("/")[0] for name in listed.splitlines()}

    fixed = {"pyproject.toml", "flows", "storage", "tests", "prefect.yaml", "README.md"}
    beside = {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", ".ci", ".gitignore"}
    assert tops == fixed | beside
