"""A worker's hooks: how it runs the load tests that it shares with other workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import pytest

from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.environment import host_key
from pytest_ipload.distributed.protocol.liveness import can_run
from pytest_ipload.distributed.protocol.messages import as_plain
from pytest_ipload.distributed.protocol.slots import TEAM_KEY
from pytest_ipload.distributed.worker.link import Link, Pulse, Watch
from pytest_ipload.distributed.worker.membership import SHARD
from pytest_ipload.distributed.xdist_private import Phase, call_outside, run_phases, tear_down_for

TOGETHER = "ipload-together"
"""The name of the plugin that runs load tests together."""


class Together(Protocol):
    """What a worker needs to run load tests together; a plugin of that name, where there are such tests."""

    def starts_of(self, item: pytest.Item) -> tuple[str, list[list[Any]]] | None:
        """The name of the group that a test is the first of, and [node id, seconds after the common start] of each."""

    def members(self, item: pytest.Item) -> Sequence[pytest.Item]:
        """The load tests that run together with this one, in their order; it alone if there are no others."""

    def has_run(self, item: pytest.Item) -> bool:
        """Whether the group of a test has run."""

    def following(self, item: pytest.Item, *, is_load: bool) -> pytest.Item | None:
        """The test after the group, or the load test after it."""

    def run_share(
        self,
        items: Sequence[pytest.Item],
        following: pytest.Item | None,
        on_skip: Callable[[pytest.Item], object],
        *,
        current: pytest.Item,
    ) -> dict[pytest.Item, list[pytest.TestReport]]:
        """Run those of a group that this worker takes part in; returns their reports, which go nowhere else.

        ``current`` is the test whose protocol is running; ``on_skip`` is called with each that is skipped in its
        set-up.
        """

    def leave_out(self, item: pytest.Item) -> None:
        """The group of this test is not run here."""


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
        self._kept: dict[pytest.Item, list[pytest.TestReport]] = {}
        """Reports of tests that ran together with an earlier one: xdist takes them when it is their turn."""

    @property
    def _together(self) -> Together | None:
        plugin: Together | None = self._config.pluginmanager.get_plugin(TOGETHER)
        return plugin

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Report which tests are load tests. xdist sends the collection after this, over the same connection."""
        loads = [(place, item) for place, item in enumerate(session.items) if self._is_load_test(item)]
        tests = [[place, str(item.nodeid), self._users_of(item)] for place, item in loads]
        self._link.tell("hello", version=self._version, host=host_key(), tests=tests)
        if (together := self._together) is not None:
            for _, item in loads:
                if (starts := together.starts_of(item)) is not None:
                    self._link.tell("together", group=starts[0], tests=starts[1])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Run a load test together with the other workers. Its reports go to the controller only, which merges them.

        Those that run together are run when the first of them is due.
        """
        if not self._is_load_test(item):
            return None
        together = self._together
        if together is not None and together.has_run(item):
            _report(item, self._kept.pop(item, ()))
            return True
        items = [item] if together is None else together.members(item)
        if together is not None and len(items) > 1:
            nextitem = together.following(item, is_load=True)
        self._link.enter(str(item.nodeid))
        with Pulse(self._link, self._beat_s, self._silence_s):
            orders = self._orders(items)
            if "turn" in orders:
                self._run_whole(items, nextitem)
                return True
            shares = [each for each, order in zip(items, orders, strict=False) if order == "assign"]
            if len(orders) < len(items) or orders[-1] not in ("assign", "spectate"):
                for each in shares:
                    self._give_up(each, RuntimeError("the tests that run together did not all begin"))
                if orders[-1] is None:
                    self._link.tell("left", nodeid=str(item.nodeid))
                shares = []
            elif shares:
                self._run_share(items, shares, nextitem)
            for each, order in zip(items, orders, strict=False):
                if order == "spectate":
                    self._wait_for(each, "teardown", "finish")
            if not shares:
                if together is not None and len(items) > 1:
                    together.leave_out(item)
                _report_failure(item, tear_down_for(item, nextitem))
        return True

    def _orders(self, items: Sequence[pytest.Item]) -> list[str | None]:
        """What this worker is to do in each test, up to one in which it takes no part at all, or to its own turn."""
        orders: list[str | None] = []
        for item in items:
            orders.append(self._wait_for(item, "setup", "assign", "spectate", "turn"))
            if orders[-1] not in ("assign", "spectate"):
                break
        return orders

    def _wait_for(self, item: pytest.Item, when: Phase, *kinds: str) -> str | None:
        """Which order came; None if an exception was raised meanwhile, as by a timeout, which is reported."""
        call = call_outside(lambda: self._link.wait(str(item.nodeid), *kinds), when)
        if call.excinfo is None:
            return call.result
        _report_failure(item, call)
        return None

    def _run(
        self, items: Sequence[pytest.Item], shares: Sequence[pytest.Item], nextitem: pytest.Item | None
    ) -> dict[pytest.Item, list[pytest.TestReport]]:
        """Run the ``shares`` among ``items``; returns their reports, which go nowhere else."""
        together = self._together
        if together is None or len(items) == 1:
            return {shares[0]: run_phases(shares[0], nextitem)}

        def on_skip(item: pytest.Item) -> None:
            self._link.tell("skipped", nodeid=str(item.nodeid))

        return together.run_share(shares, nextitem, on_skip, current=items[0])

    def _run_share(
        self, items: Sequence[pytest.Item], shares: Sequence[pytest.Item], nextitem: pytest.Item | None
    ) -> None:
        for item in shares:
            item.stash[SHARD] = self._link.shards[str(item.nodeid)]
        try:
            with Watch(self._link, self._beat_s, self._heartbeat_s, self._silence_of_controller):
                run = self._run(items, shares, nextitem)
                for report in chain.from_iterable(run.values()):  # a test whose subtests failed is failed by pytest
                    self._config.hook.pytest_report_teststatus(report=report, config=self._config)
        except (
            BaseException
        ) as error:  # raised by another plugin's hook: pytest ends the session, as for its exit and Ctrl-C
            for item in shares:
                self._give_up(item, error)
            raise
        for item, reports in run.items():
            self._hand_over(item, reports)

    def _hand_over(self, item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
        make_plain = self._config.hook.pytest_report_to_serializable
        shard = self._link.shards[str(item.nodeid)]
        try:
            plain = [as_plain(make_plain(config=self._config, report=report), other=str) for report in reports]
            self._link.tell("done", nodeid=shard.nodeid, reports=plain, aborted=shard.is_aborted)
        except Exception as error:  # such as user properties that cannot be sent
            self._give_up(item, error)

    def _silence_of_controller(self) -> float:
        """How long the controller may be silent."""
        is_there = self._controller is not None and os.getppid() == self._controller
        seconds: float = self._silence_s if is_there and can_run(self._controller) else self._heartbeat_s
        return seconds

    def _give_up(self, item: pytest.Item, error: BaseException) -> None:
        """Report that this worker cannot run its partition, or not report it, and why."""
        shard = self._link.shards[str(item.nodeid)]
        self._link.tell("failed", nodeid=shard.nodeid, why=in_words(error))
        self._link.tell("done", nodeid=shard.nodeid, reports=[], aborted=shard.is_aborted)

    def _run_whole(self, items: Sequence[pytest.Item], nextitem: pytest.Item | None) -> None:
        """As pytest does it; all others wait."""
        first, together = items[0], self._together
        if together is not None and len(items) > 1:
            nextitem = together.following(first, is_load=False)
            self._kept = together.run_share(items, nextitem, lambda _: None, current=first)
        else:
            self._kept = {first: run_phases(first, nextitem)}
        _report(first, self._kept.pop(first))
        self._link.tell("turn_over", nodeid=str(first.nodeid))
        self._wait_for(first, "teardown", "finish")


def _report(item: pytest.Item, reports: Sequence[pytest.TestReport]) -> None:
    """Report a test's outcome to pytest, and so to xdist."""
    if reports:
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _report_failure(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Report what failed outside of a test's phases."""
    if call.excinfo is not None:
        # Not made by the hook: other plugins expect that only within the phases of a test.
        item.ihook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
