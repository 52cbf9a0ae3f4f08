"""Several items set up at the same time, which pytest's own record of what is set up does not allow.

``SetupState`` is a stack of one item and its collectors, and a fixture definition holds one value. So an item that has
to wait is *parked*: what is set up for it alone (its node and the collectors that the next item does not have, with
their finalizers, and the values of the fixtures of these nodes) is taken off, and put back when it goes on.

All private names of pytest that this needs are in this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, Literal

import pytest
from _pytest import runner

_NAMES = ("SetupState", "call_and_report", "show_test_item")


def missing() -> list[str]:
    """The names that the installed pytest does not have."""
    names = [f"_pytest.runner.{name}" for name in _NAMES if not hasattr(runner, name)]
    if not names and not isinstance(getattr(runner.SetupState(), "stack", None), dict):
        names.append("_pytest.runner.SetupState.stack")
    return names


@dataclass
class _Parked:
    """What is set up for one node."""

    entry: Any
    """Of pytest's stack: the finalizers of the node, and what its set-up raised."""
    fixtures: list[tuple[Any, Any, list[Any]]] = field(default_factory=list)
    """Definitions, their values as pytest keeps them, and their finalizers."""


class ParkedItems:
    """The items of a session that are set up and wait."""

    def __init__(self, session: pytest.Session) -> None:
        self._state: Any = getattr(session, "_setupstate")  # noqa: B009
        self._owners: dict[pytest.FixtureDef[Any], Any] = {}
        """The node for which each fixture was set up last."""
        self._parked: dict[Any, _Parked] = {}

    def note(self, fixturedef: pytest.FixtureDef[Any], node: Any) -> None:
        """A fixture is about to be set up for a node: that of its scope."""
        self._owners[fixturedef] = node

    def switch_to(self, item: pytest.Item) -> None:
        """Park whatever is set up and not the item's, and put back what was parked of it."""
        chain, stack = item.listchain(), self._state.stack
        while stack and list(stack) != chain[: len(stack)]:
            node, entry = stack.popitem()
            self._parked[node] = _Parked(entry, self._taken_fixtures(node))
        for node in chain[len(stack) :]:
            if node not in self._parked:
                break
            self._put_back(node)

    def _taken_fixtures(self, owner: Any) -> list[tuple[Any, Any, list[Any]]]:
        taken = []
        for fixturedef, node in self._owners.items():
            definition: Any = fixturedef
            if node is owner and definition.cached_result is not None:
                taken.append((definition, definition.cached_result, list(definition._finalizers)))
                definition.cached_result = None
                definition._finalizers.clear()
        return taken

    def _put_back(self, node: Any) -> None:
        parked = self._parked.pop(node)
        self._state.stack[node] = parked.entry
        for definition, result, finalizers in parked.fixtures:
            definition.cached_result = result
            definition._finalizers[:] = finalizers
            self._owners[definition] = node

    def tear_down(self, nextitem: pytest.Item | None) -> None:
        """Tear down what is set up and not needed by the next item."""
        self._state.teardown_exact(nextitem)


def run_phase(
    item: pytest.Item, when: Literal["setup", "call", "teardown"], **arguments: pytest.Item | None
) -> pytest.TestReport:
    """Run a phase of an item as pytest does, and return its report, which goes nowhere else."""
    return runner.call_and_report(item, when, False, **arguments)


def begin(item: pytest.Item) -> None:
    """Before the set-up."""
    if not getattr(item, "_request", True):  # it has run before
        item._initrequest()  # type: ignore[attr-defined]


def show(item: pytest.Item) -> None:
    """After the set-up: with ``--setup-show``, show the test."""
    if item.config.getoption("setupshow", False):
        show_test: Callable[..., object] = runner.show_test_item
        has_choice = "add_space" in signature(show_test).parameters  # not before pytest 9.2
        show_test(item, **({"add_space": True} if has_choice else {}))


def end(item: pytest.Item) -> None:
    """After the teardown: let go of the values of its fixtures, as pytest does."""
    if hasattr(item, "_request"):
        item._request, item.funcargs = False, None  # type: ignore[attr-defined]
