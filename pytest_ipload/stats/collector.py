"""Moves the samples of a load from the recorders of its users to the measurements and the sample sink."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Chunk, Recorder
from pytest_ipload.stats.spans import Selection

SampleSink = Callable[[Sequence[Chunk]], object]
"""Takes the folded chunks, for outputs that need each sample. What it raises ends the load."""


@dataclass(frozen=True)
class Pieces:
    """What is measured by pieces of the load's time, and not only over the whole: thresholds need it."""

    window_lengths_ns: Sequence[int] = ()
    window_selections: Mapping[int, Sequence[Selection]] = field(default_factory=dict)
    """By the length of the windows that they are kept apart in."""
    selections: Sequence[Selection] = ()
    """The samples that intervals are made for."""


class SampleCollector:
    """Folds samples into measurements. For one thread, that of the executor."""

    def __init__(self, planned: bool, pieces: Pieces, sink: Callable[[], SampleSink | None]) -> None:
        """``planned`` says whether iterations have planned starts; ``sink`` gives what takes the samples, too."""
        self._planned = planned
        self._pieces = pieces
        self._sink = sink
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

    def collect(self, recorders: Iterable[Recorder]) -> None:
        """Fold in what these have recorded since the last time."""
        self.take(chunk for recorder in recorders for chunk in recorder.drain())

    def take(self, chunks: Iterable[Chunk]) -> None:
        """Fold chunks in, and pass them to the sample sink."""
        sink, taken = self._sink(), []
        try:
            for chunk in chunks:
                self.measurements.add_chunk(chunk)
                if sink is not None:
                    taken.append(chunk)
        finally:  # also on an interrupt (Ctrl-C): the sink gets exactly what was folded
            if sink is not None and taken:
                sink(taken)
