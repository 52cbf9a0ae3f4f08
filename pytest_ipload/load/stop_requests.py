"""What other threads, and bodies, want of a load that runs: that it ends before its time."""

from __future__ import annotations


class StopRequests:
    """Why the load is to end, and how urgent that is. Writers hold the lock of the executor's users."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """The first one that was given; None as long as nobody has asked."""
        self._hurries = self._seen = 0

    def add(self, reason: str, *, hurry: bool) -> None:
        """Somebody wants the load to end, perhaps in a hurry."""
        self.reason = self.reason or reason
        self._hurries += hurry

    @property
    def is_urgent(self) -> bool:
        """Whether somebody is in a hurry that was not seen to yet."""
        return self._hurries > self._seen

    @property
    def is_repeated(self) -> bool:
        """Whether it was asked to hurry more than once."""
        return self._hurries > 1

    def see(self) -> None:
        """What has been asked so far is seen to."""
        self._seen = self._hurries
