"""The interface ``sockets``: TCP and UDP from the user's source address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from pytest_ipload.base.errors import (
    ComponentFailed,
    ComponentRefused,
    ComponentReplyExceeded,
    IploadError,
    TargetNotAllowed,
)
from pytest_ipload.components.host_function import FAILURE, Caller, HostFunction
from pytest_ipload.components.limits import shown_size
from pytest_ipload.stats.fault_text import message_of, own_fault

_ENDPOINT = "tuple<string, u16>"
_SECONDS = 30.0
_FAMILIES = {"ipv4": 4, "ipv6": 6}


def _guarded(caller: Caller, run: Callable[[], Any]) -> tuple[bool, Any]:
    """Call a socket: what a component may handle becomes a failure, and all else ends its call."""
    try:
        return True, run()
    except TargetNotAllowed as error:
        raise ComponentRefused(f"{caller.what()}: {error}") from error
    except IploadError:
        raise
    except OSError as error:
        if caller.stopped.is_set() or own_fault(error):
            raise
        what = "timeout" if isinstance(error, TimeoutError) else "connection"
        return False, (what, message_of(error) or type(error).__name__)


def _connect(caller: Caller, host: str, port: int, timeout_ms: int | None) -> tuple[bool, Any]:
    caller.resources.check_sockets()

    def connect() -> int:
        return caller.resources.add_socket(caller.user.create_connection((host, port), _seconds(timeout_ms)))

    return _guarded(caller, connect)


def _send(caller: Caller, stream: int, data: bytes, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(stream)
    sock.settimeout(_seconds(timeout_ms))
    return _guarded(caller, lambda: sock.sendall(data))


def _receive(caller: Caller, stream: int, most: int, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(stream)
    _check_size(caller, most)
    sock.settimeout(_seconds(timeout_ms))
    return _guarded(caller, lambda: sock.recv(most) if most else b"")


def _open(caller: Caller, family: str | None) -> tuple[bool, Any]:
    caller.resources.check_sockets()

    def make() -> int:
        number = None if family is None else _FAMILIES[family]
        return caller.resources.add_socket(caller.user.create_datagram_socket(number))

    return _guarded(caller, make)


def _send_to(caller: Caller, udp: int, host: str, port: int, data: bytes) -> tuple[bool, Any]:
    if "\0" in host:  # not OSError, as for any other host that cannot be one
        raise ComponentFailed(f"{caller.what()}: {host!r:.80} is not a host")
    sock: socket.socket = caller.resources.get(udp)
    sock.settimeout(_SECONDS)

    def send() -> None:
        sock.sendto(data, (host, port))

    return _guarded(caller, send)


def _receive_from(caller: Caller, udp: int, most: int, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(udp)
    _check_size(caller, most)
    sock.settimeout(_seconds(timeout_ms))

    def receive() -> tuple[bytes, tuple[str, int]]:
        data, peer = sock.recvfrom(most)
        return data, (str(peer[0]), int(peer[1]))

    return _guarded(caller, receive)


def _local_address(caller: Caller, number: int) -> tuple[str, int]:
    address = caller.resources.get(number).getsockname()
    return str(address[0]), int(address[1])


def _check_size(caller: Caller, most: int) -> None:
    """What is received at once is bounded before there is a buffer for it. Raises ComponentReplyExceeded."""
    if most > caller.limits.reply_bytes:
        raise ComponentReplyExceeded(
            f"{caller.what()}: it wants to receive {most} bytes at once; its limit is reply_bytes="
            f"{shown_size(caller.limits.reply_bytes)}"
        )


def _seconds(timeout_ms: int | None) -> float:
    return _SECONDS if timeout_ms is None else max(timeout_ms, 1) / 1000  # 0 would make the socket non-blocking


FUNCTIONS = {
    "[static]tcp-stream.connect": HostFunction(
        f"(string, u16, option<u32>) -> result<own<tcp-stream>, {FAILURE}>", _connect
    ),
    "[method]tcp-stream.send": HostFunction(
        f"(borrow<tcp-stream>, list<u8>, option<u32>) -> result<_, {FAILURE}>", _send
    ),
    "[method]tcp-stream.receive": HostFunction(
        f"(borrow<tcp-stream>, u32, option<u32>) -> result<list<u8>, {FAILURE}>", _receive
    ),
    "[method]tcp-stream.local-address": HostFunction(f"(borrow<tcp-stream>) -> {_ENDPOINT}", _local_address),
    "[static]udp-socket.open": HostFunction(
        f"(option<enum{{ipv4, ipv6}}>) -> result<own<udp-socket>, {FAILURE}>", _open
    ),
    "[method]udp-socket.send-to": HostFunction(
        f"(borrow<udp-socket>, string, u16, list<u8>) -> result<_, {FAILURE}>", _send_to
    ),
    "[method]udp-socket.receive-from": HostFunction(
        f"(borrow<udp-socket>, u32, option<u32>) -> result<tuple<list<u8>, {_ENDPOINT}>, {FAILURE}>", _receive_from
    ),
    "[method]udp-socket.local-address": HostFunction(f"(borrow<udp-socket>) -> {_ENDPOINT}", _local_address),
}
