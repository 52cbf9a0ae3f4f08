"""What is known of a user's running iteration: whether there is one, its failures, its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ipload.load.iteration_log import IterationLog

if TYPE_CHECKING:
    from pytest_ipload.base.traceparent import Tracer
    from pytest_ipload.stats.evidence.keeper import UserEvidence


class TracedUser:
    """A user whose requests may have a trace for each iteration."""

    iteration: int
    tracer: Tracer | None = None
    """None without ``--ipload-trace``."""
    evidence: UserEvidence | None = None
    """Keeps some of its requests; None if none are kept."""
    _log: IterationLog

    @property
    def is_iterating(self) -> bool:
        """Whether an iteration is running; else requests belong to set-up or teardown."""
        return self._log.running

    @property
    def failed_requests(self) -> int:
        """Requests of the running iteration that have failed so far."""
        return self._log.failed

    @property
    def trace_id(self) -> str | None:
        """The trace of the running iteration, 32 hexadecimal digits; None without ``--ipload-trace``."""
        return None if self.tracer is None else self.tracer.trace_id

    def trace_of(self, number: int | None) -> str | None:
        """The trace of this iteration, if it is the last one and made a request; of set-up or teardown for None."""
        return None if self.tracer is None else self.tracer.of_iteration(number)

    def moment(self) -> int | None:
        """The number of the running iteration; None outside of iterations."""
        return self.iteration if self._log.running else None
