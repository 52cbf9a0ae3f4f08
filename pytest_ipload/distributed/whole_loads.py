"""Loads that run whole on one worker: their measurements are not lost when the controller's session is ended.

When its session is interrupted, xdist does not wait for running tests, and does not get their reports any more. So
the controller asks each worker to abort what it runs, over a separate channel, and collects the results. It sends
``break_off``; the worker answers ``busy`` if a load has to end first, sends ``results``, and then sends ``over``.

Over the same channel, workers wait for each other with the loads of ``ipload.run``, of which one runs at a time: a
worker sends ``request``, waits for ``begin``, sends a ``beat`` twice a second while it loads, and sends ``release``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.distributed.controller.load_queue import LoadQueue
from pytest_ipload.distributed.protocol.liveness import can_run
from pytest_ipload.distributed.protocol.messages import BadMessage, checked
from pytest_ipload.distributed.protocol.outbox import Outbox, send
from pytest_ipload.distributed.protocol.slots import QUEUE_KEY, WHOLE_KEY
from pytest_ipload.distributed.protocol.time_limits import Timing
from pytest_ipload.distributed.xdist_private import process_of

_FROM_CONTROLLER: Mapping[str, Mapping[str, type]] = {"break_off": {"reason": str}, "begin": {"number": int}}
_FROM_WORKER: Mapping[str, Mapping[str, type]] = {
    "busy": {},
    "results": {"nodeid": str, "phase": str, "reason": str, "results": list},
    "over": {},
    "request": {"number": int},
    "beat": {},
    "release": {},
}
_END = "closed"  # not a message: those are pairs
_GONE = ("break_off", {"reason": "the controller is gone"})
_ANSWER_S = 10.0
"""How long a worker may take to say whether it runs a load: a thread that does nothing else says so."""
_LAST_RESULTS_S = (60.0, 5.0)
"""How long to wait for results, at most: as long as the teardown of users may take; after a second Ctrl-C less."""

Results = list[dict[str, Any]]


class Stop(Protocol):
    """Ends a load; see ``Executor.ask_to_stop``."""

    def __call__(self, reason: str, *, hurry: bool) -> object:
        """Called in another thread than the load's; again for a second Ctrl-C."""


class WorkerLoads:
    """The worker's side. Messages arrive in another thread than the tests run in."""

    def __init__(
        self,
        channel: Any,
        unreported: Callable[[str], tuple[str, Results] | None],
        beat_s: float | None = None,
    ) -> None:
        """``unreported`` has the running test and the results of its loads so far, given what interrupts it.

        ``beat_s`` are the seconds between two heartbeats where loads wait for those of other workers; None where they
        do not.
        """
        self._channel = channel
        self._unreported = unreported
        self._beat_s = beat_s
        self._changed = threading.Condition()  # of an RLock
        self._loads = 0
        """Loads of this worker that hold its place in the queue, or wait for it."""
        self._may_load = False
        self._number = 0
        """Of the last request: an answer to an earlier one, which was withdrawn, counts no more."""
        self._released = threading.Event()
        self._stop: Stop | None = None
        """Ends the running load."""
        self._is_busy = False
        """Whether a load runs, or was ended by an exception after which the phase of its test still has to end."""
        self._is_held = False
        """Whether results of several tests are to be sent before the end of a phase counts."""
        self._ended: str | None = None
        """Why the session was ended."""
        channel.setcallback(self._receive, endmarker=_END)

    @contextmanager
    def going_on(self, stop: Stop) -> Iterator[None]:
        """Run a load or a partition of one. When the session ends, this raises KeyboardInterrupt, as Ctrl-C does."""
        with self._changed:
            self._raise_if_ended()
            self._stop, self._is_busy = stop, True
        is_through = False
        try:
            yield
            is_through = True
        finally:
            with self._changed:
                self._stop = None
                self._is_busy = not is_through or self._ended is not None
        self._raise_if_ended()

    @contextmanager
    def alone(self) -> Iterator[float]:
        """While no other worker is in here: the seconds that this took. Several loads of one worker go in together.

        Raises KeyboardInterrupt when the session ends.
        """
        if self._beat_s is None:
            yield 0.0
            return
        began = real_time.monotonic()
        has_entered = False
        try:
            with self._changed:
                self._loads, has_entered = self._loads + 1, True
                if self._loads == 1:
                    self._number += 1
                    self._tell("request", number=self._number)
                while not self._may_load:
                    self._raise_if_ended()
                    self._changed.wait()
            yield real_time.monotonic() - began
        finally:
            with self._changed:
                self._loads -= has_entered
                if has_entered and self._loads == 0:
                    self._may_load = False
                    self._released.set()
                    self._tell("release")

    def _beat(self, released: threading.Event, beat_s: float) -> None:
        while not released.wait(beat_s):
            self._tell("beat")

    def _begin(self, number: int) -> None:
        if self._loads == 0 or self._may_load or self._beat_s is None or number != self._number:
            return  # it no longer waits
        self._may_load, self._released = True, threading.Event()
        arguments = (self._released, self._beat_s)
        threading.Thread(target=self._beat, args=arguments, name="ipload-beat", daemon=True).start()
        self._changed.notify_all()

    def _raise_if_ended(self) -> None:
        if self._ended is not None:
            raise KeyboardInterrupt(self._ended)

    def deliver(self, nodeid: str, phase: str, reason: str, results: Results) -> None:
        """Send what there is of a test that was interrupted in this phase; its results, unless they are reported."""
        self._tell("results", nodeid=nodeid, phase=phase, reason=reason, results=results)

    def phase_over(self) -> None:
        """The running phase has no load any more, and everything that was to be sent is sent."""
        with self._changed:
            if self._is_held:
                return
            was_busy, self._is_busy = self._is_busy, False
            if was_busy and self._ended is not None:
                self._tell("over")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Run tests whose loads run together: if they are interrupted, the results of all are sent."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self.phase_over()

    def _receive(self, message: object) -> None:
        """Called in the thread of execnet that receives: never raises."""
        try:
            kind, fields = checked(_GONE if message == _END else message, _FROM_CONTROLLER)
        except BadMessage:
            return
        with self._changed:
            if kind == "begin":
                self._begin(fields["number"])
                return
            reason = fields["reason"]
            self._ended = self._ended or reason
            self._changed.notify_all()
            if self._is_busy:
                self._tell("busy")
                if self._stop is not None:
                    self._stop(reason, hurry=True)
                return
            if (found := self._unreported(reason)) is not None:
                nodeid, results = found
                self.deliver(nodeid, "call", "", results)
            self._tell("over")

    def _tell(self, kind: str, **fields: Any) -> None:
        with suppress(OSError):  # the controller is gone
            send(self._channel, kind, fields)


