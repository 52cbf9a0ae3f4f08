"""Measures the session's targets during one load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.environment import host_name
from pytest_ipload.load.schedule import rates_end
from pytest_ipload.load.target.target_sampler import TargetSampler
from pytest_ipload.plugin.fixtures.targets import Target, targets_of
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.target_readings import PROCESS, TargetReadings


class TargetSampling:
    """The samplers of one load.

    Of several workers that share a load each reads the processes of its machine, which costs the target nothing, and
    the result has the readings of one worker. Endpoints are read by the first one only: each reading is work for the
    target.
    """

    def __init__(self, config: pytest.Config, profile: LoadProfile, *, is_first: bool, is_off: bool) -> None:
        """``is_first`` is for the first of several workers; with ``is_off`` nothing is measured."""
        self._targets = targets_of(config)
        self._profile = profile
        self._is_first = is_first
        self._is_off = is_off
        self._samplers: list[tuple[Target, TargetSampler]] = []

    @contextmanager
    def during_load(self) -> Iterator[None]:
        """Make the samplers, which ``begin`` starts; at the end they take their last readings."""
        ends_at = rates_end(self._profile)
        borders = [self._profile.warmup, *([] if ends_at is None else [ends_at])]
        wanted = (
            [] if self._is_off else [each for each in self._targets.all() if self._is_first or each.kind == PROCESS]
        )
        self._samplers = [
            (target, TargetSampler(target.name, target.make_reader(), borders, real_time.perf_counter_ns))
            for target in wanted
        ]
        with self._targets.in_use():
            is_through = False
            try:
                yield
                is_through = True
            finally:
                for _, sampler in self._samplers:
                    sampler.stop(hurry=not is_through)
                for _, sampler in self._samplers:
                    sampler.end()

    def begin(self, origin_ns: int) -> None:
        """The load begins."""
        for _, sampler in self._samplers:
            sampler.begin(origin_ns)

    def readings(self, *, is_whole: bool = True) -> list[TargetReadings]:
        """What was read so far; unless ``is_whole``, the extremes of the judged time are enough."""
        return [
            TargetReadings(
                name=target.name,
                kind=target.kind,
                host=host_name(),
                pid=target.pid,
                url=target.url,
                notes=sampler.notes,
                metrics=sampler.log.metrics if is_whole else sampler.log.judged,
                answered=sampler.log.answered,
                failed=sampler.log.failures,
                ended_s=sampler.log.ended_s,
            )
            for target, sampler in self._samplers
        ]
