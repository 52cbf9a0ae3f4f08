"""Load tests whose iterations run one of several bodies: the marker ``ipload_mix`` and the fixture ``ipload_body``."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from support.whole_run import WholeRun, whole_run

SHOP = """
    @pytest.fixture(scope="session")
    def catalogue(note):
        note("catalogue")
        return ["tea", "cake"]

    @pytest.fixture
    def shopper(ipload_user, note):
        note("login", ipload_user.index)
        yield ipload_user
        note("logout", ipload_user.index)

    @pytest.fixture
    def basket(shopper, ipload_iteration, note):
        note("basket", shopper.index)
        yield []
        note("empty", shopper.index)

    def browse(shopper, catalogue, note):
        note("browse", shopper.index)

    def buy(shopper, basket, note):
        assert basket == []
        note("buy", shopper.index)

    @pytest.mark.ipload(users=4, iterations=8)
    @pytest.mark.ipload_mix(browse=3, buy=1)
    def test_shop(ipload_body, note):
        ipload_body()
        note("ran", ipload_body.name)
"""


def bodies_of(run: WholeRun, user: int) -> list[str]:
    """Which bodies a user ran, in order."""
    return [event.partition(" ")[0] for event in run.all if re.fullmatch(rf"(browse|buy) {user}", event)]


def test_each_iteration_runs_a_body_with_its_own_fixtures(pytester: pytest.Pytester) -> None:
    run = whole_run(pytester, SHOP, passed=1)
    events = Counter(event.partition(" ")[0] for event in run.all)
    assert events == {
        "catalogue": 1,
        "login": 4,
        "logout": 4,
        "browse": 24,
        "buy": 8,
        "basket": 8,
        "empty": 8,
        "ran": 32,
    }
    assert Counter(run.user(1)) >= Counter({"ran browse": 6, "ran buy": 2, "login 1": 1, "logout 1": 1})
    assert len({tuple(bodies_of(run, user)) for user in range(4)}) == 4, "users do not move in step"


def test_the_bodies_are_those_of_the_seed_in_however_many_parts_the_load_is_run(pytester: pytest.Pytester) -> None:
    whole = whole_run(pytester, SHOP, "--ipload-seed=3", passed=1)
    expected = [bodies_of(whole, user) for user in range(4)]
    for part in range(2):
        options = (f"--ipload-segment={part}/2", "--ipload-json=part.json", "--ipload-seed=3")
        run = whole_run(pytester, SHOP, *options, passed=1)
        assert [bodies_of(run, user) for user in (part, part + 2)] == [expected[part], expected[part + 2]]
    other = whole_run(pytester, SHOP, "--ipload-seed=4", passed=1)
    assert [bodies_of(other, user) for user in range(4)] != expected


def test_each_body_is_a_step_that_thresholds_judge(pytester: pytest.Pytester) -> None:
    source = SHOP.replace(
        "@pytest.mark.ipload(", '@pytest.mark.ipload_threshold("p95{step:buy} < 1us")\n    @pytest.mark.ipload('
    )
    run = whole_run(pytester, source, "--ipload-json=out.json", failed=1)
    run.expect_lines("*p95{step:buy} *limit < 1.00 us*")
    [test] = json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]
    assert {step["name"]: step["count"] for step in test["steps"]} == {"browse": 24, "buy": 8}


def test_the_plan_names_the_bodies(pytester: pytest.Pytester) -> None:
    whole_run(pytester, SHOP, "--collect-only", "-v").expect_lines("*test_shop: 4 users*, mix browse=3 buy=1, *")


def test_methods_parameters_and_parametrised_fixtures(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.fixture(params=["de", "en"])
        def language(request):
            return request.param

        def outside(language, note):
            note("outside", language)

        class TestShop:
            visits = 0

            def look(self, size, note):
                self.visits += 1
                note("look", size, self.visits)

            @staticmethod
            def talk(request, note):
                note("talk", request.getfixturevalue("ipload_user").index)

            @pytest.mark.ipload(users=2, iterations=3)
            @pytest.mark.ipload_mix(look=1, talk=1, outside=1)
            @pytest.mark.parametrize("size", [7])
            def test_it(self, ipload_body):
                ipload_body()
    """
    run = whole_run(pytester, source, passed=2)
    assert Counter(run.all) == {"look 7 1": 4, "talk 0": 2, "talk 1": 2, "outside de": 2, "outside en": 2}


