"""Fixtures under load, in whole runs: what is made for each user, what for each iteration, what is shared."""

from __future__ import annotations

import sys

import pytest
from support.whole_run import whole_run

CHAIN = """
    @pytest.fixture
    def first(ipload_user, note):
        note("up first", ipload_user.index)
        yield f"first-{ipload_user.index}"
        note("down first", ipload_user.index)

    @pytest.fixture
    def second(first, note):
        note("up second of", first)
        yield f"second of {first}"
        note("down second of", first)
"""


class TestLifeOfAUser:
    def test_set_up_once_in_the_users_own_thread_in_dependency_order_and_torn_down_in_reverse(
        self, pytester: pytest.Pytester
    ) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=3, iterations=2)
    def test(second, first, note):
        note("body", first, second)
""",
            passed=1,
        )
        assert run.shared == []
        for user in range(3):
            assert run.user(user) == [
                f"up first {user}",
                f"up second of first-{user}",
                f"body first-{user} second of first-{user}",
                f"body first-{user} second of first-{user}",
                f"down second of first-{user}",
                f"down first {user}",
            ]

    def test_all_users_are_set_up_before_the_first_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=3)
    def test(second, note):
        note("body")
""",
            passed=1,
        )
        assert sorted(text.split()[0] for text in run.all[:6]) == ["up"] * 6

    def test_torn_down_also_when_the_body_failed(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=2, iterations=2)
    def test(second):
        assert 0
""",
            failed=1,
        )
        for user in range(2):
            assert run.user(user)[-2:] == [f"down second of first-{user}", f"down first {user}"]

    def test_torn_down_also_when_a_later_fixture_failed_in_its_set_up(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.fixture
    def third(second, ipload_user):
        if ipload_user.index == 1:
            raise ValueError("no third")

    @pytest.mark.ipload(users=3)
    def test(third, note):
        note("body")
""",
            errors=1,
        )
        for user in range(3):
            assert run.user(user) == [
                f"up first {user}",
                f"up second of first-{user}",
                f"down second of first-{user}",
                f"down first {user}",
            ]

    def test_torn_down_also_when_the_body_skips(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=2)
    def test(second):
        pytest.skip("not today")
""",
            skipped=1,
        )
        for user in range(2):
            assert run.user(user)[-2:] == [f"down second of first-{user}", f"down first {user}"]

    def test_a_fixture_that_returns_needs_no_teardown(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def name(ipload_user):
        return f"user-{ipload_user.index}"

    @pytest.mark.ipload(users=2, iterations=2)
    def test(name, note):
        note(name)
""",
            passed=1,
        )
        assert [run.user(0), run.user(1)] == [["user-0"] * 2, ["user-1"] * 2]

    def test_a_returned_generator_is_the_fixtures_value(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
    @pytest.fixture
    def numbers(ipload_user):
        return (ipload_user.index + n for n in range(3))

    @pytest.mark.ipload(users=2)
    def test(numbers, ipload_user):
        assert list(numbers) == [ipload_user.index + n for n in range(3)]
""",
            passed=1,
        )

    def test_fixtures_that_depend_on_the_same_one_share_it(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.fixture
    def left(first):
        return [first]

    @pytest.fixture
    def right(first):
        return [first]

    @pytest.mark.ipload(users=2)
    def test(left, right, first, note):
        note(left[0] is right[0] is first)
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user) == [f"up first {user}", "True", f"down first {user}"]

    def test_a_fixture_that_is_not_in_the_signature_is_made_too(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=2)
    @pytest.mark.usefixtures("second")
    def test(note):
        note("body")
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user)[1:4] == [f"up second of first-{user}", "body", f"down second of first-{user}"]

    def test_an_autouse_fixture_comes_before_the_others(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=2)
    def test(second, note):
        note("body")
""",
            conftest="""
    @pytest.fixture(autouse=True)
    def always(ipload_user, note):
        note("up always", ipload_user.index)
        yield
        note("down always", ipload_user.index)
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user)[0] == f"up always {user}"
            assert run.user(user)[-1] == f"down always {user}"

    def test_users_of_the_ramp_up_have_fixtures_of_their_own_too(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.mark.ipload(users=3, duration="10ms", ramp_up="30ms", think_time="5ms")
    def test(first):
        assert first
""",
            passed=1,
        )
        for user in range(3):
            assert run.user(user) == [f"up first {user}", f"down first {user}"]


