"""The shape of a load in stages."""

from __future__ import annotations

from typing import NamedTuple

from pytest_ipload.base.units import format_setting


class Stages(NamedTuple):
    """Linear ramps of a load, from 0 on: each lasts some seconds and ends at a number of users (or rate per second)."""

    segments: tuple[tuple[float, float], ...]
    """(seconds, target) of each."""
    are_rates: bool
    """Whether the targets are written as rates."""

    @property
    def peak(self) -> float:
        """The highest target."""
        return max(target for _, target in self.segments)

    @property
    def seconds(self) -> float:
        """How long they take together."""
        return sum(seconds for seconds, _ in self.segments)

    def scaled(self, height: float = 1.0, length: float = 1.0) -> Stages:
        """The same shape with other targets and times: factors of both."""
        return self._replace(segments=tuple((seconds * length, target * height) for seconds, target in self.segments))

    def __str__(self) -> str:
        unit = "/s" if self.are_rates else ""
        return ",".join(f"{format_setting(seconds)}:{target:g}{unit}" for seconds, target in self.segments)
