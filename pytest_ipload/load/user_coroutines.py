"""The coroutines of one user: they run on an event loop that is made for the first one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pytest_ipload.load.user_loop import UserLoop
    from pytest_ipload.transport.connect.user_sockets import UserSockets


class UserCoroutines:
    """Runs a user's coroutines. All but ``cancel`` and ``place`` is for the user's thread."""

    __slots__ = ("_loop", "_sockets")

    def __init__(self, sockets: UserSockets | None) -> None:
        self._sockets = sockets
        self._loop: UserLoop | None = None

    def open_loop(self, new_loop: Callable[[], AbstractEventLoop] | None = None) -> UserLoop:
        """The event loop of the user's thread, made on first use.

        Raises SettingError for one whose sockets could not be bound to the user's address.
        """
        if self._loop is None:
            from pytest_ipload.load.user_loop import UserLoop  # asyncio is slow to import, and most loads do without

            self._loop = UserLoop() if new_loop is None else UserLoop(new_loop)
            if self._sockets is not None and self._sockets.in_force:
                self._loop.refuse_foreign_sockets()
        return self._loop

    def settle(self, result: object) -> object:
        """What a body returned; if that is a coroutine, what it returns when it has run."""
        return self.open_loop().run(result) if inspect.isawaitable(result) else result

    def cancel(self, patience_s: float) -> bool:
        """Cancel the one that runs, from another thread; False if none does.

        It gets ``patience_s`` to end by that, see ``UserLoop``.
        """
        return self._loop is not None and self._loop.cancel(patience_s)

    def place(self) -> str:
        """The line of user code at which the one that runs waits; empty if none does."""
        return "" if self._loop is None else self._loop.place()

    def close_loop(self) -> list[str]:
        """Close the event loop, after the user's teardown; the tasks that could not be ended."""
        return [] if self._loop is None else self._loop.close()
