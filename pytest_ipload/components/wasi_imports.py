"""The harmless part of WASI, which the run-time libraries of languages want to see.

There are no files, no arguments, no environment and no network behind it: clocks can be read, a component may wait, get
random bytes of the system, and print. WASI 0.2 in all its patch versions; see ``docs/components.md``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_ipload.base.errors import ComponentTrapped
from pytest_ipload.components.host_function import Caller, HostFunction
from pytest_ipload.components.user_imports import print_line

_STREAM_ERROR = "variant{last-operation-failed(own<error>), closed}"
_WRITTEN = f"result<_, {_STREAM_ERROR}>"
_BYTES = f"result<list<u8>, {_STREAM_ERROR}>"
_COUNTED = f"result<u64, {_STREAM_ERROR}>"
_DATETIME = "record{seconds: u64, nanoseconds: u32}"
_CLOSED = False, ("closed", None)
_MOST_AT_ONCE = 65536
_LOOK_S = 0.05
"""Seconds between two moments at which an interruption of the user arrives."""
_LONGEST_LINE = 10_000
_NS_PER_S = 1_000_000_000


class _Pollable:
    """Ready at a moment of ``monotonic_ns``."""

    def __init__(self, due_ns: int = 0) -> None:
        self.due_ns = due_ns

    @property
    def is_ready(self) -> bool:
        return time.monotonic_ns() >= self.due_ns


class _Output:
    """Standard output or standard error: lines that are printed."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._begun = b""

    def write(self, data: bytes) -> None:
        """Print the lines that are complete, and parts of one that is too long."""
        *lines, self._begun = (self._begun + data).split(b"\n")
        if len(self._begun) > _LONGEST_LINE:
            lines, self._begun = [*lines, self._begun], b""
        for line in lines:
            print_line(self._caller, line.decode("utf-8", "replace"))


def _wait(caller: Caller, pollables: Sequence[_Pollable]) -> None:
    """Wait until one of them is ready, or the call has to end."""
    due_ns = min((each.due_ns for each in pollables), default=0)
    while not caller.stopped.is_set() and (left_ns := due_ns - time.monotonic_ns()) > 0:
        caller.stopped.wait(min(left_ns / _NS_PER_S, _LOOK_S))


def _poll(caller: Caller, numbers: Sequence[int]) -> list[int]:
    if not numbers:
        raise ComponentTrapped(f"{caller.what()}: poll() needs something to wait for")
    pollables = [caller.resources.get(each) for each in numbers]
    _wait(caller, pollables)
    return [i for i, each in enumerate(pollables) if each.is_ready]


def _pollable(caller: Caller, due_ns: int = 0) -> int:
    return caller.resources.add(_Pollable(due_ns))


def _random_bytes(caller: Caller, size: int) -> bytes:
    if size > _MOST_AT_ONCE:
        raise ComponentTrapped(f"{caller.what()}: {size} random bytes at once; at most {_MOST_AT_ONCE}")
    return os.urandom(size)


def _random_u64(caller: Caller) -> int:
    return int.from_bytes(os.urandom(8), "little")


def _now(caller: Caller) -> tuple[int, int]:
    return divmod(time.time_ns(), _NS_PER_S)


def _write(caller: Caller, number: int, data: bytes) -> tuple[bool, None]:
    caller.resources.get(number).write(data)
    return True, None


def _exit(caller: Caller, status: Any) -> None:
    shown = status if isinstance(status, int) else ("success" if status[0] else "failure")
    raise ComponentTrapped(f"{caller.what()}: it has ended itself: exit({shown})")


def _output(caller: Caller) -> int:
    return caller.resources.add(_Output(caller))


def _none(*_: object) -> None:
    return None


def _empty(*_: object) -> list[Any]:
    return []


def _done(*_: object) -> tuple[bool, None]:
    return True, None


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_: value


