"""Which share of the source addresses an xdist worker has.

For now a load test runs whole on one worker, while its neighbours may run others: two workers must never use the same
source address. The controller gives each living worker a slot number of its own; a worker that replaces a crashed one
takes over the slot that became free.
"""

from __future__ import annotations

import pytest

TEAM_KEY = "ipload_team"
"""In ``workerinput``: the channel to the controller, the seconds between two signs of life, and how many may lack."""
SLOT_KEY = "ipload_slot"
"""In ``workerinput``: [number, count]."""


class Slots:
    """The controller's list of slots."""

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}

    def take(self, worker: str) -> int:
        """The lowest free slot, now the worker's."""
        taken = set(self._owners.values())
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._owners[worker] = slot
        return slot

    def free(self, worker: str) -> None:
        """The worker is gone."""
        self._owners.pop(worker, None)


def slot_of(config: pytest.Config) -> tuple[int, int]:
    """(number, count) of this process; (0, 1) where it is alone."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        return 0, 1
    number, count = workerinput.get(SLOT_KEY, (0, 1))
    return int(number), int(count)
