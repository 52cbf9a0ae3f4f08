"""How long the processes of a team wait for each other."""

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
    """Between two signs of life."""
    heartbeat: float = 3.0
    """Who has been stopped for so long is lost, and who has given no sign of life if nothing else is known of it."""
    silence: float = 20.0
    """The same for a process that is there and runs: a call into C may hold its interpreter."""
    set_up: float = 300.0
    """How long those who are ready wait for the others."""
    last_words: float = 30.0
    """How long those for whom nobody waits any more may take to come to their end."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Timing:
        """The usual one, with what the environment says."""
        pairs = (pair.partition("=") for pair in environment.get(TIMING_VARIABLE, "").split(",") if pair)
        return cls(**{name: float(seconds) for name, _, seconds in pairs})

    def silence_of(self, can_run: bool | None) -> float:
        """How long a worker may give no sign of life."""
        return max(self.silence, self.heartbeat) if can_run else self.heartbeat
