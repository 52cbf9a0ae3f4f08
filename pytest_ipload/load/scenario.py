"""Scenarios that consist of a body, or a mix of bodies: functions or coroutine functions that take the user."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.load.weighted_order import WeightedOrder

Body = Callable[[VirtualUser], object]


def scenario_of(body: Body | Mapping[Body, int]) -> Scenario:
    """The scenario of users that run a body, or a mix of bodies by their weights. Raises SettingError."""
    if not isinstance(body, Mapping):
        _check(body)
        return _BodyScenario(body)
    if not body:
        raise SettingError("the mix is empty; give each body a weight, as in {browse: 3, buy: 1}")
    for each in body:
        _check(each)
    try:
        order = WeightedOrder(list(body.values()))
    except ValueError as error:
        raise SettingError(
            f"the mix {{{', '.join(f'{_name(each)}: {body[each]!r}' for each in body)}}}: {error}"
        ) from None
    return _MixScenario(list(zip(body, _step_names(list(body)), strict=True)), order)


def is_coroutine_function(body: Body) -> bool:
    """Whether a body is known to be one before it is called; any body may return a coroutine."""
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(type(body).__call__)


def _check(body: object) -> None:
    """Refuse what could not run, or would seem to run and do nothing."""
    if not callable(body):
        raise SettingError(f"a body must be a function that takes the user, not {body!r}")
    refuse_generator(body, _name(body))
    try:
        inspect.signature(body).bind(None)
    except TypeError as error:
        raise SettingError(f"the body {_name(body)} must take exactly one argument, the user: {error}") from None
    except ValueError:
        pass  # it has no signature to look at


def refuse_generator(body: object, name: str) -> None:
    """Raise SettingError for a body that does nothing when it is called."""
    for function in (body, type(body).__call__):
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SettingError(f"the body {name} is a generator function, which does nothing when called")


def _name(body: object) -> str:
    """``__name__``, also of a method or of what ``functools.partial`` wraps."""
    name = getattr(getattr(body, "func", body), "__name__", None)
    return name if isinstance(name, str) and name else type(body).__name__


def _step_names(bodies: Sequence[Body]) -> list[str]:
    """A name for each body; those whose names are the same (lambdas, say) are numbered from the second on."""
    seen: Counter[str] = Counter()
    names = []
    for name in map(_name, bodies):
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


class _BodyScenario:
    """One body. All users share this object: nothing in it is a user's."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def set_up(self) -> None:
        """There is nothing to make."""

    def iterate(self, iteration: Iteration) -> None:
        """Run the body."""
        result = self._body(iteration.user)
        if result is not None:
            iteration.user.coroutines.settle(result)

    def tear_down(self) -> None:
        """There is nothing to undo."""


class _MixScenario(_BodyScenario):
    """Several bodies in turn; each run is a step that has the body's name. All users share this object."""

    def __init__(self, bodies: Sequence[tuple[Body, str]], order: WeightedOrder) -> None:
        self._bodies = bodies
        self._order = order

    def iterate(self, iteration: Iteration) -> None:
        """Run the body whose turn it is: a user begins in the order at its index, so that users do not move in step."""
        user = iteration.user
        body, name = self._bodies[self._order.at(user.index, iteration.number)]
        with user.step(name):
            result = body(user)
            if result is not None:
                user.coroutines.settle(result)
