"""One archive's life on real servers: two nights by the command line, then back into a server that has nothing."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.mayan import seeding, spoken
from tests.mayan.between import Between, between
from tests.mayan.conftest import StartMayan
from tests.mayan.files import pdf, png
from tests.mayan.homecoming import FAST, Shell
from tests.mayan_server import Mayan

pytestmark = pytest.mark.mayan

TYPE = 'Briefe / "Q" 手紙'
ODD = "a/b \"q\" 's' \\ <é> 文書 %: *?"
SCRIPTS = "עברית مرحبا 🎉 e\u0301 um\u202egekehrt"
LONG = "ü" + "x" * 199
SAME = png("the same picture")
FIRST = pdf("first", pages=3)
GROWN, LATE = pdf("grown", pages=2), png("late")


class Site:
    """A server that is filled, and what was sent to each document: file names and bytes, in their order."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api
        self.type = seeding.make_type(api, TYPE)
        self.ids: dict[str, int] = {}
        self.sent: dict[int, list[tuple[str, bytes]]] = {}
        self.files: dict[int, list[int]] = {}

    def make(self, name: str, label: str, *files: tuple[str, bytes], **more: Any) -> int:
        """A document, known here by `name`; its id."""
        made = seeding.make_document(self.api, label, files, type_id=self.type, **more)
        self.ids[name] = made.id
        self.sent[made.id] = list(files)
        self.files[made.id] = [file.id for file in made.files]
        return made.id

    def add(self, name: str, filename: str, content: bytes, action: str, comment: str = "") -> None:
        """One more file of it."""
        number = self.ids[name]
        made = seeding.add_file(self.api, number, filename, content, action=action, comment=comment)
        self.sent[number].append((filename, content))
        self.files[number].append(made.id)

    def patch(self, name: str, path: str = "", **facts: Any) -> None:
        """Change a document, or something of it."""
        seeding.ok(self.api.patch(f"/documents/{self.ids[name]}/{path}", json=facts))

    def gone(self, name: str, *, purged: bool = False) -> None:
        """Into the trash, or out of it for good."""
        number = self.ids.pop(name)
        seeding.trash(self.api, number)
        if purged:
            seeding.ok(self.api.delete(f"/trashed_documents/{number}/"))
            trash = f"document {number} is not in the trash any more"
            seeding.wait(lambda: number not in ids(self.api, "/trashed_documents/") or None, trash)


def ids(api: httpx.Client, path: str) -> set[int]:
    """Of the rows of a list."""
    return {int(row["id"]) for row in seeding.rows(api, path)}


def fill(site: Site) -> None:
    """All that a document may be: many files and versions, odd names, only text, equal to another, empty."""
    api = site.api
    rich = site.make(
        "rich", ODD, ("a.pdf", FIRST), ("a.pdf", png("second")), ('n/o "te" b?.txt', b"plain text"),
        description='Of\n\n"the" <seventh> \\ 七', language="deu",
    )  # fmt: skip
    seeding.wait_versions(api, rich, 2)
    site.add("rich", "kept.pdf", pdf("kept", pages=2), "keep", 'a file\'s comment: é / "q"')
    one, two = site.files[rich][:2]
    mapped = seeding.remap(api, rich, [(one, 3), (two, 1), (one, 1)])
    site.patch("rich", f"versions/{mapped}/", comment="without page two")
    for label, colour in (('urgent / "now"', "#ff0000"), ("später 後で", "#00ff00")):
        seeding.tag(api, rich, label, colour)
    top = seeding.cabinet(api, rich, "Top")
    seeding.cabinet(api, rich, "Top/Sub/Deep 深い")
    between_two = seeding.post(api, "/cabinets/", label='Q / A "x"', parent=top)["id"]  # as paths have it, too
    seeding.ok(api.post(f"/cabinets/{between_two}/documents/add/", json={"document": rich}))
    seeding.metadata(api, rich, "invoice", '42 / "x" é 四')
    seeding.metadata(api, rich, "nothing", "")
    for said in ("one", "two\nlines", "one"):
        seeding.comment(api, rich, said)
    site.make("long", LONG, ("文" * 196 + ".pdf", pdf("long")), language="zho")
    site.make("scripts", SCRIPTS, ("دليل 🎉.png", png("scripts")), description=SCRIPTS)
    site.make("text", "only text", ("notes.txt", b"Just text, no pages.\n" * 3))
    for name in ("twin", "its twin"):
        site.make(name, "twin", ("t.png", SAME))
    site.make("third twin", "twin", ("t.png", SAME), ("T.PNG", SAME))
    site.make("blank", "to be blank", ("dots...", b"no suffix"))
    site.patch("blank", label="")
    site.make("no file", "no file")
    unpaged = site.make("unpaged", "an empty version", ("u.pdf", pdf("unpaged")))
    borrowed = site.make("borrowed", "a page of another", ("b.pdf", pdf("borrowed")))
    filed = site.make("filed", "filed", ("f.pdf", pdf("filed", pages=2)))
    for name in ("long", "scripts", "twin", "its twin", "unpaged", "borrowed", "filed"):
        seeding.wait_versions(api, site.ids[name])
    seeding.wait_versions(api, site.ids["third twin"], 2)
    seeding.remap(api, unpaged, [])
    borrow(site, borrowed, rich)
    seeding.tag(api, filed, "passing", "#0000ff")
    seeding.cabinet(api, filed, "Passing/Through")
    seeding.metadata(api, filed, "invoice", "before")
    site.make("mistaken", "mistaken", ("m.pdf", pdf("mistaken")))
    site.make("unwanted", "unwanted", ("w.pdf", pdf("unwanted")))
    site.make("never", "in the trash before the first night", ("x.pdf", pdf("never")))
    for name in ("mistaken", "unwanted", "never"):
        seeding.wait_versions(api, site.ids[name])
    site.gone("never")
    links = f"/document_types/{site.type}/metadata_types/"
    link = next(row["id"] for row in seeding.rows(api, links) if row["metadata_type"]["name"] == "invoice")
    seeding.ok(api.patch(f"{links}{link}/", json={"required": True}))
    seeding.quiet(api)


