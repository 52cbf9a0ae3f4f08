"""A worker process, as the controller knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_ipload.base.packing import MOST_BYTES
from pytest_ipload.distributed.protocol.messages import BadMessage


@dataclass
class Worker:
    """One worker process, as the controller knows it."""

    name: str
    rank: int
    """Its place among its neighbours; a worker that replaces another one gets the same."""
    heard_ns: int
    """When its last message arrived."""
    stopped_ns: int | None = None
    """Since when its process has been found stopped; None while it runs, or where that is unknown."""
    host: str = ""
    tests: list[tuple[int, str, int]] | None = None
    """What it collected; None until it has reported that."""
    gone: str | None = None
    """Why it is gone."""
    _pieces: bytearray = field(default_factory=bytearray)

    def add_piece(self, content: bytes) -> None:
        """The beginning of a large message. Raises BadMessage."""
        self._pieces += content
        if len(self._pieces) > MOST_BYTES:
            self._pieces.clear()
            raise BadMessage(f"piece: a message is larger than {MOST_BYTES} bytes")

    def whole(self, last: bytes) -> bytes:
        """All pieces, and the last one."""
        self._pieces += last
        packed = bytes(self._pieces)
        self._pieces.clear()
        return packed
