"""The controller's hooks: the coordinator of the workers that share loads, with threads, channels and xdist."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Sequence
from functools import partial
from typing import Any

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.code_location import in_words
from pytest_ipload.distributed.controller.coordinator import Coordinator, Judges
from pytest_ipload.distributed.controller.load_outcomes import Outcomes
from pytest_ipload.distributed.controller.scheduler import EachScheduler, TeamScheduler
from pytest_ipload.distributed.controller.shared_load import SharedLoad
from pytest_ipload.distributed.protocol.liveness import can_run
from pytest_ipload.distributed.protocol.messages import BadMessage, Message
from pytest_ipload.distributed.protocol.outbox import Outbox
from pytest_ipload.distributed.protocol.slots import TEAM_KEY
from pytest_ipload.distributed.protocol.time_limits import Timing
from pytest_ipload.distributed.xdist_private import (
    call_from_main_thread,
    cut_off,
    end_workers,
    process_of,
    survive_lost_hosts,
)
from pytest_ipload.stats.live import LiveListener
from pytest_ipload.verdict.result import UnmeasuredResult

_END = "closed"  # not a message: those are pairs
_TICK = 0.1
"""Seconds between two checks of what is due."""
_SHOW = 1.0
"""Seconds between two updates of the live numbers, for listeners."""
_LAST_PARTS_S = (60.0, 5.0)
"""How long to wait, at most, for measurements when the session ends during a load.

