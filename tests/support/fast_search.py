"""Capacity searches whose rounds last for a moment, and are decided by their level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from pytest_ipload.capacity import searches
from pytest_ipload.capacity.search_round import FAILS, HOLDS, RoundOutcome
from pytest_ipload.capacity.search_turn import SearchTurn
from pytest_ipload.plugin.run import capacity_runner, capacity_test
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.result import LoadResult

MOMENT_S = 0.02


@dataclass
class FastSearch:
    """A target that keeps the promise up to its capacity."""

    capacity: float = 150.0
    of_base: float = 150.0
    """That of the version to compare with."""
    profiles: list[LoadProfile] = field(default_factory=list)
    """Of the loads that were run."""
    outcome: Callable[[LoadResult], RoundOutcome] | None = None
    """Decides otherwise."""

    def profile_in(self, turn: SearchTurn, profile: LoadProfile) -> LoadProfile:
        """That of a load which lasts for a moment."""
        found = replace(PROFILE_IN(turn, profile), duration=MOMENT_S, warmup=0.0)
        self.profiles.append(found)
        return found

    def outcome_of(self, result: LoadResult) -> RoundOutcome:
        if self.outcome is not None:
            return self.outcome(result)
        is_base = result.profile["origins"].get("base_url") == "--ipload-against"
        level = result.profile["users" if "arrival_rate" not in result.profile else "arrival_rate"]
        holds = level <= (self.of_base if is_base else self.capacity)
        expression = None if holds else "p95 < 100ms"
        state, reason = (HOLDS, "") if holds else (FAILS, "too slow")
        return RoundOutcome(state=state, threshold=expression, reason=reason, p50_ms=1.0)


PROFILE_IN = capacity_test.profile_in


@pytest.fixture
def fast_search(monkeypatch: pytest.MonkeyPatch) -> FastSearch:
    """In effect for searches of this process."""
    fast = FastSearch()
    monkeypatch.setattr(capacity_test, "profile_in", fast.profile_in)
    monkeypatch.setattr(capacity_runner, "profile_in", fast.profile_in)
    monkeypatch.setattr(searches, "outcome_of", fast.outcome_of)
    return fast
