"""Plain values as bytes and back."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.packing import PIECE_BYTES, pack, pieces, unpack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [2**53 + 1, 2**63 - 1, -(2**100), "\ud800", "a\udfffb", {"\udc80": 1}, "\x00"])
def test_large_numbers_and_halves_of_surrogate_pairs_come_back_too(value: Any) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("value", [{1, 2}, b"x", object()])
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        pack(value)


PACKED = pack({"users": list(range(50))})


@pytest.mark.parametrize("damaged", [b"", b"x", PACKED[:-1], PACKED + b"x", zlib.compress(b"{")])
def test_what_was_not_packed_is_refused(damaged: bytes) -> None:
    with pytest.raises(ValueError):  # zlib's words or json's
        unpack(damaged)


@pytest.mark.parametrize(("length", "lengths"), [(0, [0]), (1, [1]), (PIECE_BYTES, [PIECE_BYTES])])
def test_what_is_small_is_one_piece(length: int, lengths: list[int]) -> None:
    assert [len(piece) for piece in pieces(bytes(length))] == lengths


def test_what_is_large_is_in_pieces() -> None:
    content = bytes(range(256)) * 600
    found = list(pieces(content))
    assert b"".join(found) == content
    assert {len(piece) for piece in found[:-1]} == {PIECE_BYTES}
