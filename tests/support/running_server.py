"""Servers of the tests that run in a thread, for as long as they are needed."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import TypeVar

_Server = TypeVar("_Server", bound="RunningServer")


class RunningServer(ThreadingHTTPServer):
    """Serves inside a ``with`` block."""

    def __enter__(self: _Server) -> _Server:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name=type(self).__name__)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
