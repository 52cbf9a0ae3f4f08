"""A component as tests use it: an action, with one instance for each user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.errors import ComponentFailed
from pytest_ipload.components.guest import Guest
from pytest_ipload.components.limits import ComponentLimits
from pytest_ipload.components.linking import LinkedComponent
from pytest_ipload.components.wit_types import named_values, of_value
from pytest_ipload.components.world import ITERATE, SET_UP, TEAR_DOWN

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser


class Component:
    """A sandboxed WebAssembly component of the world ``pytest-ipload:load/scenario``, with its limits.

    ``component(user)`` runs it once for a user: its requests are the user's, as if the body made them. It is an action
    too: ``user.act(component)`` times all of it as one request. Each user has an instance of its own, which is set up
    before it first runs, or by ``component.of(user)``, and torn down when the user leaves.
    """

    def __init__(
        self, linked: LinkedComponent, path: Path, limits: ComponentLimits, rows: Mapping[str, tuple[Any, str]]
    ) -> None:
        self.path = path
        self.limits = limits
        self.ipload_label = path.stem
        """The name of its runs as an action."""
        self._linked = linked
        self._rows = rows
        self._guests: dict[int, Guest] = {}
        """By the id of the user."""

    def __repr__(self) -> str:
        return f"<Component {self.path.name}>"

    def of(self, user: VirtualUser) -> UserComponent:
        """The instance of a user, which is made and set up now, if it is not: in a fixture, for the user's set-up.

        Raises ComponentError.
        """
        user.prepare(self)
        return UserComponent(self, user)

    def __call__(self, user: VirtualUser, /, **inputs: Any) -> dict[str, Any]:
        """Run it once; returns its outputs by name. Raises ComponentError; SettingError for inputs of other types."""
        user.prepare(self)
        return self.do(user, **inputs)

    # -- the interface of actions -----------------------------------------------------------------------------------

    def init(self, user: VirtualUser, /) -> None:
        """Make the instance of a user, and set it up. Raises ComponentError."""
        earlier = self._guests.get(id(user))
        printed = 0 if earlier is None else earlier.printed
        guest = Guest(self._linked, self.limits, user, self._rows, printed)
        try:
            guest.call(SET_UP)
        except BaseException:
            guest.close()
            raise
        self._guests[id(user)] = guest

    def do(self, user: VirtualUser, /, **inputs: Any) -> dict[str, Any]:
        """Run it once. A user whose instance is over gets a new one first. Raises ComponentError."""
        given = named_values(inputs)
        if self._guests[id(user)].is_over:
            self.init(user)
        guest = self._guests[id(user)]
        outputs: dict[str, Any] = {}
        for name, value in guest.call(ITERATE, given):
            try:
                outputs[name] = of_value(value)
            except (ValueError, RecursionError) as error:
                raise ComponentFailed(f"{guest.what()}: its output {name!r:.80} is not JSON: {error}") from None
        return outputs

    def release(self, user: VirtualUser, /) -> None:
        """Tear the instance of a user down, unless it is over, and give it up. Raises ComponentError."""
        guest = self._guests.pop(id(user))
        try:
            if not guest.is_over:
                guest.call(TEAR_DOWN)
        finally:
            guest.close()


class UserComponent:
    """A component of one user: calling it runs it once."""

    def __init__(self, component: Component, user: VirtualUser) -> None:
        self.component = component
        self.user = user

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Run it once; returns its outputs by name. Raises ComponentError."""
        return self.component(self.user, **inputs)
