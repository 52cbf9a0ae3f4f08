"""The connection between a worker and the controller."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.base.code_location import in_words
from pytest_ipload.base.packing import pieces
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.distributed.protocol.messages import FROM_CONTROLLER, PACKED, BadMessage, Message, checked
from pytest_ipload.distributed.protocol.outbox import send
from pytest_ipload.distributed.worker.membership import WorkerShard
from pytest_ipload.load.partition import Partition

_END = "closed"  # no message: those are pairs
_PROBLEM = "problem"
"""Not sent: that a message could not be followed."""
_TO_MEMBER = frozenset({"start", "stop", "break_off", "abort", "conclusion"})


class Link:
    """Messages to and from the controller, over an execnet channel."""

    def __init__(
        self,
        channel: Any,
        name: str,
        clock: Callable[[], int] = real_time.perf_counter_ns,
        wants_names: bool | None = None,
    ) -> None:
        """``name`` is this worker's; for ``wants_names`` see ``WorkerShard``."""
        self._channel = channel
        self._name = name
        self._wants_names = wants_names
        self._clock = clock
        self._packed = threading.Lock()
        self._changed = threading.Condition()
        self._inbox: deque[Message] = deque()
        self._closed: str | None = None
        self.heard_ns = clock()
        """When the controller last gave a sign of life."""
        self.member: WorkerShard | None = None
        """The load test that this worker takes part in."""
        channel.setcallback(self._receive, endmarker=_END)

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a message; nothing happens if the controller is gone."""
        try:
            if (field := PACKED.get(kind)) is None:
                send(self._channel, kind, fields)
            else:
                with self._packed:  # the pieces of two messages must not mix; signs of life go between them
                    *first, last = pieces(fields[field])
                    for content in first:
                        send(self._channel, "piece", {"content": content})
                    send(self._channel, kind, {**fields, field: last})
        except OSError:
            self._close("the connection to the controller is closed")

    def wait(self, nodeid: str, *kinds: str) -> str:
        """Wait for one of these kinds of message about a test; ``abort`` comes too, also if the controller is gone.

        Raises RuntimeError for a message about it that could not be followed.
        """
        with self._changed:
            while True:
                while self._inbox:
                    kind, fields = self._inbox.popleft()
                    if fields["nodeid"] != nodeid:
                        continue
                    if kind == _PROBLEM:
                        raise RuntimeError(fields["why"])
                    if kind in (*kinds, "abort"):
                        return kind
                if self._closed is not None:
                    return "abort"
                self._changed.wait()

    def _receive(self, message: object) -> None:
        """Called in the thread of execnet that receives: short, and never raises."""
        if message == _END:
            self._close("the controller is gone")
            return
        try:
            kind, fields = checked(message, FROM_CONTROLLER)
        except BadMessage as error:
            self._close(f"the controller does not speak our language: {error}")
            return
        self.heard_ns = self._clock()
        try:
            if kind == "ping":
                self.tell("pong", number=fields["number"], at_ns=self.heard_ns)
            elif kind != "beat":
                self._deliver(kind, fields)
        except Exception as error:
            self._stumble(fields["nodeid"], f"{kind!r} of the controller could not be followed: {in_words(error)}")

    def _deliver(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "assign":
            # Here and not where the test waits for it: the next message may be for the member already.
            share, pool_share = (
                Partition(fields["index"], fields["count"]),
                (fields["pool_index"], fields["pool_count"]),
            )
            self.member = WorkerShard(self._name, fields["nodeid"], share, pool_share, self.tell, self._wants_names)
        member = self.member
        if kind in _TO_MEMBER and member is not None and member.nodeid == fields["nodeid"]:
            member.receive(kind, fields)
            return
        with self._changed:
            self._inbox.append((kind, fields))
            self._changed.notify_all()

    def _stumble(self, nodeid: str, why: str) -> None:
        """Have the test fail, wherever it is."""
        if self.member is not None and self.member.nodeid == nodeid:
            self.member.abort(why)
        with self._changed:
            self._inbox.append((_PROBLEM, {"nodeid": nodeid, "why": why}))
            self._changed.notify_all()

    def _close(self, why: str) -> None:
        with self._changed:
            self._closed = why
            self._changed.notify_all()
        if self.member is not None:
            self.member.abort(why)


class Pulse:
    """Signs of life to the controller, and what a load test has to tell meanwhile: each in a thread of its own.

    To a controller that is silent there are none: what is sent keeps a server of ssh from finding out that the
    connection is dead, which is what ends this process then.
    """

    def __init__(self, link: Link, beat_s: float, silence_s: float = math.inf) -> None:
        """``silence_s`` is how long the controller may have been silent."""
        self._link = link
        self._beat_s = beat_s
        self._silence_s = silence_s
        self._over = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._beat, name="ipload-team-pulse", daemon=True).start()
        threading.Thread(target=self._send_news, name="ipload-team-news", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            if real_time.perf_counter_ns() - self._link.heard_ns <= self._silence_s * NS_PER_S:
                self._link.tell("beat")

    def _send_news(self) -> None:
        while not self._over.wait(self._beat_s):
            if (member := self._link.member) is None:
                continue
            try:
                member.send_news()
            except Exception as error:
                member.abort(f"what was measured so far could not be sent: {in_words(error)}")


class Watch:
    """Ends a load, from a thread of its own, when the controller is silent for too long: nobody would end it else."""

    def __init__(
        self,
        link: Link,
        member: WorkerShard,
        beat_s: float,
        heartbeat_s: float,
        allowed_s: Callable[[], float] | None = None,
    ) -> None:
        """``allowed_s`` is asked, when the controller was silent for ``heartbeat_s``, how long it may be; else that."""
        self._link = link
        self._member = member
        self._beat_s = beat_s
        self._heartbeat_s = heartbeat_s
        self._allowed_s = allowed_s or (lambda: heartbeat_s)
        self._over = threading.Event()

    def __enter__(self) -> None:
        self._link.heard_ns = real_time.perf_counter_ns()
        threading.Thread(target=self._watch, name="ipload-team-watch", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        looked_ns = real_time.perf_counter_ns()
        while not self._over.wait(self._beat_s / 2):
            now = real_time.perf_counter_ns()
            if now - looked_ns > self._heartbeat_s * 0.5e9:  # this process itself did not run for a while
                self._link.heard_ns += now - looked_ns
            looked_ns = now
            silent_s = (now - self._link.heard_ns) / NS_PER_S
            if silent_s > self._heartbeat_s and silent_s > (allowed_s := self._allowed_s()):
                self._member.abort(f"the controller has given no sign of life for {allowed_s:g} s")
                return
