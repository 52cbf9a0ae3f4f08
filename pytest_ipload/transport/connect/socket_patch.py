"""The patch of Python's sockets that serves any client in the threads of a load's users.

While a user's thread runs, the functions of ``socket.socket`` that open a connection or bind, ``socket.getaddrinfo``
and ``socket.gethostbyname`` look for the user of the thread that calls them; in all other threads they do what they
did before. Threads and executors that a user's thread starts belong to the user; executors made elsewhere do not, even
if a user's call makes them start a thread. Nothing is replaced on sending and receiving over a connection. When the
last user has left, and the last of these threads has ended, all is as it was.
"""

from __future__ import annotations

import _thread
import functools
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
_OWNER = "_ipload_owner"
"""The attribute of an executor that a user's thread has made."""


class SocketPolicy(Protocol):
    """What is done with the sockets of a user. ``below`` is the function without the patch."""

    def opened(self, sock: socket.socket) -> None:
        """A socket was made."""

    def connect(self, sock: socket.socket, address: Any, below: Callable[..., Any]) -> Any:
        """``connect`` or ``connect_ex``."""

    def bind(self, sock: socket.socket, address: Any, below: Callable[..., Any]) -> None:
        """``bind``."""

    def settle(self, sock: socket.socket, *, listens: bool) -> None:
        """The socket's own address is needed now: for ``listen``, else for ``getsockname``."""

    def admit(self, sock: socket.socket, address: Any) -> Any:
        """The address that data may be sent to, without a connection."""

    def look_up(self, below: Callable[..., Any], host: Any, port: Any, family: int, *rest: int) -> Any:
        """``getaddrinfo``."""

    def look_up_one(self, below: Callable[..., Any], host: Any) -> Any:
        """``gethostbyname``."""


class SocketOwner(Protocol):
    """The user that the sockets of a thread belong to."""

    def policy(self) -> SocketPolicy:
        """What is done with them."""

    def thread_begins(self) -> None:
        """One of its threads is about to start another one: the patch is held for that."""

    def thread_ends(self) -> None:
        """That thread has ended, or could not be started."""


class _Here(threading.local):
    owner: SocketOwner | None = None


here = _Here()
"""Whose sockets those are that this thread uses; None: not those of a user."""


def without_user(function: Function) -> Function:
    """The function, its sockets not being the user's: they are the package's own, or those of a shared fixture."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        owner, here.owner = here.owner, None
        try:
            return function(*args, **kwargs)
        finally:
            here.owner = owner

    return cast(Function, run)


class _Patch:
    """What is in force as long as anyone holds it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def hold(self) -> None:
        """Put the patch in force, if it is not."""
        with self._lock:
            self._holders += 1
            if self._holders == 1:
                for place, name, make in _places():
                    if hasattr(place, name):  # Windows has no sendmsg
                        self._replace(place, name, make)

    def release(self) -> None:
        """Called once for each ``hold``; the last one takes the patch away."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                while self._replaced:
                    self._restore(*self._replaced.pop())

    def _replace(self, place: Any, name: str, make: Callable[[Any], Any]) -> None:
        below = getattr(place, name)
        ours = functools.wraps(below)(make(below))
        self._replaced.append((place, name, vars(place).get(name), ours))
        setattr(place, name, ours)

    @staticmethod
    def _restore(place: Any, name: str, before: Any, ours: Any) -> None:
        if vars(place).get(name) is not ours:
            return  # wrapped by someone else meanwhile, who has ours: without users, it passes everything on
        if before is None:
            delattr(place, name)  # it was inherited
        else:
            setattr(place, name, before)


patch = _Patch()
"""Python has one ``socket.socket`` for all loads of the process, so they share this."""


def _stock_socket() -> type[socket.socket]:
    """Python's own class, also while another plugin has put a class of its own in its place."""
    kinds = [kind for kind in socket.socket.__mro__ if (kind.__module__, kind.__name__) == ("socket", "socket")]
    return kinds[0] if kinds else socket.socket


def _places() -> Sequence[tuple[Any, str, Callable[[Any], Any]]]:
    """What is replaced: where, under which name, and by what, given the function below."""
    sockets = _stock_socket()
    return (
        (sockets, "__init__", _init),
        (sockets, "connect", _connect),
        (sockets, "connect_ex", _connect),
        (sockets, "bind", _bind),
        (sockets, "listen", functools.partial(_settled, listens=True)),
        (sockets, "getsockname", functools.partial(_settled, listens=False)),
        (sockets, "sendto", _sendto),
        (sockets, "sendmsg", _sendmsg),
        (socket, "getaddrinfo", _getaddrinfo),
        (socket, "gethostbyname", _gethostbyname),
        (threading.Thread, "start", _start),
        (_thread, "start_new_thread", _start_new_thread),  # threading has a reference of its own to the one below
        (_thread, "start_new", _start_new_thread),
        (ThreadPoolExecutor, "__init__", _make_executor),
        (ThreadPoolExecutor, "submit", _submit),
    )


