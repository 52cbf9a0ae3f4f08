from __future__ import annotations

import sys

import pytest

MODULE = """
    import pytest

    @pytest.mark.ipload(
        users=12, duration="1m30s", ramp_up="5s", ramp_down="2s", warmup="3s", base_url="http://127.0.0.1:9"
    )
    @pytest.mark.ipload_threshold("p95<200ms", "error_rate < 1%")
    def test_long(ipload_session):
        raise AssertionError("it must not run")

    @pytest.mark.ipload(iterations=3, total_iterations=1000)
    class TestShared:
        def test_method(self):
            raise AssertionError("it must not run")

    def test_once(ipload_user):
        raise AssertionError("it must not run")

    def test_ordinary():
        pass
"""


def plans(result: pytest.RunResult) -> dict[str, str]:
    """The lines of the section, by the test's name."""
    section = result.outlines[next(number for number, line in enumerate(result.outlines) if "load plans" in line) + 1 :]
    lines = [line.split("::", 1)[1] for line in section if line.startswith("test_plans.py::")]
    return {name: plan for name, _, plan in (line.partition(": ") for line in lines)}


def collect(pytester: pytest.Pytester, *options: str, module: str = MODULE) -> pytest.RunResult:
    pytester.makepyfile(test_plans=module)
    return pytester.runpytest("--collect-only", *options)


def test_each_load_test_has_its_plan_with_the_origin_of_each_value(pytester: pytest.Pytester) -> None:
    result = collect(pytester, "-v")
    assert result.ret == pytest.ExitCode.OK
    found = plans(result)
    assert set(found) == {"test_long", "TestShared::test_method", "test_once"}
    assert found["test_long"].startswith(
        "12 users (marker), duration 90s (marker), ramp_up 5s (marker), ramp_down 2s (marker), warmup 3s (marker), "
        "source address chosen by the system, http://127.0.0.1:9 (marker), p95 < 200ms; error_rate < 1%"
    )
    assert found["TestShared::test_method"].startswith(
        "1 user, 1 000 iterations in all (marker), 3 iterations per user (marker), source address "
    )
    assert found["test_once"].startswith("1 user, 1 iteration per user, source address chosen by the system")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")
def test_command_line_and_ini_show_as_origins(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nipload_ramp_up = 1s\nipload_thresholds =\n    rps > 5\n")
    options = ("--ipload-users=7", "--ipload-pool=127.0.3.0/28", "--ipload-duration=500ms", "--ipload-threshold=max<1s")
    found = plans(collect(pytester, "-v", *options))
    assert found["test_once"].startswith(
        "7 users (command line), duration 500ms (command line), ramp_up 1s (ini), 14 source addresses (command line), "
        "rps > 5; max < 1s"
    )


def test_a_disabled_load_says_so(pytester: pytest.Pytester) -> None:
    found = plans(collect(pytester, "-v", "--ipload-disable"))
    assert found["test_long"].startswith("1 user (--ipload-disable), 1 iteration per user (--ipload-disable)")


@pytest.mark.parametrize("options", [(), ("-q",), ("-v", "-q")])
def test_without_v_there_are_none(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = collect(pytester, *options)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*load plans*")


def test_a_suite_without_load_tests_has_none(pytester: pytest.Pytester) -> None:
    result = collect(pytester, "-v", module="def test_ordinary(): pass")
    result.stdout.no_fnmatch_line("*load plans*")


def test_a_plan_that_cannot_be_made_says_why(pytester: pytest.Pytester) -> None:
    module = """
        import pytest

        @pytest.mark.ipload(usres=5)
        def test_key(): pass

        @pytest.mark.ipload(ramp_down=5)
        def test_contradiction(): pass

        @pytest.mark.ipload
        @pytest.mark.ipload_threshold("p95")
        def test_threshold(): pass
    """
    found = plans(collect(pytester, "-v", module=module))
    assert found["test_key"].startswith("error: marker ipload: unknown key 'usres' (did you mean 'users'?)")
    assert found["test_contradiction"].startswith("error: ramp_down needs a duration")
    assert found["test_threshold"].startswith("error: marker ipload_threshold: threshold 'p95': ")


def test_without_a_terminal_there_are_none_and_no_error(pytester: pytest.Pytester) -> None:
    assert collect(pytester, "-p", "no:terminal").ret == pytest.ExitCode.OK


def test_deselected_load_tests_have_none(pytester: pytest.Pytester) -> None:
    assert set(plans(collect(pytester, "-v", "-k", "once"))) == {"test_once"}


@pytest.mark.usefixtures("xdist")
def test_under_xdist_the_plans_are_printed_once(pytester: pytest.Pytester) -> None:
    assert set(plans(collect(pytester, "-v", "-n2"))) == {"test_long", "TestShared::test_method", "test_once"}


def test_the_group_of_a_load_and_its_start_in_it(pytester: pytest.Pytester) -> None:
    module = """
        import pytest

        @pytest.mark.ipload_together("shop")
        @pytest.mark.ipload(users=3, duration="1s", start_after="300ms")
        def test_buy(ipload_session):
            raise AssertionError("it must not run")
    """
    plan = plans(collect(pytester, "-v", module=module))["test_buy"]
    assert "start_after 300ms (marker), source address chosen by the system, together: shop" in plan
