"""Files of segments that were changed with bad intent: merged, judged and reported, or refused; nothing else."""

from __future__ import annotations

import json
import os
import random
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import HOSTILE, mutated, paths_of
from support.parts import full_fields, part_of
from support.samples import ORIGIN, iteration, request, step

from pytest_ipload.cli.main import FAILED, PASSED, UNUSABLE, main
from pytest_ipload.distributed.segments import UnusableFile, read_segment
from pytest_ipload.load.partition import parse_segment
from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.user_time import UserTime
from pytest_ipload.report.files.registry import REPORT_FILES
from pytest_ipload.stats.bins import text_of_bins
from pytest_ipload.stats.hdr_bins import bin_of_ns
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED as FAILED_SAMPLE
from pytest_ipload.stats.sample import SETUP
from pytest_ipload.verdict.result import FailureSummary, FirstFailure, ShardStats
from pytest_ipload.verdict.rounds import RoundNote
from pytest_ipload.verdict.shard_result import AbortNote, ShardResult
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import ThresholdResult
from pytest_ipload.verdict.threshold.expression import Threshold

MUTATIONS = int(os.environ.get("IPLOAD_MUTATIONS", "150"))
EXPRESSIONS = ("p95{GET /} < 1s", "error_rate < 50%", "rps > 1", "iterations > 1", "dropped_iterations < 5")
RESULT = ThresholdResult("p95 < 1s", "fail", False, "ms", 1.0, 2.0, 40, 1.0, 3.0, False, "p95 2 ms, limit < 1 ms")


def rich_part() -> ShardResult:
    """One in which nothing is empty."""
    samples = [request("GET /", 10 + number, at_ms=50 * number, source_address="127.0.0.1") for number in range(40)]
    samples += [request("POST /", outcome=FAILED_SAMPLE, status=503), step("pay"), request("in")._replace(kind=SETUP)]
    measured = Measurements(origin_ns=ORIGIN, judged_from_ns=ORIGIN, planned=True, window_lengths_ns=[500_000_000])
    measured.add([*samples, *[iteration(12)] * 40])
    thresholds = [ThresholdConfig(Threshold.parse(text)) for text in EXPRESSIONS]
    thresholds.append(ThresholdConfig(Threshold.parse("p50 < 1s"), abort_on_fail=True, window=0.5, confidence=0.9))
    return part_of(
        [],
        measured=measured,
        ended=5_000_000_000,
        thresholds=thresholds,
        failures=[FailureSummary("ValueError", "no", "test_a.py:3", 1, FirstFailure(1, 0, "127.0.0.1"), [1, 2])],
        abort=AbortNote(5, 1.5, RESULT),
        set_ups=SetUps(9, 2, 1),
        user_time=UserTime(9_000_000_000, 1_000_000_000, 1, 1),
        shards=[ShardStats(0, "segment 0/2", "host", 2, 40, 40, 0, 0.3, 0.5, 1)],
        round=RoundNote(0, 1, "current"),
        **full_fields("3s:5/s,2s:0/s"),
    )


def plain_part() -> ShardResult:
    """One of a closed load without any extras."""
    return part_of([request(), iteration()] * 20, "p95 < 1s", "raw.max < 1s")


def report(part: ShardResult, index: int = 0, count: int = 2) -> dict[str, Any]:
    """What a segment writes, as far as merging looks at it."""
    content: dict[str, Any] = {"schema": 1, "segment": {"index": index, "count": count}, "tests": []}
    content["tests"].append({"part": json.loads(json.dumps(part.to_plain()))})
    return content


