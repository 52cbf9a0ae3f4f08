"""What exceptions say: never raising, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.report.exception_text import (
    LONGEST_REASON,
    CausesLeftOut,
    cut_causes,
    described,
    plain_text,
    shortened,
    text_of,
    type_name,
)


class Text(str):
    """One whose methods cannot be trusted."""

    __slots__ = ()

    def strip(self, *_: object) -> str:
        raise SystemExit


class Biting(Exception):
    """One whose text cannot be had."""

    def __init__(self, bite: object) -> None:
        self.bite = bite

    def __str__(self) -> str:
        if isinstance(self.bite, BaseException):
            raise self.bite
        return self.bite  # type: ignore[return-value]  # that is what is wrong with it


class Named(type):
    """A metaclass that hides its classes' names."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


class Nameless(Exception, metaclass=Named):
    """One whose class has no name to ask for."""


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize("bite", [SystemExit(3), KeyboardInterrupt(), RecursionError(), ValueError("x"), Biting(5)])
def test_a_message_that_cannot_be_had_is_said_to_be_so(bite: BaseException) -> None:
    assert text_of(Biting(bite)) == f"<its message cannot be shown: {type(bite).__name__}>"


def test_a_message_that_is_no_text_is_said_to_be_so() -> None:
    assert text_of(Biting(5)) == "<its message cannot be shown: TypeError>"


def test_texts_become_plain_ones() -> None:
    assert text_of(Biting(Text(" a "))) == "a"
    assert type(plain_text(Text("a"))) is str
    assert type_name(Nameless()) == "Nameless"


def test_their_secrets_are_masked() -> None:
    error = ValueError("500 for url: http://joe:pass@shop/?token=abc")
    for text in (text_of(error), described(error)):
        assert text.endswith("500 for url: http://joe:***@shop/?token=***")


def test_it_is_described_with_type_and_place() -> None:
    error = raised(ValueError("no\nand why"))
    line = test_it_is_described_with_type_and_place.__code__.co_firstlineno
    text = described(error)
    assert text.startswith("ValueError: no (")
    assert text.endswith(")\nand why")
    assert f"test_exception_text.py:{line + 1}" not in text  # it was raised in the function above
    assert described(ValueError()) == "ValueError"
    assert len(described(ValueError("x" * 5_000_000))) < LONGEST_REASON + 200


@given(st.text(max_size=400), st.integers(100, 200))
def test_a_text_keeps_its_ends_and_says_what_is_missing(text: str, longest: int) -> None:
    short = shortened(text, longest)
    if len(text) <= longest:
        assert short == text
    else:
        assert len(short) <= longest
        kept = (longest - 80) // 2
        note = f" [... {len(text) - 2 * kept} of {len(text)} characters left out ...] "
        assert short == text[:kept] + note + text[-kept:]


def chain(length: int) -> BaseException:
    error: BaseException = ValueError(0)
    for number in range(1, length):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    return error


def causes(error: BaseException | None) -> list[object]:
    found = []
    while error is not None:
        found.append(error.args[0])
        error = error.__cause__ or error.__context__
    return found


def test_a_short_chain_of_causes_stays() -> None:
    error = chain(20)
    cut_causes(error)
    assert causes(error) == [*range(19, -1, -1)]


def test_a_long_one_loses_its_middle() -> None:
    error = chain(3000)
    cut_causes(error)
    found = causes(error)
    assert (found[:10], found[11:]) == ([*range(2999, 2989, -1)], [*range(9, -1, -1)])
    assert found[10] == "2980 of 3000 exceptions, each the cause of the one before, are omitted here"
    cut_causes(error)
    assert len(causes(error)) == 21 or isinstance(error, CausesLeftOut)


def test_a_circle_of_causes_has_an_end() -> None:
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    cut_causes(one)
    assert one.__cause__ is other
