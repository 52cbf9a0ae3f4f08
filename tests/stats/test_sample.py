from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.stats.sample import FAILED, OK, REQUEST, Problem, Sample, timed_sample, with_lateness

SAMPLE = Sample(
    REQUEST, "GET /", 1, 2, FAILED, 503, "127.0.0.2", 3, 4, 5, 6, 7, (5, 6), Problem("a", "b", "c"), "d", 8, 9
)


@given(st.integers(), st.integers(), st.sampled_from([OK, FAILED]), st.integers(0, 599), st.integers())
def test_a_sample_that_is_made_fast_is_like_any_other(
    started_ns: int, latency_ns: int, outcome: str, status: int, lateness_ns: int
) -> None:
    given_fields = (REQUEST, "GET /", started_ns, latency_ns, outcome, status, "127.0.0.2")
    sample = timed_sample(*given_fields, lateness_ns)
    assert sample == Sample(*given_fields, lateness_ns=lateness_ns)
    assert type(sample) is Sample
    assert len(sample) == len(Sample._fields)


def test_its_defaults_are_those_of_a_sample() -> None:
    assert timed_sample(REQUEST, "GET /", 1, 2) == Sample(REQUEST, "GET /", 1, 2)


def test_a_sample_with_a_lateness_is_otherwise_the_same() -> None:
    late = with_lateness(SAMPLE, 77)
    assert late == SAMPLE._replace(lateness_ns=77)
    assert type(late) is Sample
    assert SAMPLE.lateness_ns == 8