class TestFixturesOfAnIteration:
    def test_made_anew_for_each_iteration_and_torn_down_after_it(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.fixture
    def order(ipload_iteration, first, note):
        note("up order", ipload_iteration.number)
        yield f"order {{ipload_iteration.number}} of {{first}}"
        note("down order", ipload_iteration.number)

    @pytest.mark.ipload(users=2, iterations=2)
    def test(order, note):
        note("body", order)
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user) == [
                f"up first {user}",
                "up order 0",
                f"body order 0 of first-{user}",
                "down order 0",
                "up order 1",
                f"body order 1 of first-{user}",
                "down order 1",
                f"down first {user}",
            ]

    def test_torn_down_in_reverse_also_after_a_failing_body(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def order(ipload_iteration, note):
        note("up order", ipload_iteration.number)
        yield
        note("down order", ipload_iteration.number)

    @pytest.fixture
    def receipt(order, note):
        note("up receipt")
        yield
        note("down receipt")

    @pytest.mark.ipload(iterations=2)
    def test(receipt):
        assert 0
""",
            failed=1,
        )
        one = ["up order {}", "up receipt", "down receipt", "down order {}"]
        assert run.user(0) == [text.format(number) for number in range(2) for text in one]

    def test_a_failing_set_up_is_a_failed_iteration_and_what_was_made_before_is_torn_down(
        self, pytester: pytest.Pytester
    ) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def order(ipload_iteration, request, note):
        request.addfinalizer(lambda: note("undone"))
        if ipload_iteration.number == 0:
            raise ValueError("no order")

    @pytest.mark.ipload(iterations=2)
    def test(order, note):
        note("body")
""",
            failed=1,
        )
        assert run.user(0) == ["undone", "body", "undone"]
        run.expect_lines("*1 x ValueError at test_it.py:9: no order (first: user 0, iteration 0)")

    def test_a_failing_teardown_is_a_failed_iteration(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def order(ipload_iteration):
        yield
        if ipload_iteration.number == 1:
            raise ValueError("cannot cancel")

    @pytest.mark.ipload(iterations=3)
    def test(order):
        pass
""",
            failed=1,
        )
        run.expect_lines("*1 x ValueError at test_it.py:9: cannot cancel (first: user 0, iteration 1)")

    def test_what_is_not_in_the_signature_is_made_too(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture(autouse=True)
    def order(ipload_iteration, note):
        note("up", ipload_iteration.number)

    @pytest.mark.ipload(iterations=2)
    def test(note):
        note("body")
""",
            passed=1,
        )
        assert run.user(0) == ["up 0", "body", "up 1", "body"]

    def test_the_iteration_tells_its_number_and_its_user(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=2, iterations=2)
    def test(ipload_iteration, ipload_user, note):
        assert ipload_iteration.user is ipload_user
        assert ipload_iteration.number == ipload_user.iteration
        note(ipload_iteration.number)
""",
            passed=1,
        )
        assert [run.user(0), run.user(1)] == [["0", "1"], ["0", "1"]]

    def test_getfixturevalue_in_the_body_gives_the_iterations_own_value(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def order(ipload_iteration, note):
        note("up", ipload_iteration.number)
        yield ipload_iteration.number
        note("down", ipload_iteration.number)

    @pytest.mark.ipload(iterations=2)
    def test(request, note):
        assert request.getfixturevalue("order") == request.getfixturevalue("order")
        note("body")
""",
            passed=1,
        )
        assert run.user(0) == ["up 0", "body", "down 0", "up 1", "body", "down 1"]

    def test_getfixturevalue_in_a_fixture_of_the_user_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user, request):
        return request.getfixturevalue("ipload_iteration")

    def test(shopper):
        pass
""",
            errors=1,
        )
        run.expect_lines("E * RuntimeError: ipload_iteration only exists while an iteration runs")

    def test_it_is_gone_when_the_user_leaves(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user, request):
        yield
        request.getfixturevalue("ipload_iteration")

    def test(shopper, ipload_iteration):
        pass
""",
            passed=1,
            errors=1,
        )
        run.expect_lines("E * RuntimeError: ipload_iteration only exists while an iteration runs")


