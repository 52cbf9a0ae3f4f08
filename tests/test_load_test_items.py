"""Load tests among other tests, in whole runs: which tests are load tests, and what pytest makes of them."""

from __future__ import annotations

import unittest.mock  # noqa: F401 - pytester would forget it after a run, but its parent package would not
from xml.etree import ElementTree

import pytest
from support.whole_run import whole_run

from pytest_ipload.load import deadlines

BODY_IN_A_USERS_THREAD = ["body"]

IS_A_LOAD_TEST = {
    "marker on the function": """
        @pytest.mark.ipload
        def test(note):
            note("body")
    """,
    "marker on the class": """
        @pytest.mark.ipload
        class TestShop:
            def test(self, note):
                note("body")
    """,
    "marker on a base class": """
        @pytest.mark.ipload
        class Base:
            def test(self, note):
                note("body")

        class TestShop(Base):
            pass
    """,
    "marker on the module": """
        pytestmark = pytest.mark.ipload

        def test(note):
            note("body")
    """,
    "marker on a parameter": """
        @pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.ipload)])
        def test(size, note):
            note("body")
    """,
    "ipload_user": """
        def test(ipload_user, note):
            note("body")
    """,
    "ipload_session": """
        def test(ipload_session, note):
            note("body")
    """,
    "ipload_iteration": """
        def test(ipload_iteration, note):
            note("body")
    """,
    "a fixture that depends on one": """
        @pytest.fixture
        def shopper(ipload_user):
            return ipload_user

        @pytest.fixture
        def basket(shopper):
            return shopper

        def test(basket, note):
            note("body")
    """,
    "an autouse fixture": """
        @pytest.fixture(autouse=True)
        def shopper(ipload_user):
            return ipload_user

        def test(note):
            note("body")
    """,
    "usefixtures on the function": """
        @pytest.mark.usefixtures("ipload_user")
        def test(note):
            note("body")
    """,
    "usefixtures on the class": """
        @pytest.mark.usefixtures("ipload_user")
        class TestShop:
            def test(self, note):
                note("body")
    """,
    "an overridden fixture": """
        @pytest.fixture
        def ipload_user(ipload_user):
            return ipload_user

        def test(ipload_user, note):
            note("body")
    """,
}

IS_NO_LOAD_TEST = {
    "a plain test": """
        def test(note, tmp_path, request):
            note("body")
    """,
    "a method": """
        class TestShop:
            def test(self, note):
                note("body")
    """,
    "a test next to a load test's fixture": """
        @pytest.fixture
        def shopper(ipload_user):
            return ipload_user

        def test(note):
            note("body")
    """,
    "a test that reads the pool": """
        def test(ipload_pool, note):
            assert len(ipload_pool) == 0
            note("body")
    """,
    "a test that could start a load": """
        def test(ipload, note):
            note("body")
    """,
}


