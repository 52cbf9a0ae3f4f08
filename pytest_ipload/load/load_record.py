"""The data of a load besides its samples."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_time import LATE_START_S, UserTime

__all__ = ["LATE_START_S", "LoadRecord"]


@dataclass
class LoadRecord:
    """Filled by the executor and by the threads of its users."""

    users_started: int = 0
    """Users that have started iterating."""
    set_ups_tried: int = 0
    """Users whose set-up succeeded or failed."""
    set_ups_failed: int = 0
    user_time: UserTime = field(default_factory=UserTime)
    """How long users should have been running, and were not; known when the load is over."""
    late_starts: int = 0
    interrupted: int = 0
    """Iterations that outlived the graceful stop."""
    abandoned: list[str] = field(default_factory=list)
    """One line for each user that could not be stopped."""
    abandoned_users: list[int] = field(default_factory=list)
    """Their numbers."""
    cut_short: dict[int, str] = field(default_factory=dict)
    """By user number, a line for each user whose teardown was interrupted when the load was aborted."""
    teardown_errors: list[tuple[VirtualUser, BaseException]] = field(default_factory=list)
    planned_iterations: int | None = None
    """How many iterations were due until the load ended, in the open model."""
    dropped_iterations: int | None = None
    """How many of them never started."""
    aborted: str | None = None
    """Why a threshold aborted the load."""
    shortage: str | None = None
    """Why not all users could be started."""
    pinned_cpu: int | None = None
    """The CPU that the load was pinned to."""
    pin_problem: str | None = None
    """Why it was not pinned to the requested one."""
    origin_ns: int = 0
    ended_ns: int = 0
    stopped_ns: int = 0
    """From when on no more iterations were to start; 0 while it is not known."""
    lifetimes: list[tuple[int, int]] = field(default_factory=list)
    """When each user's iterations began and ended, in nanoseconds of the executor's clock."""

    @property
    def seconds(self) -> float:
        """From the start of the load to its end."""
        return max(0, self.ended_ns - self.origin_ns) / NS_PER_S
