"""Where the bytes of a body go, as they come, without being copied again."""

from __future__ import annotations

import io
from typing import Any

from pytest_ipload.transport.connect.socket_io import FastSocket


class _Source(io.RawIOBase):
    """What a body is read from: bytes that came with the head, and then a wire."""

    def __init__(self, first: bytes, wire: FastSocket) -> None:
        self.error: OSError | None = None
        """What receiving ended with. It is not raised in between, where what has come would be lost."""
        self._first = first
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        first, self._first = self._first, b""
        if first:
            buffer[: len(first)] = first
            return len(first)
        try:
            return self._wire.receive_into(buffer)
        except OSError as error:
            self.error = error
            return 0


def read_bytes(first: bytes, wire: FastSocket, length: int) -> tuple[bytes, OSError | None]:
    """``length`` bytes, of which ``first`` are here; fewer at the end of the stream, or with the error that ended it.

    A ``BufferedReader`` lets its source write into the ``bytes`` that it returns: the system copies into them, and
    that is the only copy. Raises MemoryError, before anything is received, for a length that does not fit into memory.
    """
    source = _Source(first, wire)
    body = io.BufferedReader(source, 1).read(length)
    return body, source.error