First as long as the teardown of users may take; after a second Ctrl-C that is interrupted, too.
"""
_BROKEN_OFF = "the load was aborted because the session ended"


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
        audience: LiveListener | None = None,
    ) -> None:
        """``results_key`` is the attribute of a report that has the results of a load test.

        ``keep_results`` takes the node id and the results of a load without a report.
        """
        self._config = config
        self._judges = judges
        self._keep_results = keep_results
        self._audience = audience
        self._shown: Collection[str] = ()
        """The load tests whose live numbers were published last; guarded by the lock."""
        self._shown_at = 0.0
        self._timing = Timing.from_environment()
        self._is_each = config.getoption("dist") == "each"
        clock = real_time.perf_counter_ns
        self._coordinator = Coordinator(
            self._send, clock, judges, version, self._timing, shards, self._is_each, self._can_run
        )
        self._outcomes = Outcomes(config, results_key, self._say, judges.unfinished)
        self._lock = threading.RLock()
        """Guards the coordinator: messages arrive in a thread of each worker's gateway."""
        self._nodes: dict[str, Any] = {}
        self._outboxes: dict[str, Outbox] = {}
        self._has_taken_over = False
        self._pytest_session: pytest.Session | None = None
        self._exit: BaseException | None = None
        """What a plugin raised in one of these threads to end the session."""
        self._over = threading.Event()
        self._due = threading.Event()
        self._asked = threading.Event()
        self._judged = threading.Event()

    @property
    def tests(self) -> Collection[str]:
        """The node ids of the load tests that the workers have collected so far; grows with them."""
        return self._coordinator.tests.keys()

    # -- workers come and go ------------------------------------------------------------------------------------

    def attach(self, node: Any, rank: int) -> None:
        """A worker is about to start: give it a channel of its own, whose other end execnet creates in the worker."""
        if not self._nodes:
            threading.Thread(target=self._tick, name="ipload-team", daemon=True).start()
            threading.Thread(target=self._judge, name="ipload-judge", daemon=True).start()
        name = node.gateway.id
        channel = node.gateway.newchannel()
        with self._lock:
            self._nodes[name], self._outboxes[name] = node, Outbox(channel, name, self._reject)
            self._coordinator.attach(name, rank)
        wants_names = None if self._audience is None else self._audience.wants_names
        timing = self._timing.beat, self._timing.heartbeat, self._timing.silence_of(True)
        node.workerinput[TEAM_KEY] = (channel, timing, os.getpid(), wants_names)
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
            self._coordinator.lose(name, str(error or "it has finished"), hold=will_tell)
            if will_tell:
                self._coordinator.hold(name)
                call_from_main_thread(node)
            else:
                self._coordinator.release(name)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Remember the session; xdist runs the loop. At its end, no load test may be without an outcome."""
        self._pytest_session = session
        result = yield
        if self._has_taken_over or self._is_each:  # else xdist has refused to run anything, and reported why
            self._outcomes.report_missing(self._coordinator.tests.values(), self._coordinator.workers.values())
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember which tests have an outcome, from whichever process."""
        self._outcomes.heard(report)

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_xdist_make_scheduler(self) -> Generator[None, Any, Any]:
        """Wrap whichever scheduler there is. With ``--dist each`` the tests are not shared."""
        inner = yield
        if self._is_each:
            return EachScheduler(inner) if hasattr(inner, "node2collection") else inner
        return None if inner is None else TeamScheduler(inner, self, self._session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Called in the main thread, where the session can be ended."""
        if self._coordinator.refusal is not None:
            raise pytest.UsageError(self._coordinator.refusal)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End the workers before anything else: an unreachable host must not cost the reports."""
        with self._lock:
            broken_off = self._coordinator.break_off("the session is ending")
        self._keep_what_was_measured(broken_off)
        with self._lock:
            self._coordinator.end("the session is over")
        if self._has_taken_over and (problem := end_workers(self._session)) is not None:
            self._say(f"pytest-ipload: a worker could not be ended: {problem}")

    def _keep_what_was_measured(self, tests: Sequence[SharedLoad]) -> None:
        """For loads that were aborted, as by Ctrl-C: there will be no report of the test, but a result."""
        begun = [test for test in tests if test.has_begun]
        for seconds in _LAST_PARTS_S:
            give_up = real_time.monotonic() + seconds
            try:
                while not all(test.has_all_parts for test in begun) and real_time.monotonic() < give_up:
                    time.sleep(_TICK / 5)
                break
            except KeyboardInterrupt:
                with self._lock:
                    for test in begun:
                        test.break_off("interrupted again")
        for test in tests:
            try:
                results = self._results_so_far(test)
            except Exception as error:
                results = self._unfinished(test, f"the results cannot be reported: {in_words(error)}")
            self._keep_results(test.nodeid, results)

    def _results_so_far(self, test: SharedLoad) -> list[dict[str, Any]]:
        """The results if there is a verdict already, else those of the shard results that have arrived."""
        if not test.has_begun:
            return self._unfinished(test, "the session ended during the set-up of the users")
        with self._lock:
            parts, conclusion = list(test.parts.values()), test.conclusion
        if conclusion is not None and conclusion.results:
            return list(conclusion.results)
        missing = len(test.workers) - len(parts)
        rest = f"; {missing} of {len(test.workers)} workers stopped responding" if missing else ""
        reason = f"{_BROKEN_OFF}{rest}"
        return self._judges.break_off(test.nodeid, parts, reason) if parts else self._unfinished(test, reason)

    def _unfinished(self, test: SharedLoad, reason: str) -> list[dict[str, Any]]:
        """The results of a load test that ended in an error: those of its earlier rounds, if there were any."""
        conclusion = self._judges.unfinished(test.nodeid, reason)
        if conclusion is None:
            return [UnmeasuredResult(nodeid=test.nodeid, reason=reason, together=test.group).as_dict()]
        return list(conclusion.results)

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

    # -- calls of the scheduler -----------------------------------------------------------------------------------

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
                f"there are load tests, but {', '.join(silent)} did not report its load tests: "
                "install the same version of pytest-ipload on all hosts, or give --ipload-concurrent"
            )
        self._has_taken_over = True
        survive_lost_hosts(self._session, self._do_without)
        if self._config.getoption("reruns", None):
            self._outcomes.say_that_none_is_rerun("--reruns")

    def _do_without(self, name: str) -> None:
        """A worker cannot be replaced; its replacement may have been announced already."""
        self._say("pytest-ipload: the worker is not replaced, because its host cannot be reached")
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
        self._wait_for_verdicts()
        self._end_if_asked()
        with self._lock:
            tests = self._coordinator.tests_to_report()
        for test in tests:
            try:
                if not (test.aborted is not None and test.aborted == self._coordinator.ending):  # else it was not run
                    self._outcomes.report(test, self._session, self._nodes)
                    self._end_if_asked()
            except BaseException:  # raised by another plugin to end the session
                with self._lock:
                    self._coordinator.end("the session is over")
                raise
            finally:
                with self._lock:
                    self._coordinator.reported(test.nodeid)

    def _wait_for_verdicts(self) -> None:
        """When all workers have finished their tests, xdist may never call again: the verdict has to come now."""
        while self._has_verdict_to_come():
            self._asked.set()
            self._judged.wait(_TICK)
            self._judged.clear()

    def _has_verdict_to_come(self) -> bool:
        with self._lock:
            return self._coordinator.is_idle

    def _end_if_asked(self) -> None:
        """Start no more load tests if the session is to end: by -x, or by a plugin that saw a report."""
        if self._exit is not None:
            error, self._exit = self._exit, None
            raise error
        pytest_session = self._pytest_session
        asked = pytest_session is not None and (pytest_session.shouldfail or pytest_session.shouldstop)
        if asked and not self._session.shouldstop:
            self._session.shouldstop = str(asked)  # as if a worker had requested it
        if self._session.shouldstop:
            with self._lock:
                self._coordinator.end(str(self._session.shouldstop))

    # -- in other threads ---------------------------------------------------------------------------------------

    def _send(self, name: str, message: Message) -> None:
        self._outboxes[name].put(message)

    def _can_run(self, name: str) -> bool | None:
        return can_run(process_of(self._nodes[name]))

    def _receive(self, name: str, message: object) -> None:
        """Called in the thread in which execnet receives from a worker: short, and never raises."""
        with self._lock:
            if message == _END:
                self._coordinator.lose(name, "the connection is closed", hold=self._has_taken_over)
                return
            try:
                self._coordinator.receive(name, message)
            except BadMessage as error:
                self._coordinator.reject(name, f"it sent an invalid message: {error}")
            except Exception as error:
                self._coordinator.reject(name, f"its message could not be processed: {in_words(error)}")
        self._due.set()
        self._asked.set()

    def _reject(self, name: str, why: str) -> None:
        with self._lock:
            self._coordinator.reject(name, why)

    def _tick(self) -> None:
        while not self._over.is_set():
            self._due.wait(_TICK)
            self._due.clear()
            nodes = []
            with self._lock:
                try:
                    nodes = [self._nodes[name] for name in self._coordinator.tick()]
                    if self._audience is not None:
                        self._show_numbers(self._audience)
                except Exception as error:
                    self._coordinator.abort(f"an error in the controller: {in_words(error)}")
            for node in nodes:
                threading.Thread(target=cut_off, args=(node,), name="ipload-cut-off", daemon=True).start()

    def _show_numbers(self, audience: LiveListener) -> None:
        """Publish the live numbers of all workers, once a second, until the load is over."""
        found = self._coordinator.live()
        for nodeid in self._shown:
            if nodeid not in found:
                audience.load_ended(nodeid, None)
        self._shown = [nodeid for nodeid in self._shown if nodeid in found]
        if found and real_time.monotonic() - self._shown_at >= _SHOW:
            self._shown, self._shown_at = list(found), real_time.monotonic()
            for nodeid, numbers in found.items():
                audience.show(nodeid, numbers)

    def _judge(self) -> None:
        """Merging the shard results of many workers takes seconds, during which heartbeats must go on."""
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
            except BaseException as error:  # pytest's outcomes derive from BaseException
                answer = error
                if isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
                    self._exit = error
            with self._lock:
                question.answer(answer)
            self._due.set()
            self._judged.set()

    def _say(self, line: str) -> None:
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None and self._config.get_verbosity() >= 0:
            terminal.write_line(line, yellow=True)
