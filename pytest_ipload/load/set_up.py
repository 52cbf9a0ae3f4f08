"""The set-ups of a load's users: how many run at once, how long each may take, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.settings.load_profile import LoadProfile

SET_UPS_AT_ONCE = 32
"""Set-ups before the load that run at once: enough to keep a server busy, and few enough that a login which costs it
half a second of processor time is not overtaken by its timeout while it queues behind the others."""
STALLED_S = 2.0
"""Seconds without the end of any set-up, after which more may run: those that run may wait for others to come."""
_USUAL_TIMEOUT = 30.0
"""Seconds that a request may take where the profile sets no limit."""
_LONGEST = 10
"""A set-up may take this many times its idle limit."""


@dataclass(frozen=True)
class SetUps:
    """The set-ups of a load's users, counted."""

    planned: int = 0
    """The users of the plan; in the open model the most that there may be."""
    tried: int = 0
    """Those whose set-up was made, or failed."""
    failed: int = 0

    def __post_init__(self) -> None:
        """ValueError for numbers that contradict each other: they may come from a file."""
        if not 0 <= self.failed <= self.tried <= self.planned:
            raise ValueError("set-ups: expected at most as many failed as tried, and at most as many tried as planned")

    def __add__(self, other: SetUps) -> SetUps:
        return SetUps(self.planned + other.planned, self.tried + other.tried, self.failed + other.failed)


class SetUpPace:
    """How many more set-ups may begin. It never holds up set-ups for good, whatever those that run wait for."""

    def __init__(self) -> None:
        self._most = SET_UPS_AT_ONCE
        self._settled = 0
        self._since_ns: int | None = None

    def room(self, running: int, settled: int, now_ns: int) -> int:
        """How many may begin now, while ``running`` others run; ``settled`` users are set up, or have failed."""
        if self._since_ns is None or settled != self._settled:
            self._settled, self._since_ns, self._most = settled, now_ns, SET_UPS_AT_ONCE
        elif now_ns - self._since_ns >= STALLED_S * NS_PER_S:
            self._since_ns = now_ns
            self._most += SET_UPS_AT_ONCE
        return max(0, self._most - running)


@dataclass(frozen=True)
class SetUpLimit:
    """How long a user's set-up may take: it is to end some day, also where a fixture waits for ever."""

    idle_s: float
    """Seconds in which no request of it may end."""

    @classmethod
    def of(cls, profile: LoadProfile) -> SetUpLimit:
        """Its timeout and its graceful stop together."""
        return cls(profile.graceful_stop + (_USUAL_TIMEOUT if profile.timeout is None else profile.timeout))

    def deadline_ns(self, since_ns: int, stirred_ns: int | None, *, awaits_work: bool = False) -> int:
        """When a set-up that began at ``since_ns``, and whose last request ended at ``stirred_ns``, has to be over.

        With ``awaits_work`` it is not idle.
        """
        idle_ns = round(self.idle_s * NS_PER_S)
        longest_ns = since_ns + _LONGEST * idle_ns
        return longest_ns if awaits_work else min(max(since_ns, stirred_ns or since_ns) + idle_ns, longest_ns)
