"""Canonical JSON and seals: one value, one sequence of bytes, and a changed byte is noticed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import canonical

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_encoded_is_decoded_and_encodes_to_the_same_bytes(value: Any) -> None:
    """Round trip, and the bytes are a function of the value."""
    data = canonical.encode(value)

    assert canonical.decode(data) == value
    assert canonical.encode(canonical.decode(data)) == data


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_the_order_of_keys_does_not_show(value: dict[str, Any]) -> None:
    """Two dicts that are equal have equal bytes."""
    assert canonical.encode(dict(reversed(value.items()))) == canonical.encode(value)


def test_the_shape_is_the_documented_one() -> None:
    """Sorted keys, no spaces, text as UTF-8, one newline."""
    assert canonical.encode({"b": [1, None, True], "a": "ü\n"}) == '{"a":"ü\\n","b":[1,null,true]}\n'.encode()


@pytest.mark.parametrize("value", [1.5, {"a": [float("nan")]}, {1: "a"}, b"x", {"a": {1, 2}}, "\ud800"])
def test_what_has_no_one_text_is_refused(value: Any) -> None:
    """Floats, keys that are no text, bytes, sets and half characters raise ValueError."""
    with pytest.raises(ValueError, match=r"canonical|surrogates"):
        canonical.encode(value)


@pytest.mark.parametrize("data", [b"1.0", b"NaN", b"[1e3]", b"\xff", b"", b"{", b"[" * 100_000])
def test_bytes_that_nobody_of_ours_wrote_are_refused(data: bytes) -> None:
    """Floats, bytes that are not UTF-8, half a value and a tower of brackets raise ValueError."""
    with pytest.raises(ValueError, match=r"float|not UTF-8|Expecting|deep") as caught:
        canonical.decode(data)
    assert len(repr(caught.value)) < 200  # a message holds none of a large file's bytes


def test_every_flipped_bit_of_a_sealed_file_is_noticed() -> None:
    """Each bit of each byte, one at a time."""
    data = canonical.seal({"kind": "run", "n": 7, "text": "ü"})
    for place in range(len(data) * 8):
        broken = bytearray(data)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"."):
            canonical.unseal(bytes(broken))

    assert canonical.unseal(data) == {"kind": "run", "n": 7, "text": "ü"}


@pytest.mark.parametrize("spoil", [lambda d: d[:-1], lambda d: d + b"\n", lambda d: d.replace(b":", b": ")])
def test_a_sealed_file_of_another_shape_is_refused(spoil: Any) -> None:
    """The same value in other bytes is not what was written."""
    with pytest.raises(ValueError, match="seal"):
        canonical.unseal(spoil(canonical.seal({"a": 1})))


def test_a_file_without_a_seal_is_refused() -> None:
    """Leaving the seal out does not get round it."""
    with pytest.raises(ValueError, match="seal"):
        canonical.unseal(canonical.encode({"a": 1}))


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (canonical.text, 1),
        (canonical.count, -1),
        (canonical.count, True),
        (canonical.count, "1"),
        (canonical.digest, "ab"),
        (canonical.digest, "AB" * 32),
        (canonical.digest, 7),
        (canonical.mapping, []),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(take: Any, value: Any) -> None:
    """A hostile file cannot smuggle a list in where a name is expected."""
    with pytest.raises(ValueError, match="expected"):
        take(value)
