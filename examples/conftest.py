"""Shared by all examples: the servers to load."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .demo_target import Target, running_target
from .stream_server import running_stream_server

URL_VARIABLE = "EXAMPLES_TARGET_URL"
PID_VARIABLE = "EXAMPLES_TARGET_PID"
STREAMS_VARIABLE = "EXAMPLES_STREAMS_URL"
collect_ignore_glob = [] if importlib.util.find_spec("yaml") else ["*.ipload.yaml"]
_RUNNING = pytest.StashKey[ExitStack]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With pytest-xdist, start the servers for all workers, before they start. They inherit the environment."""
    if session.config.getoption("numprocesses", None) and URL_VARIABLE not in os.environ:
        stack = session.config.stash[_RUNNING] = ExitStack()
        running = stack.enter_context(running_target())
        os.environ[URL_VARIABLE], os.environ[PID_VARIABLE] = running.url, str(running.pid)
        os.environ[STREAMS_VARIABLE] = stack.enter_context(running_stream_server())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the workers' servers."""
    if _RUNNING in session.config.stash:
        os.environ.pop(URL_VARIABLE, None)
        os.environ.pop(PID_VARIABLE, None)
        os.environ.pop(STREAMS_VARIABLE, None)
        session.config.stash[_RUNNING].close()


@pytest.fixture(scope="session")
def running() -> Iterator[Target]:
    """A demo target in a separate process."""
    if PID_VARIABLE in os.environ:
        yield Target(os.environ[URL_VARIABLE], int(os.environ[PID_VARIABLE]))
        return
    with running_target() as target:
        yield target


@pytest.fixture(scope="session")
def target(running: Target) -> str:
    """Its URL."""
    return running.url


@pytest.fixture(scope="session")
def stream_server() -> Iterator[str]:
    """The URL of a server of streams in a separate process."""
    if STREAMS_VARIABLE in os.environ:
        yield os.environ[STREAMS_VARIABLE]
        return
    with running_stream_server() as url:
        yield url


@pytest.fixture(scope="session")
def base_url(target: str) -> str:
    """Base for relative URLs: pytest-ipload uses this fixture unless an option, marker or ini key sets a base URL."""
    return target
