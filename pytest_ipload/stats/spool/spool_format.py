"""Samples on disk, as they were measured: written while a load runs, read when it is over.

A spool is a file of blocks, each with a head of kind, number of its key and length. The first block of a key says what
it is, as JSON; all others are numbers as they are in memory, so that an ordinary sample takes 16 bytes and hardly any
time. One that opened a connection takes 48, as it has the times of that, too. The blocks of few keys are told apart at
a time, so neither side needs more memory for a longer load.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.sample import OK, Sample
from pytest_ipload.stats.spool.sample_traces import SampleTraces

_HEAD = struct.Struct("=cII")
_KEY, _TIMES, _LATE_TIMES, _OPENED_TIMES = b"K", b"T", b"L", b"O"
_WIDTHS = {_TIMES: 2, _LATE_TIMES: 3, _OPENED_TIMES: 6}
UNKNOWN = -1
"""In the place of a time that was not measured."""
_MOST_KEYS = 4096
"""Maximum number of keys with a number; then numbering starts over."""
_BATCH = 1024
"""Samples read at a time: with more, allocating their lines takes longer than making them."""


class SpoolKey(NamedTuple):
    """What samples have in common."""

    kind: str
    name: str
    source_address: str | None
    status: int
    outcome: str
    detail: str = ""
    """Of a failed one, the type of its problem; of a fault, its name."""
    trace_id: str = ""
    """Of the iteration, where traces are written; empty for none."""


class Opening(NamedTuple):
    """Of samples that opened connections: columns of nanoseconds, or ``UNKNOWN``."""

    connecting: array[int]
    handshaking: array[int]
    first_bytes: array[int]
    """To the first byte of the reply; unknown for a request that was more than one exchange on one connection."""


class Batch(NamedTuple):
    """Samples of one key: columns of nanoseconds."""

    key: SpoolKey
    starts: array[int]
    latencies: array[int]
    latenesses: array[int] | None
    """None if all were on time."""
    opening: Opening | None = None
    """None if they opened no connections."""

    @property
    def numbers(self) -> array[float]:
        """Of a count or gauge, what was given at the times of ``starts``."""
        return array("d", self.latencies.tobytes())


class SpoolWriter:
    """Writes one load's samples. Not for two threads at a time."""

    def __init__(self, path: Path, traces: SampleTraces | None = None) -> None:
        """``traces`` are those of the samples. Raises OSError, as do the other methods."""
        self.path = path
        self._traces = traces
        self._file = path.open("wb")
        self._numbers: dict[tuple[object, ...], int] = {}

    def add(self, chunk: Chunk) -> None:
        """Write the samples of a chunk."""
        for key, times in chunk.times.items():
            for trace_id, its_times in [("", times)] if self._traces is None else self._traces.split(times):
                self._write(_TIMES, self._number((*key, "", trace_id)), memoryview(its_times).cast("B"))
        for (kind, name), (moments, numbers) in chunk.values.items():
            # The bits of a number take the place of a latency.
            columns = array("q", bytes(16 * len(moments)))
            columns[::2], columns[1::2] = moments, array("q", numbers.tobytes())
            self._write(_TIMES, self._number((kind, name, None, 0, OK)), memoryview(columns).cast("B"))
        late: dict[tuple[object, ...], array[int]] = {}
        opened: dict[tuple[object, ...], array[int]] = {}
        for sample in chunk.samples:
            trace_id = "" if self._traces is None else self._traces.take(sample.started_ns, sample.latency_ns)
            key_of, connections = (*_key(sample), trace_id), sample.connections
            some = opened if connections else late
            times_of = some.get(key_of)
            if times_of is None:
                times_of = some[key_of] = array("q")
            times_of.extend((sample.started_ns, sample.latency_ns, sample.lateness_ns))
            if connections:
                times_of.extend(_opening(sample))
        for record, some in ((_OPENED_TIMES, opened), (_LATE_TIMES, late)):
            for key_of, times_of in some.items():
                self._write(record, self._number(key_of), memoryview(times_of).cast("B"))

    def close(self) -> None:
        """Nothing more will come."""
        self._file.close()

    def _number(self, key: tuple[object, ...]) -> int:
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= _MOST_KEYS:
                self._numbers.clear()
            number = self._numbers[key] = len(self._numbers)
            self._write(_KEY, number, json.dumps(key).encode("ascii"))
        return number

    def _write(self, kind: bytes, number: int, content: bytes | memoryview) -> None:
        self._file.write(_HEAD.pack(kind, number, len(content)))
        self._file.write(content)


def _key(sample: Sample) -> tuple[object, ...]:
    detail = sample.fault or (sample.problem.type if sample.problem is not None else "")
    return sample.kind, sample.name, sample.source_address, sample.status, sample.outcome, detail


def _opening(sample: Sample) -> tuple[int, int, int]:
    is_one_exchange = sample.connections == 1 and not (sample.redirects or sample.retries)
    first_byte_ns = sample.first_byte_ns if is_one_exchange else None
    return *(sample.opening_ns or (UNKNOWN, UNKNOWN)), UNKNOWN if first_byte_ns is None else first_byte_ns


def read_spool(path: Path) -> Iterator[Batch]:
    """The samples of a spool, those of one key together as far as memory allows. Raises OSError.

    ``ValueError`` if the file is not a complete sample file.
    """
    keys: dict[int, SpoolKey] = {}
    waiting: dict[tuple[int, int], array[int]] = {}
    samples = 0
    for kind, number, content in _blocks(path):
        if kind == _KEY:
            if number in keys:  # from here on another key has the number
                yield from _batches(keys, waiting)
                samples = 0
            keys[number] = SpoolKey(*json.loads(content))
            continue
        width = _WIDTHS[kind]
        waiting.setdefault((number, width), array("q")).frombytes(content)
        samples += len(content) // 8 // width
        if samples >= _BATCH:
            yield from _batches(keys, waiting)
            samples = 0
    yield from _batches(keys, waiting)


def _blocks(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            kind, number, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
            if kind not in (_KEY, *_WIDTHS):
                raise ValueError(f"{path} is not a sample file")
            content = file.read(length)
            if len(content) < length:
                raise ValueError(f"{path} ends in the middle of a block")
            yield kind, number, content


def _batches(keys: dict[int, SpoolKey], waiting: dict[tuple[int, int], array[int]]) -> Iterator[Batch]:
    """What was read so far, and none of it twice."""
    for (number, width), times in waiting.items():
        starts, latencies, *more = (times[column::width] for column in range(width))
        yield Batch(
            keys[number], starts, latencies, more[0] if more else None, Opening(*more[1:]) if more[1:] else None
        )
    waiting.clear()
