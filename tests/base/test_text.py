from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.text import counted, cut, printable, shorten, width_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /cart", "GET /cart"),
        ("größe 価格 🙂", "größe 価格 🙂"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x00\x07\x7f\x9b", r"\x00\x07\x7f\x9b"),
        ("right \u202e left", r"right \u202e left"),
        ("\ud800", r"\ud800"),
        ("line\u2028end\xa0", r"line\u2028end\xa0"),
        ("", ""),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("GET /cart", 9, "GET /cart"),
        ("GET /carts", 9, "GET...rts"),
        ("GET /api/v1/customers/orders", 20, "GET /api/...s/orders"),
        ("abcdefgh", 5, "a...h"),
        ("価格価格価格", 9, "価...価格"),
        ("価格価格価格", 12, "価格価格価格"),
        ("e\u0301" * 5, 5, "e\u0301" * 5),
    ],
)
def test_a_long_text_keeps_both_its_ends(text: str, width: int, shown: str) -> None:
    assert shorten(text, width) == shown


@given(st.text(), st.integers(5, 100))
def test_a_shortened_text_fits(text: str, width: int) -> None:
    shown = shorten(text, width)
    assert width_of(shown) <= width
    assert shown == text if width_of(text) <= width else "..." in shown


@pytest.mark.parametrize(
    ("number", "word", "shown"),
    [
        (0, "user", "0 users"),
        (1, "user", "1 user"),
        (1200, "user", "1 200 users"),
        (1, "address", "1 address"),
        (2, "source address", "2 source addresses"),
    ],
)
def test_things_are_counted(number: int, word: str, shown: str) -> None:
    assert counted(number, word) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("test_cart", 9, "test_cart"),
        ("test_carts", 9, "test_c..."),
        ("価格価格価格", 12, "価格価格価格"),
        ("価格価格価格", 11, "価格価格..."),
        ("価格価格価格", 10, "価格価..."),
        ("abcdef", 3, "..."),
        ("abcdef", 2, ".."),
        ("abcdef", 0, ""),
        ("abcdef", -1, ""),
    ],
)
def test_a_long_text_is_cut_at_its_end(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


@given(st.text(), st.integers(-1, 100))
def test_a_text_that_is_cut_fits(text: str, width: int) -> None:
    shown = cut(text, width)
    assert width_of(shown) <= max(0, width)
    assert shown == text if width_of(text) <= width else not shown.strip(".") or text.startswith(shown.rstrip("."))
