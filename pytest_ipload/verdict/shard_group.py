"""A process's part in a load test: as one of several that share it, or alone."""

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
    """What a load test asks of those with whom it shares its load."""

    name: str
    """The process's."""
    share: Partition
    """Which part of the load is this process's."""
    pool_share: tuple[int, int]
    """Which part of the pool is this process's; the others are for other processes on this host."""
    on_stop: Callable[[str], object] | None
    """Called with the reason, in any thread, when the load has to end. To be set before ``ready``."""
    on_break_off: Callable[[str], object] | None
    """The same when the session ends: nobody waits then for users who are still at something."""
    audience: LiveListener | None
    """Who looks on at the load; None if nobody does."""

    @property
    def stop_reason(self) -> str | None:
        """Why the load has to end, or had to."""

    def ready(self) -> int:
        """All users of the start are set up: wait for the others. Once for each round of the load.

        Returns the instant at which all start, in nanoseconds of ``time.perf_counter_ns``. Raises LoadAborted.
        """

    def progress(self, snapshot: dict[str, Any]) -> None:
        """What was measured so far, as plain values; to be called once a second. Does not block."""

    def hand_in(self, part: ShardResult) -> None:
        """Hand in what was measured of a load that is being broken off, and wait for nothing."""

    def conclude(self, part: ShardResult) -> Conclusion:
        """Hand in what was measured; returns the verdict on all parts. Raises LoadAborted."""


class SingleProcess:
    """The only process."""

    def __init__(
        self,
        conclude: Callable[[ShardResult], Conclusion],
        pool_share: tuple[int, int],
        audience: LiveListener | None = None,
    ) -> None:
        """``conclude`` gives the verdict; of the addresses, other processes may use other shares."""
        self.name = "main"
        self.share = WHOLE
        self.pool_share = pool_share
        self.on_stop: Callable[[str], object] | None = None
        self.on_break_off: Callable[[str], object] | None = None
        self.audience = audience
        self._conclude = conclude

    @property
    def stop_reason(self) -> str | None:
        """Nobody else stops the load."""
        return None

    def ready(self) -> int:
        """There is nobody to wait for."""
        return real_time.perf_counter_ns()

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Nobody wants to know."""

    def hand_in(self, part: ShardResult) -> None:
        """Nobody else wants it."""

    def conclude(self, part: ShardResult) -> Conclusion:
        """The verdict."""
        return self._conclude(part)