class TestSharedFixtures:
    @pytest.mark.parametrize("scope", ["session", "package", "module", "class", "function"])
    def test_set_up_once_before_the_users_and_torn_down_after_them(self, pytester: pytest.Pytester, scope: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.fixture(scope={scope!r})
    def shop(note):
        note("open")
        yield object()
        note("close")

    @pytest.fixture
    def shopper(ipload_user, shop):
        return shop

    @pytest.mark.ipload(users=3)
    def test(shop, shopper, note):
        note(shop is shopper)
""",
            passed=1,
        )
        assert run.shared == ["open", "close"]
        assert run.all == ["open", "True", "True", "True", "close"]

    def test_tmp_path_is_one_directory_for_all_users(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=3)
    def test(tmp_path, ipload_user, note):
        (tmp_path / str(ipload_user.index)).touch()
        note(tmp_path)
""",
            passed=1,
        )
        assert len(set(run.all)) == 1
        assert len(run.all) == 3

    def test_a_shared_fixture_may_use_what_threads_cannot_share(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
    import os

    @pytest.fixture
    def setting(monkeypatch):
        monkeypatch.setenv("SHOP", "tea")

    @pytest.mark.ipload(users=2)
    def test(setting, ipload_user):
        assert os.environ["SHOP"] == "tea"
""",
            passed=1,
        )

    def test_a_module_scoped_one_is_shared_with_ordinary_tests(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture(scope="module")
    def shop(note):
        note("open")

    def test_before(shop):
        pass

    @pytest.mark.ipload(users=2)
    def test_load(shop):
        pass

    def test_after(shop):
        pass
""",
            passed=3,
        )
        assert run.all == ["open"]

    def test_that_gets_a_per_user_fixture_by_name_has_no_user_to_use(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user):
        return ipload_user

    @pytest.fixture
    def shared(request):
        return request.getfixturevalue("shopper").index

    def test(shopper, shared):
        pass
""",
            errors=1,
        )
        run.expect_lines("E * 'shopper' is a per-user fixture, but is requested by a shared fixture; *signature*")


class TestParametrisation:
    def test_of_the_test(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=2)
    @pytest.mark.parametrize("size", [1, 2])
    def test(size, ipload_user, note):
        note(size)
""",
            passed=2,
        )
        assert run.user(0) == run.user(1) == ["1", "2"]

    def test_with_a_marker_on_one_parameter(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.parametrize("size", [1, pytest.param(2, marks=pytest.mark.ipload(users=2))])
    def test(size, note):
        note(size)
""",
            passed=2,
        )
        assert (run.shared, run.user(0), run.user(1)) == (["1"], ["2"], ["2"])

    def test_of_a_shared_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture(params=["tea", "cake"], scope="module")
    def goods(request, note):
        note("up", request.param)
        return request.param

    @pytest.mark.ipload(users=2)
    def test(goods, ipload_user, note):
        note(goods)
""",
            passed=2,
        )
        assert run.shared == ["up tea", "up cake"]
        assert run.user(0) == run.user(1) == ["tea", "cake"]

    def test_of_a_per_user_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture(params=["tea", "cake"])
    def goods(request, ipload_user, note):
        note("up", request.param)
        return request.param

    @pytest.fixture
    def order(goods):
        return f"order of {goods}"

    @pytest.mark.ipload(users=2)
    def test(order, note):
        note(order)
""",
            passed=2,
        )
        assert run.shared == []
        assert run.user(0) == run.user(1) == ["up tea", "order of tea", "up cake", "order of cake"]

    def test_of_a_per_user_fixture_from_the_test(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def goods(request, ipload_user):
        return f"{request.param} of {ipload_user.index}"

    @pytest.mark.ipload(users=2)
    @pytest.mark.parametrize("goods", ["tea", "cake"], indirect=True)
    def test(goods, note):
        note(goods)
""",
            passed=2,
        )
        assert [run.user(0), run.user(1)] == [["tea of 0", "cake of 0"], ["tea of 1", "cake of 1"]]

    def test_that_takes_the_place_of_a_per_user_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def goods(ipload_user):
        raise AssertionError("not asked for")

    @pytest.mark.parametrize("goods", ["tea", "cake"])
    def test(goods, note):
        note(goods)
