"""A worker's hooks: how it runs the load tests that it shares with other workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.environment import host_key
from pytest_ipload.distributed.protocol.liveness import can_run
from pytest_ipload.distributed.protocol.messages import as_plain
from pytest_ipload.distributed.protocol.slots import TEAM_KEY
from pytest_ipload.distributed.worker.link import Link, Pulse, Watch
from pytest_ipload.distributed.worker.membership import SHARD, WorkerShard
from pytest_ipload.distributed.xdist_private import Phase, call_outside, run_phases, tear_down_for


class WorkerPlugin:
    """Registered as a plugin in each worker that shares loads."""

    def __init__(
        self,
        config: pytest.Config,
        version: str,
        is_load_test: Callable[[pytest.Item], bool],
        users_of: Callable[[pytest.Item], int],
    ) -> None:
        """``users_of`` returns the maximum number of users of a load test; 1 if unknown."""
        workerinput = vars(config)["workerinput"]
        channel, (self._beat_s, self._heartbeat_s, self._silence_s), controller, wants_names = workerinput[TEAM_KEY]
        self._controller: int | None = controller if os.getppid() == controller else None
        """The process id of the controller; None if it is on another host."""
        self._config = config
        self._version = version
        self._is_load_test = is_load_test
        self._users_of = users_of
        self._link = Link(channel, workerinput["workerid"], wants_names=wants_names)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Report which tests are load tests. xdist sends the collection after this, over the same connection."""
        tests = [
            [place, str(item.nodeid), self._users_of(item)]
            for place, item in enumerate(session.items)
            if self._is_load_test(item)
        ]
        self._link.tell("hello", version=self._version, host=host_key(), tests=tests)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a load test together with the other workers. Its reports go to the controller only, which merges them."""
        if not self._is_load_test(item):
            return None
        nodeid = str(item.nodeid)
        self._link.tell("entered", nodeid=nodeid)
        with Pulse(self._link, self._beat_s, self._silence_s):
            order = self._wait_for(item, "setup", "assign", "spectate", "turn")
            if order == "turn":
                self._run_whole(item, nextitem)
            elif order == "assign":
                self._run_share(item, nextitem)
            else:
                if order == "spectate":
                    self._wait_for(item, "teardown", "finish")
                elif order is None:
                    self._link.tell("left", nodeid=nodeid)
                _report_failure(item, tear_down_for(item, nextitem))
        return True

    def _wait_for(self, item: pytest.Item, when: Phase, *kinds: str) -> str | None:
        """Which order came; None if an exception was raised meanwhile, as by a timeout, which is reported."""
        call = call_outside(lambda: self._link.wait(str(item.nodeid), *kinds), when)
        if call.excinfo is None:
            return call.result
        _report_failure(item, call)
        return None

    def _run_share(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        shard = self._link.shard
        assert shard is not None
        item.stash[SHARD] = shard
        try:
            with Watch(self._link, shard, self._beat_s, self._heartbeat_s, self._silence_of_controller):
                reports = run_phases(item, nextitem)
                for report in reports:  # a test whose subtests failed is failed by pytest here
                    self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        except (
            BaseException
        ) as error:  # raised by another plugin's hook: pytest ends the session, as for its exit and Ctrl-C
            self._give_up(shard, error)
            raise
        make_plain = self._config.hook.pytest_report_to_serializable
        try:
            plain = [as_plain(make_plain(config=self._config, report=report), other=str) for report in reports]
            self._link.tell("done", nodeid=shard.nodeid, reports=plain, aborted=shard.is_aborted)
        except Exception as error:  # such as user properties that cannot be sent
            self._give_up(shard, error)

    def _silence_of_controller(self) -> float:
        """How long the controller may be silent."""
        is_there = self._controller is not None and os.getppid() == self._controller
        seconds: float = self._silence_s if is_there and can_run(self._controller) else self._heartbeat_s
        return seconds

    def _give_up(self, shard: WorkerShard, error: BaseException) -> None:
        """Report that this worker cannot run its partition, or not report it, and why."""
        self._link.tell("failed", nodeid=shard.nodeid, why=in_words(error))
        self._link.tell("done", nodeid=shard.nodeid, reports=[], aborted=shard.is_aborted)

    def _run_whole(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """As pytest does it; all others wait."""
        nodeid = str(item.nodeid)
        location = item.location
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=location)
        for report in run_phases(item, nextitem):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=location)
        self._link.tell("turn_over", nodeid=nodeid)
        self._wait_for(item, "teardown", "finish")


def _report_failure(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Report what failed outside of a test's phases."""
    if call.excinfo is not None:
        # Not made by the hook: other plugins expect that only within the phases of a test.
        item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