def _init(below: Any) -> Any:
    def init(self: socket.socket, *args: Any, **kwargs: Any) -> None:
        below(self, *args, **kwargs)
        if here.owner is not None:
            here.owner.policy().opened(self)

    return init


def _connect(below: Any) -> Any:
    def connect(self: socket.socket, address: Any, /) -> Any:
        owner = here.owner
        return below(self, address) if owner is None else owner.policy().connect(self, address, below)

    return connect


def _bind(below: Any) -> Any:
    def bind(self: socket.socket, address: Any, /) -> None:
        owner = here.owner
        if owner is None:
            below(self, address)
        else:
            owner.policy().bind(self, address, below)

    return bind


def _settled(below: Any, *, listens: bool) -> Any:
    def settled(self: socket.socket, *args: Any) -> Any:
        if here.owner is not None:
            here.owner.policy().settle(self, listens=listens)
        return below(self, *args)

    return settled


def _sendto(below: Any) -> Any:
    def sendto(self: socket.socket, data: Any, *flags_and_address: Any) -> Any:
        owner = here.owner
        if owner is None or not flags_and_address:
            return below(self, data, *flags_and_address)
        *flags, address = flags_and_address
        return below(self, data, *flags, owner.policy().admit(self, address))

    return sendto


def _sendmsg(below: Any) -> Any:
    def sendmsg(self: socket.socket, buffers: Any, *rest: Any) -> Any:
        if here.owner is None or len(rest) < 3 or rest[2] is None:
            return below(self, buffers, *rest)
        ancillary, flags, address, *more = rest
        return below(self, buffers, ancillary, flags, here.owner.policy().admit(self, address), *more)

    return sendmsg


def _getaddrinfo(below: Any) -> Any:
    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        owner = here.owner
        if owner is None:
            return below(host, port, family, type, proto, flags)
        return owner.policy().look_up(below, host, port, family, type, proto, flags)

    return getaddrinfo


def _gethostbyname(below: Any) -> Any:
    def gethostbyname(hostname: Any, /) -> Any:
        owner = here.owner
        return below(hostname) if owner is None else owner.policy().look_up_one(below, hostname)

    return gethostbyname


def _start(below: Any) -> Any:
    def start(self: threading.Thread) -> None:
        owner = here.owner
        if owner is None or vars(self).get("_ident") is not None:  # one that runs already is an error
            below(self)
            return
        run, run_of_its_own = self.run, vars(self).get("run")

        def run_for_owner() -> None:
            vars(self).pop("run", None)  # else the thread and this function would keep each other alive
            _run_for(owner, run)

        owner.thread_begins()
        self.run = run_for_owner  # type: ignore[method-assign]  # of this thread alone
        try:
            below(self)
        except Exception:  # anything else interrupts the starting thread while it waits: the new one runs
            vars(self).pop("run", None)
            if run_of_its_own is not None:
                self.run = run_of_its_own  # type: ignore[method-assign]
            owner.thread_ends()
            raise

    return start


def _start_new_thread(below: Any) -> Any:
    def start_new_thread(function: Any, *args_and_kwargs: Any) -> Any:
        owner = here.owner
        if owner is None or not callable(function):
            return below(function, *args_and_kwargs)
        run = functools.wraps(function)(functools.partial(_run_for, owner, function))
        owner.thread_begins()
        try:
            return below(run, *args_and_kwargs)
        except Exception:
            owner.thread_ends()
            raise

    return start_new_thread


def _run_for(owner: SocketOwner, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Call the function in a new thread, which is the owner's until it ends, and holds the patch until then."""
    here.owner = owner
    try:
        function(*args, **kwargs)
    finally:
        owner.thread_ends()


def _make_executor(below: Any) -> Any:
    def init(self: ThreadPoolExecutor, *args: Any, **kwargs: Any) -> None:
        below(self, *args, **kwargs)
        if here.owner is not None:
            vars(self)[_OWNER] = here.owner

    return init


def _submit(below: Any) -> Any:
    def submit(self: ThreadPoolExecutor, /, *args: Any, **kwargs: Any) -> Any:
        caller = here.owner
        maker = vars(self).get(_OWNER)
        if caller is maker:
            return below(self, *args, **kwargs)
        here.owner = maker  # a thread that is started now serves other users later
        try:
            return below(self, *args, **kwargs)
        finally:
            here.owner = caller

    return submit
