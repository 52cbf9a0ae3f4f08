"""Replies that are not read to their end: for callers that can take only a part of them, such as components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_ipload.base.errors import ReplyTooLarge

if TYPE_CHECKING:
    from pytest_ipload.transport.connect.binding import ThreadState


def too_large(most: int) -> ReplyTooLarge:
    """The error."""
    return ReplyTooLarge(f"the reply has more than {most} bytes; the rest of it was not read")


@contextmanager
def replies_limited(thread: ThreadState, most: int) -> Iterator[None]:
    """While this is entered, a call of the session in this thread raises ReplyTooLarge for a larger reply.

    Its request counts as failed.
    """
    outer, thread.most_reply = thread.most_reply, most
    try:
        yield
    finally:
        thread.most_reply = outer


def joined(parts: Iterable[bytes], most: int) -> bytes:
    """All parts in one; raises ReplyTooLarge as soon as there are too many bytes."""
    kept: list[bytes] = []
    left = most
    for part in parts:
        left -= len(part)
        if left < 0:
            raise too_large(most)
        kept.append(part)
    return b"".join(kept)


class Excess:
    """Whether a list of chunks, which grows, has more bytes than these by now. Each chunk is looked at once."""

    def __init__(self, chunks: Sequence[bytes], most: int) -> None:
        self._chunks = chunks
        self.most = most
        self._looked_at = self._size = 0

    def __call__(self) -> bool:
        for i in range(self._looked_at, len(self._chunks)):
            self._size += len(self._chunks[i])
        self._looked_at = len(self._chunks)
        return self._size > self.most
