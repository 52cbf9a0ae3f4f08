"""What the examples share: a server to aim at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .demo_target import running_target


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """The URL of a demo target in a process of its own; each pytest-xdist worker starts one."""
    with running_target() as running:
        yield running.url


@pytest.fixture(scope="session")
def base_url(target: str) -> str:
    """Where relative URLs lead: pytest-ipload uses this fixture unless a base URL is set by option, marker or ini."""
    return target
