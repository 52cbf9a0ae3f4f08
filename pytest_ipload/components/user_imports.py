"""The interfaces ``user`` and ``metrics``: the virtual user, and what it measures besides its requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_ipload.base.errors import ComponentFailed, FeedExhausted, SettingError
from pytest_ipload.base.text import printable
from pytest_ipload.components.host_function import NAMED_VALUE, Caller, HostFunction, label
from pytest_ipload.components.wit_types import named_values
from pytest_ipload.load.timed_block import TimedBlock
from pytest_ipload.settings.parsing import listed

_MOST_PRINTED = 1_000_000
"""Characters that a component may print for each user."""


def _row(caller: Caller, name: str) -> Any:
    if name not in caller.rows:
        known = f"the test gives {listed(caller.rows)}" if caller.rows else "the test gives none"
        raise SettingError(
            f"{caller.what()}: it wants a row of test data named {name!r:.80}, but {known}; give it as in "
            f"ipload_component(..., rows={{{name!r:.80}: 'users.csv'}})"
        )
    source, order = caller.rows[name]
    try:
        row = next(caller.user.feed(source, order))
    except FeedExhausted:
        return None
    return named_values(row if isinstance(row, Mapping) else {"value": row})


def print_line(caller: Caller, text: str) -> None:
    """Print what a component says: as its text, so that a terminal shows it and does not obey it."""
    caller.printed += len(text) + 1
    if caller.printed <= _MOST_PRINTED:
        print(printable(text))  # noqa: T201  # as a body in Python does
    elif caller.printed - len(text) - 1 <= _MOST_PRINTED:
        print(f"{caller.what()}: it has printed {_MOST_PRINTED} characters; what follows is left out")  # noqa: T201


def _span(caller: Caller, block: TimedBlock) -> int:
    block.__enter__()
    number = caller.resources.add(_Span(caller, block))
    caller.spans[number] = caller.resources.get(number)
    return number


class _Span:
    """Something that is being timed."""

    def __init__(self, caller: Caller, block: TimedBlock) -> None:
        self._caller = caller
        self._block: TimedBlock | None = block

    def finish(self, error: BaseException | None) -> None:
        """The end, which comes once."""
        block, self._block = self._block, None
        if block is not None:
            block.__exit__(None if error is None else type(error), error, None)

    def close(self) -> None:
        """The component has dropped it."""
        self.finish(ComponentFailed(f"{self._caller.what()}: a span was dropped before it was finished"))


def _finish(caller: Caller, number: int, problem: str | None) -> None:
    span: _Span = caller.resources.get(number)
    caller.spans.pop(number, None)
    span.finish(None if problem is None else ComponentFailed(problem or f"{caller.what()}: a span has failed"))


def _given(run: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose values are the component's: one that is not allowed fails its call, and not the test."""

    def checked(caller: Caller, *values: Any) -> Any:
        try:
            return run(caller, *values)
        except SettingError as error:
            raise ComponentFailed(f"{caller.what()}: {error}") from None

    return checked


USER = {
    "index": HostFunction("() -> u32", lambda caller: caller.user.index),
    "iteration": HostFunction("() -> u64", lambda caller: caller.user.iteration),
    "source-address": HostFunction("() -> option<string>", lambda caller: caller.user.source_address),
    "random": HostFunction("() -> f64", lambda caller: caller.user.random.random()),
    "row": HostFunction(f"(string) -> option<list<{NAMED_VALUE}>>", _row),
    "pause": HostFunction("(string)", _given(lambda caller, span: caller.user.pause(span))),
    "log": HostFunction("(string)", print_line),
}
METRICS = {
    "[method]span.finish": HostFunction("(borrow<span>, option<string>)", _finish),
    "measure": HostFunction("(string) -> own<span>", _given(lambda c, name: _span(c, c.user.measure(label(name))))),
    "step": HostFunction("(string) -> own<span>", _given(lambda c, name: _span(c, c.user.step(label(name))))),
    "check": HostFunction("(string, bool)", _given(lambda c, name, holds: c.user.check(label(name), holds))),
    "count": HostFunction("(string, f64)", _given(lambda c, name, n: c.user.count(label(name), n))),
    "gauge": HostFunction("(string, f64)", _given(lambda c, name, value: c.user.gauge(label(name), value))),
    "observe": HostFunction("(string, f64)", _given(lambda c, name, seconds: c.user.observe(label(name), seconds))),
}
