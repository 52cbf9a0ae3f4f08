"""The interface ``sockets``: TCP and UDP from the user's source address."""

from __future__ import annotations

import socket
from typing import Any

from pytest_ipload.base.errors import ComponentRefused, ComponentReplyExceeded, TargetNotAllowed
from pytest_ipload.components.host_function import FAILURE, Caller, HostFunction
from pytest_ipload.components.limits import shown_size
from pytest_ipload.stats.fault_text import message_of, own_fault

_ENDPOINT = "tuple<string, u16>"
_SECONDS = 30.0
_FAMILIES = {"ipv4": 4, "ipv6": 6}


class _Guarded:
    """A block that calls a socket: what a component may handle becomes a failure, and all else ends its call."""

    failure: tuple[bool, Any] | None = None

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __enter__(self) -> _Guarded:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, TargetNotAllowed):
            raise ComponentRefused(f"{self._caller.what()}: {error}") from error
        if not isinstance(error, OSError) or self._caller.stopped.is_set() or own_fault(error):
            return False
        if any(each.__name__ == "LoadEnded" for each in type(error).__mro__):
            return False
        what = "timeout" if isinstance(error, TimeoutError) else "connection"
        self.failure = False, (what, message_of(error) or type(error).__name__)
        return True


def _connect(caller: Caller, host: str, port: int, timeout_ms: int | None) -> tuple[bool, Any]:
    caller.resources.check_sockets()
    with _Guarded(caller) as guarded:
        sock = caller.user.create_connection((host, port), _seconds(timeout_ms))
        return True, caller.resources.add_socket(sock)
    return guarded.failure


def _send(caller: Caller, stream: int, data: bytes, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(stream)
    with _Guarded(caller) as guarded:
        sock.settimeout(_seconds(timeout_ms))
        sock.sendall(data)
        return True, None
    return guarded.failure


def _receive(caller: Caller, stream: int, most: int, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(stream)
    _check_size(caller, most)
    with _Guarded(caller) as guarded:
        sock.settimeout(_seconds(timeout_ms))
        return True, sock.recv(most) if most else b""
    return guarded.failure


def _open(caller: Caller, family: str | None) -> tuple[bool, Any]:
    caller.resources.check_sockets()
    with _Guarded(caller) as guarded:
        sock = caller.user.create_datagram_socket(None if family is None else _FAMILIES[family])
        return True, caller.resources.add_socket(sock)
    return guarded.failure


def _send_to(caller: Caller, udp: int, host: str, port: int, data: bytes) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(udp)
    with _Guarded(caller) as guarded:
        sock.settimeout(_SECONDS)
        sock.sendto(data, (host, port))
        return True, None
    return guarded.failure


def _receive_from(caller: Caller, udp: int, most: int, timeout_ms: int | None) -> tuple[bool, Any]:
    sock: socket.socket = caller.resources.get(udp)
    _check_size(caller, most)
    with _Guarded(caller) as guarded:
        sock.settimeout(_seconds(timeout_ms))
        data, peer = sock.recvfrom(most)
        return True, (data, tuple(peer[:2]))
    return guarded.failure


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
