"""Load tests as ordinary pytest functions.

The public names are imported on first use: a test suite without load tests does not pay for them.
"""

from __future__ import annotations

import atexit
import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from pytest_ipload.addresses.pool import IpPool
    from pytest_ipload.components.component import Component
    from pytest_ipload.load.actions import Action
    from pytest_ipload.load.user import Iteration, VirtualUser
    from pytest_ipload.plugin.fixtures.loaded_components import ComponentLoader
    from pytest_ipload.plugin.fixtures.mixed_bodies import LoadBody
    from pytest_ipload.plugin.items.outcomes import (
        ComparisonFailed,
        LoadTestFailed,
        MeasurementInvalid,
        ThresholdFailed,
    )
    from pytest_ipload.plugin.run.load_runner import LoadRunner
    from pytest_ipload.settings.parsing import as_stages
    from pytest_ipload.settings.stages import Stages
    from pytest_ipload.transport.event_stream import EventStream
    from pytest_ipload.transport.session import LoadSession
    from pytest_ipload.transport.web_socket import WebSocket
    from pytest_ipload.verdict.result import LoadResult
    from pytest_ipload.verdict.threshold.expression import Threshold

__version__ = "0.1.0"
__all__ = [
    "Action",
    "ComparisonFailed",
    "Component",
    "ComponentLoader",
    "EventStream",
    "IpPool",
    "Iteration",
    "LoadBody",
    "LoadResult",
    "LoadRunner",
    "LoadSession",
    "LoadTestFailed",
    "MeasurementInvalid",
    "Stages",
    "Threshold",
    "ThresholdFailed",
    "VirtualUser",
    "WebSocket",
    "as_stages",
]

_HOMES = {
    "Action": "pytest_ipload.load.actions",
    "ComparisonFailed": "pytest_ipload.plugin.items.outcomes",
    "Component": "pytest_ipload.components.component",
    "ComponentLoader": "pytest_ipload.plugin.fixtures.loaded_components",
    "EventStream": "pytest_ipload.transport.event_stream",
    "IpPool": "pytest_ipload.addresses.pool",
    "Iteration": "pytest_ipload.load.user",
    "LoadBody": "pytest_ipload.plugin.fixtures.mixed_bodies",
    "LoadResult": "pytest_ipload.verdict.result",
    "LoadRunner": "pytest_ipload.plugin.run.load_runner",
    "LoadSession": "pytest_ipload.transport.session",
    "LoadTestFailed": "pytest_ipload.plugin.items.outcomes",
    "MeasurementInvalid": "pytest_ipload.plugin.items.outcomes",
    "Stages": "pytest_ipload.settings.stages",
    "Threshold": "pytest_ipload.verdict.threshold.expression",
    "ThresholdFailed": "pytest_ipload.plugin.items.outcomes",
    "VirtualUser": "pytest_ipload.load.user",
    "WebSocket": "pytest_ipload.transport.web_socket",
    "as_stages": "pytest_ipload.settings.parsing",
}


class _NotRewritten:
    """Finds the modules of this package before pytest's import hook does.

    pytest rewrites the assertions in all modules of an installed plugin, and this one has none to explain. In a session
    without load tests that is most of what the plugin costs: each module is compiled again in each session where
    ``PYTHONDONTWRITEBYTECODE`` is set, and looked for twice where it is not.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As Python's own finder does; nothing for other packages."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pytest_ipload.") else None


def _leave_no_finder() -> None:
    """Interpreters take 10 million instructions more to end when a class of a module of ours is still there."""
    with suppress(ValueError):
        sys.meta_path.remove(_NotRewritten)


if _NotRewritten not in sys.meta_path:
    sys.meta_path.insert(0, _NotRewritten)
    atexit.register(_leave_no_finder)

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        try:
            home = _HOMES[name]
        except KeyError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