class TestWhatIsALoadTest:
    @pytest.mark.parametrize("source", IS_A_LOAD_TEST.values(), ids=IS_A_LOAD_TEST)
    def test_its_body_runs_in_the_threads_of_its_users(self, pytester: pytest.Pytester, source: str) -> None:
        run = whole_run(pytester, source, passed=1)
        assert run.log.events == [("ipload-user-0", "body")]
        run.expect_lines("*= load tests =*")

    @pytest.mark.parametrize("source", IS_NO_LOAD_TEST.values(), ids=IS_NO_LOAD_TEST)
    def test_everything_else_runs_once_as_always(self, pytester: pytest.Pytester, source: str) -> None:
        run = whole_run(pytester, source, "--ipload-users=3", passed=1)
        assert run.log.events == [("MainThread", "body")]
        run.result.stdout.no_fnmatch_line("*load tests*")

    def test_a_suite_without_load_tests_has_the_output_that_it_has_without_the_plugin(
        self, pytester: pytest.Pytester
    ) -> None:
        source = "def test_one(): pass\ndef test_two(): assert 0"
        with_it = whole_run(pytester, source, passed=1, failed=1)
        without = whole_run(pytester, source, "-p", "no:ipload", passed=1, failed=1)

        def body(lines: list[str]) -> list[str]:
            return [line for line in lines[:-1] if not line.startswith("plugins:")]

        assert body(with_it.result.outlines) == body(without.result.outlines)
        assert with_it.result.errlines == without.result.errlines == []

    def test_a_marker_that_a_hook_adds_counts(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            def test(note):
                note("body")
            """,
            conftest="""
            def pytest_collection_modifyitems(items):
                for item in items:
                    item.add_marker(pytest.mark.ipload(users=2))
            """,
            passed=1,
        )
        assert run.user(0) == run.user(1) == ["body"]

    def test_only_the_marked_test_of_a_module_is_one(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            def test_before(note):
                note("before")

            @pytest.mark.ipload(users=2)
            def test_load(note):
                note("load")

            def test_after(note):
                note("after")
            """,
            passed=3,
        )
        assert run.shared == ["before", "after"]
        assert run.user(0) == run.user(1) == ["load"]

    def test_a_skipped_one_starts_no_users(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.skip(reason="not today")
            def test(ipload_user, note):
                note("body")
            """,
            "-rs",
            skipped=1,
        )
        assert run.all == []
        run.expect_lines("SKIPPED * not today")
        run.result.stdout.no_fnmatch_line("*load tests*")


REFUSED = {
    "unittest with the marker": (
        """
        import unittest

        @pytest.mark.ipload
        class TestShop(unittest.TestCase):
            def test(self):
                raise AssertionError("must not run")
        """,
        "unittest.TestCase methods cannot be load tests; write a plain test function or a method of a plain class",
    ),
    "unittest with a per-user fixture": (
        """
        import unittest

        @pytest.mark.usefixtures("ipload_user")
        class TestShop(unittest.TestCase):
            def test(self):
                raise AssertionError("must not run")
        """,
        "unittest.TestCase methods cannot be load tests; write a plain test function or a method of a plain class",
    ),
    "async generator": (
        """
        @pytest.mark.ipload
        class TestShop:
            async def test(self):
                yield
                raise AssertionError("must not run")
        """,
        "the test is an async generator, which a test cannot be; take the yield out of it",
    ),
    "async unittest": (
        """
        import unittest

        @pytest.mark.ipload
        class TestShop(unittest.IsolatedAsyncioTestCase):
            async def test(self):
                raise AssertionError("must not run")
        """,
        "unittest.TestCase methods cannot be load tests; write a plain test function or a method of a plain class",
    ),
    "trio": (
        """
        @pytest.mark.parametrize("anyio_backend", ["trio"])
        async def test(ipload_user, anyio_backend):
            raise AssertionError("must not run")
        """,
        "anyio_backend is 'trio', but users run coroutines on asyncio; let the fixture anyio_backend return 'asyncio'",
    ),
    "hypothesis": (
        """
        from hypothesis import given, strategies

        @given(number=strategies.integers())
        async def test(ipload_user, number):
            raise AssertionError("must not run")
        """,
        "hypothesis runs its examples by blocking calls, so an async test cannot be one of its load tests",
    ),
    "the fixture that starts loads": (
        """
        @pytest.mark.ipload
        def test(ipload):
            raise AssertionError("must not run")
        """,
        "the fixture ipload starts loads from an ordinary test, but this test is a load test itself; *",
    ),
}


class TestKindsThatCannotBeLoadTests:
    @pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
    def test_are_an_error_in_their_set_up(self, pytester: pytest.Pytester, source: str, message: str) -> None:
        run = whole_run(pytester, source, errors=1)
        assert run.phases("failed") == ["setup"]
        run.expect_lines("*ERROR at setup of *test*", message)
        run.result.stdout.no_fnmatch_line("*traceback*")

    def test_a_doctest_under_the_modules_marker_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            '''
            pytestmark = pytest.mark.ipload

            def double(number):
                """
                >>> double(2)
                4
                """
                return 2 * number
            ''',
            "--doctest-modules",
            errors=1,
        )
        run.expect_lines("DoctestItem items cannot be load tests; write a plain test function or method")

    def test_a_doctest_next_to_load_tests_is_untouched(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            '''
            def double(number):
                """
                >>> double(2)
                4
                """
                return 2 * number

            def test(ipload_user):
                assert double(2) == 4
            ''',
            "--doctest-modules",
            passed=2,
        )


class TestArguments:
    def test_defaults_and_keyword_only_parameters(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=2)
            def test(ipload_user, size=3, *, note, tmp_path, colour="red"):
                note(size, colour, tmp_path.is_dir())
            """,
            passed=1,
        )
        assert run.user(0) == run.user(1) == ["3 red True"]

    def test_a_default_wins_over_a_fixture_of_the_same_name(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture(autouse=True)
            def size():
                return 1

            def test(ipload_user, note, size=3):
                note(size)
            """,
            passed=1,
        )
        assert run.user(0) == ["3"]

    def test_mock_patch_fills_its_own_parameters(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            import os
            from unittest import mock

            @mock.patch("os.getlogin", return_value="nobody")
            @mock.patch("os.getpid")
            def test(getpid, getlogin, ipload_user, note):
                assert os.getpid is getpid
                note(os.getlogin())
            """,
            passed=1,
        )
        assert run.user(0) == ["nobody"]

    def test_mock_patch_is_refused_with_several_users(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            from unittest import mock

            @mock.patch("os.getlogin")
            @pytest.mark.ipload(users=2)
            def test(getlogin, note):
                note("body")
            """,
            errors=1,
        )
        run.expect_lines("2 users would share state of the whole process, through the test: mock.patch; *")
        assert run.all == []


class TestWhatABodyMayRaise:
    def test_skip_in_the_first_iteration_skips_the_test(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(iterations=3)
            def test(note):
                note("body")
                pytest.skip("no shop today")
            """,
            "-rs",
            skipped=1,
        )
        assert run.user(0) == ["body"]
        run.expect_lines("SKIPPED [[]1] test_it.py:8: no shop today")
        run.result.stdout.no_fnmatch_line("*load tests*")

    def test_skip_in_a_later_iteration_is_a_failed_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(iterations=3)
            def test(ipload_iteration, note):
                note(ipload_iteration.number)
                if ipload_iteration.number == 1:
                    pytest.skip("closed in the meantime")
            """,
            failed=1,
        )
        assert run.user(0) == ["0", "1", "2"]
        run.expect_lines(
            "1 iteration failed:", "  1 x Skipped at test_it.py:9: closed in the meantime (first: user 0, *"
        )

    def test_xfail_in_the_first_iteration_is_an_expected_failure(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(iterations=3)
            def test(note):
                note("body")
                pytest.xfail("known to be slow")
            """,
            "-rx",
            xfailed=1,
        )
        assert run.user(0) == ["body"]
        run.expect_lines("XFAIL *known to be slow")

    def test_xfail_in_a_later_iteration_is_a_failed_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(iterations=2)
            def test(ipload_iteration):
                if ipload_iteration.number == 1:
                    pytest.xfail("too late")
            """,
            failed=1,
        )
        run.expect_lines("  1 x XFailed at test_it.py:8: too late (first: user 0, iteration 1)")

    def test_fail_is_a_failed_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=2, iterations=2)
            def test(ipload_user):
                if ipload_user.index == 1:
                    pytest.fail("wrong goods")
            """,
            failed=1,
        )
        run.expect_lines(
            "2 iterations failed:", "  2 x Failed at test_it.py:8: wrong goods (first: user 1, iteration 0)"
        )

    def test_the_only_iteration_of_one_user_fails_with_its_own_exception(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            def test(ipload_user):
                goods = ["tea"]
                assert "cake" in goods
            """,
            failed=1,
        )
        run.expect_lines(
            '>       assert "cake" in goods', "E       AssertionError: assert 'cake' in ['tea']", "test_it.py:7: *"
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")

    def test_exit_ends_the_session_with_what_was_measured(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(iterations=3)
            def test(ipload_user, ipload_iteration):
                with ipload_user.measure("GET /"):
                    pass
                if ipload_iteration.number == 2:
                    pytest.exit("the shop burns")

            def test_next(note):
                note("next")
            """,
        )
        assert run.result.ret == pytest.ExitCode.INTERRUPTED
        assert run.all == []
        run.expect_lines("test_it.py::test  INVALID", "GET / * 3 *", "*Exit: the shop burns*")

    def test_an_interrupt_ends_the_session_with_what_was_measured(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def shopper(ipload_user, note):
                yield
                note("down", ipload_user.index)

            @pytest.mark.ipload(users=2, iterations=2)
            def test(shopper, ipload_user, ipload_iteration):
                with ipload_user.measure("GET /"):
                    pass
                if ipload_iteration.number == 1:
                    raise KeyboardInterrupt

            def test_next(note):
                note("next")
            """,
        )
        assert run.result.ret == pytest.ExitCode.INTERRUPTED
        assert sorted(run.all) == ["down 0", "down 1"]
        run.expect_lines("test_it.py::test  INVALID", "GET / *", "*KeyboardInterrupt*")

    @pytest.mark.parametrize("end", ["raise KeyboardInterrupt", "pytest.exit('the shop burns')"])
    @pytest.mark.parametrize("phase", ["set-up", "ramp-up", "body"])
    def test_a_user_who_cannot_leave_does_not_spoil_the_end_of_the_session(
        self, pytester: pytest.Pytester, end: str, phase: str
    ) -> None:
        ramp_up = "20ms" if phase == "ramp-up" else "0ms"
        run = whole_run(
            pytester,
            f"""
            @pytest.fixture(autouse=True)
            def shopper(ipload_user, note):
                yield
                note("down", ipload_user.index)
                raise ValueError("will not leave")

            @pytest.fixture
            def basket(shopper, ipload_user):
                if ipload_user.index == 1 and {phase!r} != "body":
                    {end}

            @pytest.mark.ipload(users=2, duration="10s", think_time="1ms", ramp_up={ramp_up!r})
            def test(basket, ipload_user):
                if ipload_user.index == 1:
                    {end}
            """,
            conftest="""
            def pytest_sessionfinish():
                print("\\nthe session ends")
            """,
        )
        assert run.result.ret == pytest.ExitCode.INTERRUPTED
        assert sorted(run.all) == ["down 0", "down 1"]
        run.expect_lines(
            "the session ends", "!!* {} !!*".format("KeyboardInterrupt" if "Key" in end else "*the shop burns")
        )
        run.result.stdout.no_fnmatch_line("*will not leave")
        assert run.result.errlines == []

    @pytest.mark.untraced
    def test_ctrl_c_during_the_set_up_ends_the_session_whoever_cannot_leave(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            import signal

            never = threading.Event()

            @pytest.fixture
            def shopper(ipload_user, note):
                yield
                note("down")
                raise ValueError("will not leave")

            @pytest.fixture
            def basket(shopper):
                never.wait(0.1)  # until the main thread has started all users and waits for them
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                while not never.wait(0.01):
                    pass

            def test(basket):
                pass
            """,
            "--ipload-graceful-stop=60s",
        )
        assert run.result.duration < 30  # no user gets the time for a graceful stop
        assert run.result.ret == pytest.ExitCode.INTERRUPTED
        assert run.user(0) == ["down"]
        run.expect_lines("!!* KeyboardInterrupt !!*")
        run.result.stdout.no_fnmatch_line("*will not leave")
        assert run.result.errlines == []

    def test_exit_while_another_user_is_being_set_up_ends_the_session(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            begun = threading.Event()
            never = threading.Event()

            @pytest.fixture
            def shopper(ipload_user):
                if ipload_user.index == 1:
                    begun.set()
                    while not never.wait(0.01):
                        pass

            @pytest.mark.ipload(users=2, ramp_up="10ms", duration="10s", set_up="on-arrival")
            def test(shopper):
                assert begun.wait(10)
                pytest.exit("the shop burns")
            """,
        )
        assert run.result.ret == pytest.ExitCode.INTERRUPTED
        run.expect_lines("*Exit: the shop burns*")


SET_UP_FAILS = """
    @pytest.fixture
    def shopper(ipload_user, note):
        note("up", ipload_user.index)
        yield
        note("down", ipload_user.index)
"""
FAILING_FIXTURE = """
    @pytest.fixture
    def basket(shopper, ipload_user):
        if ipload_user.index in {who}:
            raise ValueError(f"no basket for {{ipload_user.index}}")
"""


class TestSetUpErrors:
    def test_of_one_user_is_an_error_at_setup_with_its_own_traceback(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            SET_UP_FAILS
            + FAILING_FIXTURE.format(who="[1]")
            + """
    @pytest.mark.ipload(users=3)
    def test(basket, note):
        note("body")
""",
            errors=1,
        )
        assert run.phases("failed") == ["setup"]
        assert [report.when for report in run.reports] == ["setup", "teardown"]
        assert sorted(run.all) == ["down 0", "down 1", "down 2", "up 0", "up 1", "up 2"]
        run.expect_lines(
            "*ERROR at setup of test*",
            '>           raise ValueError(f"no basket for {ipload_user.index}")',
            "E           ValueError: no basket for 1",
            "test_it.py:14: ValueError",
            "*Captured ipload setup*",
            "set-up of user 1 failed (source address: chosen by the system)",
            "ERROR test_it.py::test - ValueError: no basket for 1",
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")
        run.expect_lines("test_it.py::test  ERROR", "error: set-up of user 1 failed: ValueError: no basket for 1*")

    def test_keeps_the_causes_of_the_users_exception(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def shopper(ipload_user):
                try:
                    {}["door"]
                except KeyError:
                    raise ValueError("no shop") from OSError("no street")

            @pytest.fixture
            def basket(ipload_user):
                try:
                    {}["door"]
                except KeyError:
                    raise ValueError("no basket")

            def test_cause(shopper):
                pass

            def test_context(basket):
                pass
            """,
            errors=2,
        )
        run.expect_lines("OSError: no street", "The above exception was the direct cause*", "E * ValueError: no shop")
        run.expect_lines("E * KeyError: 'door'", "During handling of the above exception*", "E * ValueError: no basket")
        run.result.stdout.no_fnmatch_line("*UserSetUpError*")

    @pytest.mark.parametrize("style", ["auto", "long", "short", "line"])
    def test_no_frame_of_ours_is_shown_for_a_fixture_in_conftest(self, pytester: pytest.Pytester, style: str) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.mark.ipload(users=2)
            def test(basket):
                pass
            """,
            f"--tb={style}",
            conftest=SET_UP_FAILS + FAILING_FIXTURE.format(who="[1]"),
            errors=1,
        )
        run.expect_lines("*ValueError: no basket for 1*")
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")

    def test_the_source_address_is_named(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            SET_UP_FAILS
            + FAILING_FIXTURE.format(who="[1]")
            + """
    @pytest.mark.ipload(users=2, pool="127.0.0.5-127.0.0.6")
    def test(basket):
        pass
