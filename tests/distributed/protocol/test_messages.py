"""Messages between controller and workers."""

from __future__ import annotations

from collections import Counter, namedtuple
from enum import IntEnum
from typing import Any

import pytest

from pytest_ipload.distributed.protocol.messages import FROM_WORKER, BadMessage, as_plain, checked, sendable

Pair = namedtuple("Pair", "one other")  # as untyped as plugins have them


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, 2.5, None, True, "x", b"y"]}, {"a": [1, 2.5, None, True, "x", b"y"]}),
        (Number.ONE, 1),
        (Text("x"), "x"),
        ({Text("k"): Counter({3: 4})}, {"k": {3: 4}}),
        ([Pair(1, 2)], [(1, 2)]),
        (("path", 3, "reason"), ("path", 3, "reason")),
    ],
)
def test_values_become_exactly_builtin(value: Any, plain: Any) -> None:
    made = as_plain(value)
    assert made == plain
    assert repr(made) == repr(plain)  # equal is not enough: 1 == Number.ONE


def test_what_is_not_plain_is_refused_or_replaced() -> None:
    with pytest.raises(TypeError, match="not a plain value"):
        as_plain({"a": object})
    assert as_plain({"a": {1, 2}}, other=sorted) == {"a": [1, 2]}


def test_plain_values_can_be_sent() -> None:
    execnet = pytest.importorskip("execnet")
    value = as_plain({Number.ONE: [Text("x"), Pair(1, None), Counter(a=1)]})
    assert execnet.loads(execnet.dumps(value)) == {1: ["x", (1, None), {"a": 1}]}


def test_half_a_surrogate_pair_is_spelled_out_as_execnet_refuses_it() -> None:
    execnet = pytest.importorskip("execnet")
    value = {"a\ud800": [("x\udfff", 1), "größe", None, b"\xff"]}
    with pytest.raises(execnet.DumpError):
        execnet.dumps(value)
    sent = sendable(value)
    assert sent == {"a\\ud800": [("x\\udfff", 1), "größe", None, b"\xff"]}
    assert execnet.loads(execnet.dumps(sent)) == sent


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("beat", "a pair of a kind and its fields"),
        (("shout", {}), "unknown kind of message 'shout'; known: hello, together, entered"),
        (("ready", {}), r"ready: has the fields nodeid; got $"),
        (("ready", {"nodeid": 3}), "ready: nodeid is a str; got 3"),
        (("pong", {"number": True, "at_ns": 1}), "pong: number is a int; got True"),
    ],
)
def test_what_nobody_sends_is_refused(message: object, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        checked(message, FROM_WORKER)
