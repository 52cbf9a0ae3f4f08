"""Where pytest's own output goes, bypassing its capture: a terminal, a pipe or a file."""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pytest

_USUAL_COLUMNS = 80


class Screen:
    """Output that a running test cannot capture. It never waits, and never raises.

    While a test runs, pytest has redirected file descriptor 1. So this is a copy of it, made while it was not.
    """

    def __init__(self, stream: TextIO) -> None:
        """``stream`` is what pytest prints to."""
        self._stream = stream
        self._fd: int | None = None
        with suppress(OSError, ValueError, AttributeError):  # a stream without a file: another program runs pytest
            self._fd = os.dup(stream.fileno())
        self.is_terminal = self._fd is not None and os.isatty(self._fd)

    @classmethod
    def open(cls, config: pytest.Config) -> Screen | None:
        """The one of this session; None if it has no output."""
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        if capture is None:  # -p no:capture
            return None if sys.stdout is None else cls(sys.stdout)
        with capture.global_and_fixture_disabled():  # here, between two tests, there is nothing to capture
            return None if sys.stdout is None else cls(sys.stdout)

    @property
    def columns(self) -> int:
        """The width of the terminal, which may change."""
        with suppress(ValueError):
            if (columns := int(os.environ.get("COLUMNS", ""))) > 0:  # pytest uses it, too
                return columns
        with suppress(OSError):
            if self._fd is not None and (columns := os.get_terminal_size(self._fd).columns) > 0:
                return columns
        return _USUAL_COLUMNS

    def write(self, text: str) -> bool:
        """Write a short text at once, or not at all: whether it was written.

        A terminal may be stopped (Ctrl-S), and a pipe full: a load must not wait for its output to be read.
        """
        try:
            if self._fd is None:
                self._stream.write(text)
                self._stream.flush()
                return True
            if not _takes_some(self._fd):
                return False
            os.write(self._fd, text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        except (OSError, ValueError):  # the terminal was closed
            return False
        return True

    def write_all(self, text: str) -> None:
        """Write a text of any length, and wait until all of it was taken."""
        with suppress(OSError, ValueError):  # the terminal was closed
            if self._fd is None:
                self._stream.write(text)
                self._stream.flush()
                return
            data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
            while data:
                data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the copy."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self.is_terminal = False


def _takes_some(fd: int) -> bool:
    """Whether a write of a few hundred bytes would return at once."""
    if not hasattr(select, "poll"):  # Windows, where select only supports sockets
        return True
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))
