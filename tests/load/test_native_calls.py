"""Native calls are ended, and exceptions are raised outside of them only."""

from __future__ import annotations

import pytest

from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.native_calls import NativeCalls


def test_an_interruption_ends_the_call_that_is_made() -> None:
    calls, events = NativeCalls(), list[str]()
    with calls.ended_by(lambda: events.append("end")):
        calls.interrupt(lambda: events.append("raise"))
    assert events == ["end"]
    calls.interrupt(lambda: events.append("raise"))
    assert events == ["end", "raise"]


def test_in_a_function_that_was_called_back_it_is_an_exception() -> None:
    calls, events = NativeCalls(), list[str]()
    with calls.ended_by(lambda: events.append("end")):
        kept = calls.open()
        calls.interrupt(lambda: events.append("raise"))
        calls.close(kept)
        calls.interrupt(lambda: events.append("raise"))
    assert events == ["raise", "end"]


def test_after_an_interruption_there_are_no_calls_until_the_teardown() -> None:
    calls = NativeCalls()
    calls.interrupt(lambda: None)
    with pytest.raises(IterationInterrupted), calls.ended_by(lambda: None):
        raise AssertionError
    calls.resume()
    events: list[str] = []
    calls.interrupt(lambda: events.append("raise"))
    assert events == ["raise"]  # no call is left behind
    calls.resume()
    with calls.ended_by(lambda: None):
        pass
