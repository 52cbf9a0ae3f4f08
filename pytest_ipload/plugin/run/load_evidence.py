"""What a load keeps and shows of single requests: its evidence, traces, and all requests with ``--ipload-debug``."""

from __future__ import annotations

from collections.abc import Callable

from pytest_ipload.base import real_time
from pytest_ipload.base.traceparent import Tracer
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.plugin.run.user_traces import UserTraces
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST, SLOW, Evidence
from pytest_ipload.stats.evidence.keeper import EvidenceKeeper, Floors, Kept, MakeExchange, UserEvidence, merged
from pytest_ipload.stats.evidence.rendering import evidence_of
from pytest_ipload.stats.recorder import Key
from pytest_ipload.stats.sample import OK, Sample
from pytest_ipload.stats.spool.sample_traces import SampleTraces

Show = Callable[[Evidence], None]


class DebugEvidence(UserEvidence):
    """Shows each request of a user as soon as it is recorded."""

    def __init__(self, keeper: EvidenceKeeper | None, record: Callable[[Sample], None], show: Show) -> None:
        super().__init__(keeper, record)
        self.floors = Floors()  # each reply exceeds them
        self._show = show

    def _offer(self, sample: Sample, make: MakeExchange | None) -> None:
        number = self.user.iteration if self.user.is_iterating else None
        kept = Kept(sample, self.user.index, number, None if make is None else make())
        ago_s = (real_time.perf_counter_ns() - sample.started_ns) / NS_PER_S
        kind = SLOW if sample.outcome == OK else FAILED_REQUEST
        self._show(evidence_of(kind, kept, sample.started_ns, real_time.time() - ago_s))
        super()._offer(sample, make)


class LoadEvidence:
    """One load's."""

    def __init__(self, state: SessionState) -> None:
        settings = state.settings
        self.most = settings.evidence
        self.judged_from_ns: Callable[[], int] = lambda: 0
        """When the warm-up ends, by the clock of the samples."""
        self._keeper = EvidenceKeeper(self.most, lambda: self.judged_from_ns()) if self.most else None
        self._show = state.show_request
        self._traces = settings.trace
        self.sample_traces = SampleTraces() if settings.trace and state.spools is not None else None
        """Of samples that become lines; None where none do, or there are no traces."""

    def begin_again(self) -> None:
        """Another round of the load begins."""
        if self._keeper is not None:
            self._keeper.begin_again()

    def recorder(self, record: Callable[[Sample], None]) -> UserEvidence | None:
        """What takes a user's samples on their way to ``record``; None if nothing needs them."""
        if self._show is not None:
            return DebugEvidence(self._keeper, record, self._show)
        return None if self._keeper is None else UserEvidence(self._keeper, record)

    def traces_of(self, record: Callable[[Sample], None], tally: Callable[[Key, int, int], None]) -> UserTraces | None:
        """What takes a user's samples first, to note their traces; None if nothing needs these."""
        return None if self.sample_traces is None else UserTraces(self.sample_traces, record, tally)

    def attach(self, user: VirtualUser, recorder: UserEvidence | None) -> VirtualUser:
        """A user with its evidence and its traces."""
        if recorder is not None:
            recorder.user = user
            user.evidence = recorder
        if self._traces:
            user.tracer = Tracer(user.moment)
        return user

    def collected(self, origin_ns: int, origin_unix: float) -> list[Evidence]:
        """What was kept, for the reports. The load began at ``origin_ns``, in Unix seconds ``origin_unix``."""
        if self._keeper is None:
            return []
        return merged(
            (evidence_of(kind, kept, origin_ns, origin_unix) for kind, kept in self._keeper.kept()), self.most
        )