""",
            passed=2,
        )
        assert run.shared == ["tea", "cake"]
        run.result.stdout.no_fnmatch_line("*load tests*")


class TestClasses:
    def test_each_user_has_its_own_self(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=3, iterations=2)
    class TestShop:
        def test(self, ipload_user, note):
            seen = getattr(self, "seen", [])
            self.seen = [*seen, ipload_user.index]
            note(self.seen)
""",
            passed=1,
        )
        for user in range(3):
            assert run.user(user) == [f"[{user}]", f"[{user}, {user}]"]

    def test_what_a_shared_fixture_put_on_self_is_seen_by_all(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=2)
    class TestShop:
        @pytest.fixture(autouse=True)
        def prepare(self):
            self.goods = "tea"

        def setup_method(self):
            self.place = "counter"

        def test(self, ipload_user, note):
            note(self.goods, self.place)
""",
            passed=1,
        )
        assert run.user(0) == run.user(1) == ["tea counter"]

    def test_a_per_user_method_fixture_and_the_body_have_the_same_self(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    class Base:
        @pytest.fixture
        def shopper(self, ipload_user, request):
            assert request.instance is self
            self.name = f"user {ipload_user.index}"
            yield self
            ipload_user.state["note"]("left", self.name)

    class TestShop(Base):
        @pytest.mark.ipload(users=2)
        def test(self, shopper, ipload_user, request, note):
            ipload_user.state["note"] = note
            note(self.name, shopper is self, request.instance is self)
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user) == [f"user {user} True True", f"left user {user}"]

    def test_the_next_test_of_the_class_has_a_fresh_self(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
    class TestShop:
        @pytest.mark.ipload(users=2)
        def test_load(self):
            self.spoiled = True

        def test_ordinary(self):
            assert not hasattr(self, "spoiled")
""",
            passed=2,
        )

    def test_an_instance_that_cannot_be_copied_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    class TestShop:
        def __copy__(self):
            raise TypeError("there is only one shop")

        @pytest.mark.ipload(users=2)
        def test(self):
            pass
""",
            errors=1,
        )
        run.expect_lines("E * TypeError: there is only one shop")

    @pytest.mark.parametrize("kind", ["staticmethod", "classmethod"])
    def test_a_test_need_not_have_a_self(self, pytester: pytest.Pytester, kind: str) -> None:
        arguments = "cls, note" if kind == "classmethod" else "note"
        run = whole_run(
            pytester,
            f"""
    class TestShop:
        @pytest.mark.ipload(users=2)
        @{kind}
        def test({arguments}):
            note("body")
""",
            passed=1,
        )
        assert run.user(0) == run.user(1) == ["body"]

    def test_a_fixture_of_a_plugin_object_keeps_its_own_self(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    class TestShop:
        @pytest.mark.ipload(users=2)
        def test(self, goods, note):
            note(goods)
""",
            conftest="""
    class Plugin:
        name = "tea"

        @pytest.fixture
        def goods(self, ipload_user):
            return f"{self.name} {ipload_user.index}"

    def pytest_configure(config):
        config.pluginmanager.register(Plugin())
""",
            passed=1,
        )
        assert (run.user(0), run.user(1)) == (["tea 0"], ["tea 1"])


