"""How much a load may still measure, by its plan. Pure: time is passed in as a number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt

from pytest_ipload.load.schedule import arrivals_before, user_slots
from pytest_ipload.settings.load_profile import LoadProfile


@dataclass(frozen=True)
class Plan:
    """The end of a load by its plan. Times are seconds."""

    iterations: int | None = None
    """The maximum number of iterations, those of the warm-up included; None where the plan does not bound it."""
    ends_s: float | None = None
    """When the last iteration may start, since the start of the load; None where only iterations end it."""
    warmup_s: float = 0.0
    lives: tuple[tuple[float, float], ...] = ()
    """When each user starts and stops, where they do not all stay from the start to the end."""

    @classmethod
    def of(cls, profile: LoadProfile) -> Plan:
        """The plan of a whole load."""
        return cls(_most_iterations(profile), profile.ends_at, profile.warmup, _lives(profile))

    @property
    def judged_s(self) -> float | None:
        """The length of the judged part."""
        return None if self.ends_s is None else max(0.0, self.ends_s - self.warmup_s)

    def growth(self, judged_s: float) -> float:
        """The mean number of users in the rest of the load, as a multiple of that in these first judged seconds."""
        now, end = self.warmup_s + judged_s, self.ends_s
        if not self.lives or end is None or now >= end or judged_s <= 0:
            return 1.0
        before, after = self._mean_users(self.warmup_s, now), self._mean_users(now, end)
        return max(1.0, after / before) if before else 1.0

    def _mean_users(self, begin: float, end: float) -> float:
        return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in self.lives) / (end - begin)


def _most_iterations(profile: LoadProfile) -> int | None:
    if profile.is_open:
        return profile.total_iterations if profile.ends_at is None else _most_arrivals(profile, profile.ends_at)
    slots, own, cycle = user_slots(profile), profile.iterations_per_user, profile.pacing[0]
    limits = [profile.total_iterations, None if own is None else own * len(slots)]
    if cycle > 0 and (ends_at := profile.ends_at) is not None:
        limits.append(sum(ceil(((slot.stop or ends_at) - slot.start) / cycle) + 1 for slot in slots))
    return min((limit for limit in limits if limit is not None), default=None)


def _most_arrivals(profile: LoadProfile, ends_at: float) -> int:
    """Poisson arrivals hardly ever exceed their mean by more than six standard deviations."""
    expected = arrivals_before(replace(profile, arrivals="constant"), ends_at)
    most = expected if profile.arrivals == "constant" else expected + ceil(6 * sqrt(expected)) + 6
    return most if profile.total_iterations is None else min(most, profile.total_iterations)


def _lives(profile: LoadProfile) -> tuple[tuple[float, float], ...]:
    if profile.is_open or profile.ends_at is None:
        return ()
    lives = tuple((slot.start, profile.ends_at if slot.stop is None else slot.stop) for slot in user_slots(profile))
    return () if all(life == (0.0, profile.ends_at) for life in lives) else lives