""",
            errors=1,
        )
        run.expect_lines("set-up of user 1 failed (source address: 127.0.0.6)")

    def test_the_others_are_counted(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            together = threading.Barrier(3)

            @pytest.fixture
            def basket(ipload_user):
                together.wait(10)
                raise ValueError("no basket")

            @pytest.mark.ipload(users=3)
            def test(basket):
                pass
            """,
            errors=1,
        )
        run.expect_lines(
            "set-up of user ? failed (source address: chosen by the system); 3 users failed in their set-up"
        )

    def test_the_first_error_is_shown_and_not_that_of_a_user_who_was_stopped_for_it(
        self, pytester: pytest.Pytester
    ) -> None:
        run = whole_run(
            pytester,
            """
            over = threading.Event()

            @pytest.fixture
            def basket(ipload_user):
                if ipload_user.index == 1:
                    raise ValueError("no basket")
                while not over.wait(0.01):
                    pass

            @pytest.mark.ipload(users=2, graceful_stop="20ms")
            def test(basket):
                pass
            """,
            errors=1,
        )
        run.expect_lines("E * ValueError: no basket", "set-up of user 1 failed (source address: chosen by the system)*")

    @pytest.mark.parametrize("ramp_up", ["0ms", "30ms"])
    def test_skip_in_a_fixture_skips_the_test(self, pytester: pytest.Pytester, ramp_up: str) -> None:
        run = whole_run(
            pytester,
            f"""
            @pytest.fixture
            def shopper(ipload_user, note):
                note("up", ipload_user.index)
                if ipload_user.index == 1:
                    pytest.skip("only one may shop")
                yield
                note("down", ipload_user.index)

            @pytest.mark.ipload(users=2, ramp_up={ramp_up!r}, duration="50ms", think_time="5ms")
            def test(shopper):
                pass
            """,
            "-rs",
            skipped=1,
        )
        assert sorted(run.all) == ["down 0", "up 0", "up 1"]
        run.expect_lines("SKIPPED [[]1] test_it.py:13: only one may shop")  # the place of the test, not of the fixture

    def test_xfail_in_a_fixture_is_an_expected_failure(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
            @pytest.fixture
            def shopper(ipload_user):
                pytest.xfail("no shop yet")

            @pytest.mark.ipload(users=2)
            def test(shopper):
                pass
            """,
            xfailed=1,
        )

    def test_a_shared_fixtures_error_is_pytests_own(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            SET_UP_FAILS
            + """
    @pytest.fixture
    def shop():
        raise ValueError("closed")

    def test(shopper, shop):
        pass
""",
            errors=1,
        )
        assert run.all == []
        run.expect_lines("E       ValueError: closed")
        run.result.stdout.no_fnmatch_line("*Captured ipload*")


RAMP_UP_FAILS = """
    {shopper}{basket}
    @pytest.mark.ipload(users=2, ramp_up="20ms", duration="5s", think_time="1ms", set_up="on-arrival")
    def test_load(basket, note):
        note("body")

    def test_next(note):
        note("next")
"""


class TestSetUpErrorsDuringTheRampUp:
    SOURCE = RAMP_UP_FAILS.format(shopper=SET_UP_FAILS, basket=FAILING_FIXTURE.format(who="[1]"))

    def test_is_an_error_at_setup_too(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, passed=1, errors=1)
        assert run.phases("failed") == ["setup"]
        assert run.user(0)[0] == "up 0"
        assert "body" in run.user(0)
        assert run.user(0)[-1] == "down 0"
        assert run.user(1) == ["up 1", "down 1"]
        assert run.shared == ["next"]
        run.expect_lines(
            "*ERROR at setup of test_load*",
            "E           ValueError: no basket for 1",
            "set-up of user 1 failed (source address: chosen by the system)",
            "ERROR test_it.py::test_load - ValueError: no basket for 1",
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")

    def test_last_failed_selects_it(self, pytester: pytest.Pytester) -> None:
        whole_run(pytester, self.SOURCE, passed=1, errors=1)
        run = whole_run(pytester, self.SOURCE, "--lf", errors=1)
        assert run.shared == []

    def test_exitfirst_stops_after_it(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, "-x", errors=1)
        assert run.shared == []

    def test_junit_counts_it_as_an_error(self, pytester: pytest.Pytester) -> None:
        whole_run(pytester, self.SOURCE, "--junit-xml=junit.xml", passed=1, errors=1)
        (suite,) = ElementTree.parse(pytester.path / "junit.xml").getroot()
        assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("2", "1", "0")
        (error,) = suite.iter("error")
        assert "no basket for 1" in (error.get("message") or "")


TEARDOWN_FAILS = """
    @pytest.fixture
    def shopper(ipload_user, note):
        yield
        note("down", ipload_user.index)
        if ipload_user.index in {who}:
            raise ValueError(f"{{ipload_user.index}} will not leave")
"""


class TestTeardownErrors:
    def test_is_an_error_at_teardown_and_the_verdict_stays(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            TEARDOWN_FAILS.format(who="[1]")
            + """
    @pytest.mark.ipload(users=3)
    def test(shopper):
        pass
""",
            passed=1,
            errors=1,
        )
        assert run.phases("failed") == ["teardown"]
        assert sorted(run.all) == ["down 0", "down 1", "down 2"]
        run.expect_lines(
            "*ERROR at teardown of test*",
            '>           raise ValueError(f"{ipload_user.index} will not leave")',
            "E           ValueError: 1 will not leave",
            "*Captured ipload teardown*",
            "teardown of user 1 failed (source address: chosen by the system)",
            "test_it.py::test  PASSED",
            "ERROR test_it.py::test - ValueError: 1 will not leave",
        )
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")

    def test_several_are_counted(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            TEARDOWN_FAILS.format(who="[0, 1]")
            + """
    @pytest.mark.ipload(users=3)
    def test(shopper):
        pass
""",
            passed=1,
            errors=1,
        )
        run.expect_lines("teardown of user ? failed (source address: *); 2 users failed in their teardown")

    def test_each_fixture_is_torn_down_even_if_another_one_fails(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def first(ipload_user, note):
                yield
                note("down first")

            @pytest.fixture
            def second(first, note):
                yield
                note("down second")
                raise ValueError("second")

            @pytest.fixture
            def third(second, note):
                yield
                note("down third")
                raise ValueError("third")

            def test(third):
                pass
            """,
            passed=1,
            errors=1,
        )
        assert run.user(0) == ["down third", "down second", "down first"]
        run.expect_lines("E * ValueError: third", "E * ValueError: second")

    def test_comes_on_top_of_a_failure(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            TEARDOWN_FAILS.format(who="[1]")
            + """
    @pytest.mark.ipload(users=2)
    def test(shopper):
        assert 0
""",
            failed=1,
            errors=1,
        )
        assert run.phases("failed") == ["call", "teardown"]

    def test_comes_on_top_of_another_users_set_up_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            TEARDOWN_FAILS.format(who="[0]")
            + FAILING_FIXTURE.format(who="[1]")
            + """
    @pytest.mark.ipload(users=2)
    def test(basket):
        pass
""",
            errors=2,
        )
        assert run.phases("failed") == ["setup", "teardown"]
        run.expect_lines("E * ValueError: no basket for 1", "E * ValueError: 0 will not leave")

    @pytest.mark.untraced
    def test_that_does_not_end_is_interrupted_and_said_so(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            never = threading.Event()

            @pytest.fixture
            def shopper(ipload_user):
                yield
                while not never.wait(0.01):
                    pass

            @pytest.mark.ipload(graceful_stop="20ms")
            def test(shopper):
                pass

            def test_next():
                pass
            """,
            passed=2,
            errors=1,
        )
        run.expect_lines("E * TimeoutError: user 0 was still in its teardown after the graceful stop")

    @pytest.mark.untraced
    def test_that_cannot_be_interrupted_is_an_error_too(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "_INTERRUPT_WAIT", 0.1)
        run = whole_run(
            pytester,
            """
            never = threading.Event()

            @pytest.fixture
            def shopper(ipload_user):
                yield
                never.wait(60)

            @pytest.mark.ipload(graceful_stop="20ms")
            def test(shopper):
                pass

            def test_next():
                never.set()
                for thread in threading.enumerate():
                    if thread.name.startswith("ipload-user"):
                        thread.join(10)
            """,
            passed=2,
            errors=1,
        )
        run.expect_lines("user 0 was still in its teardown after the graceful stop, at test_*.py:*, and could not be*")

    def test_a_shared_fixtures_error_is_pytests_own(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def shop():
                yield
                raise ValueError("cannot close")

            def test(shop, ipload_user):
                pass
            """,
            passed=1,
            errors=1,
        )
        run.expect_lines("E       ValueError: cannot close")
        run.result.stdout.no_fnmatch_line("*Captured ipload*")


