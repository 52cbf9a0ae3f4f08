"""The sockets that one user's clients open, whatever library they are from: bound, checked, ended, counted."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_ipload.addresses.host.bind_source import bind_source
from pytest_ipload.addresses.host.own_listeners import Targets
from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.transport.allowed_hosts import AllowedHosts
from pytest_ipload.transport.connect.binding import Binding, OpenedConnections
from pytest_ipload.transport.connect.destinations import (
    MAPPED,
    Destinations,
    is_address,
    is_any,
    is_mapped,
    text_of,
    unmapped,
)
from pytest_ipload.transport.connect.dial import Attempt, Dialer, family_mismatch
from pytest_ipload.transport.connect.socket_patch import here, patch, without_user
from pytest_ipload.transport.generator_errors import SourceNotUsable

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_UNDERWAY = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


class UserSockets:
    """The life of a user's sockets: in which threads they are the user's, where they leave from, when they end.

    They are the sockets that the user's thread opens, and those of the threads that it starts. They leave from the
    user's source address (of the destination's family; one that the client itself binds to an address stays there), go
    to allowed hosts only, and are ended with the user. Without source addresses the operating system chooses.
    """

    __slots__ = ("_guard", "_in_force", "_left", "_lock", "_opened", "_policy", "_sources", "_targets", "_threads")

    def __init__(
        self, guard: AllowedHosts | None, opened: OpenedConnections, targets: Targets | None, *, in_force: bool = True
    ) -> None:
        """The arguments are shared by all users of a load. Not ``in_force``: the user's threads are left alone."""
        self._guard = guard
        self._opened = opened
        self._targets = targets
        self._in_force = in_force
        self._sources: Sequence[str | SourceAddress] = ()
        self._policy: UserPolicy | None = None  # made with the first socket: it takes some KiB
        self._lock = threading.Lock()
        self._left = False
        self._threads = 0
        """How many run that the user's thread, or one of these, has started."""

    @property
    def in_force(self) -> bool:
        """Whether the sockets of the user's threads are the user's at all."""
        return self._in_force

    @contextmanager
    def in_thread(self) -> Iterator[None]:
        """As long as this is entered, the sockets of the calling thread are the user's."""
        before = here.owner
        if self._in_force:
            patch.hold()
        here.owner = self if self._in_force else None
        try:
            yield
        finally:
            here.owner = before
            self.leave()
            if self._in_force:
                patch.release()

    def leave(self) -> None:
        """The user has left, or was abandoned: what remains of its threads opens no more sockets.

        What blocks in such a thread ends. Without one, the user's sockets stay as they are: others may share them.
        """
        with self._lock:
            self._left = True
            policy, threads = self._policy, self._threads
            if policy is not None:
                policy.binding.ended = True
        if policy is not None and threads:
            policy.binding.interrupt()

    def thread_begins(self) -> None:
        """One of the user's threads is about to start another one, which is the user's too."""
        with self._lock:
            self._threads += 1
        patch.hold()

    def thread_ends(self) -> None:
        """Such a thread has ended, or could not be started."""
        with self._lock:
            self._threads -= 1
        patch.release()

    def rebind(self, sources: Sequence[str | SourceAddress]) -> None:
        """Let new sockets leave from these addresses."""
        with self._lock:
            self._sources = sources
            if self._policy is not None:
                self._policy.binding.rebind(sources)

    def interrupt(self) -> None:
        """End what blocks on a socket, and refuse new ones. For other threads."""
        if self._in_force:
            self.policy().binding.interrupt()

    def resume(self) -> None:
        """Allow new sockets again: the teardown begins."""
        if self._policy is not None:
            self._policy.binding.resume()

    def policy(self) -> UserPolicy:
        """What is done with the user's sockets."""
        if self._policy is not None:
            return self._policy
        with self._lock:
            if self._policy is None:
                binding = Binding(self._sources, self._guard)
                binding.opened, binding.targets, binding.ended = self._opened, self._targets, self._left
                self._policy = UserPolicy(binding)
            return self._policy


