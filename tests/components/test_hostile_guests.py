"""Components of authors who mean harm: what they give the host, and what they want to take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.wat import RESULT, Guest, wat

from pytest_ipload.base.errors import (
    ComponentError,
    ComponentFailed,
    ComponentMemoryExceeded,
    ComponentTrapped,
    SettingError,
)
from pytest_ipload.components.component import Component
from pytest_ipload.load.user import VirtualUser

Load = Callable[..., Component]
Play = Callable[..., dict[str, Any]]
AT = f"(i32.const {RESULT})"


def store(at: int, value: int) -> str:
    return f"(i32.store (i32.const {at}) (i32.const {value}))"


def outputs(at: int, count: int) -> str:
    """Return a list of outputs that is said to be there."""
    return f"(drop (call $ok)) {store(20, at)} {store(24, count)} (return (i32.const 16))"


def asks(realloc: str) -> str:
    """A guest that gets a reply, whose memory it hands out by these instructions."""
    guest = Guest()
    text = guest.wat(f"(call $host.get {guest.text('/')} {AT})")
    return text.replace("(local.set $at (i32.and", f"{realloc} (local.set $at (i32.and", 1)


CALLS = {
    "answer outside of memory": (wat("(return (i32.const -4))"), "pointer out of bounds"),
    "answer not aligned": (wat("(return (i32.const 17))"), "not aligned"),
    "list without end": (wat(outputs(64, 0x0FFFFFFF)), "out of bounds"),
    "case that is not there": (
        wat(f"(memory.fill (i32.const 1024) (i32.const 99) (i32.const 24)) {store(1024, 0)} {store(1028, 0)}"
            f"{outputs(1024, 1)}"), "discriminant 99 out of range"),
    "text that is not UTF-8": (
        wat(f"{store(1024, -1)} (return (call $fail (i32.const 1024) (i32.const 4)))"), "invalid utf-8"),
    "text outside of memory": (wat("(call $host.log (i32.const -8) (i32.const 16))"), "out of bounds"),
    "text without end": (wat("(call $host.log (i32.const 0) (i32.const -1))"), "out of bounds"),
    "handle that it does not have": (
        wat("(call $host.finish (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0))"), "unknown handle index 77"),
    "result outside of memory": (wat("(call $host.source_address (i32.const -4))"), "out of bounds"),
    "result not aligned": (wat("(call $host.source_address (i32.const 257))"), "not aligned"),
    "realloc that traps": (asks("unreachable"), "unreachable"),
    "realloc outside of memory": (asks("(return (i32.const -16))"), "realloc return: beyond end of memory"),
    "realloc not aligned": (asks("(return (i32.const 65537))"), "realloc return: result not aligned"),
    "start that traps": (Guest().wat(more="(func $s unreachable) (start $s)"), "its start: .*unreachable"),
    "start without end": (Guest().wat(more="(func $s (call $s)) (start $s)"), "its start: call stack exhausted"),
    "data outside of memory": (Guest().wat(more='(data (i32.const -5) "abcdefgh")'), "its start: out of bounds"),
    "too many instances": (
        wat(imports=f"(core module $m) {'(core instance (instantiate $m))' * 1001}"), "its start: .*instance count"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_breaks_the_rules_is_a_trap(name: str, play: Play) -> None:
    text, message = CALLS[name]
    with pytest.raises(ComponentTrapped, match=f"^component guest.wat: .*{message}"):
        play(text)


def test_a_realloc_that_hands_out_the_same_memory_twice_harms_only_its_component(play: Play) -> None:
    assert play(asks("(return (i32.const 0))")) == {}


@pytest.mark.parametrize(
    "text", [asks("(loop (br 0))"), wat().replace('"reset") (param i32)', '"reset") (param i32) (loop (br 0))')]
)
def test_what_the_host_calls_on_the_way_has_the_time_of_the_call(text: str, play: Play) -> None:
    with pytest.raises(ComponentError, match=r"iterate: it has computed for .*; its limit is time=30ms$"):
        play(text, time="30ms")


def test_tables_are_limited_too(load: Load, user: VirtualUser) -> None:
    def tables(count: int, elements: int) -> str:
        return Guest().wat(more=f"(table {elements} funcref)" * count)

    load(tables(60, 500), memory="1MiB").of(user)
    with pytest.raises(ComponentMemoryExceeded, match=r"its start: .*; its limit is memory=1 MiB$"):
        load(tables(1, 5000), memory="1MiB").of(user)
    with pytest.raises(ComponentTrapped, match=r"its start: .*table count too high"):
        load(tables(65, 1), memory="1MiB").of(user)
    user.release_actions()


def test_a_type_that_doubles_with_each_level_is_refused(load: Load) -> None:
    doubled = "".join(f"(type $t{i + 1} (tuple $t{i} $t{i}))" for i in range(12))
    function = '(export "get" (func (param "url" $t12)))'
    imports = f'(import "pytest-ipload:load/http" (instance (type $t0 (tuple u8 u8)) {doubled} {function}))'
    with pytest.raises(SettingError, match=r"imports get of .* with other types \(more than 1000 parts\)"):
        load(wat(imports=imports))


def named(function: str, value: str) -> str:
    guest = Guest()
    return guest.wat(f"(call $host.{function} {guest.text('n')} {value})")


def sending_to(host: str) -> str:
    guest = Guest()
    to = f"{guest.text(host)} (i32.const 9) {guest.text('x')} {AT}"
    begin = f"(call $host.udp_open (i32.const 0) (i32.const 0) {AT})"
    return guest.wat(f"{begin} (call $host.udp_send_to (i32.load (i32.const {RESULT + 4})) {to})")


def pausing(span: str) -> str:
    guest = Guest()
    return guest.wat(f"(call $host.pause {guest.text(span)})")


VALUES = {
    "count": (named("count", "(f64.const -1)"), "a count only grows"),
    "gauge": (named("gauge", "(f64.const inf)"), "give a finite number"),
    "time": (named("observe", "(f64.const -1)"), "give seconds"),
    "pause": (pausing("soon"), "'soon' is not a duration"),
    "host": (sending_to("a\0b"), "is not a host"),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_not_allowed_fails_the_call_and_not_the_test(name: str, play: Play, user: VirtualUser) -> None:
    user.session.binding.guard = None  # all hosts are allowed
    text, message = VALUES[name]
    with pytest.raises(ComponentFailed, match=f"^component guest.wat: iterate: .*{message}"):
        play(text)


def test_what_is_given_to_the_host_at_once_is_limited(play: Play) -> None:
    guest = Guest()
    body = "(i32.const 0) (i32.const 3000000)"
    send = f"(call $host.send (call $request {guest.text('POST')} {guest.text('/')} {body}) {AT})"
    with pytest.raises(ComponentTrapped, match=r"too much at once; the limit is 2\.6 MiB of bytes$"):
        play(guest.wat(send, pages=50))
