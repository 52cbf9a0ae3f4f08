"""Instances of components: their exports, what ends their calls, and what is left of them."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.peers import PeerServer
from support.wat import RESULT, Guest, wat

from pytest_ipload.base.errors import (
    ComponentError,
    ComponentFailed,
    ComponentFuelExceeded,
    ComponentMemoryExceeded,
    ComponentRefused,
    ComponentReplyExceeded,
    ComponentRequestsExceeded,
    ComponentSocketsExceeded,
    ComponentTimeExceeded,
    ComponentTrapped,
    RendezvousEnded,
    SettingError,
)
from pytest_ipload.components.component import Component
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.user import VirtualUser

Play = Callable[..., dict[str, Any]]
Load = Callable[..., Component]
ENDLESS = wat("(loop (br 0))")
ECHO = (
    "(drop (call $ok)) (i32.store (i32.const 20) (local.get $in)) "
    "(i32.store (i32.const 24) (local.get $inputs)) (return (i32.const 16))"
)
FOR_EVER = "(loop (br 0))"


def says(guest: Guest, text: str) -> str:
    """Instructions that print a text."""
    return f"(call $host.log {guest.text(text)})"


def test_exports_are_called_in_their_order(load: Load, user: VirtualUser, capsys: pytest.CaptureFixture[str]) -> None:
    guest = Guest()
    text = guest.wat(says(guest, "iterate"), set_up=says(guest, "set-up"), tear_down=says(guest, "tear-down\x1b[2J"))
    component = load(text)
    run = component.of(user)
    assert run() == run() == {}
    assert component(user) == {}
    user.release_actions()
    assert capsys.readouterr().out.split() == ["set-up", "iterate", "iterate", "iterate", "tear-down\\x1b[2J"]


def test_inputs_and_outputs_keep_their_types(play: Play) -> None:
    given = {"a": None, "b": True, "c": -(2**63), "d": 0.5, "e": "é", "f": {"x": [1, None]}, "g": 2**70, "h": ""}
    assert play(wat(ECHO), given) == given


def test_an_input_that_no_component_can_have_is_an_error(play: Play) -> None:
    with pytest.raises(SettingError, match="'x' cannot be given to a component: Object of type set is not JSON"):
        play(wat(ECHO), {"x": {1}})


def test_an_output_that_is_not_json_fails_the_run(play: Play) -> None:
    guest = Guest()
    name, value = guest.text("x"), guest.text("{")
    at, length = (int(each.rstrip(")").split()[-1]) for each in value.split(") ("))
    where, size = (int(each.rstrip(")").split()[-1]) for each in name.split(") ("))
    # One tuple at 600: the name, the case 5 (json), and its text.
    stores = {600: where, 604: size, 608: 5, 616: at, 620: length, 16: 0, 20: 600, 24: 1}
    body = "".join(f"(i32.store (i32.const {a}) (i32.const {b}))" for a, b in stores.items())
    with pytest.raises(ComponentFailed, match=r"^component guest\.wat: iterate: its output 'x' is not JSON: "):
        play(guest.wat(f"{body} (return (i32.const 16))"))


def test_an_error_that_is_returned_fails_the_run_and_the_instance_stays(load: Load, user: VirtualUser) -> None:
    guest = Guest()
    fail = f"(return (call $fail {guest.text('no' + chr(9) + 'stock')}))"
    counted = "(global.set $n (i32.add (global.get $n) (i32.const 1)))"
    body = f"{counted} (if (i32.eq (global.get $n) (i32.const 1)) (then {fail}))"
    component = load(guest.wat(body, more="(global $n (mut i32) (i32.const 0))"))
    with pytest.raises(ComponentFailed, match=r"^component guest\.wat: iterate: no\\tstock$"):
        component(user)
    assert component(user) == {}  # the same instance: a new one would fail again
    user.release_actions()


def test_an_error_of_the_set_up_is_one_of_the_user(load: Load, user: VirtualUser) -> None:
    guest = Guest()
    component = load(guest.wat(set_up=f"(return (call $fail {guest.text('no account')}))"))
    with pytest.raises(ComponentFailed, match=r"^component guest\.wat: set-up: no account$"):
        component.of(user)
    user.release_actions()


GROW = "(drop (memory.grow (i32.const 16000)))"
CALLS: dict[str, tuple[str, dict[str, Any], type[ComponentError], str]] = {
    "trap": (wat("unreachable"), {}, ComponentTrapped, r"iterate: wasm `unreachable` instruction executed \(in "),
    "stack": (Guest().wat("(call $f)", more="(func $f (call $f))"), {}, ComponentTrapped, r"call stack exhausted"),
    "bounds": (wat("(drop (i32.load (i32.const 131069)))"), {}, ComponentTrapped, "out of bounds memory access"),
    "far away": (wat("(drop (i32.load (i32.const -4)))"), {}, ComponentTrapped, "out of bounds memory access"),
    "memory": (wat(f"{GROW} unreachable"), {"memory": "32MiB"}, ComponentMemoryExceeded,
               r"iterate: it has 128 KiB of memory and wants 1000 MiB more; its limit is memory=32 MiB$"),
    "memory, and on": (wat(f"{GROW} {FOR_EVER}"), {"time": 60}, ComponentMemoryExceeded, "memory=64 MiB$"),
    "memory, and back": (wat(GROW), {}, ComponentMemoryExceeded, "memory=64 MiB$"),
    "time": (ENDLESS, {"time": "50ms"}, ComponentTimeExceeded,
             r"iterate: it has computed for 0\.\d\d s; its limit is time=50ms$"),
    "fuel": (ENDLESS, {"fuel": 100_000}, ComponentFuelExceeded,
             r"iterate: it has used up its fuel; its limit is fuel=100 000$"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_what_ends_a_call_has_its_own_error_and_the_user_gets_a_new_instance(
    name: str, load: Load, user: VirtualUser
) -> None:
    text, limits, kind, message = CALLS[name]
    component = load(text, **limits)
    for _ in range(2):
        with pytest.raises(ComponentError, match=message) as caught:
            component(user)
        assert type(caught.value) is kind
        assert str(caught.value).startswith("component guest.wat: ")
    user.release_actions()


def test_a_component_that_needs_more_memory_to_start_is_an_error_of_the_set_up(load: Load, user: VirtualUser) -> None:
    with pytest.raises(ComponentMemoryExceeded, match=r"its start: it has 0 bytes .* wants 12.5 MiB more; .*=8 MiB$"):
        load(wat(pages=200), memory="8MiB").of(user)


def test_memory_that_is_let_go_can_be_used_again(load: Load, user: VirtualUser) -> None:
    component = load(wat("(drop (memory.grow (i32.const 100)))"), memory="10MiB")
    component(user)  # 6.4 MiB
    with pytest.raises(ComponentMemoryExceeded):
        component(user)
    component(user)
    user.release_actions()


def test_time_that_the_host_takes_is_not_that_of_the_component(play: Play) -> None:
    guest = Guest()
    play(guest.wat(f"(call $host.get {guest.text('/slow/150/0')} (i32.const {RESULT}))"), time="100ms")


def test_requests_of_a_call_are_limited(play: Play, server: RecordingServer) -> None:
    guest = Guest()
    text = guest.wat(f"(loop (call $host.get {guest.text('/')} (i32.const {RESULT})) (br 0))")
    with pytest.raises(ComponentRequestsExceeded, match=r"it has sent 3 requests and .*; its limit is requests=3$"):
        play(text, requests=3)
    assert len(server.hits) == 3


def test_the_size_of_a_reply_is_limited(play: Play) -> None:
    guest = Guest()
    with pytest.raises(ComponentReplyExceeded, match=r"a reply has 5 bytes; its limit is reply_bytes=4 bytes$"):
        play(guest.wat(f"(call $host.get {guest.text('/')} (i32.const {RESULT}))"), reply_bytes=4)


def test_open_sockets_are_limited_and_closed_at_the_end(play: Play, peer: PeerServer) -> None:
    guest = Guest()
    connect = (
        f"(call $host.tcp_connect {guest.text('127.0.0.1')} (i32.const {peer.port}) (i32.const 0) (i32.const 0) "
        f"(i32.const {RESULT}))"
    )
    dropped = f"(call $drop.tcp-stream (i32.load (i32.const {RESULT + 4})))"
    play(guest.wat(f"{connect} {dropped} {connect} {dropped}"), sockets=1)
    with pytest.raises(ComponentSocketsExceeded, match=r"it has 1 sockets open .*; its limit is sockets=1$"):
        play(guest.wat(f"{connect} {connect}"), sockets=1)


@pytest.mark.parametrize("way", ["get", "tcp", "udp"])
def test_a_host_that_is_not_allowed_ends_the_call(way: str, play: Play) -> None:
    guest = Guest()
    nothing, result = "(i32.const 0)", f"(i32.const {RESULT})"
    text = {
        "get": lambda: f"(call $host.get {guest.text('http://192.0.2.1/')} {result})",
        "tcp": lambda: (
            f"(call $host.tcp_connect {guest.text('192.0.2.1')} (i32.const 80) {nothing} {nothing} {result})"
        ),
        "udp": lambda: (
            f"(call $host.udp_open {nothing} {nothing} {result}) (call $host.udp_send_to (i32.load (i32.const "
            f"{RESULT + 4})) {guest.text('192.0.2.1')} (i32.const 80) {guest.text('x')} {result})"
        ),
    }[way]()
    with pytest.raises(ComponentRefused, match=r"^component guest\.wat: iterate: '192\.0\.2\.1' is not "):
        play(guest.wat(f"{text} {FOR_EVER}"))


@pytest.mark.parametrize("what", ["loop", "reply", "socket", "pause"])
def test_an_interruption_ends_the_call_at_once(
    what: str, load: Load, user: VirtualUser, server: RecordingServer, peer: PeerServer
) -> None:
    guest = Guest()
    nothing, result = "(i32.const 0)", f"(i32.const {RESULT})"
    ways: dict[str, Callable[[], str]] = {
        "loop": lambda: "",
        "reply": lambda: f"(call $host.get {guest.text('/silent')} {result})",
        "socket": lambda: (
            f"(call $host.tcp_connect {guest.text('127.0.0.1')} (i32.const {peer.port}) {nothing} {nothing} {result})"
            f"(call $host.tcp_receive (i32.load (i32.const {RESULT + 4})) (i32.const 9) {nothing} {nothing} {result})"
        ),
        "pause": lambda: f"(call $host.pause {guest.text('1h')})",
    }
    text = ways[what]()
    component = load(guest.wat(f"{text} {FOR_EVER}"), time="1h")
    user.prepare(component)

    def interrupt() -> None:  # as ``UserThread.insist`` does, at any time
        time.sleep(0.05)
        user.native_calls.interrupt(raise_here)
        user.interrupt()

    thread = threading.Thread(target=interrupt)
    raise_here = raiser(threading.get_ident())
    thread.start()
    with pytest.raises(BaseException) as caught:  # each way has its own
        component(user)
    thread.join()
    assert caught.type in ((RendezvousEnded, IterationInterrupted) if what == "pause" else (IterationInterrupted,))
    user.resume()
    user.release_actions()


def raiser(thread: int) -> Callable[[], None]:
    """What raises an interruption in a thread."""
    kind = ctypes.py_object(IterationInterrupted)

    def raise_in_thread() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind)

    return raise_in_thread


def test_an_interruption_before_the_call_keeps_it_from_being_made(load: Load, user: VirtualUser) -> None:
    component = load(ENDLESS)
    user.prepare(component)
    user.native_calls.interrupt(lambda: None)
    with pytest.raises(IterationInterrupted):
        component(user)
    user.resume()
    user.release_actions()


def test_threads_compute_at_the_same_time(load: Load) -> None:
    """A guest that computes does not hold the interpreter's lock: another thread of Python goes on."""
    component = load(ENDLESS, time="200ms")
    user = VirtualUser(0, seed=1, source_addresses=(), record=lambda sample: None)
    seen: list[type[BaseException]] = []

    def run() -> None:
        try:
            component(user)
        except ComponentError as error:
            seen.append(type(error))
        user.release_actions()

    thread = threading.Thread(target=run)
    turns = 0
    thread.start()
    while thread.is_alive():
        turns += 1
        thread.join(0.001)
    assert turns > 10
    assert seen == [ComponentTimeExceeded]
