"""A user's sockets without a load: functions run in a thread as a user's body does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from pytest_ipload.addresses.host.own_listeners import Targets
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.connect.binding import OpenedConnections
from pytest_ipload.transport.connect.user_sockets import UserSockets

T = TypeVar("T")


class Visitor:
    """A user that leaves from ``sources``, for one visit; ``allowed`` are hosts besides those that always are."""

    def __init__(self, *sources: str, allowed: Iterable[str] = (), in_force: bool = True) -> None:
        self._opened = OpenedConnections()
        self.targets = Targets()
        self.sockets = UserSockets(AllowedHosts(allowed), self._opened, self.targets, in_force=in_force)
        self.sockets.rebind(sources)

    @property
    def opened(self) -> Mapping[str, int]:
        """Connections by source address."""
        return self._opened.by_source()

    def start(self, function: Callable[[], T]) -> Visit[T]:
        """Run the function in a thread of the user's."""
        visit = Visit(self.sockets, function)
        visit.thread.start()
        return visit

    def run(self, function: Callable[[], T]) -> T:
        """The result of the function, or what it raised, from a thread of the user's."""
        return self.start(function).result()


class Visit(Generic[T]):
    """A function that runs in a user's thread."""

    def __init__(self, sockets: UserSockets, function: Callable[[], T]) -> None:
        self._sockets = sockets
        self._function = function
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self.thread = threading.Thread(target=self._run, name="visitor", daemon=True)

    def _run(self) -> None:
        try:
            with self._sockets.in_thread():
                self._results.append(self._function())
        except BaseException as error:
            self._errors.append(error)

    def result(self, timeout: float = 30.0) -> T:
        """Wait for it."""
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "it did not come back"
        for error in self._errors:
            raise error
        return self._results[0]