def test_in_an_async_test_bodies_may_be_coroutines(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio

        @pytest.fixture
        async def shopper(ipload_user):
            await asyncio.sleep(0)
            yield ipload_user

        async def buy(shopper, note):
            await asyncio.sleep(0)
            note("buy", shopper.index)

        def browse(shopper, note):
            note("browse", shopper.index)

        @pytest.mark.ipload(users=2, iterations=2)
        @pytest.mark.ipload_mix(browse=1, buy=1)
        async def test_it(ipload_body):
            await ipload_body()
    """
    assert Counter(whole_run(pytester, source, passed=1).all) == {"browse 0": 1, "buy 0": 1, "browse 1": 1, "buy 1": 1}


def test_a_body_that_raises_fails_its_step_and_the_iteration(pytester: pytest.Pytester) -> None:
    source = """
        def good():
            pass

        def bad():
            assert 1 == 2

        @pytest.mark.ipload(users=2, iterations=2)
        @pytest.mark.ipload_mix(good=1, bad=1)
        def test_it(ipload_body):
            ipload_body()
    """
    run = whole_run(pytester, source, failed=1)
    run.expect_lines("*error_rate 50 %*", "*2 x AssertionError at *test_it.py:*", "E *assert 1 == 2*", "bad *2 *2 *")


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("(brows=3)", "there is no 'brows' in module test_it (did you mean 'browse'?); functions there: 'browse', *"),
        (
            "(browse=0)",
            "browse=0: a weight is a whole number of 1 or more, as in @pytest.mark.ipload_mix(browse=3, buy=1)",
        ),
        ("(browse=0.5)", "browse=0.5: a weight is a whole number of 1 or more*"),
        ("(browse=True)", "browse=True: a weight is a whole number of 1 or more*"),
        ("()", "the mix is empty; give each body a weight*"),
        ("({'browse': 1})", "takes bodies by their names, as in *; got {'browse': 1}"),
        ("(test_other=1)", "pytest collects test_other (test_it.py:*) as a test of its own, too; give it another name"),
        ("(limit=1)", "'limit' is not a function, but int: 5"),
        ("(row=1)", "'row' is not a function, but *"),
        ("(generate=1)", "the body generate (test_it.py:*) is a generator function, which does nothing when called"),
        (
            "(later=1)",
            "later (test_it.py:*) is a coroutine function *; write 'async def test_it' and 'await ipload_body()'",
        ),
        ("(again=1)", "again (test_it.py:*) asks for ipload_body, which would run it again; only the test may"),
        ("(patched=1)", "patched (test_it.py:*) is decorated with mock.patch, which users cannot share; remove it"),
        ("(lost=1)", "lost (test_it.py:*) asks for 'nothing', which is neither a fixture nor a parameter of the test"),
        ("(browse=1001, again=1000)", "*"),
    ],
)
def test_what_is_wrong_with_a_mix_is_an_error_of_the_set_up(pytester: pytest.Pytester, mark: str, says: str) -> None:
    source = f"""
        from unittest import mock
        limit = 5
        @pytest.fixture
        def row(): pass
        def browse(): pass
        def generate(): yield
        async def later(): pass
        def again(ipload_body): pass
        def lost(nothing): pass
        @mock.patch("os.sep", "/")
        def patched(): pass
        def test_other(): pass

        @pytest.mark.ipload_mix{mark}
        def test_it(ipload_body):
            ipload_body()
    """
    run = whole_run(pytester, source, passed=1, errors=1)
    says = says.replace("[", "[[]")
    run.expect_lines("*ERROR at setup of test_it*", f"marker ipload_mix: {says}")
    run.result.stdout.no_fnmatch_line("Traceback*")


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("@pytest.mark.ipload_mix(browse=1)\ndef test_it(): pass", "the marker ipload_mix needs a test that takes *"),
        ("def test_it(ipload_body): ipload_body()", "the fixture ipload_body runs the bodies of a mix; name them*"),
        (
            "@pytest.mark.ipload_mix(browse=1)\n@pytest.mark.ipload_mix(browse=2)\ndef test_it(ipload_body): pass",
            "marker ipload_mix: there are two of them in one place; name all bodies in one",
        ),
        (
            "@pytest.mark.ipload(users=2)\n@pytest.mark.ipload_mix(peek=1)\ndef test_it(ipload_body): ipload_body()",
            "2 users would share state of the whole process, through the body peek: capsys; *",
        ),
    ],
)
def test_a_test_that_does_not_fit_its_mix_is_an_error(pytester: pytest.Pytester, test: str, says: str) -> None:
    pytester.makepyfile(test_it=f"import pytest\ndef browse(): pass\ndef peek(capsys): pass\n{test}\n")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])


@pytest.mark.parametrize(("test", "call"), [("def", "ipload_body"), ("async def", "await ipload_body")])
def test_an_iteration_that_does_not_run_its_body_ends_the_load(pytester: pytest.Pytester, test: str, call: str) -> None:
    source = f"""
        def browse(): pass

        @pytest.mark.ipload(users=2, iterations=2)
        @pytest.mark.ipload_mix(browse=1)
        {test} test_it(ipload_body):
            pass
    """
    run = whole_run(pytester, source, errors=1)
    run.expect_lines(f"the test ended without running browse, *; let each iteration run it by {call}()")
    run.result.stdout.no_fnmatch_line("*iterations.py*")


def test_bodies_are_looked_through_as_that_of_the_test_is(pytester: pytest.Pytester) -> None:
    source = """
        import requests

        @pytest.fixture(scope="session")
        def session():
            return requests.Session()

        def browse(session):
            pass

        def fetch(catalogue=()):
            if catalogue:
                requests.get("http://127.0.0.1/")

        @pytest.mark.ipload(users=2, iterations=2)
        @pytest.mark.ipload_mix(browse=1, fetch=1)
        def test_it(ipload_body):
            ipload_body()
    """
    run = whole_run(pytester, source, passed=1)
    run.result.stdout.fnmatch_lines_random(
        ["*all users share 'session' (requests.sessions.Session)*", "*the body fetch uses requests.get() itself*"]
    )


def test_a_marker_that_comes_after_collection_counts_too(pytester: pytest.Pytester) -> None:
    conftest = """
        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.ipload_mix(browse=1))
    """
    source = """
        @pytest.fixture
        def shopper(ipload_user): return ipload_user.index
        def browse(shopper, note): note("browse", shopper)
        def test_it(ipload_body): ipload_body()
    """
    assert whole_run(pytester, source, conftest=conftest, passed=1).all == ["browse 0"]


def test_the_nearest_marker_counts_and_its_bodies_alone(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.fixture
        def costly(ipload_user):
            raise RuntimeError("not asked for")

        @pytest.mark.ipload_mix(one=1)
        class TestShop:
            def one(self, costly): pass
            def two(self, note): note("two")

            @pytest.mark.ipload_mix(two=1)
            def test_it(self, ipload_body): ipload_body()
    """
    assert whole_run(pytester, source, passed=1).all == ["two"]
