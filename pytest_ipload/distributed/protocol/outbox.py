"""Sending messages between the controller and a worker, over a channel of execnet."""

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
        from execnet import DumpError  # not at the top: this module is imported without execnet, too

        if not isinstance(error, DumpError):
            raise
        # A request's name or an exception's text may contain surrogates. That is checked only here, as it takes time.
        channel.send((kind, sendable(fields)))


class Outbox:
    """Sends messages to one worker in a thread of its own: when a worker hangs, its pipe fills up and blocks."""

    def __init__(self, channel: Any, name: str, fail: Callable[[str, str], object]) -> None:
        """``fail`` is called, in that thread, with the worker's name and why a message to it cannot be sent."""
        self._channel = channel
        self._name = name
        self._fail = fail
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        threading.Thread(target=self._send, name=f"ipload-team-{name}", daemon=True).start()

    def put(self, message: Message) -> None:
        """Send a message after all previous ones."""
        self._messages.put(message)

    def close(self) -> None:
        """End the thread once all messages are sent."""
        self._messages.put(None)

    def _send(self) -> None:
        while (message := self._messages.get()) is not None:
            kind, fields = message
            try:
                send(self._channel, kind, fields)
            except OSError:
                continue  # the worker is gone, which is noticed elsewhere
            except Exception as error:
                self._fail(self._name, f"message {kind!r} cannot be sent to it: {in_words(error)}")
