"""What an errno means depends on the step that met it."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from pytest_ipload.transport.connect import dial
from pytest_ipload.transport.connect.binding import Binding
from pytest_ipload.transport.connect.dial import Attempt, Dialer
from pytest_ipload.transport.generator_errors import (
    OpenFilesExhausted,
    SourceAddressError,
    SourceNotLocal,
    SourceNotUsable,
    SourcePortsExhausted,
)

DESTINATION = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.77.0.2", 18080))
DESTINATION_6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::2", 18080, 0, 0))


def dialer() -> Dialer:
    return Dialer("the owner", Binding(), {}, "shop.test", 18080)


@pytest.mark.parametrize(
    ("source", "step", "code", "kind", "text"),
    [
        ("10.0.0.7", "bind", errno.EADDRNOTAVAIL, SourceNotLocal, "add it with 'ip addr add 10.0.0.7/32 dev lo'"),
        ("10.0.0.7", "bind", errno.EADDRINUSE, SourcePortsExhausted, "-> 10.77.0.2:18080 (bind: EADDRINUSE"),
        ("10.0.0.7", "bind", errno.EACCES, SourceAddressError, "source address 10.0.0.7 cannot be bound"),
        ("10.0.0.7", "connect", errno.EADDRNOTAVAIL, SourcePortsExhausted, "(connect: EADDRNOTAVAIL"),
        (None, "connect", errno.EADDRNOTAVAIL, SourcePortsExhausted, "for this host's own address -> 10.77.0.2:18080"),
        (
            "127.0.0.5",
            "connect",
            errno.EINVAL,
            SourceNotUsable,
            "source address 127.0.0.5 is a loopback address and can only reach this host, not 10.77.0.2",
        ),
        ("10.0.0.7", "connect", errno.EINVAL, NewConnectionError, "from source 10.0.0.7 to 10.77.0.2"),
        ("10.0.0.7", "connect", errno.ECONNREFUSED, NewConnectionError, "from source 10.0.0.7 to 10.77.0.2"),
        ("10.0.0.7", "connect", errno.ETIMEDOUT, ConnectTimeoutError, "is there a return route to 10.0.0.7?"),
        (None, "connect", errno.ENETUNREACH, NewConnectionError, "Failed to establish a new connection: "),
        (None, "socket", errno.EMFILE, OpenFilesExhausted, "too many open files"),
        ("10.0.0.7", "socket", errno.ENFILE, OpenFilesExhausted, "too many open files"),
    ],
)
def test_an_errno_is_explained_by_the_step_that_met_it(
    source: str | None, step: str, code: int, kind: type[Exception], text: str
) -> None:
    attempt = Attempt(dialer(), source, DESTINATION)
    attempt.step = step
    error = OSError(code, "what the system says")
    explained = attempt.explain(error)
    assert type(explained) is kind
    assert text in str(explained)
    assert explained.__cause__ is error


def test_ipv6_texts_have_brackets_and_128_bits_and_no_ipv6_at_all_is_no_port_shortage() -> None:
    attempt = Attempt(dialer(), "fd00::7", DESTINATION_6)
    attempt.step = "connect"
    assert "-> [fd00::2]:18080" in str(attempt.explain(OSError(errno.EADDRNOTAVAIL, "")))
    attempt.step = "bind"
    assert "fd00::7/128" in str(attempt.explain(OSError(errno.EADDRNOTAVAIL, "")))
    unbound = Attempt(dialer(), None, DESTINATION_6)
    unbound.step = "connect"
    assert type(unbound.explain(OSError(errno.EADDRNOTAVAIL, ""))) is NewConnectionError


def test_where_the_port_range_cannot_be_read_nothing_is_said_about_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(dial, "_PORT_RANGE", tmp_path / "absent")
    attempt = Attempt(dialer(), "10.0.0.7", DESTINATION)
    attempt.step = "connect"
    assert "(connect: EADDRNOTAVAIL);" in str(attempt.explain(OSError(errno.EADDRNOTAVAIL, "")))
