"""What happened in the running iteration of a user."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pytest_ipload.base import real_time
from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.stats.sample import FAULT, Problem, Sample


@dataclass(slots=True)
class IterationLog:
    """What happened in the running iteration; outside iterations, requests belong to set-up and teardown."""

    running: bool = False
    began_ns: int = 0
    lateness_ns: int = 0
    problem: Problem | None = None
    has_fault: bool = False
    failed: int = 0
    """Requests that failed so far."""
    held_ns: int = 0
    paused_ns: int = 0
    """Not a part of the iteration's time."""

    def forget_failures(self) -> None:
        """A new iteration begins."""
        self.problem, self.has_fault, self.failed = None, False, 0

    def note_late_read(self, ended_ns: int) -> None:
        """A request ended then, and its thread has the reply now."""
        self.held_ns += real_time.perf_counter_ns() - ended_ns

    def note(self, sample: Sample) -> None:
        """Remember the first failed request, and whether there was a fault of the own side."""
        self.has_fault = self.has_fault or sample.outcome == FAULT
        self.failed += 1
        if self.problem is not None:
            return
        if sample.problem is not None:
            self.problem = sample.problem
        else:
            what = sample.fault if sample.outcome == FAULT else "request failed"
            self.problem = Problem(str(what), sample.name, place_of_frame(sys._getframe(1)))
