"""From a user's thread to the collector's: samples change hands in chunks, without a lock."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from pytest_ipload.stats.sample import ITERATION, LATENESS, OK, REQUEST, Sample, timed_sample

CHUNK_SAMPLES = 512
CHUNK_AGE_NS = 1_000_000_000
_CHUNK_NUMBERS = 2 * CHUNK_SAMPLES
_MOST_KEYS = 16
"""Kinds of ordinary samples that are kept as times; with a name for each sample that would be a waste."""

Key = tuple[str, str, str | None, int, str]
"""A ``SeriesKey`` as a plain tuple, which is several times cheaper to make."""

KEPT_REQUESTS = 256
"""How many requests of an iteration, of each name, stay with their user until the iteration ends: they may be failed
later. So do failed ones, and those that opened a connection."""
KEPT_NS = 3_000_000_000
"""How long they stay there at least."""
_MOST_NUMBERS = 512
_NOT_YET = -(2**63)

ValueKey = tuple[str, str]
"""Kind and name of the numbers of a test's own."""

_OF_LATENESS: Key = (LATENESS, "", None, 0, OK)


class Chunk(NamedTuple):
    """What a thread hands over at once."""

    samples: list[Sample]
    times: Mapping[Key, Sequence[int]]
    """Start and latency, alternating, of the samples that have no other attributes."""
    values: Mapping[ValueKey, tuple[array[int], array[float]]] = MappingProxyType({})
    """Of the test's own counts and gauges: when each number was given, and the numbers."""

    def all_samples(self) -> list[Sample]:
        """All of it as samples."""
        return self.samples + [sample for key in self.times for sample in self.ordinary(key)]

    def ordinary(self, key: Key) -> list[Sample]:
        """The samples of one of the keys of ``times``."""
        kind, name, source_address, status, outcome = key
        times = self.times[key]
        return [
            timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address)
            for started_ns, latency_ns in zip(times[::2], times[1::2], strict=True)
        ]


