from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from pytest_ipload.load.generator import resource_limits

resource = pytest.importorskip("resource", reason="this system has no resource limits")


def run_with_limit(soft: int, hard: int, users: int) -> str:
    """What ``ensure_open_files`` says in a process of its own with these limits, and the soft limit after it."""
    code = f"""
        import resource
        from pytest_ipload.base.errors import GeneratorLimitError
        from pytest_ipload.load.generator.resource_limits import ensure_open_files
        resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
        try:
            ensure_open_files({users}, "--ipload-users={users}")
        except GeneratorLimitError as error:
            print(error)
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_soft_limit_is_raised_as_far_as_needed() -> None:
    assert run_with_limit(64, 4096, users=200).split() == [str(resource_limits.files_needed(200))]


def test_enough_open_files_are_left_as_they_are() -> None:
    assert run_with_limit(1000, 4096, users=200).split() == ["1000"]


def test_too_few_open_files_are_an_error_that_says_what_to_do() -> None:
    text = run_with_limit(1024, 1024, users=1200).splitlines()[0]
    assert text == (
        "--ipload-users=1200 needs about 1300 open files, the limit is 1024 (hard 1024); "
        "run 'ulimit -n 2048' or use fewer users"
    )


def test_a_system_without_such_limits_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_limits, "resource", None)
    resource_limits.ensure_open_files(10**9, "users")
