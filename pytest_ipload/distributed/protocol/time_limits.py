"""How long the processes that share a load wait for each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

TIMING_VARIABLE = "PYTEST_IPLOAD_TEAM_TIMING"
"""Seconds of ``Timing``, as in ``heartbeat=10``."""


@dataclass(frozen=True)
class Timing:
    """How long to wait for each other, in seconds."""

    beat: float = 0.5
    """Between two heartbeats."""
    heartbeat: float = 3.0
    """How long a process may be stopped, or send no heartbeat if nothing else is known of it, before it is lost."""
    silence: float = 20.0
    """The same for a process that exists and runs: a call into C may hold its interpreter."""
    set_up: float = 300.0
    """How long workers that are ready wait for the others."""
    last_words: float = 30.0
    """How long workers that are no longer waited for may take to finish."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Timing:
        """The default, changed by the environment."""
        pairs = (pair.partition("=") for pair in environment.get(TIMING_VARIABLE, "").split(",") if pair)
        return cls(**{name: float(seconds) for name, _, seconds in pairs})

    def silence_of(self, can_run: bool | None) -> float:
        """How long a worker may go without a heartbeat."""
        return max(self.silence, self.heartbeat) if can_run else self.heartbeat