def borrow(site: Site, borrower: int, owner: int) -> None:
    """A version, not the active one, that shows a page of another document."""
    api, base = site.api, f"/documents/{borrower}/versions/"
    (own,) = ids(api, base)
    mapped = seeding.remap(api, borrower, [])
    page = seeding.rows(api, f"/documents/{owner}/files/{site.files[owner][0]}/pages/")[0]["id"]
    model = next(row["id"] for row in seeding.rows(api, "/content_types/") if row["model"] == "documentfilepage")
    seeding.post(api, f"{base}{mapped}/pages/", content_type_id=model, object_id=page, page_number=1)
    site.patch("borrowed", f"versions/{own}/", active=True)


def change(site: Site) -> None:
    """A day's work: a file, a label, a tag, a value, something new, something trashed, something gone for good."""
    api = site.api
    seeding.wait_versions(api, site.ids["scripts"])
    site.add("scripts", "grown.pdf", GROWN, "replace")
    seeding.wait_versions(api, site.ids["scripts"], 2)
    site.patch("long", label=LONG[::-1])
    filed = site.ids["filed"]
    (tag,) = ids(api, f"/documents/{filed}/tags/")
    seeding.ok(api.post(f"/documents/{filed}/tags/remove/", json={"tag": tag}))
    value = next(
        row["id"] for row in seeding.rows(api, f"/documents/{filed}/metadata/") if row["value"] == "before"
    )
    site.patch("filed", f"metadata/{value}/", value='after / "it"')
    site.gone("mistaken")
    site.gone("unwanted", purged=True)
    site.make("late", "late", ("late.png", LATE))
    seeding.wait_versions(api, site.ids["late"])
    seeding.quiet(api)