class TestOverridingByName:
    def test_a_fixture_may_ask_for_its_parent_in_conftest_module_and_class(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(shopper, note):
        note("up module")
        yield f"{shopper}, module"
        note("down module")

    class TestShop:
        @pytest.fixture
        def shopper(self, shopper):
            return f"{shopper}, class"

        @pytest.mark.ipload(users=2)
        def test(self, shopper, note):
            note(shopper)
""",
            conftest="""
    @pytest.fixture
    def shopper(ipload_user, note):
        note("up conftest")
        yield f"user {ipload_user.index}, conftest"
        note("down conftest")
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user) == [
                "up conftest",
                "up module",
                f"user {user}, conftest, module, class",
                "down module",
                "down conftest",
            ]

    def test_of_ipload_user_itself(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def ipload_user(ipload_user):
        ipload_user.state["name"] = f"user {ipload_user.index}"
        return ipload_user

    @pytest.mark.ipload(users=2, iterations=2)
    def test(ipload_user, ipload_iteration, note):
        assert ipload_iteration.user is ipload_user
        note(ipload_user.state["name"])
""",
            passed=1,
        )
        assert [run.user(0), run.user(1)] == [["user 0"] * 2, ["user 1"] * 2]

    def test_of_ipload_session(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def ipload_session(ipload_session, ipload_user):
        ipload_session.headers["X-User"] = str(ipload_user.index)
        return ipload_session

    @pytest.mark.ipload(users=2)
    def test(ipload_session, note):
        note(ipload_session.headers["X-User"])
""",
            passed=1,
        )
        assert (run.user(0), run.user(1)) == (["0"], ["1"])

    def test_by_a_fixture_that_has_nothing_to_do_with_users_makes_it_a_shared_one(
        self, pytester: pytest.Pytester
    ) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def ipload_user(note):
        note("up")
        return "nobody"

    @pytest.mark.ipload(users=2)
    def test(ipload_user, note):
        note(ipload_user)
""",
            passed=1,
        )
        assert run.shared == ["up"]
        assert run.user(0) == run.user(1) == ["nobody"]

    def test_a_shared_fixture_may_be_overridden_by_a_per_user_one(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def name(name, ipload_user):
        return f"{name} {ipload_user.index}"

    @pytest.mark.ipload(users=2)
    def test(name, note):
        note(name)
""",
            conftest="""
    @pytest.fixture(scope="session")
    def name(note):
        note("up")
        return "customer"
""",
            passed=1,
        )
        assert run.shared == ["up"]
        assert (run.user(0), run.user(1)) == (["customer 0"], ["customer 1"])


class TestRequest:
    def test_tells_param_node_and_name(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture(params=[7])
    def shopper(request, ipload_user):
        return request.param, request.node.name, request.fixturename, request.config is not None

    @pytest.mark.ipload(users=2)
    def test(shopper, request, note):
        note(*shopper, request.node.name, request.scope)
""",
            passed=1,
        )
        assert run.user(0) == run.user(1) == ["7 test[7] shopper True test[7] function"]

    def test_a_finalizer_runs_when_the_user_leaves(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(request, ipload_user, note):
        request.addfinalizer(lambda: note("down first"))
        request.addfinalizer(lambda: note("down second"))
        yield
        note("behind the yield")

    @pytest.mark.ipload(users=2)
    def test(shopper, request, note):
        request.addfinalizer(lambda: note("down body"))
        note("body")
""",
            passed=1,
        )
        for user in range(2):
            assert run.user(user) == ["body", "down body", "behind the yield", "down second", "down first"]

    def test_getfixturevalue_in_a_per_user_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.fixture(scope="module")
    def shop(note):
        note("open")
        yield "shop"
        note("close")

    @pytest.fixture
    def shopper(ipload_user, request):
        return [request.getfixturevalue(name) for name in ("second", "first", "shop")]

    @pytest.mark.ipload(users=3)
    def test(shopper, first, note):
        assert shopper[1] is first
        note(*shopper)
""",
            passed=1,
        )
        for user in range(3):
            own = [text for text in run.user(user) if text != "open"]
            assert own == [
                f"up first {user}",
                f"up second of first-{user}",
                f"second of first-{user} first-{user} shop",
                f"down second of first-{user}",
                f"down first {user}",
            ]
        assert run.all.count("open") == run.all.count("close") == 1
        assert run.all[-1] == "close"

    def test_getfixturevalue_in_the_body(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            f"""{CHAIN}
    @pytest.fixture
    def shop(note):
        note("open")
        yield "shop"
        note("close")

    @pytest.mark.ipload(users=3, iterations=2)
    def test(request, note):
        note(request.getfixturevalue("second"), request.getfixturevalue("shop"))
