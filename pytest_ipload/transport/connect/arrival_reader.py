"""What http.client reads a reply from, where it matters when each piece of the reply came."""

from __future__ import annotations

import contextlib
import io
import socket
from typing import Any

from pytest_ipload.base.real_time import perf_counter_ns, time_ns
from pytest_ipload.transport.connect.socket_io import arrival_ns, open_fast_socket


class ArrivalReader(io.RawIOBase):
    """Reads from a socket, and knows when what it read last had arrived.

    To be read through an ``io.BufferedReader``, which reads from here only when all that it has was taken: so what is
    taken from that had arrived by then.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._wire = open_fast_socket(sock)
        # Keeps the socket open for as long as the reply is, as what http.client makes itself does.
        self._hold = sock.makefile("rb", buffering=0)
        self.arrived_ns = 0
        """When the last bytes arrived, by ``perf_counter_ns``; when they were read, if the kernel does not say."""
        self.is_late = False
        """Whether they had arrived before they were read for: the kernel joins what waits, with one time for all."""

    def readable(self) -> bool:
        """As in ``io``."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As in ``io``."""
        asked_ns = perf_counter_ns()
        data = self._wire.receive(len(buffer))
        # A thread reads what has come when it has its turn; the time of arrival is free of that. The kernel's clock is
        # the wall clock: how long ago it was counts, and a time in the future does not.
        stamp = self._wire.stamp
        behind_ns = 0 if stamp is None else max(0, time_ns() - arrival_ns(stamp))
        self.arrived_ns = perf_counter_ns() - behind_ns
        self.is_late = self.arrived_ns < asked_ns
        length = len(data)
        buffer[:length] = data
        return length

    def close(self) -> None:
        """As in ``io``; the socket is closed with the connection."""
        with contextlib.suppress(OSError):
            self._hold.close()
        super().close()
