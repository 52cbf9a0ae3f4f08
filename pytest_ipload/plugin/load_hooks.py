"""The hooks that run load tests. Wiring only: the work is done in the modules that they call.

A plugin of its own, registered right behind the package's: its hooks have that one's place among those of other
plugins. A session in which collection finds no load test goes on without it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.plugin.fixtures.per_user_names import may_be_per_user, wider_scope
from pytest_ipload.plugin.items import markers
from pytest_ipload.plugin.session_state import LOAD_TEST, state_of

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest  # the type of the hook's request, which pytest does not export

_IS_IN_PHASE = pytest.StashKey[bool]()
"""Whether a phase of the item is running: a report made meanwhile is that of a subtest."""


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_collection_modifyitems_completed(items: list[pytest.Item]) -> None:
    """Give load tests of Schemathesis node ids and markers of their own, before any are selected."""
    if "schemathesis" in sys.modules:
        from pytest_ipload.plugin.items.schemathesis_items import complete

        complete(items)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Serve ``--ipload-only`` and ``--ipload-skip``."""
    only, skip = config.getoption("ipload_only"), config.getoption("ipload_skip")
    if not (only or skip):
        return
    left_out = [item for item in items if markers.is_load_test(item) != bool(only)]
    items[:] = [item for item in items if markers.is_load_test(item) == bool(only)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Print the load plans with ``--collect-only -v``."""
    if session.config.option.collectonly and session.config.get_verbosity() > 0:
        from pytest_ipload.plugin.reporting.load_plans import print_plans

        print_plans(session)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Check the markers, let pytest set up the item, then set up the users."""
    if not markers.look_for_loads(item):
        return (yield)
    if LOAD_TEST in item.stash:  # of an earlier run
        del item.stash[LOAD_TEST]
    with _phase(item, "setup"):
        from pytest_ipload.plugin.run.prepare import prepare

        test = prepare(item, state_of(item.config))
        if test is not None:
            item.stash[LOAD_TEST] = test
        try:
            result = yield
        except pytest.FixtureLookupError as error:
            text = None if test is None else test.bodies.unknown_fixture(error)
            if text is None:
                raise
            raise pytest.fail.Exception(text, pytrace=False) from None
        except pytest.fail.Exception as error:
            if (text := wider_scope(str(error.msg))) is None:
                raise
            raise pytest.fail.Exception(text, pytrace=False) from None
        only_fixtures = item.config.getoption("setupplan", False) or item.config.getoption("setuponly", False)
        if test is not None and not only_fixtures:
            __tracebackhide__ = True  # not before: an error in pytest's own set-up is to be shown as usual
            test.set_up()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True, specname="pytest_fixture_setup")
def pytest_fixture_setup_noted(
    fixturedef: pytest.FixtureDef[Any], request: SubRequest
) -> Generator[None, object | None, object | None]:
    """Look at a fixture of a load test before other plugins replace its function."""
    if may_be_per_user(fixturedef, request):
        from pytest_ipload.plugin.fixtures.definitions import note_definition

        note_definition(request.node, fixturedef)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: SubRequest) -> object | None:
    """Put a placeholder in place of a fixture that each user has for itself."""
    if not may_be_per_user(fixturedef, request):
        return None
    from pytest_ipload.plugin.fixtures.placeholders import placeholder

    value = placeholder(fixturedef, request)
    if value is None:
        return None
    # As pytest's own implementation of this hook does: the next request for the fixture finds its value here. This
    # comes first, because pytest forgets the finalizers of a fixture only if there is a result.
    fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
    if value.is_user:
        request.node.stash[LOAD_TEST].ask_base_url(request)
    return value


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run the body of a load test: many times, on many threads."""
    __tracebackhide__ = True
    test = pyfuncitem.stash.get(LOAD_TEST, None)
    if test is None:
        return None
    from pytest_ipload.plugin.fixtures.returned_values import warn_of_returned

    test.run()
    warn_of_returned(pyfuncitem)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Raise the verdict in the call phase, so that xfail, --pdb, -x and reports treat it as any test's failure."""
    if not markers.may_run_loads(item):
        return (yield)
    from pytest_ipload.plugin.fixtures.async_body import kept_from_others

    test = item.stash.get(LOAD_TEST, None)
    with _phase(item, "call"), kept_from_others(item):
        result = yield
    if test is not None:
        test.judge()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note for a load test that its teardown was interrupted."""
    if not markers.may_run_loads(item):
        return (yield)
    with _phase(item, "teardown"):
        return (yield)


@contextmanager
def _phase(item: pytest.Item, when: str) -> Iterator[None]:
    """A phase of an item that may run loads; its results so far are kept if the phase is interrupted."""
    item.stash[_IS_IN_PHASE] = True
    state = state_of(item.config)
    state.running = item
    try:
        yield
    except (KeyboardInterrupt, pytest.exit.Exception) as error:
        from pytest_ipload.plugin.reporting.phase_reports import kept_when_interrupted

        kept_when_interrupted(item, when, error, item.stash.get(LOAD_TEST, None))
        raise
    finally:
        item.stash[_IS_IN_PHASE] = False
        if state.whole_loads is not None:
            state.whole_loads.phase_over()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the results on the report of the phase that ended the load test: they travel with it, also from a worker."""
    if not markers.may_run_loads(item) or item.stash.get(_IS_IN_PHASE, False):
        return (yield)
    from pytest_ipload.base.interrupts import interrupts_deferred
    from pytest_ipload.plugin.reporting import phase_reports
    from pytest_ipload.report.tracebacks import shown_to_user

    test = item.stash.get(LOAD_TEST, None)
    phase_reports.without_excess(call)
    with interrupts_deferred() as deferral:
        try:
            with shown_to_user(item, call):
                report = yield
        except BaseException as broken:
            report = phase_reports.substitute(item, call, broken)
        phase_reports.show(report, item, call, test)
        phase_reports.note_skip(report, call)
        results = phase_reports.attach_results(item, call, report, test)
    if deferral.was_pressed:  # this report is not sent anywhere any more
        state_of(item.config).results[item.nodeid, ""] = results
        phase_reports.deliver(item, call.when, "", results)
        raise KeyboardInterrupt
    if results:
        from pytest_ipload.plugin.reporting.reporter import REPORT_KEY

        report.user_properties = list(item.user_properties)  # those of an error are added after the report is made
        if hasattr(item.config, "workerinput"):
            from pytest_ipload.distributed.protocol.messages import sendable

            results = sendable(results)
        vars(report)[REPORT_KEY] = results
    if test is not None and test.ended_in_error and call.when == "call":
        phase_reports.make_error(report, in_iteration=not test.failed_users)
    if test is not None and test.failed_users and report.when == "setup":
        from pytest_ipload.distributed.protocol.slots import FAILED_USERS_KEY

        vars(report)[FAILED_USERS_KEY] = test.failed_users
    return report
