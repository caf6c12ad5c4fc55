"""Records in the exports that the demo server makes, found in what is kept of them."""

from __future__ import annotations

import json

import pytest

from flows.cli.app import run
from flows.sources import record_of
from tests.engine.bench import Bench


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("doc_my-gel-7/gel.png", ("SD7", "my-gel")),
        ("doc_my-gel-7-rev2/doc_my-gel-7-rev2.xml", ("SD7", "my-gel")),
        ("a.zip/doc_7/doc_7.html", ("SD7", "")),
        ("media_gel-9/gel.png", ("GL9", "gel")),
        ("doc_my-gel-7.xml", None),
        ("resources/x.css", None),
    ],
)
def test_a_folder_tells_of_its_record(path: str, record: tuple[str, str] | None) -> None:
    """Documents and gallery files, revisions too."""
    found = record_of("rspace")(path)

    assert (found and (found.id, found.label)) == record
    assert record_of("unheard of")(path) is None


@pytest.mark.parametrize("form", ["", ":html"])
def test_a_day_of_the_lab_shows_in_its_records(bench: Bench, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Between two nights: the document that was edited is told, those that nobody touched are not."""
    first = bench.run("user" + form)
    before = {d.id: d.modified_at for d in bench.world.lab.documents_of(1)}
    bench.world.pass_nights(1)
    second = bench.run("user" + form)
    after = {d.id: d.modified_at for d in bench.world.lab.documents_of(1)}
    capfd.readouterr()

    assert run(["diff", first.snapshot, second.snapshot, "-a", str(bench.folder / "archive"), "--json"]) == 0

    records = json.loads(capfd.readouterr().out)["records"]
    told = {
        record["record"]
        for record in records
        if (record["record"] or "").startswith("SD") and (record["added"] or record["changed"])
    }
    touched = {f"SD{number}" for number, at in after.items() if before.get(number) != at}
    assert told == touched != set()
    for record in told:
        assert run(["find", record, "-a", str(bench.folder / "archive"), "--json"]) == 0
        hits = json.loads(capfd.readouterr().out)["hits"]
        assert max(len(hit["versions"]) for hit in hits) == (2 if int(record[2:]) in before else 1)
