"""Moves the samples of a load from the users' recorders to the measurements and the sample sink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.spans import Selection


@dataclass(frozen=True)
class Pieces:
    """What is measured by pieces of the load's time, and not only over the whole: thresholds need it."""

    window_lengths_ns: Sequence[int] = ()
    window_selections: Mapping[int, Sequence[Selection]] = field(default_factory=dict)
    """By the length of the windows that they are kept apart in."""
    selections: Sequence[Selection] = ()
    """The samples that intervals are made for."""


class SampleFolding:
    """Folds samples into measurements. For the executor's thread."""

    def __init__(self, planned: bool, pieces: Pieces, factory: UserFactory) -> None:
        """``planned`` says whether iterations have planned starts; the factory's sample sink gets the samples."""
        self._planned = planned
        self._pieces = pieces
        self._factory = factory
        self.begin(0, 0, None)

    def begin(self, origin_ns: int, judged_from_ns: int, judged_until_ns: int | None) -> None:
        """The load begins: measure from now on. The judged part ends by the plan at ``judged_until_ns``."""
        self.measurements = Measurements(
            origin_ns=origin_ns,
            judged_from_ns=judged_from_ns,
            judged_until_ns=judged_until_ns,
            planned=self._planned,
            window_lengths_ns=self._pieces.window_lengths_ns,
            window_selections=self._pieces.window_selections,
            selections=self._pieces.selections,
        )

    def collect(self, user_threads: Iterable[UserThread]) -> None:
        """Fold in what these users have recorded since the last time."""
        self.take(chunk for user_thread in user_threads for chunk in user_thread.recorder.drain())

    def take(self, chunks: Iterable[Chunk]) -> None:
        """Fold chunks in, and pass them to the sample sink."""
        sink, taken = self._factory.tap, []
        try:
            for chunk in chunks:
                self.measurements.add_chunk(chunk)
                if sink is not None:
                    taken.append(chunk)
        finally:  # also on an interrupt (Ctrl-C): the sink gets exactly what was folded
            if sink is not None and taken:
                sink(taken)