def merge(folder: Path, *texts: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Merge files with these contents into all kinds of reports; the exit code, stdout and stderr."""
    names = []
    for number, text in enumerate(texts):
        names.append(str(folder / f"{number}.json"))
        Path(names[-1]).write_text(text, encoding="utf-8")
    words = [word for kind in REPORT_FILES for word in (f"--{kind.name}", str(folder / f"out.{kind.name}"))]
    code = main(["merge", *names, "--junit", str(folder / "out.xml"), *words])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("part", [rich_part(), plain_part()], ids=["rich", "plain"])
def test_whatever_is_changed_it_is_judged_or_refused(
    tmp_path: Path, part: ShardResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """``IPLOAD_MUTATIONS=5000`` tries more of them."""
    rng = random.Random(1)
    other = json.dumps(report(part, 1))
    codes = set()
    for _ in range(MUTATIONS):
        text = json.dumps(mutated(rng, report(part), rng.choice([1, 1, 1, 2, 4])))
        (tmp_path / "last.json").write_text(text)  # to look at, should it fail
        code, out, err = merge(tmp_path, text, other, capsys=capsys)
        assert "please report it" not in err  # refused by a check, not by the last resort
        assert (code == UNUSABLE) == err.startswith("error: ")
        assert (out + err).replace("\n", "").isprintable()
        if code != UNUSABLE:
            json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail)
        codes.add(code)
    assert codes >= {FAILED, UNUSABLE}


@given(st.data())
def test_each_value_may_be_anything(data: st.DataObject) -> None:
    content = json.loads(json.dumps(rich_part().to_plain()))
    path = data.draw(st.sampled_from([path for path in paths_of(content) if path]))
    holder: Any = content
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(st.sampled_from(HOSTILE) | st.integers() | st.floats() | st.text(max_size=5))
    with suppress(ValueError):
        ShardResult.from_plain(content)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("users",), -1, "part: users: expected a whole number from 0, got -1"),
        (("users",), 10**30, "part.users: expected a whole number up to 9223372036854775807, got 1000000"),
        (("started_at",), -5, "part: started_at: -5.0 is not a valid time; expected Unix seconds"),
        (("started_at",), 1e12, "part: started_at: "),
        (("profile", "graceful_stop"), float("-inf"), "not valid JSON: -Infinity is not a number"),
        (("profile", "graceful_stop"), 1e300, "part: profile.graceful_stop: 1e+300 is too long"),
        (("profile", "arrival_rate"), 10**29, "part.profile.arrival_rate: expected a whole number up to"),
        (("profile", "arrival_rate"), 1e29, "part: profile.arrival_rate: 1e+29 is out of range"),
        (("profile", "max_users"), -2, "part: profile.max_users: -2 is too small"),
        (("profile", "think_time"), [2.0, 1.0], "part"),
        (
            ("thresholds", 0, "confidence"),
            -1,
            "part.thresholds[0]: threshold 'p95{GET /} < 1s': -1.0 is not a valid confidence",
        ),
        (("thresholds", 0, "severity"), "x", "part.thresholds[0]: threshold 'p95{GET /} < 1s': 'x' is unknown"),
        (("checks", 0, "severity"), "x", "part.checks[0]: 'x' is not a valid severity of a health check"),
        (
            ("abort", "result", "unit"),
            "x",
            "part.abort.result: 'fail' is not a valid severity, or 'x' not a valid unit",
        ),
        (("users_by_source", "127.0.0.1"), -1, "part: users_by_source: expected a whole number from 0, got -1"),
        (
            ("connections_by_source",),
            {"::1": -1},
            "part: connections_by_source: expected a whole number from 0, got -1",
        ),
        (("failures", 0, "count"), -1, "part: count: expected a whole number from 0, got -1"),
        (("shards", 0, "users"), -1, "part: users: expected a whole number from 0, got -1"),
        (("ended",), 10**18, "part: its load lasted for more than 1000000 seconds"),
        (
            ("measured", "timeline", "steps", -1, 0),
            10**9,
            "part: it has requests that ended more than an hour after its load",
        ),
        (("measured", "last_ended_ns"), 2**63, "measurements last_ended_ns: expected a whole number up to"),
    ],
)
def test_what_no_load_has_is_named(
    tmp_path: Path, path: tuple[Any, ...], value: Any, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = report(rich_part())
    holder = content["tests"][0]["part"]
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    code, out, err = merge(tmp_path, json.dumps(content), json.dumps(report(rich_part(), 1)), capsys=capsys)
    assert (code, out) == (UNUSABLE, "")
    assert err.startswith(f"error: {tmp_path}/0.json: ")
    assert complaint in err


def test_samples_beyond_all_measure_are_refused_in_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = report(plain_part())
    for _, series in content["tests"][0]["part"]["measured"]["series"]:
        latency = series["latency"]
        most_ns = latency["max_ns"]
        latency.update(count=2**53, total_ns=2**53 * most_ns, bins=text_of_bins({bin_of_ns(most_ns): 2**53}))
    code, _, err = merge(tmp_path, json.dumps(content), capsys=capsys)
    assert (code, "more than 1000000000000 samples" in err) == (UNUSABLE, True)


class TestReading:
    def test_no_more_is_read_than_a_file_may_have(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pytest_ipload.distributed.segments._LARGEST_FILE", 1 << 22)
        pipe = tmp_path / "pipe.json"
        os.mkfifo(pipe)  # of no size, as far as the system tells
        written = 0

        def write() -> None:
            nonlocal written
            with pipe.open("wb", buffering=0) as file:
                try:
                    for _ in range(1 << 10):
                        written += file.write(b"{" + b" " * (1 << 16))
                except BrokenPipeError:
                    return

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with pytest.raises(UnusableFile, match="it is larger than 4 MiB, the maximum size of reports"):
                read_segment(pipe)
        finally:
            writer.join(30)
        assert written < 1 << 24

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
    def test_an_endless_device_is_refused_at_once(self) -> None:
        with pytest.raises(UnusableFile, match=r"/dev/zero: not valid JSON: it does not begin with '\{'"):
            read_segment(Path("/dev/zero"))

    def test_a_pipe_is_read_as_a_file_is(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.json"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=(json.dumps(report(rich_part())),))
        writer.start()
        assert list(read_segment(pipe).parts) == ["test_a.py::test_a"]
        writer.join(30)


class TestLastResort:
    @pytest.mark.parametrize("error", [ValueError("odd"), OverflowError("huge"), ZeroDivisionError(), MemoryError()])
    def test_what_no_check_foresaw_names_file_and_place_and_asks_for_a_report(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
    ) -> None:
        def conclude(part: ShardResult) -> SimpleNamespace:
            if part.late == 7:
                raise error
            return SimpleNamespace(as_dict=dict)

        monkeypatch.setattr("pytest_ipload.cli.merge.conclude", conclude)
        monkeypatch.setattr("pytest_ipload.distributed.segments.conclude", conclude)
        texts = [json.dumps(report(part_of([request()], late=late), index)) for index, late in enumerate((0, 7))]
        code, _, err = merge(tmp_path, *texts, capsys=capsys)
        assert code == UNUSABLE
        assert err.startswith(f"error: {tmp_path}/1.json: its values cannot be judged: {type(error).__name__}: ")
        assert "(merge.py:" in err
        assert "please report it, with the file" in err

    @pytest.mark.parametrize("error", [AssertionError(), KeyError("x"), TypeError("x")])
    def test_a_fault_of_our_own_is_not_taken_for_one_of_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
    ) -> None:
        def conclude(part: ShardResult) -> None:
            raise error

        monkeypatch.setattr("pytest_ipload.cli.merge.conclude", conclude)
        with pytest.raises(type(error)):
            merge(tmp_path, json.dumps(report(plain_part(), 0, 1)), capsys=capsys)


@pytest.mark.parametrize("nodeid", ["", "::", "/", "..", "x", "a.py::b::c", "\x00", "\ud800"])
def test_any_name_of_a_test_is_reported(tmp_path: Path, nodeid: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [json.dumps(report(part_of([request(), iteration()], nodeid=nodeid), index)) for index in range(2)]
    assert merge(tmp_path, *texts, capsys=capsys)[0] == PASSED


@pytest.mark.parametrize("text", ["0/0", "00/0", "1/0"])
def test_a_load_has_one_segment_at_least(text: str) -> None:
    with pytest.raises(ValueError, match=f"^'{text}' does not exist; a load has at least one segment, which is 0/1$"):
        parse_segment(text)


@given(st.text() | st.from_regex(r"[0-9]{1,6000}/[0-9]{1,6000}", fullmatch=True))
def test_any_text_is_a_segment_or_refused(text: str) -> None:
    with suppress(ValueError):
        share = parse_segment(text)
        assert 0 <= share.index < share.count


def test_what_is_right_is_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [json.dumps(report(plain_part(), index)) for index in range(2)]
    assert merge(tmp_path, *texts, capsys=capsys)[0] == PASSED
