"""What tells of a segment's clock and of what it ran, and what its merge makes of that."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.parts import part_of
from support.samples import request

from pytest_ipload.distributed.segment_fold import Fold
from pytest_ipload.distributed.segments import Segment
from pytest_ipload.load.partition import Partition
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.origin import ClockOffset, OffsetMeter, Origin, is_synchronised
from pytest_ipload.verdict.shard_result import ShardResult

NOW = 1.7e9


def reply(at: float, **more: str) -> Mapping[str, str]:
    return {"Date": formatdate(at, usegmt=True), **more}


@given(
    st.floats(-1e5, 1e5),
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=20),
)
def test_the_true_offset_is_within(ahead_s: float, replies: list[tuple[float, float, float]]) -> None:
    meter = OffsetMeter()
    for at, there_s, back_s in replies:
        meter.note(NOW + at + ahead_s, NOW + at + there_s + back_s + ahead_s, reply(NOW + at + there_s))
    offset = meter.offset
    assert offset is not None
    assert offset.low_s - 1e-3 <= ahead_s <= offset.high_s + 1e-3


def test_replies_at_other_parts_of_a_second_leave_less_room() -> None:
    meter = OffsetMeter()
    for tenth in range(30):
        meter.note(NOW + tenth / 10, NOW + tenth / 10 + 0.01, reply(NOW + tenth / 10))
    assert meter.offset is not None
    assert meter.offset.high_s - meter.offset.low_s < 0.2


@pytest.mark.parametrize(
    "headers", [{}, {"Date": ""}, {"Date": "soon"}, {"Date": "Mon, 99 Foo 2026 00:00:00 GMT"}, reply(NOW, Age="7")]
)
def test_replies_that_tell_nothing(headers: Mapping[str, str]) -> None:
    meter = OffsetMeter()
    meter.note(NOW, NOW + 0.1, headers)
    assert meter.offset is None


def test_replies_that_contradict_each_other_tell_nothing() -> None:
    """Two servers, say, or one whose date stands still."""
    meter = OffsetMeter()
    meter.note(NOW, NOW + 0.1, reply(NOW))
    meter.note(NOW + 9, NOW + 9.1, reply(NOW))
    assert meter.offset is None


def test_a_session_is_watched_for_its_first_replies_only() -> None:
    times = iter(range(10**6))
    meter = OffsetMeter(lambda: NOW + next(times) / 100)

    class Session:
        timeout: float | None = 3

        def request(self, method: str) -> Any:
            return SimpleNamespace(headers=reply(NOW), method=method)

    session = Session()
    meter.watch(session)
    assert "request" in vars(session)
    for _ in range(20):
        assert session.request("GET").method == "GET"
    assert "request" not in vars(session)
    assert (next(times), session.timeout) == (20, 3)
    assert meter.offset is not None


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_the_system_says_whether_its_clock_is_kept_right() -> None:
    assert is_synchronised() in (True, False)


def whole(*parts: ShardResult) -> ShardResult:
    """The parts as the segments of one load."""
    fold = Fold()
    for index, part in enumerate(parts):
        own = replace(part, measured=part.measured.copy())  # the fold merges into the first one
        fold.add(Segment(f"segment-{index}.json", Partition(index, len(parts)), {part.nodeid: own}, {}))
    [merged] = fold.loads()
    assert isinstance(merged, ShardResult)
    return merged


def segment(started_at: float = NOW, clock: ClockOffset | None = None, **origin: Any) -> ShardResult:
    known = {"version": "1.0", "commit": "a" * 40, "is_synchronised": True, **origin}
    return replace(part_of([request()]), started_at=started_at, clock=clock, origin=Origin(**known))


@pytest.mark.parametrize(
    ("ahead", "apart_s", "problem"),
    [
        ((0.0, 0.0), 0.0, None),
        ((0.0, 0.0), 0.9, None),
        ((0.0, 0.0), 1.1, "the segments did not run together: their loads began 1.10 s apart"),
        ((5.0, 0.0), 0.0, "their loads began 4.00 s apart"),  # so far at least, as the second is not known better
        ((5.0, 5.0), 0.0, None),
        ((1.5, 0.0), 0.0, None),  # the dates do not tell surely
        ((0.0, 3600.0), 3600.0, "their loads began 1h00m00s apart"),  # one of the clocks is wrong, if not the target's
    ],
)
def test_loads_that_did_not_run_together_by_the_targets_clock_are_none(
    ahead: tuple[float, float], apart_s: float, problem: str | None
) -> None:
    one, other = (ClockOffset(seconds - 0.5, seconds + 0.5) for seconds in ahead)
    found = whole(segment(NOW, one), segment(NOW + apart_s, other)).broken_off
    assert found is None if problem is None else problem in (found or "")


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        (
            {},
            {"commit": "b" * 40},
            "the segments ran different commits: aaaaaaaaaaaa, bbbbbbbbbbbb; use the same everywhere",
        ),
        (
            {},
            {"version": "1.1"},
            "the segments ran different versions of pytest-ipload: 1.0, 1.1; use the same everywhere",
        ),
        ({}, {"commit": None}, None),
        ({}, {"is_synchronised": None}, None),
    ],
)
def test_segments_have_to_run_the_same(one: dict[str, Any], other: dict[str, Any], problem: str | None) -> None:
    assert whole(segment(**one), segment(**other)).broken_off == problem


def test_a_clock_that_nothing_keeps_right_is_worth_a_remark() -> None:
    known = ClockOffset(0.0, 1.0)
    unsure, sure = segment(is_synchronised=False), segment(clock=known, is_synchronised=False)
    result = conclude(whole(unsure, sure))
    assert result.verdict == "passed"
    assert any(note.startswith("clock-not-synchronised: of segment 0/2") for note in result.generator.notes)
    assert not any("clock-not" in note for note in conclude(whole(sure, sure)).generator.notes)


@pytest.mark.parametrize(
    ("targets", "is_invalid"),
    [
        ([["127.0.0.1:8000"], ["127.0.0.1:8001"]], True),
        ([["127.0.0.1:8000"], ["127.0.0.1:8001"], ["127.0.0.1:8002", "127.0.0.1:9000"]], True),
        ([["127.0.0.1:8000"], ["127.0.0.1:8000"]], False),
        ([["127.0.0.1:8000", "::1:9000"], ["127.0.0.1:8000"]], False),
        ([["127.0.0.1:8000"], []], False),
        ([["127.0.0.1:8000", "127.0.0.1:8001"]], False),
        ([[], []], False),
    ],
)
def test_parts_that_loaded_different_local_targets_are_no_load(targets: list[list[str]], is_invalid: bool) -> None:
    result = conclude(whole(*(replace(segment(), targets=[each]) for each in targets)))
    assert result.verdict == ("invalid" if is_invalid else "passed")
    assert ("different-targets" in str(result.reason)) == is_invalid


def test_all_of_it_is_in_the_file() -> None:
    part = replace(segment(clock=ClockOffset(-0.25, 0.5)), targets=[["127.0.0.1:8000"]])
    again = ShardResult.from_plain(part.to_plain())
    assert (again.clock, again.origin, again.targets) == (part.clock, part.origin, part.targets)
    plain = part.to_plain()
    plain["clock"] = {"low_s": 1.0, "high_s": 0.5, "reference": "target"}
    with pytest.raises(ValueError, match=r"part\.clock: the lower end of a clock's offset is above its upper one"):
        ShardResult.from_plain(plain)
