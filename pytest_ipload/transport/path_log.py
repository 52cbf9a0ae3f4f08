"""Records requests of a load that did not take the fast path, or did not leave from their source address."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

_MOST_NAMES = 1000


class FastPathLog:
    """What kept calls from the fast path, or from their source address; for all sessions of a load. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}
        self._unbound: dict[str, None] = {}
        self._foreign: dict[str, None] = {}

    def add_unbound(self, adapter: str) -> None:
        """An adapter was mounted that does not leave from the session's source addresses."""
        with self._lock:
            self._unbound[adapter] = None

    def unbound(self) -> Sequence[str]:
        """The adapters that do not leave from their sessions' source addresses."""
        with self._lock:
            return tuple(self._unbound)

    def add_foreign(self, name: str) -> None:
        """A request of this name was not sent in the session's version of HTTP, or in whatever version.

        Those of adapters of the user's own, and handshakes of WebSockets where the version is not 1.1.
        """
        with self._lock:
            if len(self._foreign) < _MOST_NAMES:
                self._foreign[name] = None

    def foreign(self) -> Sequence[str]:
        """The names of requests in other or unknown versions of HTTP."""
        with self._lock:
            return tuple(self._foreign)

    def add(self, reason: str) -> None:
        """One call was left to requests because of this."""
        with self._lock:
            self._calls[reason] = self._calls.get(reason, 0) + 1

    def calls(self) -> Mapping[str, int]:
        """How many calls were left to requests, by reason."""
        with self._lock:
            return dict(self._calls)