""",
            passed=1,
        )
        for user in range(3):
            own = [text for text in run.user(user) if text != "open"]
            assert own == [
                f"up first {user}",
                f"up second of first-{user}",
                *[f"second of first-{user} shop"] * 2,
                f"down second of first-{user}",
                f"down first {user}",
            ]
        assert run.all.count("open") == run.all.count("close") == 1

    def test_getfixturevalue_of_a_shared_fixture_sets_it_up_once_however_many_ask_at_once(
        self, pytester: pytest.Pytester
    ) -> None:
        run = whole_run(
            pytester,
            """
    asking = threading.Barrier(3)
    again = threading.Event()
    opened = []

    @pytest.fixture
    def shop(note):
        note("open")
        opened.append(1)
        if len(opened) > 1:
            again.set()
        again.wait(0.1)

    @pytest.mark.ipload(users=3)
    def test(request):
        asking.wait(10)
        request.getfixturevalue("shop")
""",
            passed=1,
        )
        assert run.all == ["open"]

    def test_getfixturevalue_of_a_shared_fixture_that_fails_shows_where(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shop(note):
        note("open")
        raise ValueError("closed")

    @pytest.mark.ipload(users=2)
    def test(request):
        request.getfixturevalue("shop")
""",
            failed=1,
        )
        assert run.all == ["open"]
        run.expect_lines("  2 x ValueError at test_it.py:8: closed *", '>       raise ValueError("closed")')
        run.result.stdout.no_fnmatch_line("*pytest_ipload/*")

    def test_getfixturevalue_of_a_name_that_is_not_known_is_pytests_own_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    def test(ipload_user, request):
        request.getfixturevalue("shoper")
""",
            failed=1,
        )
        run.expect_lines("E * fixture 'shoper' not found")

    def test_getfixturevalue_of_the_fixture_itself_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user, request):
        return request.getfixturevalue("shopper")

    def test(shopper):
        pass
""",
            errors=1,
        )
        run.expect_lines("E * fixture 'shopper' requests itself*")

    def test_getfixturevalue_from_another_thread_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user):
        return ipload_user

    @pytest.mark.ipload(users=2)
    def test(request, note):
        def ask():
            try:
                request.getfixturevalue("shopper")
            except RuntimeError as error:
                note(error)

        thread = threading.Thread(target=ask, name="helper")
        thread.start()
        thread.join()
""",
            passed=1,
        )
        assert sorted(run.shared) == [
            f"request.getfixturevalue('shopper') only works in the thread of user {user}, not in 'helper'; "
            "get the value before the thread is started"
            for user in range(2)
        ]

    @pytest.mark.parametrize("name", ["shopper", "ipload_user", "ipload_session", "ipload_iteration"])
    def test_getfixturevalue_in_an_ordinary_test_is_an_error(self, pytester: pytest.Pytester, name: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.fixture
    def shopper(ipload_user):
        return ipload_user

    def test(request):
        request.getfixturevalue({name!r})
""",
            failed=1,
        )
        run.expect_lines(
            "ipload_user (or a fixture that depends on it) was requested too late, by request.getfixturevalue() in a "
            "test *"
        )