_TERMINALS = {
    f"wasi:cli/terminal-{name}": {
        f"get-terminal-{name}": HostFunction(f"() -> option<own<terminal-{kind}>>", _none),
    }
    for name, kind in (("stdin", "input"), ("stdout", "output"), ("stderr", "output"))
}
_IN, _OUT = "[method]input-stream", "[method]output-stream"
FUNCTIONS: Mapping[str, Mapping[str, HostFunction]] = {
    "wasi:io/error": {"[method]error.to-debug-string": HostFunction("(borrow<error>) -> string", _always(""))},
    "wasi:io/poll": {
        "[method]pollable.ready": HostFunction("(borrow<pollable>) -> bool", lambda c, n: c.resources.get(n).is_ready),
        "[method]pollable.block": HostFunction("(borrow<pollable>)", lambda c, n: _wait(c, [c.resources.get(n)])),
        "poll": HostFunction("(list<borrow<pollable>>) -> list<u32>", _poll),
    },
    "wasi:io/streams": {
        **{f"{_IN}.{n}": HostFunction(f"(borrow<input-stream>, u64) -> {_BYTES}", _always(_CLOSED))
           for n in ("read", "blocking-read")},
        **{f"{_IN}.{n}": HostFunction(f"(borrow<input-stream>, u64) -> {_COUNTED}", _always(_CLOSED))
           for n in ("skip", "blocking-skip")},
        **{f"[method]{n}.subscribe": HostFunction(f"(borrow<{n}>) -> own<pollable>", lambda c, _: _pollable(c))
           for n in ("input-stream", "output-stream")},
        **{f"{_OUT}.{n}": HostFunction(f"(borrow<output-stream>) -> {_WRITTEN}", _done)
           for n in ("flush", "blocking-flush")},
        **{f"{_OUT}.{n}": HostFunction(f"(borrow<output-stream>, list<u8>) -> {_WRITTEN}", _write)
           for n in ("write", "blocking-write-and-flush")},
        **{f"{_OUT}.{n}": HostFunction(f"(borrow<output-stream>, u64) -> {_WRITTEN}", _done)
           for n in ("write-zeroes", "blocking-write-zeroes-and-flush")},
        **{f"{_OUT}.{n}": HostFunction(f"(borrow<output-stream>, borrow<input-stream>, u64) -> {_COUNTED}",
                                       _always(_CLOSED)) for n in ("splice", "blocking-splice")},
        f"{_OUT}.check-write": HostFunction(f"(borrow<output-stream>) -> {_COUNTED}", _always((True, _MOST_AT_ONCE))),
    },
    "wasi:clocks/monotonic-clock": {
        "now": HostFunction("() -> u64", lambda caller: time.monotonic_ns()),
        "resolution": HostFunction("() -> u64", _always(1)),
        "subscribe-instant": HostFunction("(u64) -> own<pollable>", _pollable),
        "subscribe-duration": HostFunction(
            "(u64) -> own<pollable>", lambda caller, span_ns: _pollable(caller, time.monotonic_ns() + span_ns)
        ),
    },
    "wasi:clocks/wall-clock": {
        "now": HostFunction(f"() -> {_DATETIME}", _now),
        "resolution": HostFunction(f"() -> {_DATETIME}", _always((0, 1))),
    },
    "wasi:random/random": {
        "get-random-bytes": HostFunction("(u64) -> list<u8>", _random_bytes),
        "get-random-u64": HostFunction("() -> u64", _random_u64),
    },
    "wasi:random/insecure": {
        "get-insecure-random-bytes": HostFunction("(u64) -> list<u8>", _random_bytes),
        "get-insecure-random-u64": HostFunction("() -> u64", _random_u64),
    },
    "wasi:random/insecure-seed": {
        name: HostFunction("() -> tuple<u64, u64>", lambda caller: (_random_u64(caller), _random_u64(caller)))
        for name in ("insecure-seed", "get-insecure-seed")
    },
    "wasi:cli/environment": {
        "get-environment": HostFunction("() -> list<tuple<string, string>>", _empty),
        "get-arguments": HostFunction("() -> list<string>", _empty),
        "initial-cwd": HostFunction("() -> option<string>", _none),
    },
    "wasi:cli/exit": {
        "exit": HostFunction("(result<_, _>)", _exit),
        "exit-with-code": HostFunction("(u8)", _exit),
    },
    "wasi:cli/stdin": {"get-stdin": HostFunction("() -> own<input-stream>", _pollable)},
    "wasi:cli/stdout": {"get-stdout": HostFunction("() -> own<output-stream>", _output)},
    "wasi:cli/stderr": {"get-stderr": HostFunction("() -> own<output-stream>", _output)},
    "wasi:cli/terminal-input": {},
    "wasi:cli/terminal-output": {},
    **_TERMINALS,
    "wasi:filesystem/preopens": {"get-directories": HostFunction("() -> list<tuple<own<descriptor>, string>>", _empty)},
    "wasi:filesystem/types": {},
}  # fmt: skip
"""By interface. A function that is not here ends the call; those of files have nothing to be called with."""