class WholeLoads:
    """The controller's side. Registered as a plugin in the process that xdist's workers report to."""

    def __init__(self, keep: Callable[[str, str, str, str, Results], object], *, one_by_one: bool = False) -> None:
        """``keep(nodeid, worker, phase, reason, results)`` takes what a worker delivers.

        ``one_by_one`` says that loads of ``ipload.run`` wait for those of other workers.
        """
        self._keep = keep
        self._timing = Timing.from_environment() if one_by_one else None
        self._queue = LoadQueue(self._let_begin, self._can_run, self._timing or Timing(), real_time.monotonic)
        self._queue_lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        self._over = threading.Event()
        self._nodes: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}
        self._outboxes: dict[str, Outbox] = {}
        """Of the workers that have requested a load."""
        self._changed = threading.Condition()
        self._channels: dict[str, Any] = {}
        """Of the workers that are connected."""
        self._silent: set[str] = set()
        """The workers that have not answered yet."""
        self._busy: set[str] = set()
        """The workers whose results have not arrived yet."""

    def attach(self, node: Any) -> None:
        """A worker is about to start: give it a channel. execnet creates the other end of it in the worker."""
        name = node.gateway.id
        channel = self._channels[name] = node.gateway.newchannel()
        node.workerinput[WHOLE_KEY] = channel
        if self._timing is not None:
            node.workerinput[QUEUE_KEY] = self._timing.beat
        self._nodes[name] = node
        channel.setcallback(partial(self._receive, name), endmarker=_END)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has finished, and has reported everything; or it is gone."""
        name = node.gateway.id
        self._channels.pop(name, None)
        self._release(name)

    def pytest_unconfigure(self) -> None:
        """End the threads."""
        self._over.set()
        for outbox in self._outboxes.values():
            outbox.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Before the workers are ended and reports are written: have them deliver, if they still run tests."""
        for seconds in _LAST_RESULTS_S:
            try:
                self._break_off("the session ended")
                self._wait_for_all(seconds)
                break
            except KeyboardInterrupt:
                continue
        return (yield)

    def _break_off(self, reason: str) -> None:
        with self._changed:
            names = self._busy or self._channels.keys()
            self._silent = set(names)
            channels = [self._channels[name] for name in names if name in self._channels]
        for channel in channels:
            with suppress(OSError):
                send(channel, "break_off", {"reason": reason})

    def _wait_for_all(self, seconds: float) -> None:
        began = real_time.monotonic()
        with self._changed:
            while self._silent or self._busy:
                rest = seconds if self._busy else min(seconds, _ANSWER_S)
                if (left := began + rest - real_time.monotonic()) <= 0:
                    return
                self._changed.wait(left)

    def _receive(self, name: str, message: object) -> None:
        """Called in the thread in which execnet receives from a worker: never raises."""
        try:
            kind, fields = checked(("over", {}) if message == _END else message, _FROM_WORKER)
        except BadMessage:
            return
        if kind in ("request", "beat", "release"):
            with self._queue_lock:
                if kind == "request":
                    self._numbers[name] = fields["number"]
                getattr(self._queue, kind)(name)
                self._watch()
            return
        if message == _END:
            self._release(name)
        with self._changed:
            if kind == "results":
                with suppress(Exception):  # not a valid result: the test then has none
                    self._keep(fields["nodeid"], name, fields["phase"], fields["reason"], fields["results"])
                return
            self._silent.discard(name)
            (self._busy.add if kind == "busy" else self._busy.discard)(name)
            self._changed.notify_all()

    # -- the queue of loads -------------------------------------------------------------------------------------

    def _release(self, name: str) -> None:
        """A worker is gone."""
        with self._queue_lock:
            self._queue.release(name)

    def _let_begin(self, name: str) -> None:
        """Not sent in this thread, which may be that of another worker: a worker that hangs takes no messages."""
        if name not in self._outboxes:
            self._outboxes[name] = Outbox(self._nodes[name].workerinput[WHOLE_KEY], name, lambda *_: None)
        self._outboxes[name].put(("begin", {"number": self._numbers[name]}))

    def _can_run(self, name: str) -> bool | None:
        return can_run(process_of(self._nodes[name]))

    def _watch(self) -> None:
        """Have a thread look for a worker that hangs while others wait for it."""
        if self._watcher is None and self._queue.look():
            self._watcher = threading.Thread(target=self._look_on, name="ipload-load-queue", daemon=True)
            self._watcher.start()

    def _look_on(self) -> None:
        beat_s = Timing().beat if self._timing is None else self._timing.beat
        while not self._over.wait(beat_s):
            with self._queue_lock:
                if not self._queue.look():
                    self._watcher = None
                    return
