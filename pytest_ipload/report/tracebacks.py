"""Failures as users want to see them: their own lines, and first of all the error in plain words.

Only the display changes. The exception is restored afterwards, so that debuggers and other plugins get all of it;
with ``--full-trace`` nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import pytest

from pytest_ipload.base.code_location import place_of_traceback, visible_traceback
from pytest_ipload.base.errors import is_configuration_error
from pytest_ipload.base.interrupts import interrupts_deferred
from pytest_ipload.base.text import with_message
from pytest_ipload.report.exception_text import LONGEST_TEXT, cut_causes, described, shortened, type_name
from pytest_ipload.report.traceback_secrets import without_secrets
from pytest_ipload.stats.fault_text import fault_text, message_of
from pytest_ipload.verdict.result import Traceback

_LONGEST_LINE = 10_000
_MOST_LINES = 1_000
"""Of one entry of a traceback."""


@contextmanager
def only_visible_frames(error: BaseException) -> Iterator[None]:
    """While this is entered, the exception and its causes have no frames of code that only passed the request on.

    A cause that has no others, as each of urllib3's behind one of requests, is left out.
    """
    kept: list[tuple[BaseException, tuple[Any, ...]]] = []
    try:
        _hide_frames(error, kept, set())
        yield
    finally:
        for each, (traceback, cause, context, is_suppressed) in kept:
            each.__traceback__, each.__cause__, each.__context__ = traceback, cause, context
            each.__suppress_context__ = is_suppressed


@contextmanager
def shown_to_user(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """While the report of a phase is made, its exception has its visible frames only."""
    excinfo = call.excinfo
    if excinfo is None or isinstance(excinfo.value, pytest.skip.Exception) or item.config.getoption("fulltrace"):
        yield
        return
    with ExitStack() as hidden:
        with suppress(BaseException):  # raised by the exception's own attributes: then it is shown as it is
            hidden.enter_context(only_visible_frames(excinfo.value))
        shown = call.excinfo = pytest.ExceptionInfo.from_exception(excinfo.value)
        try:
            yield
        finally:
            if call.excinfo is shown:
                call.excinfo = excinfo


def traceback_of(item: pytest.Item, error: BaseException) -> Traceback:
    """pytest's own text of an exception, with rewritten assertions; bounded, and whatever its objects raise."""
    kind = type_name(error)
    if error.__traceback__ is None:  # an interruption that the body swallowed: it was never raised here
        return Traceback(kind, message_of(error))
    cut_causes(error)
    with interrupts_deferred() as deferral:  # so that a KeyboardInterrupt is one of the objects that are shown
        try:
            with nullcontext() if item.config.getoption("fulltrace") else only_visible_frames(error):
                text = str(bounded(item.repr_failure(pytest.ExceptionInfo.from_exception(error))))
        except BaseException as broken:
            text = f"{described(error)}\nIts traceback cannot be shown: {type_name(broken)} was raised."
    if deferral.was_pressed:
        raise KeyboardInterrupt
    return Traceback(kind, text)


def first_traceback(item: pytest.Item, errors: Iterable[BaseException | None]) -> Traceback | None:
    """The text of the first one that has any."""
    error = next((each for each in errors if each is not None), None)
    return None if error is None else traceback_of(item, error)


def headline(error: BaseException, whose: str = "") -> str | None:
    """What failed and where: ``connection refused by 127.0.0.1:8199, at conftest.py:24``.

    ``whose`` comes before it. None where it would only repeat the traceback.
    """
    text = in_words(error)
    if text is None:
        if not whose:
            return None
        text = with_message(type(error).__name__, message_of(error))
    place = place_of_traceback(error.__traceback__)
    return f"{whose}{text}, at {place}" if place else f"{whose}{text}"


def in_words(error: BaseException) -> str | None:
    """What failed, without the name of an exception: a network error, or a mistake in the test."""
    return message_of(error) if is_configuration_error(error) else fault_text(error)


def put_first(longrepr: Any, line: str, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Put a line before everything that pytest shows of a failure, in an xdist worker too.

    It becomes an entry of pytest's native style, the only kind that is plain lines.
    """
    chain, crash = getattr(longrepr, "chain", None), getattr(longrepr, "reprcrash", None)
    first = chain[0][0] if chain else getattr(longrepr, "reprtraceback", None)
    if first is None or not getattr(first, "reprentries", None):
        return
    entry: Any = excinfo.getrepr(style="native", chain=False).reprtraceback.reprentries[0]
    entry.lines = [f"{line}\n"]
    first.reprentries = [entry, *first.reprentries]
    if crash is not None and in_words(excinfo.value) is not None:  # the short summary shows its first line
        crash.message = f"{line}\n{crash.message}"


def place_at(longrepr: Any, item: pytest.Item) -> None:
    """Report a verdict at the test itself: where in this package it was raised is of no use."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        path, line, _ = item.reportinfo()
        crash.path, crash.lineno = str(path), (line or 0) + 1


def bounded(longrepr: Any) -> Any:
    """What pytest shows of a failure, masked, and cut to a readable length; each cut says how much is missing."""
    longrepr = without_secrets(longrepr)
    if longrepr is None or isinstance(longrepr, tuple):  # a skip
        return longrepr
    for traceback, crash, _ in getattr(longrepr, "chain", ()):
        if crash is not None:
            crash.message = shortened(crash.message, _LONGEST_LINE)
        for entry in traceback.reprentries:
            entry.lines = _bounded_lines(entry.lines)
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        crash.message = shortened(crash.message, _LONGEST_LINE)
    text = str(longrepr)
    return longrepr if len(text) <= LONGEST_TEXT else shortened(text)


def _bounded_lines(lines: list[str]) -> list[str]:
    if len(lines) > _MOST_LINES:
        half = (_MOST_LINES - 1) // 2  # with the note, no more than allowed
        left_out = len(lines) - 2 * half
        lines = [*lines[:half], f"[... {left_out} of {len(lines)} lines left out ...]", *lines[-half:]]
    return [shortened(line, _LONGEST_LINE) for line in lines]


def _hide_frames(error: BaseException, kept: list[tuple[BaseException, tuple[Any, ...]]], seen: set[int]) -> None:
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        following = _behind(each)
        shown = following
        while shown is not None and id(shown) not in seen and _is_all_hidden(shown):
            seen.add(id(shown))
            shown = _behind(shown)
        kept.append((each, (each.__traceback__, each.__cause__, each.__context__, each.__suppress_context__)))
        each.__traceback__ = visible_traceback(each.__traceback__, from_user=each is error) or each.__traceback__
        if shown is not following:
            is_cause = each.__cause__ is not None
            each.__cause__, each.__context__ = (shown, None) if is_cause else (None, shown)
            each.__suppress_context__ = is_cause
        inner = getattr(each, "exceptions", ())
        for member in inner if isinstance(inner, tuple) else ():
            if isinstance(member, BaseException):
                _hide_frames(member, kept, seen)
        each = shown


def _behind(error: BaseException) -> BaseException | None:
    """The cause, or what was being handled: what pytest shows next."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_all_hidden(error: BaseException) -> bool:
    return error.__traceback__ is not None and visible_traceback(error.__traceback__) is None
