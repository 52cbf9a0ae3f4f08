"""What the functions of the host, which components import, have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_ipload.base.errors import ComponentSocketsExceeded, ComponentTrapped

if TYPE_CHECKING:
    from pytest_ipload.components.limits import ComponentLimits
    from pytest_ipload.load.user import VirtualUser

FAILURE = "record{kind: enum{timeout, connection, tls, other}, message: string}"
"""The shape of ``types.failure``."""
NAMED_VALUE = "tuple<string, variant{nothing, boolean(bool), integer(s64), number(f64), text(string), json(string)}>"
"""The shape of ``types.named-value``."""
_MOST_RESOURCES = 10_000
_LONGEST_LABEL = 200


class Closable(Protocol):
    """What ends when the component drops its handle."""

    def close(self) -> None:
        """End it."""


@dataclass
class ResourceTable:
    """What the handles of one instance stand for."""

    most_sockets: int
    what: Callable[[], str]
    """What the instance is doing, for errors."""
    _held: dict[int, Any] = field(default_factory=dict)
    _last: int = 0
    _sockets: set[int] = field(default_factory=set)

    def add(self, resource: Any) -> int:
        """A number for something new. Raises ComponentTrapped for far too many."""
        if len(self._held) >= _MOST_RESOURCES:
            raise ComponentTrapped(f"{self.what()}: it holds {_MOST_RESOURCES} handles; it has to drop them")
        self._last += 1
        self._held[self._last] = resource
        return self._last

    def check_sockets(self) -> None:
        """Raise ComponentSocketsExceeded if one more socket would be one too many."""
        if len(self._sockets) >= self.most_sockets:
            raise ComponentSocketsExceeded(
                f"{self.what()}: it has {len(self._sockets)} sockets open and wants another one; its limit is "
                f"sockets={self.most_sockets}"
            )

    def add_socket(self, resource: Any) -> int:
        """A number for a socket."""
        number = self.add(resource)
        self._sockets.add(number)
        return number

    def get(self, number: int) -> Any:
        """What a handle stands for."""
        return self._held[number]

    def drop(self, number: int) -> None:
        """The component has dropped a handle."""
        self._sockets.discard(number)
        resource = self._held.pop(number, None)
        if hasattr(resource, "close"):
            resource.close()

    def close(self) -> None:
        """End all that is left."""
        for number in list(self._held):
            self.drop(number)


class Caller(Protocol):
    """The instance of a component that calls a function of the host."""

    user: VirtualUser
    limits: ComponentLimits
    rows: Mapping[str, tuple[Any, str]]
    resources: ResourceTable
    requests: int
    """Sent in the running call."""
    spans: dict[int, Any]
    """What is being timed, by its handles."""
    printed: int
    """Characters so far."""
    stopped: threading.Event
    """Set when the running call has to end."""

    def what(self) -> str:
        """What the instance is doing, for errors: ``component shop.wasm: iterate``."""


@dataclass(frozen=True)
class HostFunction:
    """A function that components may import."""

    shape: str
    """See ``Signature.shape``."""
    run: Callable[..., Any]
    """Called with the caller and the values that it gives."""


def label(name: str) -> str:
    """A name in results; one that is far too long is cut."""
    return name if len(name) <= _LONGEST_LABEL else f"{name[:_LONGEST_LABEL]}..."
