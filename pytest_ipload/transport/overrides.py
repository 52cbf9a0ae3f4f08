"""What a session's own class, or the session alone, has in the place of the methods that the fast path goes round."""

from __future__ import annotations

import functools
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import requests

from pytest_ipload.transport.foreign_hooks import Watch, is_own, owner_of

if TYPE_CHECKING:
    from pytest_ipload.transport.session import LoadSession

_PASSED_BY = (
    "send",
    "prepare_request",
    "merge_environment_settings",
    "get_adapter",
    "resolve_redirects",
    "get_redirect_target",
    "absolute_url",
)
"""Methods of a session that the fast path does not call each time; those which only a redirect calls, it leaves alone.

Patches of requests' own are seen by ``foreign_hooks``.
"""


def watch_of(kind: type[LoadSession]) -> Watch:
    """The watch for sessions of this class: it also notices when the class is changed."""
    watch: Watch | None = vars(kind).get("_watch")  # of this class, not of one that it inherits from
    if watch is None:
        watch = Watch(kind, (*_PASSED_BY, "request"))
        kind._watch = watch
    return watch


def overridden(session: LoadSession) -> str:
    """What keeps the calls of this session from the fast path, though its settings do not; empty if nothing does."""
    for name in _PASSED_BY:
        value = getattr(session, name)
        function = getattr(value, "__func__", value)
        if function is not getattr(requests.Session, name, None) and not _is_ours(function, name):
            return f"{type(session).__name__}.{name} is overridden by {owner_of(value)}"
    if not (isinstance(session.adapters, Adapters) and session.adapters.are_of(session)):
        return f"{type(session).__name__}.adapters is not the session's own mapping"
    return ""


def has_own_request(session: LoadSession) -> bool:
    """Whether the session's ``request`` has not been replaced."""
    return _is_ours(getattr(session.request, "__func__", None), "request")


def _is_ours(function: object, name: str) -> bool:
    return is_own(function, sys.modules[f"{__package__}.session"], name)


def _telling(name: str) -> Callable[..., Any]:
    """A method of ``OrderedDict`` after which the session chooses its adapters again."""
    method = getattr(OrderedDict, name)

    @functools.wraps(method)
    def tell(self: Adapters, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        finally:
            self.changed()

    return tell


class Adapters(OrderedDict[str, Any]):
    """A session's adapters by prefix, which notify the session of changes."""

    __slots__ = ("_session",)

    def __init__(self, session: LoadSession, adapters: OrderedDict[str, Any]) -> None:
        self._session = weakref.ref(session)
        super().__init__(adapters)

    def __setitem__(self, prefix: str, adapter: Any) -> None:
        super().__setitem__(prefix, adapter)
        self.changed(adapter)

    def changed(self, adapter: object = None) -> None:
        """Notify the session of a change, and of the adapter that was added."""
        session = self._session()
        if session is not None:
            session.adapters_changed(adapter)

    def are_of(self, session: LoadSession) -> bool:
        """Whether this is the session that is notified."""
        return self._session() is session

    # A copy belongs to no session.
    def copy(self) -> OrderedDict[str, Any]:  # type: ignore[override]  # not of this class
        """The adapters, apart from the session."""
        return OrderedDict(self)

    def __or__(self, other: Any) -> Any:
        return OrderedDict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | OrderedDict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, (list(self.items()),)

    for _name in ("__delitem__", "clear", "pop", "popitem", "move_to_end"):
        locals()[_name] = _telling(_name)
    del _name
