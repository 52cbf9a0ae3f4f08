"""Finds the load tests that run together, in each session; without any, this is all that happens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from pytest_ipload.plugin.items.groups import arrange
from pytest_ipload.plugin.session_state import state_of


class Arrangement:
    """Registered as a plugin in each session: finds the groups, when all others have selected and sorted the tests."""

    def __init__(self, session: pytest.Session, keep: Callable[[pytest.Item, BaseException], object]) -> None:
        """``keep`` keeps the results of a test whose session ends while it waits for others."""
        self._session = session
        self._keep = keep

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, Any, Any]:
        """Bring the tests of each group together."""
        result = yield
        config = self._session.config
        as_usual = config.getoption("setuponly", False) or config.getoption("setupplan", False)
        if not (as_usual or state_of(config).settings.disabled) and arrange(items):
            from pytest_ipload.distributed.worker.worker import TOGETHER
            from pytest_ipload.plugin.run.together import TogetherProtocol

            config.pluginmanager.register(TogetherProtocol(self._session, self._keep), TOGETHER)
        return result