class TestPytestsOptions:
    SOURCE = """
        @pytest.fixture(params=["tea"])
        def shopper(ipload_user, request, note):
            note("up")
            return request.param

        @pytest.mark.ipload(users=2)
        def test(shopper, tmp_path, note):
            note("body")

        def test_ordinary(tmp_path, note):
            note("ordinary")
    """

    def test_setup_show_shows_a_per_user_fixture_once(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, "--setup-show", passed=2)
        assert run.user(0) == run.user(1) == ["up", "body"]
        run.expect_lines(
            "*SETUP    F shopper (fixtures used: ipload_user, note)[[]'tea']", "*TEARDOWN F shopper[[]'tea']"
        )
        assert run.result.stdout.str().count("SETUP    F shopper") == 1

    @pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
    def test_setup_only_and_setup_plan_start_no_users(self, pytester: pytest.Pytester, option: str) -> None:
        run = whole_run(pytester, self.SOURCE, option)
        assert run.result.ret == pytest.ExitCode.OK
        assert run.all == []
        run.expect_lines("*SETUP    F shopper*", "*test_it.py::test*fixtures used*", "*TEARDOWN F shopper*")
        run.result.stdout.no_fnmatch_line("*load tests*")
        assert run.phases("failed", "skipped") == []

    def test_fixtures_lists_them_with_their_meaning(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, "--fixtures")
        assert run.all == []
        for name in ("ipload_user", "ipload_session", "ipload_iteration", "ipload_pool", "ipload"):
            run.expect_lines(f"{name}* -- *pytest_ipload/plugin/fixtures/fixtures.py:*", "    [A-Z]*")

    def test_collect_only_starts_no_users(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, "--collect-only", "-v")
        assert run.all == []

    def test_it_works_without_a_terminal(self, pytester: pytest.Pytester) -> None:
        run = whole_run(pytester, self.SOURCE, "-p", "no:terminal")
        assert run.result.ret == pytest.ExitCode.OK
        assert run.phases("failed") == []
        assert sorted(run.all) == ["body", "body", "ordinary", "up", "up"]

    def test_pdb_opens_on_the_bodys_frame_of_a_failing_functional_test(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            debugger="""
            class Debugger:
                def __init__(self, *args, **kwargs):
                    self.quitting = False

                def reset(self):
                    pass

                def interaction(self, frame, exception_or_traceback):
                    traceback = getattr(exception_or_traceback, "__traceback__", exception_or_traceback)
                    while traceback.tb_next is not None:
                        traceback = traceback.tb_next
                    print("DEBUGGER IN", traceback.tb_frame.f_code.co_name, traceback.tb_frame.f_locals["goods"])

                def set_continue(self):
                    pass
            """
        )
        pytester.syspathinsert()
        run = whole_run(
            pytester,
            """
            def test(ipload_user):
                goods = "tea"
                assert goods == "cake"
            """,
            "--pdbcls=debugger:Debugger",
            "--pdb",
            failed=1,
        )
        run.expect_lines("DEBUGGER IN test tea")


