"""How pytest runs load tests that run together: all set-ups, then the loads, then all verdicts and teardowns.

The protocol of each test runs within that of the one before it, between its set-up and its call. So all that other
plugins wrap around a test is there around each, and what was set up last is torn down first. The loads run in the call
phase of the test that was set up last. The reports go out at the end, test by test.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.plugin.items.groups import MOST_MEMBERS, TestGroup, group_of
from pytest_ipload.plugin.items.marker_settings import start_after_of
from pytest_ipload.plugin.items.markers import is_load_test
from pytest_ipload.plugin.session_state import state_of

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest

    from pytest_ipload.plugin.run.load_group import LoadGroup
    from pytest_ipload.plugin.run.parked_items import ParkedItems

Reports = list[pytest.TestReport]
Keep = Callable[[pytest.Item, BaseException], object]
WORKER = "ipload-worker"
"""The name of the plugin by which a worker of xdist shares loads."""


class TogetherProtocol:
    """Registered as a plugin in sessions that have load tests that run together."""

    def __init__(self, session: pytest.Session, keep: Keep) -> None:
        """``keep`` keeps the results of a test whose session ends while it waits for others."""
        from pytest_ipload.plugin.run.parked_items import ParkedItems

        self._session = session
        self._keep = keep
        self._parked = ParkedItems(session)
        self._run: GroupRun | None = None
        """The group that is running, or ran last."""
        self._over: set[pytest.Item] = set()
        """The items of groups that have run."""
        self._is_said = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: SubRequest
    ) -> Generator[None, object | None, object | None]:
        """Remember for which node a fixture is set up."""
        self._parked.note(fixturedef, request.node)
        return (yield)

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """A fixture is torn down: not one of a test that waits for its load."""
        if self._run is not None:
            self._run.check_torn_down(fixturedef)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run a whole group when its first test is due."""
        group = group_of(item)
        if group is None:
            return None
        if self._run is not None and self._run.is_expected(item):
            self._run.run(item)
            return True
        if (refusal := self._refusal(group)) is not None:
            self._refuse(item, group, refusal)
            return None
        if self._session.config.pluginmanager.hasplugin(WORKER):
            return None  # the worker runs the group, when all others are there
        self._run_here(group)
        return True

    def _refusal(self, group: TestGroup) -> str | None:
        """Why the tests of a group cannot run together."""
        from pytest_ipload.plugin.run.parked_items import missing

        config = self._session.config
        settings, which = state_of(config).settings, f"the load tests of {group.name!r} run together"
        if settings.rounds or settings.against is not None:
            option = "--ipload-against" if settings.against is not None else "--ipload-rounds"
            return (
                f"{which}, and {option} cannot repeat them; leave them out of this run (--deselect), or run each alone"
            )
        if hasattr(config, "workerinput") and not config.pluginmanager.hasplugin(WORKER):
            return (
                f"{which}, but workers that do not share loads (--ipload-concurrent) would run them apart; leave "
                "--ipload-concurrent out, or run them without -n"
            )
        if len(group.items) > MOST_MEMBERS:
            return f"{which}, and there are {len(group.items)} of them; {MOST_MEMBERS} are the most that can"
        if names := missing():
            return f"{which}, which needs names that the installed pytest does not have: {', '.join(names)}"
        return None

    def _refuse(self, item: pytest.Item, group: TestGroup, refusal: str) -> None:
        from pytest_ipload.plugin.run.load_group import LOAD_GROUP, LoadGroup

        item.stash[LOAD_GROUP] = LoadGroup(group.name, state_of(item.config), self._parked, refusal)

    def _run_here(self, group: TestGroup) -> None:
        items, first = self._session.items, group.items[0]
        place = items.index(first) + len(group.items)
        following = items[place] if place < len(items) else None
        del items[place - len(group.items) + 1 : place]  # pytest's loop is at the first, and goes on after the group
        first.ihook.pytest_runtest_logstart(nodeid=first.nodeid, location=first.location)
        run = self._begin(group, group.items, following)
        try:
            run.run(first)
        finally:
            for item, reports in run.outcomes.items():
                if item is not first:
                    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                for report in reports:
                    item.ihook.pytest_runtest_logreport(report=report)
                item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            self._say_that_none_is_rerun(group)

    def _begin(
        self,
        group: TestGroup,
        items: Sequence[pytest.Item],
        following: pytest.Item | None,
        on_skip: Callable[[pytest.Item], object] = lambda _: None,
    ) -> GroupRun:
        from pytest_ipload.plugin.run.load_group import LoadGroup

        loads = LoadGroup(group.name, state_of(self._session.config), self._parked)
        run = self._run = GroupRun(items, following, self._parked, loads, on_skip, self._keep)
        self._over.update(group.items)
        return run

    def _say_that_none_is_rerun(self, group: TestGroup) -> None:
        config = self._session.config
        reruns = config.getoption("reruns", None) or any(item.get_closest_marker("flaky") for item in group.items)
        terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
        if reruns and not self._is_said and config.pluginmanager.hasplugin("rerunfailures") and terminal is not None:
            self._is_said = True
            terminal.write_line("\npytest-ipload: load tests that run together are never rerun", yellow=True)

    # -- for a worker of xdist, see ``distributed.worker.worker.Together`` ------------------------------------------

    def starts_of(self, item: pytest.Item) -> tuple[str, list[list[Any]]] | None:
        """The name of the group that a test is the first of, and [node id, seconds after the common start] of each."""
        group = group_of(item)
        if group is None or group.items[0] is not item or self._refusal(group) is not None:
            return None
        return group.name, [[str(each.nodeid), start_after_of(each)] for each in group.items]

    def members(self, item: pytest.Item) -> Sequence[pytest.Item]:
        """The load tests that run together with this one, in their order; it alone if there are no others."""
        group = group_of(item)
        return [item] if group is None or self._refusal(group) is not None else group.items

    def has_run(self, item: pytest.Item) -> bool:
        """Whether the group of a test has run."""
        return item in self._over

    def following(self, item: pytest.Item, *, is_load: bool) -> pytest.Item | None:
        """The test after the group, or the load test after it: workers that share loads get those last, in order."""
        after = self._session.items.index(self.members(item)[-1]) + 1
        return next((each for each in self._session.items[after:] if is_load_test(each) or not is_load), None)

    def run_share(
        self,
        items: Sequence[pytest.Item],
        following: pytest.Item | None,
        on_skip: Callable[[pytest.Item], object],
        *,
        current: pytest.Item,
    ) -> dict[pytest.Item, Reports]:
        """Run those of a group that this worker takes part in; returns their reports, which go nowhere else."""
        group = group_of(current)
        assert group is not None
        run = self._begin(group, items, following, on_skip)
        whole_loads = state_of(self._session.config).whole_loads
        with nullcontext() if whole_loads is None else whole_loads.held():
            if items[0] is current:
                run.run(current)
            else:
                items[0].ihook.pytest_runtest_protocol(item=items[0], nextitem=following)
        return run.reports

    def leave_out(self, item: pytest.Item) -> None:
        """The group of this test is not run here."""
        self._over.update(self.members(item))


