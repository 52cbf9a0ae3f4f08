"""A long load of a component, whose process ``components.py`` watches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload import VirtualUser


@pytest.mark.ipload
def test_component(ipload_component: Callable[..., Any], ipload_user: VirtualUser) -> None:
    ipload_component(Path(__file__).with_name("whoami.wat"))(ipload_user)
