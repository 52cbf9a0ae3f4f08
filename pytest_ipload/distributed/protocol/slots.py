"""Which share of its host's source addresses and processors an xdist worker has when it does not share a load.

Its neighbours may load at the same time: two workers of a host must never use the same source address. The controller
gives each living worker a slot number of its own; a worker that replaces a crashed one takes over the free slot.
"""

from __future__ import annotations

import pytest

TEAM_KEY = "ipload_team"
"""In ``workerinput``: the channel to the controller, the seconds between two heartbeats, how many may be missed, and
whether live numbers are wanted with each request name (None: no live numbers at all)."""
WHOLE_KEY = "ipload_whole"
"""In ``workerinput``: the channel for loads that a worker runs whole."""
QUEUE_KEY = "ipload_queue"
"""In ``workerinput``: the seconds between two heartbeats of a worker while it runs a load of ``ipload.run``, of which
only one runs at a time. Absent: they need not wait for each other."""
SLOT_KEY = "ipload_slot"
"""In ``workerinput``: [number, count]."""

FAILED_USERS_KEY = "ipload_failed_users"
"""The attribute of a set-up report with the number of a worker's users that failed in it."""
SKIPPED_KEY = "ipload_skipped"
"""The attribute of a call report: the body has skipped, by an exception of its own, not by a marker."""


class Slots:
    """The controller's list of slots; each host has its own, numbered from 0."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[str, int]] = {}

    def take(self, worker: str, host: str = "") -> int:
        """The lowest free slot of the host, now the worker's."""
        taken = {slot for place, slot in self._owners.values() if place == host}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        self._owners[worker] = host, slot
        return slot

    def free(self, worker: str) -> None:
        """The worker is gone."""
        self._owners.pop(worker, None)


def slot_of(config: pytest.Config) -> tuple[int, int]:
    """(number, count) of this process among its neighbours; (0, 1) where it is alone."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        return 0, 1
    number, count = workerinput.get(SLOT_KEY, (0, 1))
    return int(number), int(count)
