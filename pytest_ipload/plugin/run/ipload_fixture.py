"""The fixture ``ipload``. Light: loaded by every pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ipload.plugin.run.load_runner import LoadRunner


@pytest.fixture
def ipload(request: pytest.FixtureRequest) -> LoadRunner:
    """Runs loads from within an ordinary test: ``result = ipload.run(body, users=5)``."""
    from pytest_ipload.plugin.run.load_runner import LoadRunner

    return LoadRunner(request)
