"""Actions: what a user does apart from its session's requests, made once for each user and run by name.

Scenario files, components and test bodies use the same interface.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.errors import SettingError
from pytest_ipload.settings.parsing import did_you_mean

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser

GROUP = "pytest_ipload.actions"
"""The entry points under which packages offer actions."""


@runtime_checkable
class Action(Protocol):
    """Something that a user does, such as a call of a protocol.

    ``ipload_user.act(action, **inputs)`` runs it. All three methods are called in the user's thread, and their sockets
    are the user's: they leave from its source address and go to allowed hosts only.
    """

    def init(self, user: VirtualUser, /) -> None:
        """Called once for each user, before the first ``do``; not measured."""

    def do(self, user: VirtualUser, /, *args: Any, **inputs: Any) -> Mapping[str, Any] | None:
        """Do it; the time it takes is the latency. Returns outputs by name, or None; an exception makes it fail."""

    def release(self, user: VirtualUser, /) -> None:
        """Called when the user leaves, if ``init`` returned; after the user's fixtures are torn down."""


class UserActions:
    """The actions of one user. For the user's thread."""

    def __init__(self, user: VirtualUser) -> None:
        self._user = user
        self._named: dict[str, Action] = {}
        self._ready: dict[int, Action] = {}
        """Those that are initialised, by their identity: they need not be hashable."""

    def run(self, action: Action | str, name: str | None, inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """See ``VirtualUser.act``."""
        found = self.prepare(action)
        label: str = name or (action if isinstance(action, str) else _label_of(found))
        with self._user.measure(label):
            outputs = found.do(self._user, **inputs)
            if outputs is not None and not isinstance(outputs, Mapping):
                raise SettingError(
                    f"action {label!r}: do() returned {outputs!r:.100}; return a mapping of outputs by name, or None"
                )
        return outputs

    def prepare(self, action: Action | str) -> Action:
        """See ``VirtualUser.prepare``."""
        found = self._of(action)
        if id(found) not in self._ready:
            found.init(self._user)
            self._ready[id(found)] = found
        return found

    def release(self) -> None:
        """Release all of them, the last first; then raises the first exception that one of them has raised."""
        first: BaseException | None = None
        while self._ready:
            _, action = self._ready.popitem()
            try:
                action.release(self._user)
            except BaseException as error:
                first = first or error
        if first is not None:
            raise first

    def _of(self, action: Action | str) -> Action:
        if isinstance(action, str):
            if action not in self._named:
                self._named[action] = _checked(_made(action), f"action {action!r}")
            return self._named[action]
        return _checked(action, "act()")


def _label_of(action: Action) -> str:
    """A component is known by its file, any other object by its class."""
    return str(getattr(action, "ipload_label", type(action).__name__))


def _checked(action: object, where: str) -> Action:
    if isinstance(action, type) or not isinstance(action, Action):
        shown = f"the class {action.__qualname__}" if isinstance(action, type) else f"{action!r:.100}"
        raise SettingError(
            f"{where}: {shown} is not a valid action; an action is an object with the methods init(user), "
            f"do(user, **inputs) and release(user), or the name of an entry point in the group {GROUP}"
        )
    for method in ("init", "do", "release"):
        if inspect.iscoroutinefunction(getattr(action, method)):
            raise SettingError(f"{where}: {method}() of {action!r:.100} is a coroutine function; actions are blocking")
    return action


def _made(name: str) -> object:
    """A new action from an entry point, which is a class or a function without required arguments."""
    if (problem := unknown_action(name)) is not None:
        raise SettingError(f"act(): {problem}")
    points = _entry_points(tuple(sys.path))[name]
    if len({point.value for point in points}) > 1:
        raise SettingError(
            f"act(): several packages offer an action {name!r}: {', '.join(point.value for point in points)}; "
            "uninstall all but one, or give the action as an object"
        )
    try:
        make: Callable[[], object] = points[0].load()
        return make()
    except Exception as error:
        raise SettingError(f"action {name!r} ({points[0].value}) cannot be made: {in_words(error)}") from error


def unknown_action(name: str) -> str | None:
    """Why there is no action of this name; None if an installed package offers it."""
    known = _entry_points(tuple(sys.path))
    if name in known:
        return None
    listed = f"known: {', '.join(sorted(known))}" if known else "no installed package offers one"
    return f"unknown action {name!r}{did_you_mean(name, known)}; {listed} (entry points in the group {GROUP})"


@functools.lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The entry points by name. ``path`` is ``sys.path``: finding them takes milliseconds, for each user."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=GROUP):
        found[point.name] = (*found.get(point.name, ()), point)
    return found
