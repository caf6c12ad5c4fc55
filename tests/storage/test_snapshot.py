"""Manifests and tombstones: their bytes, their names, and what a name alone tells."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import canonical, snapshot, tombstone
from storage.errors import FormatUnknown, ObjectCorrupt
from storage.snapshot import Compared, Level, Manifest, ScopeKey
from storage.tombstone import Tombstone
from tests.doubles import START, draft

GOLDEN = (
    '{"archive":"00000000-0000-4000-8000-000000000001","checks":[{"count":1,"file":"a.zip","got":"3","name":"size",'
    '"outcome":"passed","promised":"3","reason":""}],"committed_at":"2026-03-01T02:35:00.000000Z",'
    '"files":{"count":1,"members":12,"size":3},"format":3,"job":{"handle":{"id":23},"id":"20260301-023000-0000ef01"},'
    '"kind":"snapshot","level":null,"listing":{"sha256":"' + "bb" * 32 + '","steps":[["' + "aa" * 32 + '"]]},'
    '"notes":["files linked from elsewhere are not in it"],"number":2,"packs":["' + "cc" * 32 + '"],'
    '"previous":"' + "dd" * 32 + '","quality":"verified","request":{"format":"xml","id":1234,"kind":"group"},'
    '"run":"20260301-023000-0000abcd","scope":"group 1234",'
    '"seal":"%s","source":"lab",'
    '"stored":{"bytes":400,"objects_new":2,"objects_reused":0},"system":"rspace",'
    '"tags":[],"taken_at":"2026-03-01T02:30:00.000000Z","tool":{"strongroom":"0.1.0"},'
    '"vendor":{"account":"mrossi","version":"2.10"}}\n'
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15)


def manifest(**changes: Any) -> Manifest:
    made = Manifest(
        archive_id="00000000-0000-4000-8000-000000000001",
        draft=draft(),
        number=2,
        previous="dd" * 32,
        committed_at=START + timedelta(minutes=5),
        files=1,
        members=12,
        size=3,
        listing=(("aa" * 32,),),
        listing_sha256="bb" * 32,
        packs=("cc" * 32,),
        stored_bytes=400,
        objects_new=2,
        objects_reused=0,
    )
    return replace(made, **changes)


def test_the_bytes_of_a_manifest_are_these_for_ever() -> None:
    """A change here is a new format."""
    unsealed = GOLDEN.replace('"seal":"%s",', "")
    seal = hashlib.sha256(unsealed.encode()).hexdigest()

    assert snapshot.encode(manifest()).decode() == GOLDEN % seal


def test_a_manifest_of_format_1_comes_out_as_it_was() -> None:
    """Its listing is one step of plain pieces, its members were not counted; a tombstone of it keeps its id."""
    old = manifest(format=1, members=0, listing=(("aa" * 32, "ab" * 32),))
    data = snapshot.encode(old)
    found = snapshot.decode(data, "a.json")
    tomb = Tombstone(found.id, START, "old", old)

    assert b'"objects":["aaaa' in data
    assert b"members" not in data
    assert found.manifest == old
    assert tombstone.decode(tombstone.encode(tomb), "t.json") == tomb


def test_a_manifest_of_format_2_comes_out_as_it_was() -> None:
    """Without tags and level, byte for byte; and it is never told as having any."""
    text = GOLDEN.replace('"format":3', '"format":2').replace('"level":null,', "").replace('"tags":[],', "")
    text = text.replace('"seal":"%s",', "")
    data = canonical.seal(canonical.decode(text.encode()))
    found = snapshot.decode(data, "a.json")

    assert found.manifest == manifest(format=2)
    assert snapshot.encode(found.manifest) == data
    assert b'"seal":"' + hashlib.sha256(text.encode()).hexdigest().encode() in data


def test_tags_and_level_come_back() -> None:
    """As they were given; a level may tell no records and compare with nothing."""
    for level in (
        Level(None),
        Level(0, ()),
        Level(7, (Compared("aa" * 32, 1, 2, 8), Compared("bb" * 32, 0, 0, 7))),
    ):
        made = manifest(draft=draft(tags=("before:move", "year.2026"), level=level))
        assert snapshot.decode(snapshot.encode(made), "a").manifest == made


@pytest.mark.parametrize("tags", [("b", "a"), ("a", "a"), ("",), ("-a",), ("a b",), ("é",), ("a" * 65,)])
def test_a_tag_that_is_none_is_refused(tags: tuple[str, ...]) -> None:
    """By who makes a draft, and by a reader."""
    with pytest.raises(ValueError, match="tag"):
        draft(tags=tags)
    value = canonical.unseal(snapshot.encode(manifest())) | {"tags": list(tags)}
    with pytest.raises(ObjectCorrupt):
        snapshot.decode(canonical.seal(value), "a")


def test_tags_are_put_in_order() -> None:
    """Each once."""
    assert snapshot.check_tags(["b", "a", "b"]) == ("a", "b")


def test_a_manifest_comes_back_under_the_hash_of_its_bytes() -> None:
    """The id is what `sha256sum` says."""
    data = snapshot.encode(manifest())
    found = snapshot.decode(data, "a.json")

    assert found.manifest == manifest()
    assert found.id == hashlib.sha256(data).hexdigest()


def test_a_tombstone_comes_back_with_its_manifest() -> None:
    """Enough stays to bring the snapshot back byte for byte."""
    made = manifest()
    found_id = hashlib.sha256(snapshot.encode(made)).hexdigest()
    tomb = Tombstone(found_id, START, "no rule keeps it", made)

    assert tombstone.decode(tombstone.encode(tomb), "a") == tomb


def test_a_tombstone_with_another_manifest_is_damage() -> None:
    """Its id proves the manifest in it."""
    data = tombstone.encode(Tombstone("ee" * 32, START, "", manifest()))

    with pytest.raises(ObjectCorrupt, match="its id names"):
        tombstone.decode(data, "a")


@pytest.mark.parametrize(
    "changes",
    [
        {"packs": ["../../etc"]},
        {"packs": 7},
        {"number": -1},
        {"number": 1.0},
        {"source": ["x"]},
        {"taken_at": "yesterday"},
        {"quality": "good"},
        {"checks": [{"name": "size"}]},
        {"previous": "dd"},
        {"listing": []},
        {"vendor": "x"},
        {"tags": None},
        {"level": {}},
        {"level": {"records": -1, "compared": []}},
        {"level": {"records": 1, "compared": [{"snapshot": "aa", "vanished": 0, "appeared": 0, "of": 1}]}},
    ],
)
def test_a_hostile_manifest_is_damage(changes: dict[str, Any]) -> None:
    """Rightly sealed and still not ours: one error class."""
    value = canonical.unseal(snapshot.encode(manifest())) | changes
    try:
        data = canonical.seal(value)
    except ValueError:
        data = repr(value).encode()
    with pytest.raises(ObjectCorrupt):
        snapshot.decode(data, "a.json")


def test_a_newer_manifest_is_told_from_a_damaged_one() -> None:
    """Sealed and of a higher format: upgrade, touch nothing."""
    data = canonical.seal(canonical.unseal(snapshot.encode(manifest())) | {"format": 4})

    with pytest.raises(FormatUnknown, match="format 4"):
        snapshot.decode(data, "a.json")


def test_a_tombstone_is_not_taken_for_a_manifest() -> None:
    """Kinds do not mix."""
    tomb = Tombstone(hashlib.sha256(snapshot.encode(manifest())).hexdigest(), START, "", manifest())

    with pytest.raises(ObjectCorrupt, match="a snapshot was expected"):
        snapshot.decode(tombstone.encode(tomb), "a.json")


@given(TEXT, TEXT, st.integers(1, 10**9), st.booleans())
def test_a_name_tells_what_it_was_made_of(source: str, scope: str, number: int, forgotten: bool) -> None:
    """Scope, number and kind, for any text in any script."""
    key = ScopeKey(source, scope)
    name = (snapshot.tombstone_name if forgotten else snapshot.manifest_name)(key, number)
    link = snapshot.parse_name(name)

    assert link is not None
    assert (link.key, link.number, link.forgotten) == (key, number, forgotten)


@given(st.lists(st.tuples(TEXT, TEXT), min_size=2, max_size=6, unique=True))
def test_no_two_scopes_meet_where_case_is_folded(keys: list[tuple[str, str]]) -> None:
    """Folders stay apart on macOS and Windows, and hold nothing but plain ASCII."""
    folders = [snapshot.chain_folder(ScopeKey(*key)) for key in keys]

    assert len({folder.casefold() for folder in folders}) == len(keys)
    assert all(folder.isascii() and folder == folder.lower() for folder in folders)


@pytest.mark.parametrize(
    "name",
    [
        "snapshots/lab/all/1.json",
        "snapshots/lab/all/00000000.json",
        "snapshots/lab/all/00000001.json.bak",
        "snapshots/Lab/all/00000001.json",
        "snapshots/lab/%ff/00000001.json",
        "snapshots/lab/%61ll/00000001.json",
        "snapshots/lab/00000001.json",
        "snapshots/lab/all/000000010.json",
        "snapshots/lab/all/٠٠٠٠٠٠٠١.json",
    ],
)
def test_a_name_that_nobody_gave_tells_nothing(name: str) -> None:
    """Copies, other spellings and foreign digits are no links of a chain."""
    assert snapshot.parse_name(name) is None


@pytest.mark.parametrize("part", ["", "x" * 201, "é" * 40])
def test_a_name_of_a_scope_that_no_folder_can_carry_is_refused(part: str) -> None:
    """Empty, or more than 200 bytes once escaped."""
    with pytest.raises(ValueError, match="once escaped"):
        ScopeKey("lab", part)


@given(st.datetimes(datetime(1000, 1, 1), datetime(9998, 1, 1)), st.integers(-720, 720))  # noqa: DTZ001
def test_an_instant_comes_back_in_utc(naive: datetime, minutes: int) -> None:
    """Whatever zone it was written in, and text order is time order."""
    instant = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = snapshot.to_text(instant)

    assert snapshot.from_text(text) == instant
    assert (snapshot.to_text(instant + timedelta(microseconds=1)) > text) is True
    assert snapshot.from_text(text).tzinfo is UTC


def test_an_instant_without_a_zone_is_refused() -> None:
    """It would mean something else on another machine."""
    with pytest.raises(ValueError, match="time zone"):
        snapshot.to_text(datetime(2026, 3, 1))  # noqa: DTZ001


def test_a_manifest_with_a_member_not_known_is_not_taken_for_known() -> None:
    """Its tombstone could not hold it, and nothing would be freed ever after."""
    data = canonical.seal(canonical.unseal(snapshot.encode(manifest())) | {"cipher": "later"})

    with pytest.raises(FormatUnknown, match="does not know"):
        snapshot.decode(data, "a.json")
