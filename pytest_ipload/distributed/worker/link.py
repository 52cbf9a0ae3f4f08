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

_END = "closed"  # not a message: those are pairs
_PROBLEM = "problem"
"""Not sent: a message could not be processed."""
_TO_SHARD = frozenset({"start", "stop", "break_off", "abort", "conclusion"})


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
        """When the last message of the controller arrived."""
        self.shards: dict[str, WorkerShard] = {}
        """By node id, the load tests that this worker takes part in: one, or those that run together."""
        channel.setcallback(self._receive, endmarker=_END)

    def tell(self, kind: str, **fields: Any) -> None:
        """Send a message; nothing happens if the controller is gone."""
        try:
            if (field := PACKED.get(kind)) is None:
                send(self._channel, kind, fields)
            else:
                with self._packed:  # the pieces of two messages must not mix; heartbeats may go between them
                    *first, last = pieces(fields[field])
                    for content in first:
                        send(self._channel, "piece", {"content": content})
                    send(self._channel, kind, {**fields, field: last})
        except OSError:
            self._close("the connection to the controller is closed")

    def enter(self, nodeid: str) -> None:
        """This worker has come to a load test, or to the first of those that run together."""
        self.shards = {}
        self.tell("entered", nodeid=nodeid)

    def wait(self, nodeid: str, *kinds: str) -> str:
        """Wait for one of these kinds of message about a test; ``abort`` is returned too, or if the controller is gone.

        Raises RuntimeError for a message about it that could not be processed.
        """
        with self._changed:
            while True:
                mine = [message for message in self._inbox if message[1]["nodeid"] == nodeid]
                for message in mine:
                    self._inbox.remove(message)
                    kind, fields = message
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
            self._close(f"the controller sent an invalid message: {error}")
            return
        self.heard_ns = self._clock()
        try:
            if kind == "ping":
                self.tell("pong", number=fields["number"], at_ns=self.heard_ns)
            elif kind != "beat":
                self._deliver(kind, fields)
        except Exception as error:
            self._stumble(
                fields["nodeid"], f"the controller's message {kind!r} could not be processed: {in_words(error)}"
            )

    def _deliver(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "assign":
            # Here and not where the test waits for it: the next message may be for the shard already.
            share, pool_share = (
                Partition(fields["index"], fields["count"]),
                (fields["pool_index"], fields["pool_count"]),
            )
            nodeid = fields["nodeid"]
            self.shards = {
                **self.shards,
                nodeid: WorkerShard(self._name, nodeid, share, pool_share, self.tell, self._wants_names),
            }
        shard = self.shards.get(fields["nodeid"])
        if kind in _TO_SHARD and shard is not None:
            shard.receive(kind, fields)
            return
        with self._changed:
            self._inbox.append((kind, fields))
            self._changed.notify_all()

    def _stumble(self, nodeid: str, why: str) -> None:
        """Have the test fail, wherever it is."""
        if (shard := self.shards.get(nodeid)) is not None:
            shard.abort(why)
        with self._changed:
            self._inbox.append((_PROBLEM, {"nodeid": nodeid, "why": why}))
            self._changed.notify_all()

    def _close(self, why: str) -> None:
        with self._changed:
            self._closed = why
            self._changed.notify_all()
        for shard in self.shards.values():
            shard.abort(why)


class Pulse:
    """Heartbeats to the controller, and the measurements of a running load test: each in a thread of its own.

    To a silent controller no heartbeats are sent: they would keep an ssh server from finding out that the connection
    is dead, which is what ends this process then.
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
            for shard in self._link.shards.values():
                try:
                    shard.send_news()
                except Exception as error:
                    shard.abort(f"the measurements could not be sent: {in_words(error)}")


class Watch:
    """Ends this worker's loads, from another thread, when the controller is silent for too long: nothing else would."""

    def __init__(
        self,
        link: Link,
        beat_s: float,
        heartbeat_s: float,
        allowed_s: Callable[[], float] | None = None,
    ) -> None:
        """``allowed_s`` says how long the controller may be silent, once it was for ``heartbeat_s``; default: that."""
        self._link = link
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
                for shard in self._link.shards.values():  # again and again: between two rounds a shard does not heed it
                    shard.abort(f"no heartbeat from the controller for {allowed_s:g} s")
