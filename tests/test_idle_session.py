"""A session without load tests, counted in modules and hooks rather than in milliseconds of a busy machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOOKS_OF_EACH_TEST = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown", "pytest_fixture_setup")
PROBE = """
import sys

def pytest_unconfigure(config):
    hooks = [
        name
        for name, caller in vars(config.hook).items()
        for each in getattr(caller, "get_hookimpls", list)()
        if each.function.__module__.startswith("pytest_ipload")
    ]
    ours = [name for name in sys.modules if name.startswith("pytest_ipload.")]
    print("PROBE", len(ours), *hooks, *{"requests"} & set(sys.modules))
"""


def probe(folder: Path) -> list[str]:
    """How many modules a session has imported, and which hooks of ours are left at its end."""
    (folder / "early.py").write_text(PROBE)
    (folder / "test_it.py").write_text("def test_it(): pass")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-pearly", "-pno:cacheprovider"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_ipload.plugin"}
    run = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return next(line for line in run.stdout.splitlines() if line.startswith("PROBE")).split()[1:]


def test_without_load_tests_few_modules_are_imported_and_few_hooks_stay(tmp_path: Path) -> None:
    count, *left = probe(tmp_path)
    assert int(count) <= 19
    assert not {*left} & {*HOOKS_OF_EACH_TEST, "pytest_runtest_makereport", "pytest_runtest_logreport", "requests"}
    assert len(left) <= 12


def test_with_a_load_test_all_of_them_are_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(ipload_user, pytestconfig):
            hook = pytestconfig.hook.pytest_runtest_logreport
            assert any(each.plugin_name == "ipload-reporter" for each in hook.get_hookimpls())
            assert pytestconfig.pluginmanager.hasplugin("ipload-load-hooks")
        """
    )
    pytester.runpytest("-q").assert_outcomes(passed=1)


def test_a_marker_that_comes_after_the_collection_makes_a_load_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(item):
            if item.name == "test_it":
                item.add_marker(pytest.mark.ipload(users=2, iterations=2))
            return (yield)
        """
    )
    pytester.makepyfile("runs = []\ndef test_it(): runs.append(1)\ndef test_runs(): assert len(runs) == 4")
    pytester.runpytest("-q").assert_outcomes(passed=2)
