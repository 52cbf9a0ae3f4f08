"""Reports a running load to its live listener."""

from __future__ import annotations

import math

from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.live import LiveListener, LiveWatch
from pytest_ipload.stats.measurements import Measurements


class LiveReporter:
    """Shows one load to its listener, if there is one."""

    def __init__(
        self, nodeid: str, profile: LoadProfile, listener: LiveListener | None, round_: tuple[int, int] | None = None
    ) -> None:
        """Of a body that runs once there is nothing to be seen. ``round_`` is its number (from 1) and that of all."""
        self._nodeid = nodeid
        self._listener = None if profile.is_functional else listener
        names = self._listener is not None and self._listener.wants_names
        pause_s = math.inf if profile.is_open else max(profile.think_time[1], profile.pacing[1])
        self._watch = LiveWatch(profile.ends_at, profile.iterations_of_all, round_, pause_s=pause_s, names=names)

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        """The users' set-up began ``elapsed_s`` ago, and ``done`` of them are set up."""
        if self._listener is not None:
            self._listener.show(self._nodeid, self._watch.setting_up(done, users, elapsed_s))

    def show(self, measured: Measurements, elapsed_s: float, users: int) -> None:
        """What was measured in ``elapsed_s``, and how many users are running iterations."""
        if self._listener is not None:
            self._listener.show(self._nodeid, self._watch.look(measured, elapsed_s, users))

    def end_without_load(self) -> None:
        """The set-up failed, or was aborted."""
        if self._listener is not None:
            self._listener.load_ended(self._nodeid, None)

    def end(self, measured: Measurements, elapsed_s: float) -> None:
        """The load is over: what was measured in all."""
        if self._listener is not None:
            self._listener.load_ended(self._nodeid, self._watch.look(measured, elapsed_s, users=0))
