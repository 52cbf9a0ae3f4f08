"""Fixtures for tests of whole runs."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import os
import pkgutil
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from glob import glob

import hypothesis
import pytest
from support.collector import look_only_at_what_comes
from support.demo import running_target
from support.installed_plugins import looked_for_once
from support.plugins import without_others
from support.programs import Served, running_mosquitto, running_postgresql, running_redis

import pytest_ipload

# pytester forgets the modules that a run in this process imported. The plugin imports late, so each run would get
# copies of its own of requests and http.cookiejar, with classes that do not know each other.
for _module in pkgutil.walk_packages(pytest_ipload.__path__, "pytest_ipload."):
    importlib.import_module(_module.name)
for _name in ("requests", "tabulate", "urllib3.contrib.socks", "http.cookiejar"):
    try:
        importlib.import_module(_name)
    except ImportError:
        continue  # an extra that is not installed

_OVER = itertools.count(1)

# The sessions that tests run are no workers, even if the tests run in one of xdist's.
for _name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(_name, None)

# A shell starts what it runs in the background with SIGINT ignored, and every process started from there inherits that:
# tests that press Ctrl-C in one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a machine that others use too.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let no test hold up all of CI, and skip what cannot run here: see ``load/user_lifecycle.py``."""
    if config.pluginmanager.hasplugin("timeout"):  # a test that hangs fails, with the stacks of all threads
        for item in items:
            item.add_marker(pytest.mark.timeout(600, method="signal"))
    if sys.gettrace() is not None and sys.version_info[:2] == (3, 11):
        for item in items:
            if item.get_closest_marker("untraced") is not None:
                item.add_marker(pytest.mark.skip(reason="traced, on CPython 3.11; it runs with -m untraced"))


def pytest_collection_finish() -> None:
    """The tests are there."""
    look_only_at_what_comes()


def pytest_runtest_logfinish() -> None:
    """A test is over, and its reports stay."""
    if next(_OVER) % 50 == 0:
        look_only_at_what_comes()


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest's own, with only the plugins that this package needs."""
    monkeypatch.setenv("PYTEST_ADDOPTS", without_others())
    looked_for_once(monkeypatch)
    return pytester


@pytest.fixture(scope="session")
def demo_url() -> Iterator[str]:
    """The URL of a demo target in a process of its own."""
    with running_target() as target:
        yield target.url


def require_program(name: str, install: str) -> str:
    """The path of a program that a test needs; without it the test is skipped, or fails where CI=true."""
    debian = ("/usr/sbin", "/sbin", *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True))
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *debian)))
    if path is None:
        message = f"{name} is missing; install it with '{install}'"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def require_package(name: str, install: str) -> None:
    """Skip the test without a package that it needs; where CI=true, it fails."""
    if importlib.util.find_spec(name) is None:
        message = f"{name} is missing; install it with {install}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def xdist() -> None:
    """For tests that need pytest-xdist; the package itself works without it."""
    require_package("xdist", "pip install pytest-xdist")


@pytest.fixture
def nginx() -> str:
    """The path of nginx."""
    return require_program("nginx", "apt-get install nginx-light")


@pytest.fixture
def tinyproxy() -> str:
    """The path of tinyproxy."""
    return require_program("tinyproxy", "apt-get install tinyproxy-bin")


@pytest.fixture
def sshd() -> str:
    """The path of OpenSSH's server; its client is there too."""
    for program in ("ssh", "ssh-keygen"):
        require_program(program, "apt-get install openssh-client")
    return require_program("sshd", "apt-get install openssh-server")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Served]:
    """A redis-server of the tests' own."""
    with running_redis(require_program("redis-server", "apt-get install redis-server")) as served:
        yield served


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Served]:
    """An MQTT broker of the tests' own."""
    with running_mosquitto(require_program("mosquitto", "apt-get install mosquitto")) as served:
        yield served


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Served]:
    """A PostgreSQL of the tests' own."""
    with running_postgresql(require_program("initdb", "apt-get install postgresql")) as served:
        yield served


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    return require_program("chromium", "apt-get install chromium chromium-driver")


@pytest.fixture(scope="session")
def chromedriver() -> str:
    """The path of the program that Selenium drives Chromium with."""
    return require_program("chromedriver", "apt-get install chromium chromium-driver")
