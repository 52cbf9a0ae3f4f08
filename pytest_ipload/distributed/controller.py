"""The controller's hooks: the team's coordinator, with threads, channels and xdist."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from pytest_ipload.distributed.coordinator import Coordinator, Judges, Timing
from pytest_ipload.distributed.messages import BadMessage, Message
from pytest_ipload.distributed.reports import merged_reports
from pytest_ipload.distributed.scheduler import TeamScheduler
from pytest_ipload.distributed.slots import TEAM_KEY
from pytest_ipload.distributed.team_test import TeamTest
from pytest_ipload.distributed.xdist_names import (
    call_from_main_thread,
    cut_off,
    end_workers,
    report_test,
    survive_lost_hosts,
)
from pytest_ipload.stats.live import Audience
from pytest_ipload.verdict.result import UnmeasuredResult, is_measured

_END = "closed"  # no message: those are pairs
_TICK = 0.1
"""Seconds between two looks at what is due."""
_SHOW = 1.0
"""Seconds between two looks at the numbers of a load, for those who look on."""
_LAST_PARTS_S = 1.5
"""How long to wait for what was measured when the session ends in the midst of a load."""
_BROKEN_OFF = "the load was broken off, as the session was ended"


class Outbox:
    """Sends messages to one worker in a thread of its own: when a worker hangs, its pipe gets full and blocks."""

    def __init__(self, channel: Any, name: str) -> None:
        self._channel = channel
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        threading.Thread(target=self._send, name=f"ipload-team-{name}", daemon=True).start()

    def put(self, message: Message) -> None:
        """Send a message after all before it."""
        self._messages.put(message)

    def close(self) -> None:
        """End the thread, when it has sent what it has."""
        self._messages.put(None)

    def _send(self) -> None:
        while (message := self._messages.get()) is not None:
            with suppress(OSError):  # the worker is gone, which others notice
                self._channel.send(message)


class Controller:
    """Registered as a plugin in the process that xdist's workers report to."""

    def __init__(
        self,
        config: pytest.Config,
        judges: Judges,
        version: str,
        shards: int | None,
        results_key: str,
        keep_results: Callable[[str, list[dict[str, Any]]], None],
        audience: Audience | None = None,
    ) -> None:
        """``results_key`` is the attribute of a report that has the results of a load test.

        ``keep_results`` takes the node id and the results of a load without a report.
        """
        self._config = config
        self._judges = judges
        self._keep_results = keep_results
        self._audience = audience
        self._shown: str | None = None
        """The load test whose numbers were shown last; guarded by the lock."""
        self._shown_at = 0.0
        self._timing = Timing.from_environment()
        self._is_each = config.getoption("dist") == "each"
        clock = time.perf_counter_ns
        self._coordinator = Coordinator(self._send, clock, judges, version, self._timing, shards, self._is_each)
        self._results_key = results_key
        self._lock = threading.RLock()
        """Guards the coordinator: messages come in a thread of each worker's gateway."""
        self._nodes: dict[str, Any] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._has_taken_over = False
        self._pytest_session: pytest.Session | None = None
        self._over = threading.Event()
        self._due = threading.Event()
        self._asked = threading.Event()

    @property
    def tests(self) -> Collection[str]:
        """The node ids of the load tests that the workers have collected so far; changes with them."""
        return self._coordinator.tests.keys()

    # -- workers come and go ------------------------------------------------------------------------------------

    def attach(self, node: Any, rank: int) -> None:
        """A worker is about to start: give it a channel of its own. execnet makes the end of it on the other side."""
        if not self._nodes:
            threading.Thread(target=self._tick, name="ipload-team", daemon=True).start()
            threading.Thread(target=self._judge, name="ipload-judge", daemon=True).start()
        name = node.gateway.id
        channel = node.gateway.newchannel()
        with self._lock:
            self._nodes[name], self._outboxes[name] = node, Outbox(channel, name)
            self._coordinator.attach(name, rank)
        wants_names = None if self._audience is None else self._audience.wants_names
        node.workerinput[TEAM_KEY] = (channel, self._timing.beat, self._timing.heartbeat, wants_names)
        channel.setcallback(partial(self._receive, name), endmarker=_END)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """xdist knows that a worker is gone: after this hook it may end the session, or replace the worker."""
        output = getattr(node, "workeroutput", None) or {}
        reason = output.get("shouldfail") or output.get("shouldstop")
        name = node.gateway.id
        with self._lock:
            if reason:
                self._coordinator.end(str(reason))
            will_tell = bool(error) and self._has_taken_over
            self._coordinator.lose(name, _loss(error), hold=will_tell)
            if will_tell:
                self._coordinator.hold(name)
                call_from_main_thread(node)
            else:
                self._coordinator.release(name)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Know the session; xdist runs the loop."""
        self._pytest_session = session

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self) -> Generator[None, Any, Any]:
        """Put ours round whichever scheduler there is. With ``--dist each`` the tests are not shared."""
        inner = yield
        return inner if self._is_each else TeamScheduler(inner, self, self._session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Called in the main thread, where the session can be ended."""
        if self._coordinator.refusal is not None:
            raise pytest.UsageError(self._coordinator.refusal)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End the workers before anything else: a host that is gone must not cost the reports."""
        with self._lock:
            broken_off = self._coordinator.break_off("the session is being ended")
        self._keep_what_was_measured(broken_off)
        with self._lock:
            self._coordinator.end("the session is over")
        if self._has_taken_over and (problem := end_workers(self._session)) is not None:
            self._say(f"pytest-ipload: not every worker could be ended: {problem}")

    def _keep_what_was_measured(self, tests: Sequence[TeamTest]) -> None:
        """Of loads that were broken off, as by Ctrl-C: there will be no report of the test, but a result."""
        give_up = time.monotonic() + _LAST_PARTS_S
        while not all(test.has_all_parts for test in tests if test.has_begun) and time.monotonic() < give_up:
            time.sleep(_TICK / 5)
        for test in tests:
            with self._lock:
                parts = list(test.parts.values())
            missing = len(test.members) - len(parts)
            rest = f"; {missing} of {len(test.members)} workers said nothing any more" if missing else ""
            reason = f"{_BROKEN_OFF}{rest}"
            if not test.has_begun:
                results = self._unfinished(test.nodeid, "the session was ended during the set-up of the users")
            elif parts:
                results = self._judges.break_off(test.nodeid, parts, reason)
            else:
                results = self._unfinished(test.nodeid, reason)
            self._keep_results(test.nodeid, results)

    def _unfinished(self, nodeid: str, reason: str) -> list[dict[str, Any]]:
        """The results of a load test that ended in an error: those of its earlier rounds, if there were any."""
        conclusion = self._judges.unfinished(nodeid, reason)
        if conclusion is None:
            return [UnmeasuredResult(nodeid=nodeid, reason=reason).as_dict()]
        results: list[dict[str, Any]] = conclusion["results"]
        return results

    def pytest_unconfigure(self) -> None:
        """End the threads."""
        self._over.set()
        self._due.set()
        self._asked.set()
        for outbox in self._outboxes.values():
            outbox.close()

    @property
    def _session(self) -> Any:
        return self._config.pluginmanager.getplugin("dsession")

    # -- what the scheduler asks for ----------------------------------------------------------------------------

    def load_tests(self, name: str) -> list[int] | None:
        """See ``scheduler.Team``."""
        with self._lock:
            tests = self._coordinator.workers[name].tests
            return None if tests is None else [place for place, _, _ in tests]

    def load_tests_to_run(self, name: str) -> list[int]:
        """See ``scheduler.Team``."""
        with self._lock:
            return self._coordinator.tests_to_run(name)

    def expects_workers(self, known: Collection[str]) -> bool:
        """See ``scheduler.Team``."""
        with self._lock:
            return self._coordinator.has_tests_waiting and any(
                worker.name not in known for worker in self._coordinator.alive()
            )

    def take_over(self) -> None:
        """See ``scheduler.Team``."""
        with self._lock:
            silent = [worker.name for worker in self._coordinator.alive() if worker.tests is None]
        if silent:
            raise pytest.UsageError(
                f"there are load tests, but {', '.join(silent)} did not say which it has: "
                "install the same version of pytest-ipload on all hosts, or give --ipload-concurrent"
            )
        self._has_taken_over = True
        survive_lost_hosts(self._session, self._do_without)
        if self._config.getoption("reruns", None):
            self._say("\npytest-ipload: --reruns does not rerun load tests that several workers share")

    def _do_without(self, name: str) -> None:
        """A worker cannot be replaced; the replacement may have been announced to us."""
        self._say("pytest-ipload: it is not replaced, as its host cannot be reached")
        with self._lock:
            self._coordinator.lose(name, "its host cannot be reached", hold=False)
            self._coordinator.release(name)
            is_last = not (self._session.sched.nodes or self._coordinator.alive())
            if is_last and (self._coordinator.has_tests_waiting or not self._session.sched.tests_finished):
                self._session.shouldstop = "no worker is left"

    def leave_out(self, name: str, why: str) -> None:
        """See ``scheduler.Team``."""
        self._say(f"\npytest-ipload: worker {name} is not used: {why}")
        with self._lock:
            self._coordinator.lose(name, why, hold=False)

    def xdist_is_through_with(self, name: str) -> None:
        """See ``scheduler.Team``."""
        with self._lock:
            self._coordinator.release(name)
        self.report_tests()

    def report_tests(self) -> None:
        """See ``scheduler.Team``."""
        self._end_if_asked()
        with self._lock:
            tests = self._coordinator.tests_to_report()
        for test in tests:
            if not (test.aborted is not None and test.aborted == self._coordinator.ending):  # else: it was not run
                self._report(test)
                self._end_if_asked()
            with self._lock:
                self._coordinator.reported(test.nodeid)

    def _end_if_asked(self) -> None:
        """Begin no load test any more if somebody wants the session to end: -x, or a plugin that saw a report."""
        pytest_session = self._pytest_session
        asked = pytest_session is not None and (pytest_session.shouldfail or pytest_session.shouldstop)
        if asked and not self._session.shouldstop:
            self._session.shouldstop = str(asked)  # as if a worker had seen it
        if self._session.shouldstop:
            with self._lock:
                self._coordinator.end(str(self._session.shouldstop))

    def _report(self, test: TeamTest) -> None:
        hook = self._config.hook
        load = partial(hook.pytest_report_from_serializable, config=self._config)
        name, reports = merged_reports(test, lambda data: load(data=data), self._results_key)
        if not reports:
            return
        for report in reports:
            for result in vars(report).get(self._results_key) or ():
                if not is_measured(result) and (rounds := self._judges.unfinished(test.nodeid, result["reason"])):
                    vars(report)[self._results_key] = rounds["results"]
        node, location = self._nodes[name], reports[0].location
        hook.pytest_runtest_logstart(nodeid=test.nodeid, location=location)
        for report in reports:
            vars(report).update(worker_id=name, testrun_uid=node.workerinput["testrunuid"])
            report_test(self._session, node, report)
        hook.pytest_runtest_logfinish(nodeid=test.nodeid, location=location)

    # -- in other threads ---------------------------------------------------------------------------------------

    def _send(self, name: str, message: Message) -> None:
        self._outboxes[name].put(message)

    def _receive(self, name: str, message: object) -> None:
        """Called in the thread in which execnet receives from a worker: short, and never raises."""
        with self._lock:
            if message == _END:
                self._coordinator.lose(name, "the connection is closed", hold=self._has_taken_over)
                return
            try:
                self._coordinator.receive(name, message)
            except BadMessage as error:
                self._coordinator.reject(name, f"it does not speak the controller's language: {error}")
        self._due.set()
        self._asked.set()

    def _tick(self) -> None:
        while not self._over.is_set():
            self._due.wait(_TICK)
            self._due.clear()
            with self._lock:
                silent = self._coordinator.tick()
                nodes = [self._nodes[name] for name in silent]
                if self._audience is not None:
                    self._show_numbers(self._audience)
            for node in nodes:
                threading.Thread(target=cut_off, args=(node,), name="ipload-cut-off", daemon=True).start()

    def _show_numbers(self, audience: Audience) -> None:
        """Show what all workers measured so far, once a second, until the load is over."""
        found = self._coordinator.live()
        if self._shown is not None and (found is None or found[0] != self._shown):
            audience.load_ended(self._shown, None)
            self._shown = None
        if found is not None and time.monotonic() - self._shown_at >= _SHOW:
            self._shown, self._shown_at = found[0], time.monotonic()
            audience.show(*found)

    def _judge(self) -> None:
        """To bring the parts of many workers together takes seconds, in which they still want signs of life."""
        while not self._over.is_set():
            with self._lock:
                question = self._coordinator.question()
            if question is None:
                self._asked.wait(_TICK)
                self._asked.clear()
                continue
            answer: object
            try:
                answer = question.ask()
            except Exception as error:
                answer = error
            with self._lock:
                question.answer(answer)
            self._due.set()

    def _say(self, line: str) -> None:
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None and self._config.get_verbosity() >= 0:
            terminal.write_line(line, yellow=True)


def _loss(error: object) -> str:
    """Why a worker is gone, in the words for a report."""
    return str(error) if error else "it has finished"