class TestCombinations:
    MODULE = """
        @pytest.fixture(scope="module")
        def shop(note):
            note("open")
            yield "shop"
            note("close")

        @pytest.fixture
        def goods(shop):
            return [shop]

        @pytest.fixture
        def shopper(goods, request):
            return f"shopper in {goods[0]}"

        @pytest.mark.ipload(users=2)
        def test_load(shopper, goods, note):
            assert goods == ["shop"]
            note(shopper)

        def test_ordinary(shopper, goods, note):
            assert goods == ["shop"]
            note(shopper)

        @pytest.mark.ipload(users=2)
        def test_another_load(shopper, ipload_user, note):
            note(shopper)
    """

    @pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
    def test_fixtures_serve_load_tests_and_others_in_any_order(
        self, pytester: pytest.Pytester, order: tuple[int, ...]
    ) -> None:
        run = whole_run(
            pytester,
            self.MODULE,
            conftest=f"""
            def pytest_collection_modifyitems(items):
                items[:] = [items[n] for n in {order}]
            """,
            passed=3,
        )
        assert run.shared == ["open", "shopper in shop", "close"]
        assert run.user(0) == run.user(1) == ["shopper in shop"] * 2

    def test_a_fixture_that_is_per_user_in_one_class_is_shared_in_another(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def name():
                return "shared"

            @pytest.fixture
            def greeting(name, note):
                note("greet", name)
                return f"hello {name}"

            @pytest.mark.ipload(users=2)
            class TestPerUser:
                @pytest.fixture
                def name(self, ipload_user):
                    return f"user {ipload_user.index}"

                def test(self, greeting, note):
                    note(greeting)

            class TestOrdinary:
                def test(self, greeting, note):
                    note(greeting)

            @pytest.mark.ipload(users=2)
            class TestShared:
                def test(self, greeting, note):
                    note(greeting)
            """,
            passed=3,
        )
        assert run.shared == ["greet shared", "hello shared", "greet shared"]
        for user in range(2):
            assert run.user(user) == [f"greet user {user}", f"hello user {user}", "hello shared"]

    def test_two_load_tests_with_the_same_per_user_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture
            def shopper(ipload_user, note):
                note("up")
                yield ipload_user
                note("down")

            @pytest.mark.ipload(users=2)
            def test_one(shopper):
                shopper.state["seen"] = True

            @pytest.mark.ipload(users=2)
            def test_two(shopper):
                assert "seen" not in shopper.state
            """,
            passed=2,
        )
        assert run.user(0) == run.user(1) == ["up", "down", "up", "down"]

    def test_a_failing_base_url_fixture_is_the_same_error_in_each_test(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
            @pytest.fixture(scope="session")
            def base_url():
                raise ValueError("no shop")

            def test_one(ipload_user):
                pass

            def test_two(ipload_user):
                pass
            """,
            errors=2,
        )
        run.expect_lines(
            "ERROR test_it.py::test_one - ValueError: no shop", "ERROR test_it.py::test_two - ValueError: no shop"
        )

    def test_a_rerun_has_users_and_fixtures_of_its_own(self, pytester: pytest.Pytester) -> None:
        pytest.importorskip("pytest_rerunfailures")
        run = whole_run(
            pytester,
            """
            runs = []

            @pytest.fixture
            def shopper(ipload_user, note):
                note("up")
                yield ipload_user
                note("down")

            @pytest.mark.ipload(users=2)
            def test(shopper, ipload_user, note):
                note("body", sorted(ipload_user.state))
                ipload_user.state["seen"] = True
                runs.append(1)
                assert len(runs) > 2
            """,
            "-p",
            "rerunfailures",
            "--reruns=1",
        )
        run.result.assert_outcomes(passed=1)
        run.expect_lines("*1 passed, 1 rerun*")
        assert run.user(0) == run.user(1) == ["up", "body []", "down"] * 2
        assert run.result.stdout.str().count("test_it.py::test  PASSED") == 1
