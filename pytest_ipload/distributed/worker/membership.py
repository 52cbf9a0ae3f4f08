"""A process's side of a load test that it shares with other workers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.packing import pack, unpack
from pytest_ipload.load.partition import Partition
from pytest_ipload.stats.live import LiveListener, LiveNumbers
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.shard_group import LoadAborted, Shard

if TYPE_CHECKING:
    from pytest_ipload.verdict.shard_result import ShardResult


SHARD = pytest.StashKey[Shard]()
"""In ``item.stash``: this process's side of a shared load test; absent where it is alone."""


class WorkerShard:
    """One of several processes. Messages arrive in another thread than the load test's."""

    def __init__(
        self,
        name: str,
        nodeid: str,
        share: Partition,
        pool_share: tuple[int, int],
        tell: Callable[..., object],
        wants_names: bool | None = None,
    ) -> None:
        """``tell(kind, **fields)`` sends a message to the controller.

        ``wants_names`` says whether it wants the numbers of each request name; None if it wants no live numbers.
        """
        self.name = name
        self.nodeid = nodeid
        self.share = share
        self.pool_share = pool_share
        self.on_stop: Callable[[str], object] | None = None
        self.on_break_off: Callable[[str], object] | None = None
        self.wants_names = bool(wants_names)
        self.audience: LiveListener | None = None if wants_names is None else self
        self._tell = tell
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._start_ns: int | None = None
        self._conclusion: bytes | None = None
        self._is_handed_in = False
        """Whether the controller has the shard result of this round."""
        self._stopped: str | None = None
        self._aborted: str | None = None
        self._snapshots: list[dict[str, Any]] = []
        """Snapshots to be sent, in their order."""
        self._numbers: LiveNumbers | None = None
        """The newest, if they are to be sent."""

    @property
    def stop_reason(self) -> str | None:
        """Why the load has to end; None if it does not."""
        return self._aborted or self._stopped

    @property
    def is_aborted(self) -> bool:
        """Whether there will be no verdict."""
        return self._aborted is not None

    def ready(self) -> int:
        """Wait until all are ready; see ``Shard``."""
        with self._changed:  # messages about an earlier round
            self._start_ns = self._conclusion = self._stopped = None
            self._is_handed_in = False
        self._tell("ready", nodeid=self.nodeid)
        with self._changed:
            self._changed.wait_for(lambda: self._start_ns is not None or self.is_aborted)
            if self._start_ns is None or self.is_aborted:
                raise LoadAborted(self._aborted)
            return self._start_ns

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Keep a snapshot for the thread that sends it: a load never waits for a full pipe."""
        with self._changed:
            self._snapshots.append(snapshot)

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """Keep live numbers in the same way; see ``LiveListener``."""
        with self._changed:
            self._numbers = numbers

    def load_ended(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """The controller knows when all partitions of the load are over; it wants the last numbers, too."""
        if numbers is not None:
            self.show(nodeid, numbers)

    def send_news(self) -> None:
        """Send what is new."""
        with self._sending:  # of two threads, the first has the older messages
            with self._changed:
                snapshots, self._snapshots = self._snapshots, []
                numbers, self._numbers = self._numbers, None
            for snapshot in snapshots:
                self._tell("progress", nodeid=self.nodeid, snapshot=pack(snapshot))
            if numbers is not None:
                self._tell("live", nodeid=self.nodeid, numbers=numbers.to_plain())

    def hand_in(self, part: ShardResult) -> None:
        """Send the shard result; see ``Shard``."""
        from pytest_ipload.verdict.shard_result import as_shard

        if not self.is_aborted:
            self._is_handed_in = True
            self.send_news()
            ended_by = part.broken_off or part.error or ""
            if self.share.count > 1:
                part = as_shard(part, self.share.index, self.name)
            self._tell("part", nodeid=self.nodeid, part=pack(part.to_plain()), ended_by=ended_by)

    def conclude(self, part: ShardResult) -> Conclusion:
        """Send the shard result, unless it has been sent, and wait for the verdict; see ``Shard``."""
        if not self._is_handed_in:
            self.hand_in(part)
        with self._changed:
            self._changed.wait_for(lambda: self._conclusion is not None or self.is_aborted)
            if self._conclusion is None:
                raise LoadAborted(self._aborted)
            packed = self._conclusion
        return Conclusion.from_plain(unpack(packed))

    def break_down(self) -> None:
        """Tell the controller; see ``Shard``."""
        self._tell("broke_down", nodeid=self.nodeid)

    # -- what the controller says -------------------------------------------------------------------------------

    def receive(self, kind: str, fields: dict[str, Any]) -> None:
        """A message for this load test came."""
        with self._changed:
            if kind == "start":
                self._start_ns = fields["at_ns"]
            elif kind == "conclusion":
                self._conclusion = fields["conclusion"]
            elif kind in ("stop", "break_off"):
                self._stopped = fields["reason"]
            self._changed.notify_all()
        if kind == "abort":
            self.abort(fields["reason"])
        elif kind == "stop" and self.on_stop is not None:
            self.on_stop(fields["reason"])
        elif kind == "break_off" and self.on_break_off is not None:
            self.on_break_off(fields["reason"])

    def abort(self, reason: str) -> None:
        """There will be no verdict: do not wait for one any longer."""
        with self._changed:
            if self._aborted is not None or self._conclusion is not None:
                return
            self._aborted = reason
            self._changed.notify_all()
        if self.on_stop is not None:
            self.on_stop(reason)