class GroupRun:
    """One run of a group, or of those of it that this process takes part in."""

    def __init__(
        self,
        items: Sequence[pytest.Item],
        following: pytest.Item | None,
        parked: ParkedItems,
        loads: LoadGroup,
        on_skip: Callable[[pytest.Item], object],
        keep: Keep,
    ) -> None:
        from pytest_ipload.plugin.run.load_group import LOAD_GROUP

        self._items = items
        self._following = following
        self._parked = parked
        self._loads = loads
        self._on_skip = on_skip
        self._keep = keep
        self.reports: dict[pytest.Item, Reports] = {item: [] for item in items}
        self._expected = 0
        """The index of the test whose protocol is to run next."""
        self._setting_up: int | None = None
        for item in items:
            item.stash[LOAD_GROUP] = loads

    @property
    def outcomes(self) -> dict[pytest.Item, Reports]:
        """The reports of the tests that have an outcome: all, unless the session was ended meanwhile."""
        return {item: reports for item, reports in self.reports.items() if any(_is_outcome(each) for each in reports)}

    def is_expected(self, item: pytest.Item) -> bool:
        """Whether it is this test's turn."""
        return self._expected < len(self._items) and self._items[self._expected] is item

    def _after(self, number: int) -> pytest.Item | None:
        return self._items[number + 1] if number + 1 < len(self._items) else self._following

    def run(self, item: pytest.Item) -> None:
        """Run a test of the group, and within it the following ones."""
        from pytest_ipload.plugin.run import parked_items

        number, self._expected = self._expected, self._expected + 1
        outer = self._items[number - 1] if number else self._following
        session = item.session
        parked_items.begin(item)
        try:
            is_set_up = self._set_up(item, number)
            self._run_others(item, number)
            if is_set_up:
                self._call(item)
            if number == 0 and (session.shouldfail or session.shouldstop):
                outer = None  # as pytest does: what is wrong in a teardown is reported with the last test
            self._run_phase(item, "teardown", nextitem=outer)
        except BaseException:
            self._abandon(item, number, outer)
            raise
        finally:
            parked_items.end(item)
            if number == 0:
                self._loads.close()

    def _run_phase(self, item: pytest.Item, when: Any, **arguments: pytest.Item | None) -> pytest.TestReport:
        from pytest_ipload.plugin.run.parked_items import run_phase

        self._parked.switch_to(item)
        report = run_phase(item, when, **arguments)
        self.reports[item].append(report)
        return report

    def _set_up(self, item: pytest.Item, number: int) -> bool:
        from pytest_ipload.plugin.run.parked_items import show

        self._setting_up = number
        try:
            report = self._run_phase(item, "setup")
        finally:
            self._setting_up = None
        if report.passed:
            show(item)
        elif report.skipped:
            self._loads.skipped.append(item.nodeid)
            self._on_skip(item)
        else:
            self._loads.refuse(item.nodeid)
        return bool(report.passed)

    def _run_others(self, item: pytest.Item, number: int) -> None:
        if number + 1 == len(self._items):
            return
        following = self._items[number + 1]
        try:
            following.ihook.pytest_runtest_protocol(item=following, nextitem=self._after(number + 1))
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            if self.reports[item][0].passed:  # else it has its outcome
                self._keep(item, error)
            raise

    def _call(self, item: pytest.Item) -> None:
        ran_before = self._loads.seconds
        report = self._run_phase(item, "call")
        # The time of a test is that of its own load, in whichever test's call the loads ran.
        report.duration += self._loads.own_seconds(item.nodeid) - (self._loads.seconds - ran_before)

    def _abandon(self, item: pytest.Item, number: int, outer: pytest.Item | None) -> None:
        """The session ends: tear down what is set up for this test alone; pytest does so for the first one."""
        self._parked.switch_to(item)
        if number:
            try:
                self._parked.tear_down(outer)
            except BaseException as error:  # pytest reports none of a session that was interrupted, either
                item.warn(pytest.PytestWarning(f"the teardown of {item.nodeid} failed: {error!r}"))

    def check_torn_down(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Refuse to set up a test that needs another value of a shared fixture than those that wait."""
        if not self._setting_up:
            return
        for item in self._items[: self._setting_up]:
            if fixturedef.argname in getattr(item, "fixturenames", ()):
                pytest.fail(
                    f"{item.nodeid} and {self._items[self._setting_up].nodeid} run together, and need different values "
                    f"of the shared fixture {fixturedef.argname!r} at the same time; give it the scope 'function'",
                    pytrace=False,
                )


def _is_outcome(report: pytest.TestReport) -> bool:
    return report.when == "call" or not report.passed