def proven(shell: Shell, site: Site, to: Path) -> dict[str, bytes]:
    """The newest snapshot, restored: each document has what was sent to it, bit for bit, in its order, and nothing
    else is there; the archive's every byte was read."""
    done = shell.json("restore", "latest", "--source", "origin", "--to", str(to))
    assert (done["exit"], done["lost"]) == (0, [])
    files = {str(path.relative_to(to)): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    told = {name: json.loads(data) for name, data in files.items() if name.endswith("/document.json")}
    found = {
        document["id"]: [
            (row["filename"], files[f"{name.rpartition('/')[0]}/{row['name']}"])
            for row in sorted(document["files"], key=lambda row: int(row["id"]))
        ]
        for name, document in told.items()
    }
    assert found == {number: site.sent[number] for number in site.ids.values()}
    assert len(files) == 1 + len(told) + sum(map(len, found.values()))
    scrub = shell.json("scrub", "--all")
    assert (scrub["exit"], scrub["findings"], scrub["packs_read"]) == (0, [], scrub["packs"])
    return files


def verified(shell: Shell) -> int:
    """One night that is; the bytes that were fetched."""
    done = shell.json("run", "origin")
    (night,) = done["runs"]
    assert (night["ended"], done["exit"]) == ("verified", 0), night
    return int(night["bytes_fetched"])


def asked(link: Between, pattern: str) -> Counter[int]:
    """How often each number that the pattern finds was asked for."""
    found = (re.search(pattern, path) for _, path in link.asked)
    return Counter(int(one[1]) for one in found if one)


def in_order(found: Sequence[seeding.Json]) -> list[seeding.Json]:
    """Documents without regard to their ids."""
    return sorted(found, key=lambda one: json.dumps(one, sort_keys=True))


def test_two_nights_and_the_way_back(start_mayan: StartMayan, tmp_path: Path) -> None:
    """What was uploaded is what is kept; the second night fetches what changed and asks of nothing else; the new
    server has all of it, as its API tells, and what it has not was named before anything was made."""
    with start_mayan(settings=FAST) as old, old.mayan.client() as api, between(old.mayan.url) as link:
        site = Site(api)
        fill(site)
        shell = Shell(tmp_path, origin=replace(old.mayan, url=link.url))
        assert shell.run("init", "--no-encryption")[0] == 0
        verified(shell)
        first = proven(shell, site, tmp_path / "first")

        change(site)
        link.asked.clear()
        fetched = verified(shell)
        second = proven(shell, site, tmp_path / "second")

        beforehand = site.ids["rich"]  # the first one, by which rights are looked at
        new = {name: site.files[site.ids[name]][-1] for name in ("rich", "scripts", "late")}
        assert asked(link, r"/files/(\d+)/download/$") == Counter(new.values())
        unsettled = {
            document["id"]
            for name, data in first.items()
            if name.endswith("/document.json") and (document := json.loads(data))["unsettled"]
        }
        touched = {site.ids[name] for name in ("scripts", "long", "filed", "late")}
        assert asked(link, r"/documents/(\d+)/").keys() == {beforehand} | touched | unsettled
        assert len(GROWN) + len(LATE) < fetched
        assert fetched == sum(len(data) for data in second.values() if data not in first.values())
        with start_mayan(settings=FAST) as new_server, new_server.mayan.client() as there:
            comes_back(tmp_path, site, old.mayan, new_server.mayan, there)


def comes_back(folder: Path, site: Site, old: Mayan, new: Mayan, there: httpx.Client) -> None:
    """The newest snapshot into the new server, and both servers compared."""
    shell = Shell(folder, origin=old, fresh=new)
    command = ("restore", "latest", "--source", "origin", "--to-source", "fresh")
    plan = shell.json(*command, "--dry-run")["plan"]
    assert seeding.rows(there, "/documents/") == []
    folders = {name: f"{fitted(TYPE)}/{label} [{site.ids[name]}]" for name, label in
               (("borrowed", "a page of another"), ("no file", "no file"))}  # fmt: skip
    borrowed = max(ids(site.api, f"/documents/{site.ids['borrowed']}/versions/"))
    assert sorted(plan["lacking"]) == [
        f"{folders['borrowed']}: version {borrowed} has pages of something that cannot come back",
        f"{folders['no file']}: without a file Mayan EDMS would remove it after a day",
    ]
    assert any("the trash" in sentence for sentence in plan["never"])

    done = shell.json(*command)

    many = len(site.ids) - 1
    assert (done["equal"], done["problems"], done["differences"], done["exit"]) == (many, [], [], 3)
    kept = {name: spoken.document(site.api, number) for name, number in site.ids.items() if name != "no file"}
    assert [pages for _, _, pages in kept["text"]["versions"] if pages] == []
    assert kept["rich"]["versions"][-1] == (True, "without page two", [(0, 3), (1, 1), (0, 1)])
    (lost,) = [version for version in kept["borrowed"]["versions"] if version[2] == [None]]
    kept["borrowed"]["versions"].remove(lost)
    made = [spoken.document(there, number) for number in ids(there, "/documents/")]
    for one, other in zip(in_order(made), in_order(list(kept.values())), strict=True):
        assert one == other
    assert spoken.around(there) == spoken.around(site.api)
    assert seeding.rows(there, "/trashed_documents/") == []


def fitted(label: str) -> str:
    """The name of a folder."""
    return re.sub(r'["/]', "_", label)


def test_the_comparison_sees_every_change(admin: httpx.Client) -> None:
    """Whatever is done to a document shows in the words by which two servers are compared."""
    kind = seeding.make_type(admin, "Compared in words")
    made = seeding.make_document(admin, "words", [("w.pdf", pdf("words", pages=2))], type_id=kind)
    (version,) = seeding.wait_versions(admin, made.id)
    base, file = f"/documents/{made.id}/", made.files[0].id

    def patch(path: str, **facts: Any) -> None:
        seeding.ok(admin.patch(f"{base}{path}", json=facts))

    changes: list[Callable[[], object]] = [
        lambda: patch("", label="other words"),
        lambda: patch("", description="other words"),
        lambda: patch("", language="deu"),
        lambda: patch(f"files/{file}/", filename="v.pdf"),
        lambda: patch(f"files/{file}/", comment="seen"),
        lambda: patch(f"versions/{version}/", comment="seen"),
        lambda: patch(f"versions/{version}/", active=False),
        lambda: seeding.add_file(admin, made.id, "more.bin", b"more", action="keep"),
        lambda: seeding.remap(admin, made.id, [(file, 2)]),
        lambda: seeding.tag(admin, made.id, "compared in words"),
        lambda: seeding.cabinet(admin, made.id, "Compared in words/below"),
        lambda: seeding.metadata(admin, made.id, "compared_in_words", "1"),
        lambda: seeding.comment(admin, made.id, "said"),
    ]
    last = spoken.document(admin, made.id)
    for number, make in enumerate(changes):
        make()
        now = spoken.document(admin, made.id)
        assert now != last, f"change {number} does not show"
        last = now
