"""The pytest hooks. Wiring only: the work is done in the modules that they call.

Everything that is not needed to find out whether there is a load test is imported where it is needed: a test suite
without load tests pays next to nothing for having the plugin installed.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.distributed.protocol.slots import FAILED_USERS_KEY, SLOT_KEY, Slots, slot_of
from pytest_ipload.plugin import workers
from pytest_ipload.plugin.fixtures.definitions import note_definition
from pytest_ipload.plugin.fixtures.fixtures import (
    ipload_body,
    ipload_component,
    ipload_iteration,
    ipload_pool,
    ipload_session,
    ipload_target,
    ipload_user,
)
from pytest_ipload.plugin.fixtures.per_user_names import may_be_per_user, wider_scope
from pytest_ipload.plugin.items import markers
from pytest_ipload.plugin.options import baseline_options as baselines
from pytest_ipload.plugin.options import explain_option
from pytest_ipload.plugin.options.command_line import add_options, session_settings
from pytest_ipload.plugin.reporting.reporter import REPORT_KEY, Reporter
from pytest_ipload.plugin.run.ipload_fixture import ipload
from pytest_ipload.plugin.session_state import LOAD_TEST, STATE, Pools, SessionState, state_of
from pytest_ipload.report.files import registry

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.fixtures import SubRequest  # the type of the hook's request, which pytest does not export


__all__ = [
    "ipload",
    "ipload_body",
    "ipload_component",
    "ipload_iteration",
    "ipload_pool",
    "ipload_session",
    "ipload_target",
    "ipload_user",
]

_RANKS = pytest.StashKey[Slots]()
"""Counted over all xdist workers."""
_SLOTS = pytest.StashKey[Slots]()
"""Counted over the workers of each host."""
_IS_IN_PHASE = pytest.StashKey[bool]()
"""Whether a phase of the item is running: a report made meanwhile is that of a subtest."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini keys."""
    add_options(parser)
    registry.add_options(parser)
    baselines.add_options(parser)
    explain_option.add_option(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the hooks that other plugins may implement."""
    from pytest_ipload.plugin import newhooks

    pluginmanager.add_hookspecs(newhooks)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, read the settings; a bad one ends the session here, before anything is collected."""
    for line in markers.MARKERS.values():
        config.addinivalue_line("markers", line)
    settings = session_settings(config)
    pools = Pools(config.rootpath, settings, slot_of(config))
    config.stash[STATE] = SessionState(settings, pools)
    config.stash[_RANKS], config.stash[_SLOTS] = Slots(), Slots()
    if settings.masks:
        from pytest_ipload.base.masking import hide_names

        config.add_cleanup(hide_names(settings.masks))
    workers.set_up_team(config)
    if settings.debug:
        from pytest_ipload.plugin.reporting.debug_output import show_requests

        show_requests(config)
    if settings.need_preflight and not hasattr(config, "workerinput"):
        from pytest_ipload.plugin.preflight import check_session

        check_session(config.stash[STATE], loads_elsewhere=workers.loads_elsewhere(config))
    if settings.store is not None:
        from pytest_ipload.plugin.run import segment_meetings

        segment_meetings.register(config, config.stash[STATE])
    if settings.start_at is not None and not hasattr(config, "workerinput"):
        from pytest_ipload.plugin.preflight import check_start

        check_start(settings.start_at, _now())
    if settings.baselines.compare is not None and not hasattr(config, "workerinput"):
        from pytest_ipload.plugin.preflight import check_baselines

        check_baselines(config.stash[STATE])
    if config.getoption("ipload_jsonl") is not None:
        from pytest_ipload.plugin.reporting import jsonl_output

        jsonl_output.set_up(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config), "ipload-reporter")
        from pytest_ipload.plugin.reporting.live_output import listen

        listen(config)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say why xdist's workers do not share load tests, if they cannot, and when the loads begin."""
    lines = [workers.header(config)]
    state = state_of(config)
    if state.meetings is not None:
        lines.append(state.meetings.header)
    start_at = state.settings.start_at
    if start_at is not None:
        from pytest_ipload.plugin.preflight import start_header

        lines.append(start_header(start_at, _now()))
    return [line for line in lines if line is not None]


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> Generator[None, Any, Any]:
    """Have pytest set up the fixtures of a mix's bodies, too, as if the test had the marker ``usefixtures``."""
    if not markers.has_mix(collector, obj):
        return (yield)
    from pytest_ipload.plugin.fixtures.body_mix import requested_by_bodies

    names = requested_by_bodies(collector, obj)
    if not names:
        return (yield)
    mark = pytest.mark.usefixtures(*names).mark
    collector.own_markers.append(mark)
    try:
        return (yield)
    finally:
        collector.own_markers.remove(mark)


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_collection_modifyitems_completed(items: list[pytest.Item]) -> None:
    """Give load tests of Schemathesis node ids and markers of their own, before any are selected."""
    if "schemathesis" in sys.modules:
        from pytest_ipload.plugin.items.schemathesis_items import complete

        complete(items)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect scenario files."""
    is_named = file_path.suffix in (".yaml", ".yml") and parent.session.isinitpath(file_path)
    if not is_named and not file_path.name.endswith((".ipload.yaml", ".ipload.yml")):
        return None
    from pytest_ipload.plugin.scenarios.scenario_module import ScenarioModule, looks_like_scenarios

    if not file_path.name.endswith((".ipload.yaml", ".ipload.yml")) and not looks_like_scenarios(file_path):
        return None
    return ScenarioModule.from_parent(parent, path=file_path)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Before anything is collected: the last plugin that is registered sees the order that all others have made."""
    from pytest_ipload.plugin.run.arrangement import Arrangement

    session.config.pluginmanager.register(Arrangement(session, _keep_waiting), "ipload-arrangement")


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


