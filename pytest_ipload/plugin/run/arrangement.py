"""Brings the load tests that run together next to each other, and has them run so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_ipload.plugin.items.groups import arrange
from pytest_ipload.plugin.session_state import state_of


def arrange_groups(session: pytest.Session, keep: Callable[[pytest.Item, BaseException], object]) -> None:
    """Find the groups of a session with load tests, when all plugins have selected and sorted the tests.

    ``keep`` keeps the results of a test whose session ends while it waits for others.
    """
    config = session.config
    as_usual = config.getoption("setuponly", False) or config.getoption("setupplan", False)
    if not (as_usual or state_of(config).settings.disabled) and arrange(session.items):
        from pytest_ipload.distributed.worker.worker import TOGETHER
        from pytest_ipload.plugin.run.together import TogetherProtocol

        config.pluginmanager.register(TogetherProtocol(session, keep), TOGETHER)
