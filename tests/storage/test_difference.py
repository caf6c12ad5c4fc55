"""What differs between two contents: everything accounted for, once, and the same from either side."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from storage.contents import Leaf
from storage.difference import Difference, difference
from tests.doubles import entry_of

IN = entry_of("a.zip", b"")
SIDES = st.lists(
    st.builds(
        lambda path, size, place: Leaf(path, size, size, IN, place),
        st.sampled_from(["a", "b", "c/d", "c/e", "f/"]),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    max_size=8,
)


def keys(leaves: list[Leaf] | tuple[Leaf, ...]) -> Counter[tuple[str, str]]:
    return Counter((leaf.path, leaf.content) for leaf in leaves if not leaf.folder)


def gone(found: Difference) -> Counter[tuple[str, str]]:
    return keys([*found.removed, *(pair[0] for pair in (*found.changed, *found.renamed))])


def came(found: Difference) -> Counter[tuple[str, str]]:
    return keys([*found.added, *(pair[1] for pair in (*found.changed, *found.renamed))])


@given(SIDES)
def test_nothing_differs_from_itself(side: list[Leaf]) -> None:
    """In any order."""
    assert not difference(side, reversed(side))
    assert difference(side, side).same == sum(keys(side).values())


@given(SIDES, SIDES)
def test_what_differs_leads_from_one_to_the_other(one: list[Leaf], other: list[Leaf]) -> None:
    """Take away what went, put in what came: the other side; and nothing is told twice."""
    found = difference(one, other)

    assert keys(one) - gone(found) + came(found) == keys(other)
    assert sum(gone(found).values()) + found.same == sum(keys(one).values())
    assert sum(came(found).values()) + found.same == sum(keys(other).values())


@given(SIDES, SIDES)
def test_the_other_way_round_is_the_mirror_image(one: list[Leaf], other: list[Leaf]) -> None:
    """Added is removed, and pairs are turned."""
    there, back = difference(one, other), difference(other, one)

    assert (keys(there.added), keys(there.removed)) == (keys(back.removed), keys(back.added))
    for pairs, turned in ((there.changed, back.changed), (there.renamed, back.renamed)):
        assert Counter((a.path, a.content, b.path, b.content) for a, b in pairs) == Counter(
            (a.path, a.content, b.path, b.content) for b, a in turned
        )


@given(SIDES, SIDES)
def test_renamed_is_equal_and_changed_is_not(one: list[Leaf], other: list[Leaf]) -> None:
    """Renamed has another path and the same content; changed the same path and another content."""
    found = difference(one, other)

    assert all(a.path != b.path and a.content == b.content and a.size for a, b in found.renamed)
    assert all(a.path == b.path and a.content != b.content for a, b in found.changed)
