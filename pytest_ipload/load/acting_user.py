"""The part of a virtual user that runs actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pytest_ipload.load.actions import Action, UserActions
    from pytest_ipload.load.user import VirtualUser


class ActingUser:
    """A user that runs actions: protocols with a set-up of their own."""

    _actions: UserActions | None = None
    """None before the first."""

    def act(self, action: Action | str, name: str | None = None, **inputs: Any) -> Mapping[str, Any] | None:
        """Run an action (an object, or the name of an entry point) as one request sample, and return its outputs.

        ``name`` is that of the sample; default: the entry point's, or the class's. For each user, an action is
        initialised before its first run, and released when the user leaves. An exception makes it a failed sample, and
        propagates. Raises SettingError for an unknown name, which names the known ones.
        """
        return self._own_actions().run(action, name, inputs)

    def prepare(self, action: Action | str) -> None:
        """Initialise an action now, if it is not: in a fixture, which makes it a part of the user's set-up.

        Raises SettingError for an unknown name, and what the action raises.
        """
        self._own_actions().prepare(action)

    def _own_actions(self) -> UserActions:
        if self._actions is None:
            from pytest_ipload.load.actions import UserActions

            self._actions = UserActions(cast("VirtualUser", self))
        return self._actions

    def release_actions(self) -> None:
        """Release the actions, when the user leaves; raises what the first one of them raises."""
        if self._actions is not None:
            self._actions.release()
