"""Samples on disk: what is written is read."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.stats.recorder import Chunk, Key, Recorder
from pytest_ipload.stats.sample import FAILED, FAULT, OK, REQUEST, STEP, Problem, Sample
from pytest_ipload.stats.spool import spool_format
from pytest_ipload.stats.spool.spool_format import UNKNOWN, Opening, SpoolKey, SpoolWriter, read_spool

ORDINARY: Key = (REQUEST, "GET /", "127.0.0.1", 200, OK)
Row = tuple[int, int, int]


def written(path: Path, chunks: Iterable[Chunk]) -> Path:
    writer = SpoolWriter(path)
    for chunk in chunks:
        writer.add(chunk)
    writer.close()
    return path


def rows(path: Path) -> dict[SpoolKey, list[Row]]:
    """Start, latency and lateness of all samples."""
    found: defaultdict[SpoolKey, list[Row]] = defaultdict(list)
    for key, starts, latencies, latenesses, _ in read_spool(path):
        found[key] += zip(starts, latencies, latenesses or [0] * len(starts), strict=True)
    return dict(found)


def openings(path: Path) -> list[Opening | None]:
    """Of all batches."""
    return [batch.opening and Opening(*map(list, batch.opening)) for batch in read_spool(path)]  # type: ignore[arg-type]


def test_what_opened_a_connection_has_the_times_of_that(tmp_path: Path) -> None:
    known = Sample(REQUEST, "GET /", 1, 90, connections=1, opening_ns=(20, 30), first_byte_ns=70)
    chunk = Chunk(
        [
            known,
            known._replace(redirects=1),
            known._replace(connections=2),
            known._replace(retries=1),
            known._replace(opening_ns=None, first_byte_ns=None),
            Sample(REQUEST, "GET /", 1, 90, lateness_ns=1),
        ],
        {},
    )
    assert openings(written(tmp_path / "a.spool", [chunk])) == [
        Opening([20] * 4 + [UNKNOWN], [30] * 4 + [UNKNOWN], [70] + [UNKNOWN] * 4),  # type: ignore[arg-type]
        None,
    ]


def test_ordinary_samples_and_others(tmp_path: Path) -> None:
    problem = Problem("HTTP 503", "no", "test.py:1")
    chunks = [
        Chunk([Sample(REQUEST, "GET /", 5, 7, FAILED, 503, problem=problem)], {ORDINARY: array("q", [1, 2, 3, 4])}),
        Chunk(
            [
                Sample(REQUEST, "GET /", 9, 10, OK, 200, "127.0.0.1", connections=1, lateness_ns=11),
                Sample(REQUEST, "", 12, 0, FAULT, problem=problem, fault="ports-exhausted"),
                Sample(STEP, "buy", 13, 14),
            ],
            {ORDINARY: array("q", [15, 16])},
        ),
    ]
    assert rows(written(tmp_path / "a.spool", chunks)) == {
        SpoolKey(*ORDINARY): [(1, 2, 0), (3, 4, 0), (15, 16, 0), (9, 10, 11)],
        SpoolKey(REQUEST, "GET /", None, 503, FAILED, "HTTP 503"): [(5, 7, 0)],
        SpoolKey(REQUEST, "", None, 0, FAULT, "ports-exhausted"): [(12, 0, 0)],
        SpoolKey(STEP, "buy", None, 0, OK): [(13, 14, 0)],
    }


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert rows(written(tmp_path / "a.spool", [])) == {}


def test_an_ordinary_sample_takes_sixteen_bytes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.spool", [Chunk([], {ORDINARY: array("q", range(2000))})])
    assert 16_000 < path.stat().st_size < 16_100


NAMES = st.text(st.characters(), max_size=5)
TIMES = st.integers(-(2**62), 2**62)
SAMPLES = st.builds(
    Sample,
    st.sampled_from([REQUEST, STEP]),
    NAMES,
    TIMES,
    TIMES,
    st.sampled_from([OK, FAILED]),
    st.sampled_from([0, 200]),
    st.sampled_from([None, "::1"]),
    connections=st.integers(0, 2),
    first_byte_ns=st.one_of(st.none(), TIMES),
    opening_ns=st.one_of(st.none(), st.tuples(TIMES, TIMES)),
    problem=st.none(),
    fault=st.none(),
    lateness_ns=st.integers(0, 3),
)


@given(st.lists(st.lists(SAMPLES, max_size=20), max_size=5), st.integers(1, 4), st.integers(1, 10))
@settings(max_examples=60)
def test_whatever_is_recorded_is_read(
    tmp_path_factory: pytest.TempPathFactory, users: list[list[Sample]], most_keys: int, batch: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_format, "_MOST_KEYS", most_keys)
        patch.setattr(spool_format, "_BATCH", batch)
        chunks = []
        for samples in users:
            recorder = Recorder()
            for sample in samples:
                recorder.record(sample)
            recorder.flush()
            chunks += recorder.drain()
        found = rows(written(tmp_path_factory.mktemp("spool") / "a.spool", chunks))
    expected: defaultdict[SpoolKey, list[Row]] = defaultdict(list)
    for sample in (sample for samples in users for sample in samples):
        key = SpoolKey(sample.kind, sample.name, sample.source_address, sample.status, sample.outcome)
        expected[key].append((sample.started_ns, sample.latency_ns, sample.lateness_ns))
    assert {key: sorted(each) for key, each in found.items()} == {key: sorted(each) for key, each in expected.items()}


def test_a_name_for_each_sample_takes_no_memory_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_format, "_MOST_KEYS", 10)
    samples = [Sample(REQUEST, f"GET /{number}", number, 1) for number in range(100)]
    writer = SpoolWriter(tmp_path / "a.spool")
    writer.add(Chunk(samples, {}))
    assert len(writer._numbers) <= 10
    writer.close()
    assert sorted(key.name for key in rows(writer.path)) == sorted(sample.name for sample in samples)


@pytest.mark.parametrize("cut", [1, 8, 9, 20, -1])
def test_what_is_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path / "a.spool", [Chunk([], {ORDINARY: array("q", [1, 2])})])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"a\.spool (is not a sample file|ends in the middle of a block)"):
        rows(path)


def test_what_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.spool").write_bytes(b"x" * 9)
    with pytest.raises(ValueError, match=r"a\.spool is not a sample file"):
        rows(tmp_path / "a.spool")
