"""A process's side of a load test: as one of several that share it, or alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pytest_ipload.base import real_time
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.stats.live import LiveListener

if TYPE_CHECKING:
    from pytest_ipload.verdict.conclusion import Conclusion
    from pytest_ipload.verdict.shard_result import ShardResult


class LoadAborted(Exception):
    """The load test was called off: there will be no verdict. The text says why."""


class Shard(Protocol):
    """What a load test needs from the processes that share its load."""

    name: str
    """The process's name."""
    share: Partition
    """This process's partition of the load."""
    pool_share: tuple[int, int]
    """This process's share of the address pool; the others are for other processes on this host."""
    on_stop: Callable[[str], object] | None
    """Called with the reason, in any thread, when the load has to end. To be set before ``ready``."""
    on_break_off: Callable[[str], object] | None
    """The same when the session ends: users that are still busy are not waited for."""
    audience: LiveListener | None
    """Listener for live numbers; None if there is none."""

    @property
    def stop_reason(self) -> str | None:
        """Why the load has to end; None if it does not."""

    def ready(self) -> int:
        """This process's initial users are set up: wait for the others. Once for each round of the load.

        Returns the instant at which all start, in nanoseconds of ``time.perf_counter_ns``. Raises LoadAborted.
        """

    def progress(self, snapshot: dict[str, Any]) -> None:
        """What was measured so far, as plain values; to be called once a second. Does not block."""

    def hand_in(self, part: ShardResult) -> None:
        """Hand in what was measured of a load that is being aborted, without waiting for anything."""

    def break_down(self) -> None:
        """Say that this process will hand in nothing more, while it is still busy with other loads."""

    def abort(self, reason: str) -> None:
        """There will be no verdict: ``conclude`` and ``ready`` wait no longer. For any thread."""

    def conclude(self, part: ShardResult, /) -> Conclusion:
        """Hand in the shard result; returns the verdict on all of them. Raises LoadAborted."""


class SingleProcess:
    """The only process of a load."""

    def __init__(
        self,
        conclude: Callable[[ShardResult], Conclusion],
        pool_share: tuple[int, int],
        audience: LiveListener | None = None,
    ) -> None:
        """``conclude`` gives the verdict; other processes may use the other shares of the addresses."""
        self.name = "main"
        self.share = WHOLE
        self.pool_share = pool_share
        self.on_stop: Callable[[str], object] | None = None
        self.on_break_off: Callable[[str], object] | None = None
        self.audience = audience
        self.conclude = conclude

    @property
    def stop_reason(self) -> str | None:
        """No other process can stop the load."""
        return None

    def ready(self) -> int:
        """There are no other processes to wait for."""
        return real_time.perf_counter_ns()

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Discarded: no other process needs it."""

    def hand_in(self, part: ShardResult) -> None:
        """Discarded: no other process needs it."""

    def break_down(self) -> None:
        """No other process waits for it."""

    def abort(self, reason: str) -> None:
        """Nothing waits for other processes."""
