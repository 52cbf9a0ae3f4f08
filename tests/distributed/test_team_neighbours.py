"""Other plugins beside load tests that workers share: they are treated as pytest and pytest-xdist treat them."""

from __future__ import annotations

from textwrap import dedent

import pytest
from support.plugins import without_others
from support.team_run import ANOTHER, LOAD, team_run

pytestmark = pytest.mark.usefixtures("xdist")

SMALL = """
@pytest.mark.ipload(users=1, iterations=2)
def test_small(ipload_user):
    pass
"""
CRASH = """
def test_crash():
    if not pathlib.Path("crashed").exists():
        pathlib.Path("crashed").touch()
        os._exit(9)

@pytest.mark.parametrize("n", range(3))
def test_ordinary(n):
    pass
"""


@pytest.fixture
def _reruns(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:  # after pytester, which sets it too
    """The runs have pytest-rerunfailures installed."""
    pytest.importorskip("pytest_rerunfailures")
    monkeypatch.setenv("PYTEST_ADDOPTS", without_others("rerunfailures"))


@pytest.mark.usefixtures("_reruns")
class TestRerunFailures:
    def test_nor_are_tests_that_are_not_run(self, pytester: pytest.Pytester) -> None:
        run = team_run(pytester, LOAD + ANOTHER, "-n2", "-x", "--ipload-threshold=max < 1ms", deaths=True)
        run.expect(2, failed=1)

    def test_an_ordinary_test_that_crashed_is_reported_and_the_marker_reruns_no_load_test_which_is_said(
        self, pytester: pytest.Pytester
    ) -> None:
        """Workers that do not take part in a load are no matter of the plugin's."""
        marks = '@pytest.mark.flaky(reruns=2)\n@pytest.mark.ipload_threshold("max < 1ms")\n'
        source = CRASH + SMALL + LOAD.replace("@pytest", f"{marks}@pytest", 1) + ANOTHER
        run = team_run(pytester, source, "-n2", deaths=True)
        assert (run.result.ret, run.result.parseoutcomes()) == (1, {"failed": 2, "passed": 5})
        assert (run.cases["test_crash"], run.cases["test_load"]) == (["error"], ["failure"])
        assert len(run.tests["test_load"]["shards"]) == 2
        assert run.result.stdout.str().count("rerun load tests that several workers share") == 1

    @pytest.mark.parametrize("dist", ["load", "worksteal"])
    def test_an_ordinary_test_that_crashed_is_run_again(self, pytester: pytest.Pytester, dist: str) -> None:
        run = team_run(pytester, CRASH + LOAD, "-n2", "--reruns=1", f"--dist={dist}", deaths=True)
        assert run.result.parseoutcomes() == {"passed": 5, "rerun": 1}
        assert run.result.ret == 0


def test_a_timeout_of_one_that_only_waits_is_an_error_of_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytest_timeout")
    monkeypatch.setenv("PYTEST_ADDOPTS", without_others("timeout"))
    source = """
        @pytest.mark.timeout(1.5, method="signal")
        @pytest.mark.ipload(users=1, iterations=1)
        def test_small(ipload_user):
            time.sleep(2)
    """
    run = team_run(pytester, dedent(source) + ANOTHER, "-n2", deaths=True, once=False)
    run.expect(1, failed=1, errors=1, passed=1)
