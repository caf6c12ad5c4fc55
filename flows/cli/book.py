"""The verbs about the catalog itself: catalog check, catalog rebuild."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import typer

from flows.cli.console import ConfigOption, JsonOption, complain, number, out, print_json
from flows.errors import Exit

SHOWN = 20  # differences that are printed; --json has all


def register(app: typer.Typer) -> None:
    """Add these verbs to the app."""
    group = typer.Typer(help="Check the catalog against the archive, or make it anew.")
    group.command()(check)
    group.command()(rebuild)
    app.add_typer(group, name="catalog")


def check(config: ConfigOption = None, json: JsonOption = False) -> int:
    """Compare catalog and archive, and change neither; exit code 4 where they differ."""
    from flows import config as configuration
    from flows.workbench import catalog_as_it_is, open_archive
    from storage.facts import differences

    settings = configuration.load(configuration.find(config))
    archive = open_archive(settings)
    with catalog_as_it_is(settings, archive) as catalog:
        found = differences(catalog, archive, now=datetime.now(UTC))
    if json:
        rows = [{"kind": d.kind.value, "what": d.what, "problem": d.problem, "hint": d.hint} for d in found]
        print_json("catalog check", {"differences": rows})
        return Exit.VERIFICATION if found else Exit.DONE
    if not found:
        out.print("the catalog agrees with the archive")
        return Exit.DONE
    for difference in found[:SHOWN]:
        complain(f"{difference.kind}: {difference.what}: {difference.problem}")
    more = f"; the first {SHOWN} are shown, --json has all" if len(found) > SHOWN else ""
    complain(f"{number(len(found))} differences{more}", "; or: ".join(dict.fromkeys(d.hint for d in found)))
    return Exit.VERIFICATION


def rebuild(config: ConfigOption = None, json: JsonOption = False) -> int:
    """Make the catalog anew from the archive; jobs and leases are carried over, the old file is kept beside."""
    from flows import config as configuration
    from flows.workbench import open_archive, rebuild_catalog
    from storage.archive import Damaged

    settings = configuration.load(configuration.find(config))
    archive = open_archive(settings)
    damaged: list[Damaged] = []
    began = time.monotonic()
    made = rebuild_catalog(settings, archive, now=datetime.now(UTC), damaged=damaged)
    seconds = time.monotonic() - began
    per_10000 = round(seconds * 10_000 / made.runs, 1) if made.runs else None
    if json:
        facts = {
            "runs": made.runs,
            "snapshots": made.snapshots,
            "forgotten": made.forgotten,
            "carried": made.carried,
            "seconds": round(seconds, 1),
            "seconds_per_10000_runs": per_10000,
            "old_catalog": made.kept and str(made.kept),
            "not_carried": made.problems,
            "lost": made.lost,
            "damaged": [bad.name for bad in damaged],
        }
        print_json("catalog rebuild", facts)
    else:
        rate = "" if per_10000 is None else f", {per_10000} s per 10,000 runs"
        out.print(
            f"{number(made.runs)} runs, {number(made.snapshots)} snapshots, {number(made.forgotten)} forgotten "
            f"from the archive in {seconds:.1f} s{rate}; {number(made.carried)} rows in flight carried over",
            soft_wrap=True,
        )
        if made.kept is not None:
            out.print(f"the old catalog is kept as {made.kept}", markup=False, soft_wrap=True)
    for problem in made.problems:
        complain(f"the old catalog: {problem}", "what was in flight is lost: a run may ask once more")
    for bad in damaged[:SHOWN]:
        complain(bad.told, "`strongroom scrub --all` says whom it hits")
    if made.lost:
        named = ", ".join(made.lost[:SHOWN])
        complain(
            f"the old catalog knew, and the archive has not: {named}; {number(len(made.lost))} in all",
            "bring the missing files back from a copy of the archive, then rebuild again",
        )
    return Exit.VERIFICATION if damaged or made.lost else Exit.DONE
