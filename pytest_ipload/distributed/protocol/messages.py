"""The messages between the controller and the workers that share loads.

A message is a pair of its kind and its fields, all of plain builtin types: execnet sends nothing else, and nothing is
ever unpickled. Measurements and results are bytes (``packing``). Each kind has a fixed set of fields; anything else is
refused on arrival. Both sides have to run the same version of the package, which a worker's ``hello`` carries.

A worker sends::

    hello      its version, its host, and which load tests it collected: [index, node id, users] of each
    together   load tests that run together: their name, and [node id, seconds after the common start] of each
    entered    it has entered a load test, or the first of those that run together, and waits
    left       it no longer waits, for example because of a timeout, which it has reported
    ready      its users are set up
    skipped    a test of those that run together was skipped in its set-up; the others go on
    pong       its clock, at once after a ping
    beat       heartbeat
    piece      the beginning of a large field: the ``snapshot`` or ``part`` of the next message is the rest
    progress   a snapshot of its measurements, for thresholds that may abort the load
    live       its live numbers, for listeners
    part       its shard result; why its partition ended early, if it did
    broke_down its load ended without a shard result, while the loads that run together with it go on
    failed     it could not run its partition, or not report it; why
    done       it has finished the test; its reports; whether its partition was called off
    turn_over  it has finished a test that it ran whole

The controller sends::

    assign     take part: which partition of the load, and which share of the host's addresses
    spectate   take no part, and wait for ``finish``
    turn       run the test whole, while all others wait
    ping       send your clock
    start      the load begins at this instant of the worker's own clock
    beat       heartbeat
    stop       end the load now and send what was measured
    break_off  the session ends: the same, without waiting for busy users
    abort      end the load, if it runs; there will be no verdict
    conclusion the verdict on all shard results
    finish     the test is over everywhere
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Message = tuple[str, dict[str, Any]]

_TEXT = {"nodeid": str}
FROM_WORKER: Mapping[str, Mapping[str, type]] = {
    "hello": {"version": str, "host": str, "tests": list},
    "together": {"group": str, "tests": list},
    "entered": _TEXT,
    "left": _TEXT,
    "ready": _TEXT,
    "skipped": _TEXT,
    "pong": {"number": int, "at_ns": int},
    "beat": {},
    "piece": {"content": bytes},
    "progress": {"nodeid": str, "snapshot": bytes},
    "live": {"nodeid": str, "numbers": dict},
    "part": {"nodeid": str, "part": bytes, "ended_by": str},
    "broke_down": _TEXT,
    "failed": {"nodeid": str, "why": str},
    "done": {"nodeid": str, "reports": list, "aborted": bool},
    "turn_over": _TEXT,
}
FROM_CONTROLLER: Mapping[str, Mapping[str, type]] = {
    "assign": {"nodeid": str, "index": int, "count": int, "pool_index": int, "pool_count": int},
    "spectate": _TEXT,
    "turn": _TEXT,
    "ping": {"number": int},
    "start": {"nodeid": str, "at_ns": int},
    "beat": {},
    "stop": {"nodeid": str, "reason": str},
    "break_off": {"nodeid": str, "reason": str},
    "abort": {"nodeid": str, "reason": str},
    "conclusion": {"nodeid": str, "conclusion": bytes},
    "finish": _TEXT,
}
PACKED: Mapping[str, str] = {"progress": "snapshot", "part": "part"}
"""The field, by the kind of a worker's message, that may come in pieces."""
_PLAIN = (str, int, float, bool, type(None), bytes)


_LATEST_START_S = 1e6


class BadMessage(ValueError):
    """A message that this version does not send."""


def checked(message: object, known: Mapping[str, Mapping[str, type]]) -> Message:
    """A message as it arrived, if it is one of the known kinds with exactly its fields. Raises BadMessage."""
    if not (isinstance(message, tuple) and len(message) == 2 and isinstance(message[1], dict)):
        raise BadMessage(f"a message is a pair of a kind and its fields; got {message!r:.100}")
    kind, fields = message
    if kind not in known:
        raise BadMessage(f"unknown kind of message {kind!r:.100}; known: {', '.join(known)}")
    expected = known[kind]
    if fields.keys() != expected.keys():
        raise BadMessage(f"{kind}: has the fields {', '.join(expected) or '(none)'}; got {', '.join(map(str, fields))}")
    for name, value in fields.items():
        if type(value) is not expected[name]:  # a bool does not count as an int
            raise BadMessage(f"{kind}: {name} is a {expected[name].__name__}; got {value!r:.100}")
    return kind, fields


def checked_tests(tests: list[Any]) -> list[tuple[int, str, int]]:
    """The load tests of a ``hello``: index in the collection, node id, users. Raises BadMessage."""
    for test in tests:
        if not (isinstance(test, (list, tuple)) and [type(value) for value in test] == [int, str, int]):
            raise BadMessage(f"hello: a test is [index, node id, users]; got {test!r:.100}")
    return [(place, nodeid, users) for place, nodeid, users in tests]


def checked_starts(tests: list[Any]) -> dict[str, float]:
    """The tests of a ``together``: by node id, seconds after the common start. Raises BadMessage."""
    for test in tests:
        if not (isinstance(test, (list, tuple)) and [type(value) for value in test] == [str, float]):
            raise BadMessage(f"together: a test is [node id, seconds]; got {test!r:.100}")
        if not 0 <= test[1] <= _LATEST_START_S:
            raise BadMessage(f"together: a start is between 0 and {_LATEST_START_S:g} seconds; got {test[1]!r}")
    return dict(tests)


def as_plain(value: Any, other: Callable[[Any], Any] | None = None) -> Any:
    """The same value in exactly the builtin types that execnet can send.

    Subclasses (an IntEnum, a str subclass, a Counter, a named tuple) become their builtin type. ``other`` makes
    something plain of anything else; without it, TypeError is raised.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {as_plain(key, other): as_plain(item, other) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(as_plain(item, other) for item in value)
    if isinstance(value, list):
        return [as_plain(item, other) for item in value]
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if other is not None:
        return as_plain(other(value))
    raise TypeError(f"not a plain value: {value!r:.100} of type {type(value).__name__}")


def sendable(value: Any) -> Any:
    """The same plain value with surrogates escaped: execnet sends UTF-8, which has none."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {sendable(key): sendable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(sendable, value))
    return value
