"""From a user's thread to the collector's: samples change hands in chunks, without a lock."""

from __future__ import annotations

from array import array
from contextlib import suppress
from typing import NamedTuple

from pytest_ipload.stats.sample import LATENESS, OK, Sample, timed_sample

CHUNK_SAMPLES = 512
CHUNK_AGE_NS = 1_000_000_000
_CHUNK_NUMBERS = 2 * CHUNK_SAMPLES
_MOST_KEYS = 16
"""Kinds of ordinary samples that are kept as times; with a name for each sample that would be a waste."""

Key = tuple[str, str, str | None, int, str]
"""A ``SeriesKey`` as a plain tuple, which is several times cheaper to make."""


_OF_LATENESS: Key = (LATENESS, "", None, 0, OK)


class Chunk(NamedTuple):
    """What a thread hands over at once."""

    samples: list[Sample]
    times: dict[Key, array[int]]
    """Start and latency, alternating, of the samples that have no other attributes."""

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
    samples would otherwise pass through the processor's caches, and through the garbage collector, twice.
    """

    __slots__ = ("_full_at_ns", "_outbox", "_samples", "_times")

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._times: dict[Key, array[int]] = {}
        self._full_at_ns: int | None = None
        """A sample that ends later completes the chunk; None before the first one."""
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
        times = self._times.get(key)
        if times is None:
            if len(self._times) >= _MOST_KEYS:
                kind, name, source_address, status, outcome = key
                self._keep(timed_sample(kind, name, started_ns, latency_ns, outcome, status, source_address))
                return
            times = self._times[key] = array("q")
        times.append(started_ns)
        times.append(latency_ns)
        full_at_ns = self._full_at_ns
        if full_at_ns is None:
            self._full_at_ns = started_ns + latency_ns + CHUNK_AGE_NS
        elif started_ns + latency_ns > full_at_ns or len(times) >= _CHUNK_NUMBERS:
            self.flush()

    def note_lateness(self, started_ns: int, lateness_ns: int) -> None:
        """Take the generator's own lateness at the start of an iteration, whose sample is taken too."""
        times = self._times.get(_OF_LATENESS)
        if times is None:
            times = self._times[_OF_LATENESS] = array("q")
        times.append(started_ns)
        times.append(lateness_ns)

    def _keep(self, sample: Sample) -> None:
        self._samples.append(sample)
        ended_ns = sample.started_ns + sample.latency_ns
        if self._full_at_ns is None:
            self._full_at_ns = ended_ns + CHUNK_AGE_NS
        elif ended_ns > self._full_at_ns or len(self._samples) >= CHUNK_SAMPLES:
            self.flush()

    def flush(self) -> None:
        """Hand over what is left. For the owner: at its end, or before a long pause."""
        if self._samples or self._times:
            self._outbox.append(Chunk(self._samples, self._times))
            self._samples, self._times = [], {}
            self._full_at_ns = None

    def take_over(self) -> None:
        """Hand over what is held for an owner that does not return. For any thread.

        The owner records nothing more from now on (``VirtualUser.detach``), but may have been stopped in the middle of
        a call: the start of an ordinary sample may lack its latency, and a chunk may have been handed over already.
        """
        samples, times = self._samples, self._times
        self._samples, self._times = [], {}
        whole = {key: values[: len(values) // 2 * 2] for key, values in list(times.items())}
        rest = Chunk(list(samples), {key: values for key, values in whole.items() if values})
        is_handed_over = any(chunk.samples is samples for chunk in list(self._outbox))
        if (rest.samples or rest.times) and not is_handed_over:
            self._outbox.append(rest)

    def drain(self) -> list[Chunk]:
        """Take all chunks handed over so far, in their order. For any thread."""
        chunks: list[Chunk] = []
        # The length is only a bound for this loop: another collector may be faster.
        with suppress(IndexError):
            for _ in range(len(self._outbox)):
                chunks.append(self._outbox.pop(0))  # noqa: PERF401  # a comprehension would lose them all at the end
        return chunks