class Recorder:
    """The samples of one thread, on their way to a collector.

    The owner calls ``record`` and, at its end, ``flush``. Any thread may call ``drain``. The chunk that the owner
    fills is its own until it is handed over whole, and is never touched again by the owner after that. The hand-over
    is ``list.append`` and ``list.pop``, which Python documents as thread-safe. (A deque takes 0.7 KiB, for each user.)

    Of an ordinary sample (a success on a kept connection, on time) only two numbers are kept: a second's worth of
    samples would otherwise pass through the processor's caches, and through the garbage collector, twice. They are
    kept in lists: to append to an array takes 25 times as long, as it reads each number out of its object.
    """

    __slots__ = ("_full_at_ns", "_outbox", "_samples", "_times", "_values", "keeps_requests")

    def __init__(self, *, keeps_requests: bool = False) -> None:
        """``keeps_requests`` says whether those of the running iteration stay here for a while: see ``take_back``."""
        self.keeps_requests = keeps_requests
        self._samples: list[Sample] = []
        self._times: dict[Key, list[int]] = {}
        self._values: dict[ValueKey, tuple[array[int], array[float]]] = {}
        self._full_at_ns = _NOT_YET
        """A sample that ends later completes the chunk; before the first one, any does."""
        self._outbox: list[Chunk] = []

    def record(self, sample: Sample) -> None:
        """Take a sample; hand over the chunk if it is full or its first sample ended over a second before this one."""
        # fmt: off
        (kind, name, started_ns, latency_ns, outcome, status, source_address,
         redirects, connections, _, _, _, _, _, _, lateness_ns, retries) = sample
        # fmt: on
        if outcome == OK and not (connections or redirects or lateness_ns or retries):
            self.tally((kind, name, source_address, status, outcome), started_ns, latency_ns)
        else:
            self._keep(sample)

    def tally(self, key: Key, started_ns: int, latency_ns: int) -> None:
        """Take an ordinary sample, by its numbers: that costs half as much as to make one."""
        try:
            times = self._times[key]
        except KeyError:
            if len(self._times) >= _MOST_KEYS:
                kind, name, source_address, status, outcome = key
                self._keep(timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address))
                return
            times = self._times[key] = []
        times.append(started_ns)
        times.append(latency_ns)
        if started_ns + latency_ns > self._full_at_ns or len(times) >= _CHUNK_NUMBERS:
            self._begin_or_end_chunk(started_ns + latency_ns)

    def note_lateness(self, started_ns: int, lateness_ns: int) -> None:
        """Take the generator's own lateness at the start of an iteration, whose sample is taken too."""
        times = self._times.get(_OF_LATENESS)
        if times is None:
            times = self._times[_OF_LATENESS] = []
        times.append(started_ns)
        times.append(lateness_ns)

    def _keep(self, sample: Sample) -> None:
        self._samples.append(sample)
        ended_ns = sample.started_ns + sample.latency_ns
        if ended_ns > self._full_at_ns or len(self._samples) >= CHUNK_SAMPLES:
            self._begin_or_end_chunk(ended_ns)

    def _begin_or_end_chunk(self, now_ns: int) -> None:
        """The sample that ended now is the first of its chunk, or completes it."""
        if self._full_at_ns == _NOT_YET:
            self._full_at_ns = now_ns + CHUNK_AGE_NS
        else:
            self._hand_over(now_ns)

    def note_value(self, key: ValueKey, now_ns: int, value: float) -> None:
        """Take a number of the test's own, given now."""
        column = self._values.get(key)
        if column is None:
            column = self._values[key] = array("q"), array("d")
        times, values = column
        times.append(now_ns)
        values.append(value)
        if now_ns > self._full_at_ns or len(times) >= _MOST_NUMBERS or len(self._values) >= _MOST_NUMBERS:
            self._begin_or_end_chunk(now_ns)

    def take_back(self, started_ns: int, latency_ns: int) -> Sample | None:
        """Take a request back that has not been handed over yet; None if there is none of these times. For the owner.

        Failed ones are found too.
        """
        for number in range(len(self._samples) - 1, -1, -1):
            sample = self._samples[number]
            if sample.started_ns == started_ns and sample.latency_ns == latency_ns and sample.kind == REQUEST:
                return self._samples.pop(number)
        for key, times in self._times.items():
            if key[0] != REQUEST:
                continue
            for place in range(len(times) - 2, -1, -2):
                if times[place] == started_ns and times[place + 1] == latency_ns:
                    del times[place : place + 2]
                    if not times:
                        del self._times[key]
                    kind, name, source_address, status, outcome = key
                    return timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address)
        return None

    def _hand_over(self, now_ns: int) -> None:
        """Hand over all but the requests of the running iteration, which may be taken back: of those the older ones."""
        if not self.keeps_requests:
            self.flush()
            return
        since_ns = max(now_ns - KEPT_NS, self._iteration_end_ns())
        kept_times = {}
        for key, times in self._times.items():
            if key[0] == REQUEST and times[-2] >= since_ns:
                place = 2 * max(bisect_left(times[::2], since_ns), len(times) // 2 - KEPT_REQUESTS)
                kept_times[key] = times[place:]
                del times[place:]
        samples = self._samples
        kept = [each for each in samples if each.kind == REQUEST and each.started_ns >= since_ns][-KEPT_REQUESTS:]
        are_kept = set(map(id, kept))
        samples[:] = [each for each in samples if id(each) not in are_kept]
        for key in [key for key, times in self._times.items() if not times]:
            del self._times[key]
        self.flush()
        self._samples, self._times = kept, kept_times
        if kept or kept_times:
            self._full_at_ns = now_ns + CHUNK_AGE_NS

    def _iteration_end_ns(self) -> int:
        """When the last iteration of the chunk ended, its pauses left out; at the start of time without one."""
        ends = [times[-2] + times[-1] for key, times in self._times.items() if key[0] == ITERATION]
        for sample in reversed(self._samples):
            if sample.kind == ITERATION:
                ends.append(sample.started_ns + sample.latency_ns)
                break
        return max(ends, default=-(2**63))

    def flush(self) -> None:
        """Hand over what is left. For the owner: at its end, or before a long pause."""
        if self._samples or self._times or self._values:
            self._outbox.append(Chunk(self._samples, self._times, self._values))
            self._samples, self._times, self._values = [], {}, {}
            self._full_at_ns = _NOT_YET

    def take_over(self) -> None:
        """Hand over what is held for an owner that does not return. For any thread.

        The owner records nothing more from now on (``VirtualUser.detach``), but may have been stopped in the middle of
        a call: the start of an ordinary sample may lack its latency, and a chunk may have been handed over already.
        """
        samples, times, values = self._samples, self._times, self._values
        self._samples, self._times, self._values = [], {}, {}
        whole = {key: values[: len(values) // 2 * 2] for key, values in list(times.items())}
        numbers = {key: (moments[: len(column)], column[:]) for key, (moments, column) in list(values.items())}
        rest = Chunk(
            list(samples),
            {key: values for key, values in whole.items() if values},
            {key: column for key, column in numbers.items() if column[1]},
        )
        is_handed_over = any(chunk.samples is samples for chunk in list(self._outbox))
        if (rest.samples or rest.times or rest.values) and not is_handed_over:
            self._outbox.append(rest)

    def drain(self) -> list[Chunk]:
        """Take all chunks handed over so far, in their order. For any thread."""
        chunks: list[Chunk] = []
        # The length is only a bound for this loop: another collector may be faster.
        with suppress(IndexError):
            for _ in range(len(self._outbox)):
                chunks.append(self._outbox.pop(0))  # noqa: PERF401  # a comprehension would lose them all at the end
        return chunks
