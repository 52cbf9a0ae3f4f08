"""What the examples share: a server to aim at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .demo_target import running_target

URL_VARIABLE = "EXAMPLES_TARGET_URL"
_RUNNING = pytest.StashKey[ExitStack]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With pytest-xdist, all workers load one target: start it before them. They inherit the environment."""
    if session.config.getoption("numprocesses", None) and URL_VARIABLE not in os.environ:
        stack = session.config.stash[_RUNNING] = ExitStack()
        os.environ[URL_VARIABLE] = stack.enter_context(running_target()).url


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the target that was started for the workers."""
    if _RUNNING in session.config.stash:
        os.environ.pop(URL_VARIABLE, None)
        session.config.stash[_RUNNING].close()


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """The URL of a demo target in a process of its own."""
    if URL_VARIABLE in os.environ:
        yield os.environ[URL_VARIABLE]
        return
    with running_target() as running:
        yield running.url


@pytest.fixture(scope="session")
def base_url(target: str) -> str:
    """Where relative URLs lead: pytest-ipload uses this fixture unless a base URL is set by option, marker or ini."""
    return target
