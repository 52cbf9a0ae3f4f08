"""Requests of other threads, and of bodies, that a running load ends early."""

from __future__ import annotations


class StopRequests:
    """Why the load should end, and how urgently. Writers hold the lock of the executor's users."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """The first one that was given; None if no stop was requested."""
        self._hurries = self._seen = 0

    def add(self, reason: str, *, hurry: bool) -> None:
        """Request the end of the load, with ``hurry`` urgently."""
        self.reason = self.reason or reason
        self._hurries += hurry

    @property
    def is_urgent(self) -> bool:
        """Whether an urgent request has not been handled yet."""
        return self._hurries > self._seen

    @property
    def is_repeated(self) -> bool:
        """Whether there was more than one urgent request."""
        return self._hurries > 1

    def see(self) -> None:
        """Mark all requests so far as handled."""
        self._seen = self._hurries
