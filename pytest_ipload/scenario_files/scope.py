"""What the steps of a scenario see of their user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pytest_ipload.base.masking import masked


class User(Protocol):
    """What steps need of a ``VirtualUser``."""

    index: int
    iteration: int
    source_address: str | None

    def pause(self, span: Any) -> None: ...
    def step(self, name: str) -> Any: ...
    def act(self, action: Any, name: str | None = None, **inputs: Any) -> Mapping[str, Any] | None: ...
    def prepare(self, action: Any) -> None: ...
    def feed(self, source: Any, order: str = ...) -> Any: ...


class Scope:
    """The values of one iteration, or of a user's set-up and teardown."""

    __slots__ = ("environ", "in_iteration", "session", "user", "values")

    def __init__(
        self, user: User, session: Any, values: dict[str, Any], environ: Mapping[str, str], *, in_iteration: bool
    ) -> None:
        self.user = user
        self.session = session
        self.values = values
        self.environ = environ
        self.in_iteration = in_iteration
        """If not, a failed request is an error: no iteration counts it."""

    def __repr__(self) -> str:
        """The values, as tracebacks show them."""
        return masked(f"<values {self.values!r}>")

    def of_iteration(self) -> Scope:
        """A scope of an iteration, which begins with the values that there are."""
        return Scope(self.user, self.session, self.values.copy(), self.environ, in_iteration=True)
