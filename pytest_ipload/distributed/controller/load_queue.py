"""Which worker may run a load of ``ipload.run``: one at a time, in the order of their requests.

Without threads and a clock of its own, as the coordinator of shared loads.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_ipload.distributed.protocol.time_limits import Timing


class LoadQueue:
    """The workers that run such a load, or wait for it. Not for two threads at a time."""

    def __init__(
        self,
        begin: Callable[[str], object],
        can_run: Callable[[str], bool | None],
        timing: Timing,
        clock: Callable[[], float],
    ) -> None:
        """``begin`` lets a worker begin; ``can_run`` says whether its process can run at all, None where unknown."""
        self._begin = begin
        self._can_run = can_run
        self._timing = timing
        self._clock = clock
        self._workers: list[str] = []
        """The first one loads."""
        self._heard = 0.0
        """When that one last gave a sign of life."""

    def request(self, worker: str) -> None:
        """A worker wants to load."""
        if worker not in self._workers:
            self._workers.append(worker)
            if len(self._workers) == 1:
                self._next()

    def release(self, worker: str) -> None:
        """A worker has ended its load, no longer waits, or is gone."""
        if worker not in self._workers:
            return
        was_loading = self._workers[0] == worker
        self._workers.remove(worker)
        if was_loading:
            self._next()

    def beat(self, worker: str) -> None:
        """A sign of life of a worker."""
        if self._workers[:1] == [worker]:
            self._heard = self._clock()

    def look(self) -> bool:
        """Pass over a worker that hangs; returns whether others wait, so that this has to be called again."""
        if len(self._workers) > 1:
            first = self._workers[0]
            if self._clock() - self._heard > self._timing.silence_of(self._can_run(first)):
                self.release(first)
        return len(self._workers) > 1

    def _next(self) -> None:
        self._heard = self._clock()
        if self._workers:
            self._begin(self._workers[0])