def _keep_waiting(item: pytest.Item, error: BaseException) -> None:
    """The session ends while a test waits for those that it runs together with: its results so far are kept."""
    from pytest_ipload.plugin.reporting.phase_reports import kept_when_interrupted

    test = item.stash.get(LOAD_TEST, None)
    if test is not None:
        test.interrupted(error)
    kept_when_interrupted(item, "call", error, test)


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
        results = phase_reports.attach_results(item, call, report, test)
    if deferral.was_pressed:  # this report is not sent anywhere any more
        state_of(item.config).results[item.nodeid, ""] = results
        phase_reports.deliver(item, call.when, "", results)
        raise KeyboardInterrupt
    if results:
        report.user_properties = list(item.user_properties)  # those of an error are added after the report is made
        if hasattr(item.config, "workerinput"):
            from pytest_ipload.distributed.protocol.messages import sendable

            results = sendable(results)
        vars(report)[REPORT_KEY] = results
    if test is not None and test.ended_in_error and call.when == "call":
        phase_reports.make_error(report, in_iteration=not test.failed_users)
    if test is not None and test.failed_users and report.when == "setup":
        vars(report)[FAILED_USERS_KEY] = test.failed_users
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_metadata(metadata: dict[str, Any], config: pytest.Config) -> None:
    """Add the load's settings to pytest-metadata."""
    from pytest_ipload.plugin.reporting.metadata import load_metadata

    if given := load_metadata(config):
        metadata["pytest-ipload"] = given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist starts a worker: assign it its share of the addresses, and the workers that it shares loads with."""
    from pytest_ipload.distributed.xdist_private import neighbourhood

    name, (host, count) = node.gateway.id, neighbourhood(node)
    node.workerinput[SLOT_KEY] = [node.config.stash[_SLOTS].take(name, host), count]
    workers.lead_worker(node, node.config.stash[_RANKS].take(name))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """An xdist worker is gone: its share is free for its replacement."""
    for slots in (node.config.stash[_RANKS], node.config.stash[_SLOTS]):
        slots.free(node.gateway.id)


def _now() -> float:
    """Unix seconds. Imported here: a session without load tests does not need it."""
    from pytest_ipload.base import real_time

    return real_time.time()
