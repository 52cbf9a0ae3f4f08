"""What the controller and a worker send each other, over a channel of execnet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from pytest_ipload.base.code_location import in_words
from pytest_ipload.distributed.protocol.messages import Message, sendable


def send(channel: Any, kind: str, fields: dict[str, Any]) -> None:
    """Send a message over a channel of execnet. Raises OSError if the other side is gone."""
    try:
        channel.send((kind, fields))
    except OSError:
        raise
    except Exception as error:
        from execnet import DumpError  # not above: without execnet there is no link, but this module

        if not isinstance(error, DumpError):
            raise
        # A request's name or an exception's text may be anything. It is looked for only here, as it takes time.
        channel.send((kind, sendable(fields)))


class Outbox:
    """Sends messages to one worker in a thread of its own: when a worker hangs, its pipe gets full and blocks."""

    def __init__(self, channel: Any, name: str, fail: Callable[[str, str], object]) -> None:
        """``fail`` is called, in that thread, with the worker's name and why a message to it cannot be sent."""
        self._channel = channel
        self._name = name
        self._fail = fail
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        threading.Thread(target=self._send, name=f"ipload-team-{name}", daemon=True).start()

    def put(self, message: Message) -> None:
        """Send a message after all before it."""
        self._messages.put(message)

    def close(self) -> None:
        """End the thread, when it has sent what it has."""
        self._messages.put(None)

    def _send(self) -> None:
        while (message := self._messages.get()) is not None:
            kind, fields = message
            try:
                send(self._channel, kind, fields)
            except OSError:
                continue  # the worker is gone, which others notice
            except Exception as error:
                self._fail(self._name, f"{kind!r} cannot be sent to it: {in_words(error)}")
