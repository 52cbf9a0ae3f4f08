from __future__ import annotations

import base64
import math
import random
import struct
import zlib
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.hdr_bins import HIGHEST_US, LAST_BIN, bin_edges_us, bin_index
from pytest_ipload.stats.histogram import Histogram

HOUR_NS = HIGHEST_US * 1000
durations = st.one_of(st.integers(0, 5_000_000), st.integers(0, HOUR_NS), st.integers(0, 40).map(lambda n: 2**n))


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def reference(values: list[int]) -> Any:
    histogram = HdrHistogram(1, HIGHEST_US, 3)
    for value in values:
        histogram.record_value((value + 500) // 1000)
    return histogram


def test_hdrhistogram_reads_the_text_with_equal_counts_and_percentiles() -> None:
    random_ = random.Random(7)
    values = [int(random_.lognormvariate(17, 1.5)) for _ in range(5_000)] + [0, 999, HOUR_NS]
    values += values[: 10_000 - len(values)]  # of 10 000, each of these percentiles is a whole rank
    values += values[: 10_000 - len(values)]
    histogram = histogram_of(values)
    theirs = HdrHistogram.decode(histogram.encode())
    assert theirs.get_total_count() == histogram.count == 10_000
    assert {i: n for i in range(theirs.counts_len) if (n := theirs.get_count_at_index(i))} == histogram.bins
    bins_only = Histogram.decode(histogram.encode())
    for percent in (1, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100):
        assert theirs.get_value_at_percentile(percent) * 1000 == bins_only.quantile(percent / 100)


@given(st.lists(durations, max_size=50))
def test_texts_go_both_ways_between_us_and_hdrhistogram(values: list[int]) -> None:
    histogram = histogram_of(values)
    assert Histogram.decode(histogram.encode()).bins == histogram.bins
    assert Histogram.decode(reference(values).encode().decode()).bins == histogram.bins
    assert HdrHistogram.decode(histogram.encode()).get_total_count() == len(values)


@given(st.lists(durations, max_size=50))
def test_the_text_has_the_same_bytes_inside_as_that_of_hdrhistogram(values: list[int]) -> None:
    ours, theirs = (
        zlib.decompress(base64.b64decode(text)[8:])
        for text in (histogram_of(values).encode(), reference(values).encode())
    )
    assert ours == theirs


@pytest.mark.parametrize("count", [1, 63, 64, 8_191, 8_192, 2**31, 2**53])
def test_large_counts_survive_the_text(count: int) -> None:
    histogram = Histogram()
    histogram.bins = {5: count}
    assert Histogram.decode(histogram.encode()).bins == {5: count}
    assert HdrHistogram.decode(histogram.encode()).get_count_at_index(5) == count


def test_what_is_decoded_has_the_statistics_of_its_bins() -> None:
    decoded = Histogram.decode(histogram_of([1_200, 10_000_123_000]).encode())
    low, high = bin_edges_us(bin_index(10_000_123))
    assert (decoded.count, decoded.min_ns, decoded.max_ns) == (2, 1_000, high * 1000)
    assert decoded.total_ns == 1_000 + (low + high) * 500
    assert Histogram.from_plain(decoded.to_plain()) == decoded


def encoded(
    inner: bytes = b"",
    *,
    cookie: int = 0x1C849304 | 0x10,
    head: tuple[Any, ...] = (0, 3, 1, HIGHEST_US, 1.0),
    inner_cookie: int = 0x1C849303 | 0x10,
    inner_length: int | None = None,
    length: int | None = None,
    tail: bytes = b"",
) -> str:
    size = len(inner) if inner_length is None else inner_length
    compressed = zlib.compress(struct.pack(">iIiiqqd", inner_cookie, size, *head) + inner) + tail
    size = len(compressed) if length is None else length
    return base64.b64encode(struct.pack(">iI", cookie, size) + compressed).decode()


def test_the_text_of_the_refusals_below_is_right_without_its_fault() -> None:
    assert Histogram.decode(encoded(b"\x02\x03\x04")).bins == {0: 1, 3: 2}


def test_a_single_empty_bin_may_be_written_as_a_run_or_as_a_count_of_zero() -> None:
    assert Histogram.decode(encoded(b"\x02\x00\x04")).bins == {0: 1, 2: 2}
    assert Histogram.decode(encoded(b"\x02\x01\x04")).bins == {0: 1, 2: 2}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "unpack"),
        ("not base64!", "base64"),
        ("!" + encoded(), "base64"),
        ("HISTFAAé", "ASCII"),
        (encoded(cookie=0x1C849301), "0x1c849301"),
        (encoded(length=5), "5 bytes are announced"),
        (encoded(tail=b"x"), "has trailing data"),
        (base64.b64encode(struct.pack(">iI", 0x1C849314, 4) + b"abcd").decode(), "header"),
        (base64.b64encode(struct.pack(">iI", 0x1C849314, 9) + zlib.compress(b"a" * 99)[:9]).decode(), "truncated"),
        (encoded(inner_cookie=0x1C849301), "damaged"),
        (encoded(inner_length=7), "damaged"),
        (encoded(head=(1, 3, 1, HIGHEST_US, 1.0)), "index offset"),
        (encoded(head=(0, 2, 1, HIGHEST_US, 1.0)), "digits"),
        (encoded(head=(0, 3, 1000, HIGHEST_US, 1.0)), "lowest value"),
        (encoded(head=(0, 3, 1, HIGHEST_US, math.nan)), "ratio"),
        (encoded(b"\x80"), "truncated"),
        (encoded(b"\xff" * 9), "above one hour|more values"),
        (encoded(b"\xff\xff\x7f"), "above one hour"),
        (encoded(b"\xfe" * 8 + b"\x7f"), "more values"),
        (encoded(b"\x82" + b"\x80" * 8), "more values"),
        (encoded(b"\x02" * (LAST_BIN + 2)), "above one hour"),
        (encoded(b"\x00" * 50_000_000), "too large"),
    ],
    ids=lambda value: value[:20] or "empty",
)
def test_a_text_of_another_kind_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="not an HdrHistogram in the V2 compressed format") as caught:
        Histogram.decode(text)
    caught.match(complaint)


@given(st.binary(max_size=60))
def test_damaged_counts_are_read_or_refused_but_never_crash(inner: bytes) -> None:
    try:
        histogram = Histogram.decode(encoded(inner))
    except ValueError:
        return
    assert Histogram.from_plain(histogram.to_plain()) == histogram
