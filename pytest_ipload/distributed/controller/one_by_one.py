"""Load tests that each worker runs whole, one worker at a time (``--dist each``)."""

from __future__ import annotations

from pytest_ipload.distributed.controller.known_worker import Worker
from pytest_ipload.distributed.controller.shared_load import Send


class OneByOne:
    """Rounds: when every worker has entered a load test, each runs its own while the others wait.

    They need not be at the same test: with ``--dist each`` every worker has its own list.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: dict[str, str] = {}
        """Which load test each waiting worker has entered."""
        self._still_to_run: list[str] | None = None
        """The workers that have not had their turn in this round; None between two rounds."""
        self._at_work: str | None = None

    def enter(self, worker: Worker, nodeid: str) -> None:
        """A worker entered a load test."""
        self._waiting[worker.name] = nodeid

    @property
    def waiting(self) -> list[str]:
        """The workers that have entered a load test and are not running it."""
        return [name for name in self._waiting if name != self._at_work]

    def leave(self, worker: Worker) -> None:
        """A worker no longer waits, and goes on to its next test."""
        self._waiting.pop(worker.name, None)
        if self._still_to_run is not None:
            self._still_to_run = [name for name in self._still_to_run if name != worker.name]
        self.over(worker)

    def over(self, worker: Worker) -> None:
        """A worker has run its test."""
        if self._at_work == worker.name:
            self._at_work = None

    def advance(self, alive: list[Worker]) -> None:
        """Begin a round if all have arrived, give the next worker its turn, or let all go on."""
        names = [worker.name for worker in alive]
        if self._at_work not in names:
            self._at_work = None
        if self._still_to_run is None and names and all(name in self._waiting for name in names):
            self._still_to_run = names
        if self._still_to_run is None or self._at_work is not None:
            return
        self._still_to_run = [name for name in self._still_to_run if name in names]
        if self._still_to_run:
            self._at_work = self._still_to_run.pop(0)
            self._send(self._at_work, ("turn", {"nodeid": self._waiting[self._at_work]}))
            return
        self._still_to_run = None
        waiting, self._waiting = self._waiting, {}
        for name, nodeid in waiting.items():
            if name in names:
                self._send(name, ("finish", {"nodeid": nodeid}))