class UserPolicy:
    """What is done with a user's sockets when they are used: the ``SocketPolicy`` of the patch. For several threads."""

    def __init__(self, binding: Binding) -> None:
        self.binding = binding
        self._destinations = Destinations(binding.guard)
        self._lock = threading.Lock()
        self._known: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        """Those that were counted."""
        self._put_off: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        """Those that their client has bound to no address in particular."""

    def opened(self, sock: socket.socket) -> None:
        """Let ``interrupt`` end what blocks on it: connecting, TLS, sending, receiving, accepting."""
        if sock.family in _INTERNET:  # the others serve the process itself, as an event loop's pair of sockets does
            self.binding.watch(sock)

    @without_user
    def connect(self, sock: socket.socket, address: Any, below: Callable[..., Any]) -> Any:
        """Connect by ``below``, which is ``connect`` or ``connect_ex``.

        Raises TargetNotAllowed, LoadEnded, the own side's fault (SourceAddressError), or what ``below`` raises.
        """
        self.binding.check_running()
        if sock.family not in _INTERNET or not is_address(address):
            self.binding.watch(sock)
            return below(sock, address)
        try:
            return self._connect(sock, self._destinations.allowed(sock, address), below)
        except OSError:
            raise
        except Exception:
            # Clients close a socket after an OSError; after what they do not expect, they may leave it open.
            if sock.type == socket.SOCK_STREAM:
                sock.close()
            raise

    def _connect(self, sock: socket.socket, address: Any, below: Callable[..., Any]) -> Any:
        attempt = self._bind_to_source(sock, address)
        attempt.step = "connect"
        try:
            result = below(sock, address)
        except (BlockingIOError, InterruptedError):
            self._count(sock, attempt, address)
            raise
        except OSError as error:
            attempt.raise_own_fault(error)
            raise
        if isinstance(result, int) and result:  # of connect_ex
            attempt.raise_own_fault(OSError(result, "connect"))
        if not result or result in _UNDERWAY:
            self._count(sock, attempt, address)
        return result

    @without_user
    def bind(self, sock: socket.socket, address: Any, below: Callable[..., Any]) -> None:
        """Bind by ``below``; to no address in particular means: to the user's own, when the destination is known."""
        sources = self.binding.sources
        if not sources or sock.family not in _INTERNET or not is_address(address) or not is_any(address[0]):
            below(sock, address)
        elif sock.type == socket.SOCK_STREAM:
            if address[1]:  # the port of a server, most likely
                below(sock, address)
            else:
                with self._lock:
                    self._put_off.add(sock)
        else:
            source = _source_for_any(sock, sources)
            below(sock, address if source is None else (source, address[1]))

    @without_user
    def settle(self, sock: socket.socket, *, listens: bool) -> None:
        """A socket whose bind was put off listens, as a server's does, or shows its port, as a client's may."""
        if not self._takes_up(sock):
            return
        source = None if listens else _source_for_any(sock, self.binding.sources)
        if source is None:
            sock.bind(("", 0))
        else:
            self._bind(sock, self._attempt(sock, source, ("", 0)), source, no_port=False)

    def _takes_up(self, sock: socket.socket) -> bool:
        """Whether a bind was put off; from now on, it is no longer."""
        if sock not in self._put_off:
            return False
        with self._lock:
            self._put_off.discard(sock)
        return True

    @without_user
    def admit(self, sock: socket.socket, address: Any) -> Any:
        """Bind a socket that sends without a connection; returns the address to send to. Raises as ``connect`` does."""
        self.binding.check_running()
        if sock.family not in _INTERNET or not is_address(address):
            return address
        address = self._destinations.allowed(sock, address)
        if sock not in self._known:
            self._count(sock, self._bind_to_source(sock, address), address)
        return address

    @without_user
    def look_up(self, below: Callable[..., Any], host: Any, port: Any, family: int, *rest: int) -> Any:
        """``getaddrinfo``: of a name that is going to be connected to, the addresses that the user can reach.

        Raises TargetNotAllowed and SourceFamilyMismatch where there is a port, and so the intention to connect.
        """
        name, sources = text_of(host), self.binding.sources
        if not name:
            return below(host, port, family, *rest)
        is_to_connect = bool(port) and str(port) != "0" and not rest[-1] & socket.AI_PASSIVE
        if is_to_connect:
            self._destinations.check_name(name)
        infos = [info for info in below(host, port, family, *rest) if info[0] in _INTERNET]
        if is_to_connect and sources and not family:
            own = [info for info in infos if info[0] in sources]
            if infos and not own:
                raise family_mismatch(f"connection to {name}:{port}", next(iter(sources.values())), name, infos)
            infos = own
        addresses = [str(info[4][0]) for info in infos]
        if is_to_connect:
            self._destinations.check_found(name, addresses)
        self._destinations.note(name, addresses)
        return infos

    @without_user
    def look_up_one(self, below: Callable[..., Any], host: Any) -> Any:
        """``gethostbyname``."""
        address = below(host)
        self._destinations.note(text_of(host), [address])
        return address

    # -- where from ---------------------------------------------------------------------------------------------------

    def _bind_to_source(self, sock: socket.socket, address: Any) -> Attempt:
        """Bind the socket to the user's address, unless it is bound already; the attempt explains what goes wrong."""
        self.binding.watch(sock)
        source = self._source_for(sock, *address[:2])
        attempt = self._attempt(sock, source, address)
        if source is not None:
            # A datagram socket may wait for an answer at once.
            self._bind(sock, attempt, source, no_port=sock.type == socket.SOCK_STREAM)
        return attempt

    def _attempt(self, sock: socket.socket, source: str | None, address: Any) -> Attempt:
        host, port = address[:2]
        owner = f"connection to {host}:{port}" if host else "a client's socket"
        dialer = Dialer(owner, self.binding, self.binding.sources, host, port)
        return Attempt(dialer, source, (sock.family, sock.type, sock.proto, "", address))

    def _bind(self, sock: socket.socket, attempt: Attempt, source: str, *, no_port: bool) -> None:
        attempt.step = "bind"
        try:
            bind_source(sock, source, unmapped(source) in self.binding.freebind, no_port=no_port)
        except OSError as error:
            raise attempt.explain(error) from error

    def _source_for(self, sock: socket.socket, host: str, port: int) -> str | None:
        """The address to bind to; None where the socket is bound already, or the system is to choose.

        Raises SourceFamilyMismatch if the user has no address of the destination's family.
        """
        sources = self.binding.sources
        if not sources:
            return None
        source = sources.get(socket.AF_INET if is_mapped(host) else sock.family)
        if source is None:
            first = next(iter(sources.values()))
            raise family_mismatch(f"connection to {host}:{port}", first, host, [(0, 0, 0, "", (host,))])
        if not self._takes_up(sock) and self._is_bound(sock, source):
            return None
        return MAPPED + source if is_mapped(host) else source

    @staticmethod
    def _is_bound(sock: socket.socket, source: str) -> bool:
        """Whether the socket stays where it is. Raises SourceNotUsable if it can neither stay there nor leave."""
        own, port = sock.getsockname()[:2]
        if not is_any(own):
            return True  # its client has chosen the address
        if not port:
            return False
        if sock.type == socket.SOCK_STREAM:
            raise SourceNotUsable(
                "a client's socket",
                f"it is bound to {own}:{port}, so it cannot leave from the user's address {source}; "
                f"bind it to ({source!r}, {port}), or do not bind it",
            )
        return True  # it was in use before it came to this user, as a logger's may be

    def _count(self, sock: socket.socket, attempt: Attempt, address: Any) -> None:
        """A connection was opened, or a socket that needs none is used for the first time.

        Of a connection that does not block, only the start is seen. Raises SourceNotUsable if the kernel used another
        source than the user's.
        """
        with self._lock:
            if sock in self._known:
                return
            self._known.add(sock)
        used = str(sock.getsockname()[0])
        attempt.check_used(used)
        if self.binding.opened is not None and not is_any(used):
            self.binding.opened.add(unmapped(used))
        if self.binding.targets is not None:
            with contextlib.suppress(ValueError):
                self.binding.targets.add(unmapped(str(address[0])), address[1])


def _source_for_any(sock: socket.socket, sources: Mapping[int, str]) -> str | None:
    """The source address for a socket whose destination is not known yet; None without one for it."""
    source = sources.get(sock.family)
    if source is not None or sock.family != socket.AF_INET6:
        return source
    other = sources.get(socket.AF_INET)
    return None if other is None or sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) else MAPPED + other