class TestFixturesThatThreadsCannotShare:
    @pytest.mark.parametrize("name", ["capsys", "capfd", "capsysbinary", "capfdbinary", "monkeypatch", "recwarn"])
    def test_are_refused_with_several_users(self, pytester: pytest.Pytester, name: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.mark.ipload(users=2)
    def test({name}, ipload_user, note):
        note("body")
""",
            errors=1,
        )
        run.expect_lines(f"*2 users would share state of the whole process, through the test: {name}; *")
        assert run.all == []

    def test_are_allowed_where_the_body_has_no_hold_of_them(self, pytester: pytest.Pytester) -> None:
        whole_run(
            pytester,
            """
    @pytest.mark.ipload(users=2)
    @pytest.mark.usefixtures("recwarn")
    def test():
        pass
""",
            passed=1,
        )

    @pytest.mark.parametrize(("marker", "argument"), [("", "shopper"), ("@pytest.mark.usefixtures('shopper')", "")])
    def test_are_refused_in_a_per_user_fixture(self, pytester: pytest.Pytester, marker: str, argument: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.fixture
    def shopper(ipload_user, monkeypatch):
        pass

    @pytest.mark.ipload(users=2)
    {marker}
    def test({argument}):
        pass
""",
            errors=1,
        )
        run.expect_lines("*2 users would share *, through the per-user fixture 'shopper': monkeypatch; *")

    def test_are_refused_in_an_overridden_per_user_fixture(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(shopper):
        return shopper

    @pytest.mark.ipload(users=2)
    def test(shopper):
        pass
""",
            conftest="""
    @pytest.fixture
    def shopper(ipload_user, capsys):
        pass
""",
            errors=1,
        )
        run.expect_lines("*2 users would share *, through the per-user fixture 'shopper': capsys; *")

    @pytest.mark.parametrize("name", ["monkeypatch", "shopper"])
    def test_are_refused_by_getfixturevalue(self, pytester: pytest.Pytester, name: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.fixture
    def shopper(ipload_user, monkeypatch):
        pass

    @pytest.mark.ipload(users=2)
    def test(request):
        request.getfixturevalue({name!r})
""",
            errors=1,
        )
        run.expect_lines("*2 users would share state of the whole process, through *: monkeypatch; *")

    @pytest.mark.skipif(getattr(sys.flags, "context_aware_warnings", False), reason="each thread has its own warnings")
    def test_checks_of_warnings_are_refused_too(self, pytester: pytest.Pytester) -> None:
        source = """
    @pytest.mark.ipload(users={users})
    def test(ipload_user):
        with pytest.warns(DeprecationWarning):
            warnings.warn("old", DeprecationWarning)
"""
        run = whole_run(pytester, "    import warnings\n" + source.format(users=2), errors=1)
        run.expect_lines("*2 users would share state of the whole process, through the test: pytest.warns(); *")
        whole_run(pytester, "    import warnings\n" + source.format(users=1), passed=1)

    def test_all_places_are_named_at_once(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user, monkeypatch):
        pass

    @pytest.mark.ipload(users=2)
    def test(shopper, capsys):
        pass
""",
            errors=1,
        )
        run.expect_lines("*, through the per-user fixture 'shopper': monkeypatch, the test: capsys; *")

    @pytest.mark.parametrize("ask", ["capsys", "request"])
    def test_are_allowed_with_one_user(self, pytester: pytest.Pytester, ask: str) -> None:
        value = "capsys" if ask == "capsys" else "request.getfixturevalue('capsys')"
        whole_run(
            pytester,
            f"""
    @pytest.fixture
    def shopper(ipload_user, {ask}):
        return {value}

    def test(shopper, {ask}):
        print("hello")
        assert {value}.readouterr().out == "hello\\n"
        assert shopper is {value}
""",
            passed=1,
        )


class TestBadFixtures:
    @pytest.mark.parametrize("scope", ["session", "package", "module", "class"])
    @pytest.mark.parametrize("name", ["ipload_user", "ipload_session", "ipload_iteration", "shopper"])
    def test_a_wider_scope_cannot_ask_for_a_user(self, pytester: pytest.Pytester, scope: str, name: str) -> None:
        run = whole_run(
            pytester,
            f"""
    @pytest.fixture
    def shopper(ipload_user):
        return ipload_user

    @pytest.fixture(scope={scope!r})
    def wide({name}):
        pass

    def test(wide):
        pass
""",
            errors=1,
        )
        run.expect_lines(
            f"*a fixture of the scope {scope} cannot ask for {name}: that is a user's own, *" * (name != "shopper")
            + "*",
            f"ScopeMismatch: You tried to access the function scoped fixture {name} with a {scope} scoped *",
        )

    def test_a_fixture_that_does_not_yield_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user):
        if ipload_user.index < 0:
            yield

    def test(shopper):
        pass
""",
            errors=1,
        )
        run.expect_lines("E * ValueError: fixture 'shopper' did not yield a value")
        assert run.phases("failed") == ["setup"]

    def test_a_fixture_that_yields_twice_is_an_error(self, pytester: pytest.Pytester) -> None:
        run = whole_run(
            pytester,
            """
    @pytest.fixture
    def shopper(ipload_user):
        yield 1
        yield 2

    def test(shopper):
        pass
""",
            passed=1,
            errors=1,
        )
        run.expect_lines("E * ValueError: fixture 'shopper' yields more than once")
        assert run.phases("failed") == ["teardown"]
