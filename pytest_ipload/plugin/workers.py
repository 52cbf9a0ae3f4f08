"""Connects load tests to the processes that run them: the workers of pytest-xdist, or one process alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.distributed.protocol.slots import QUEUE_KEY, SLOT_KEY, TEAM_KEY, WHOLE_KEY, Slots
from pytest_ipload.plugin.items import markers
from pytest_ipload.plugin.session_state import SessionState, state_of

if TYPE_CHECKING:
    from pytest_ipload.distributed.controller.controller import Controller

_MISSING: pytest.StashKey[list[str]] = pytest.StashKey()


class Starts:
    """xdist's controller starts its workers, and each gets its share of the addresses."""

    def __init__(self) -> None:
        self._ranks, self._slots = Slots(), Slots()
        """Counted over all workers, and over those of each host."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """xdist starts a worker: assign it its share of the addresses, and the workers that it shares loads with."""
        from pytest_ipload.distributed.xdist_private import neighbourhood

        name, (host, count) = node.gateway.id, neighbourhood(node)
        node.workerinput[SLOT_KEY] = [self._slots.take(name, host), count]
        lead_worker(node, self._ranks.take(name))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """An xdist worker is gone: its share is free for its replacement."""
        for slots in (self._ranks, self._slots):
            slots.free(node.gateway.id)


def set_up_team(config: pytest.Config) -> None:
    """In a worker that shares loads: take part. In xdist's controller: find out whether loads can be shared."""
    _take_part_alone(config)
    if TEAM_KEY in getattr(config, "workerinput", {}):
        import pytest_ipload
        from pytest_ipload.distributed.worker.worker import WorkerPlugin

        team = WorkerPlugin(config, pytest_ipload.__version__, markers.is_load_test, _users_of)
        config.pluginmanager.register(team, "ipload-worker")
    elif config.getoption("dist", "no") != "no":
        from pytest_ipload.distributed.xdist_private import missing

        config.stash[_MISSING] = missing()
        config.pluginmanager.register(Starts(), "ipload-worker-starts")


def _take_part_alone(config: pytest.Config) -> None:
    """In a worker of xdist: have the loads that it runs whole end with the session."""
    channel = getattr(config, "workerinput", {}).get(WHOLE_KEY)
    if channel is None:
        return
    from pytest_ipload.distributed.whole_loads import WorkerLoads

    state = state_of(config)

    def unreported(reason: str) -> tuple[str, list[dict[str, Any]]] | None:
        from pytest_ipload.plugin.reporting.phase_reports import unreported

        return None if state.running is None else unreported(state.running, reason)

    state.whole_loads = WorkerLoads(channel, unreported, vars(config)["workerinput"].get(QUEUE_KEY))


def loads_elsewhere(config: pytest.Config) -> bool:
    """Whether this process only controls: xdist's workers are on other hosts, which have other addresses."""
    if config.getoption("dist", "no") == "no":
        return False
    from pytest_ipload.distributed.xdist_private import is_elsewhere

    return any(map(is_elsewhere, config.getoption("tx", [])))


def header(config: pytest.Config) -> str | None:
    """Why load tests are not shared although they could be."""
    names = config.stash.get(_MISSING, [])
    if not names:
        return None
    return (
        "ipload: WARNING: each load test runs whole on one worker, because the installed pytest, pytest-xdist and "
        f"execnet have no {', '.join(names)}"
    )


def lead_worker(node: Any, rank: int) -> None:
    """xdist starts a worker: have it share loads, unless load tests are not to be shared."""
    config = node.config
    settings = state_of(config).settings
    _attach_whole_loads(node)
    if settings.concurrent or settings.disabled or config.stash.get(_MISSING, []):
        return
    controller: Controller | None = config.pluginmanager.get_plugin("ipload-controller")
    if controller is None:
        controller = _make_controller(config)
        config.pluginmanager.register(controller, "ipload-controller")
        state_of(config).shared_tests = controller.tests
    controller.attach(node, rank)


def _attach_whole_loads(node: Any) -> None:
    """Have a worker deliver the measurements of loads that it runs whole, if the session ends meanwhile."""
    config = node.config
    if not hasattr(node.gateway, "newchannel"):
        return
    from pytest_ipload.distributed.whole_loads import WholeLoads

    whole_loads: WholeLoads | None = config.pluginmanager.get_plugin("ipload-whole-loads")
    if whole_loads is None:
        settings = state_of(config).settings
        one_by_one = not (settings.concurrent or settings.disabled)
        whole_loads = WholeLoads(partial(_keep_delivered, state_of(config)), one_by_one=one_by_one)
        config.pluginmanager.register(whole_loads, "ipload-whole-loads")
    whole_loads.attach(node)


def _keep_delivered(
    state: SessionState, nodeid: str, worker: str, phase: str, reason: str, results: list[dict[str, Any]]
) -> None:
    """Keep what a worker delivers of an interrupted test, in addition to its reports."""
    known = state.results.get((nodeid, worker))
    if known is None:
        if results:
            state.results[nodeid, worker] = results
    elif reason and not any("test_errors" in result for result in known):
        from pytest_ipload.report.error_results import add_test_error

        add_test_error(known, phase, reason)


def _make_controller(config: pytest.Config) -> Controller:
    import pytest_ipload
    from pytest_ipload.distributed.controller.controller import Controller
    from pytest_ipload.distributed.controller.coordinator import Judges
    from pytest_ipload.plugin.hook_calls import review_of
    from pytest_ipload.plugin.reporting.reporter import REPORT_KEY
    from pytest_ipload.plugin.run.judges import judge_of

    state = state_of(config)
    judge = judge_of(state, review_of(config))
    judges = Judges(judge.look, judge.conclude, judge.break_off, judge.unfinished)

    def keep(nodeid: str, results: list[dict[str, Any]]) -> None:
        state.results[nodeid, ""] = results

    shards = state.settings.shards
    return Controller(config, judges, pytest_ipload.__version__, shards, REPORT_KEY, keep, state.audience)


def _users_of(item: pytest.Item) -> int:
    """The number of users of a load test; 1 if its settings are invalid: then one worker reports that."""
    from pytest_ipload.plugin.items.marker_settings import profile_of_test

    state = state_of(item.config)
    try:
        users = profile_of_test(item, state).most_users
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException:  # the set-up of the test will raise it again
        return 1
    return max(1, state.share.size_of(users))
