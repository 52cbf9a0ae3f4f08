"""Several items set up at once, by pytest's own fixtures; no loads."""

from __future__ import annotations

import pytest
from support.whole_run import whole_run

from pytest_ipload.plugin.run import parked_items

CONFTEST = """
    from _pytest.runner import CallInfo
    from pytest_ipload.plugin.run.parked_items import ParkedItems, begin, end, run_phase

    class Parking:
        '''Runs all items of the session set up at the same time: set-ups, calls, and teardowns in the reverse order.'''

        def __init__(self, session):
            self.session, self.parked = session, ParkedItems(session)

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_fixture_setup(self, fixturedef, request):
            self.parked.note(fixturedef, request.node)
            return (yield)

        def pytest_runtestloop(self, session):
            items = session.items
            reports = {item: [] for item in items}

            def run(item, when, **arguments):
                self.parked.switch_to(item)
                reports[item].append(run_phase(item, when, **arguments))

            for item in items:
                begin(item)
                run(item, "setup")
            for item in items:
                if reports[item][0].passed:
                    run(item, "call")
            for item, outer in zip(items[::-1], [*items[:-1][::-1], None]):
                run(item, "teardown", nextitem=outer)
                end(item)
            assert not session._setupstate.stack
            for item in items:
                session.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                for report in reports[item]:
                    session.ihook.pytest_runtest_logreport(report=report)
                session.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            return True

    def pytest_collection(session):
        session.config.pluginmanager.register(Parking(session))

    @pytest.fixture(scope="module")
    def of_module(request, note):
        note("up module", request.module.__name__)
        yield request.module.__name__
        note("down module", request.module.__name__)
"""
SOURCE = """
    @pytest.fixture(scope="session")
    def of_session(note):
        note("up session")
        yield 1
        note("down session")

    @pytest.fixture(scope="class")
    def of_class(request, note):
        note("up class", request.cls.__name__)
        yield request.cls.__name__
        note("down class", request.cls.__name__)

    @pytest.fixture(params=["x", "y"])
    def each(request, note, of_module):
        note("up", request.node.name)
        request.addfinalizer(lambda: note("finalizer", request.node.name))
        yield request.node.name
        note("down", request.node.name)

    class TestOne:
        def test_a(self, each, of_class, of_session, request):
            assert (each, of_class) == (request.node.name, "TestOne")

    class TestTwo:
        def test_b(self, each, of_class, request):
            assert (each, of_class) == (request.node.name, "TestTwo")
            assert request.getfixturevalue("of_session") == 1

    def setup_function(function):
        assert function.__name__ == "test_c"

    def test_c(of_module, note):
        assert of_module == "test_it"
"""


def test_each_has_its_own_and_shares_the_rest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_other="""
        def test_of_another_module(of_module, note):
            assert of_module == "test_other"
        """
    )
    run = whole_run(pytester, SOURCE, "test_it.py", "test_other.py", conftest=CONFTEST, passed=6)
    assert run.all == [
        *("up session", "up module test_it", "up class TestOne", "up test_a[x]", "up test_a[y]"),
        *("up class TestTwo", "up test_b[x]", "up test_b[y]"),
        *("up module test_other", "down module test_other"),
        *("down test_b[y]", "finalizer test_b[y]", "down test_b[x]", "finalizer test_b[x]", "down class TestTwo"),
        *("down test_a[y]", "finalizer test_a[y]", "down test_a[x]", "finalizer test_a[x]", "down class TestOne"),
        *("down module test_it", "down session"),
    ]


def test_an_error_in_a_teardown_is_that_of_its_own_test(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.fixture
        def breaks(note):
            yield
            note("breaks")
            raise ValueError("no")

        @pytest.fixture
        def fine(note):
            yield
            note("fine")

        def test_a(fine):
            pass

        def test_b(breaks, fine):
            pass

        def test_c(fine):
            pass

        @pytest.fixture
        def refuses():
            raise ValueError("not set up")

        def test_d(fine, refuses):
            pass
    """
    run = whole_run(pytester, source, conftest=CONFTEST, passed=3, errors=2)
    assert run.all == ["fine", "fine", "fine", "breaks", "fine"]
    assert [report.nodeid for report in run.reports if report.failed] == ["test_it.py::test_b", "test_it.py::test_d"]


def test_what_pytest_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parked_items.missing() == []
    monkeypatch.delattr("_pytest.runner.show_test_item")
    assert parked_items.missing() == ["_pytest.runner.show_test_item"]
    monkeypatch.undo()
    monkeypatch.setattr("_pytest.runner.SetupState", object)
    assert parked_items.missing() == ["_pytest.runner.SetupState.stack"]
