from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_ipload.addresses.host import bind_source as module
from pytest_ipload.addresses.host.bind_source import bind_source

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="IP_BIND_ADDRESS_NO_PORT and 127.0.0.0/8 need Linux")
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


class RecordingSocket(socket.socket):
    """A socket that writes down its options, and refuses those it is told to."""

    refused: int | None = None

    def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
        if option == self.refused:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        super().setsockopt(level, option, value, *rest)


@pytest.fixture
def sock() -> Iterator[RecordingSocket]:
    with RecordingSocket() as opened:
        yield opened


@linux_only
@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_no_port_is_taken_before_the_target_is_known(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as sock, socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        bind_source(sock, address)
        assert sock.getsockname()[:2] == (address, 0)
        sock.connect(listener.getsockname())
        assert sock.getsockname()[0] == address
        assert sock.getsockname()[1] > 0


@linux_only
def test_a_target_sees_the_source_address() -> None:
    with socket.socket() as sock, socket.create_server(("127.0.0.1", 0)) as listener:
        bind_source(sock, "127.0.0.9")
        sock.connect(listener.getsockname())
        connection, (peer, _) = listener.accept()
        connection.close()
    assert peer == "127.0.0.9"


def test_datagram_sockets_are_bound_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        bind_source(sock, "127.0.0.1")
        assert sock.getsockname()[0] == "127.0.0.1"


def test_without_the_option_the_bind_takes_a_port_at_once(
    monkeypatch: pytest.MonkeyPatch, sock: RecordingSocket
) -> None:
    monkeypatch.setattr(module, "NO_PORT", None)
    bind_source(sock, "127.0.0.1")
    assert sock.getsockname()[1] > 0


@linux_only
def test_a_system_that_refuses_the_option_binds_all_the_same(sock: RecordingSocket) -> None:
    sock.refused = module.NO_PORT
    bind_source(sock, "127.0.0.1")
    assert sock.getsockname()[1] > 0


def test_the_address_is_never_marked_for_reuse(sock: RecordingSocket) -> None:
    bind_source(sock, "127.0.0.1")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0


def test_an_address_of_another_host_is_refused_by_the_system(sock: RecordingSocket) -> None:
    with pytest.raises(OSError, match=r"assign requested address|not valid in its context") as caught:
        bind_source(sock, "203.0.113.7")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@linux_only
def test_the_number_of_the_option_is_that_of_the_kernel() -> None:
    assert module.NO_PORT == 24


# Free-bind


@linux_only
@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "203.0.113.7"), (socket.AF_INET6, "2001:db8::7")])
def test_a_free_bind_address_need_not_be_on_this_host(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family) as sock:
        bind_source(sock, address, freebind=True)
        assert sock.getsockname()[:2] == (address, 0)
    with socket.socket(family) as sock, pytest.raises(OSError, match="assign requested address"):
        bind_source(sock, address)


@linux_only
@pytest.mark.parametrize(
    ("family", "option", "address"), [(socket.AF_INET, 15, "127.0.0.1"), (socket.AF_INET6, 78, "::1")]
)
def test_a_system_that_refuses_free_bind_is_heard(family: socket.AddressFamily, option: int, address: str) -> None:
    with RecordingSocket(family) as sock:
        sock.refused = option
        with pytest.raises(OSError, match="Protocol not available"):
            bind_source(sock, address, freebind=True)


def test_without_the_free_bind_option_the_bind_decides(monkeypatch: pytest.MonkeyPatch, sock: RecordingSocket) -> None:
    monkeypatch.setattr(module, "FREEBIND", None)
    with pytest.raises(OSError, match=r"assign requested address|not valid in its context"):
        bind_source(sock, "203.0.113.7", freebind=True)


@linux_only
def test_the_numbers_of_free_bind_are_those_of_the_kernel() -> None:
    assert module.FREEBIND == {4: (0, 15), 6: (41, 78)}
