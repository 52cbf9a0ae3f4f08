"""The sampler of a load's target, where the session asks for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ipload.load.generator.affinity import allowed_cpus
from pytest_ipload.settings.session_settings import SessionSettings
from pytest_ipload.stats.collector import Pieces
from pytest_ipload.stats.stacks import WINDOW_NS, StackSamples
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.selection import selection_of

if TYPE_CHECKING:
    from pytest_ipload.addresses.host.own_listeners import Targets
    from pytest_ipload.explain.sampler import Sampler
    from pytest_ipload.load.executor import Executor
    from pytest_ipload.plugin.run.load_request import LoadRequest
    from pytest_ipload.plugin.session_state import SessionState


class StackSampling:
    """Samples the target during one load. Of the processes that share a load, the first one does."""

    def __init__(self, state: SessionState, request: LoadRequest, targets: Targets, *, is_first: bool) -> None:
        """``targets`` are the loopback targets that users connect to."""
        is_wanted = state.settings.explain is not None and not request.profile.is_functional
        self._is_on = is_wanted and is_first
        self._state = state
        self._base_url = request.profile.base_url
        self._targets = targets
        self._root = str(request.item.config.rootpath)
        self._cpus = allowed_cpus() - {state.cpu}
        self.samples: StackSamples | None = None
        """When the load is over; None where nothing is to be sampled."""

    @contextmanager
    def during(self, executor: Executor) -> Iterator[None]:
        """Sample while this runs."""
        if not self._is_on:
            yield
            return
        sampler = self._sampler(executor)
        sampler.start()
        is_through = False
        try:
            yield
            is_through = True
        finally:
            self.samples = sampler.close(hurry=not is_through)

    def _sampler(self, executor: Executor) -> Sampler:
        from pytest_ipload.explain.py_spy import find_program
        from pytest_ipload.explain.sampler import Sampler

        def judged_from_ns() -> int:
            return executor.measurements.judged_from_ns if executor.record.origin_ns else 0

        return Sampler(find_program() or "py-spy", self._find_pids, judged_from_ns, self._cpus, self._root)

    def _find_pids(self) -> list[int]:
        """The processes to sample. Raises TargetNotFound."""
        from pytest_ipload.explain.local_target import TargetNotFound, chosen, serving, target_of

        base = None if self._base_url is None else target_of(self._base_url)
        ports = {port for _, port in self._targets.all()} if base is None else {base[1]}
        given = self._state.settings.explain or self._state.target_pids
        if given:
            return chosen(given, ports)
        if not ports:
            where = "no request went" if self._base_url is None else "the base URL does not lead"
            raise TargetNotFound(f"{where} to an address of this host, and only its own processes can be sampled")
        return serving(ports)


def with_stack_windows(
    pieces: Pieces, settings: SessionSettings, thresholds: Sequence[ThresholdConfig], planned: bool
) -> Pieces:
    """With the times by half-second, where stacks are sampled: they tell which ones were slow."""
    if settings.explain is None:
        return pieces
    found = (selection_of(config.threshold, planned) for config in thresholds if config.threshold.unit == "duration")
    by_window = [*pieces.window_selections.get(WINDOW_NS, ()), *(each for each in found if each is not None)]
    return replace(
        pieces,
        window_lengths_ns=sorted({*pieces.window_lengths_ns, WINDOW_NS}),
        window_selections={**pieces.window_selections, WINDOW_NS: by_window},
    )
