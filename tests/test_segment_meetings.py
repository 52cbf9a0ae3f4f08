"""A session that runs a segment meets the others in a store. Here they are files that the test writes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.object_store import object_store

from pytest_ipload.cli.main import FAILED, PASSED, main

LOAD = """
    import pytest

    @pytest.mark.ipload(users=2, {settings})
    def test_it(ipload_user, {fixture}):
        with ipload_user.measure("work"):
            pass

    @pytest.fixture
    def broken():
        raise OSError("no database")
"""


def load(settings: str, fixture: str = "ipload_iteration") -> str:
    return LOAD.format(settings=settings, fixture=fixture)


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_IPLOAD_STORE_POLL", "0.01")
    monkeypatch.setattr("pytest_ipload.plugin.run.segment_meetings._LOOK_S", 0.02)


def others_are_ready(folder: Path, test: str = "test_a.py::test_it") -> None:
    """What segment 0 writes when all are ready."""
    folder.mkdir(parents=True)
    now = time.time()
    (folder / "go.json").write_text("{}")
    start = {"test": test, "at": now + 0.1, "go": [now, now + 60]}
    (folder / "start.json").write_text(json.dumps(start))


def read(path: str) -> Any:
    return json.loads(Path(path).read_text())


def test_it_begins_with_the_others_and_leaves_its_result_in_the_store(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=load("iterations=3"))
    others_are_ready(Path("store/load-0"))
    result = pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "ipload: segment 1/2 meets the others in */store, and waits up to 5m00s for them before each load",
            "ipload json report: */store/segment-1.json",
        ]
    )
    report = read("store/segment-1.json")
    assert len(report["sha256"]) == 64
    part = report["tests"][0]["part"]
    assert report["segment"] == {"index": 1, "count": 2}
    assert part["started_at"] >= read("store/load-0/start.json")["at"]
    assert part["clock"]["reference"] == "segment 0"
    assert part["clock"]["low_s"] <= 0 <= part["clock"]["high_s"]
    assert read("store/load-0/ready-1.0.json")["workers"] == 1
    assert read("store/session/stop.json")["reason"] == "its session ended (exit code 0)"
    again = pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*store has load-0/ready-1.0.json already, from another run or an earlier attempt*"])


@pytest.mark.parametrize("is_planned", [False, True], ids=["failed", "aborted"])
def test_it_stops_when_another_one_does(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str], is_planned: bool
) -> None:
    others_are_ready(Path("store/load-0"))
    stop = json.dumps({"segment": 0, "reason": "p95 is too high", "is_planned": is_planned})
    body = f"if ipload_iteration.number == 5: __import__('pathlib').Path('store/load-0/stop.json').write_text({stop!r})"
    pytester.makepyfile(test_a=load("duration='60s', pacing='10ms'").replace("pass", body))
    began = time.monotonic()
    pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store").assert_outcomes(passed=1)
    assert time.monotonic() - began < 50
    part = read("store/segment-1.json")["tests"][0]["part"]
    assert part["broken_off"] == (None if is_planned else "stopped by segment 0: p95 is too high")
    capsys.readouterr()
    code = main(["merge", "store", "--min-segments=1"])  # a load that was broken off is not judged all the same
    assert (code, "INVALID" in capsys.readouterr().out) == ((PASSED, False) if is_planned else (FAILED, True))


def test_others_are_told_of_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=load("iterations=3", "broken"))
    pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store").assert_outcomes(errors=1)
    stop = read("store/load-0/stop.json")
    assert (stop["segment"], stop["is_planned"]) == (1, False)
    assert stop["reason"].endswith("::test_it failed: OSError: no database")
    assert read("store/segment-1.json")["tests"][0]["verdict"] == "error"


def test_others_are_told_of_an_interruption(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=load("iterations=3").replace("pass", "pytest.exit('enough')"))
    others_are_ready(Path("store/load-0"))
    assert pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store").ret == pytest.ExitCode.INTERRUPTED
    assert read("store/load-0/stop.json") == {"segment": 1, "reason": "interrupted by Exit", "is_planned": False}
    assert read("store/session/stop.json")["reason"] == "its session ended (exit code 2)"


def test_others_are_told_of_a_threshold_that_aborted_the_load(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
        import pytest

        @pytest.mark.ipload(users=2, duration="60s", pacing="10ms")
        @pytest.mark.ipload_threshold("errors < 5", abort_on_fail=True, delay="0s")
        def test_it(ipload_user):
            assert False
        """
    )
    others_are_ready(Path("store/load-0"))
    pytester.runpytest("--ipload-segment=1/2", "--ipload-store=store").assert_outcomes(passed=1)
    stop = read("store/load-0/stop.json")
    assert (stop["segment"], stop["is_planned"], stop["reason"][:6]) == (1, True, "errors")


def test_the_missing_ones_are_named_in_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a=load("iterations=3"))
    with object_store() as store:
        url = store.url("/run", user="joe:s3cret")
        result = pytester.runpytest("--ipload-segment=0/2", f"--ipload-store={url}", "--ipload-store-wait=50ms")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*after 50.0 ms not ready to start: segment 1/2; see why in their output*"])
        result.stdout.no_fnmatch_line("*s3cret*")
        report = json.loads(store.objects["/run/segment-0.json"])
        assert (report["tests"][0]["verdict"], len(report["sha256"])) == ("error", 64)
        assert "not ready to start: segment 1/2" in report["tests"][0]["reason"]
        assert sorted(store.objects) == [
            "/run/load-0/ready-0.0.json",
            "/run/load-0/stop.json",
            "/run/segment-0.json",
            "/run/session/stop.json",
        ]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("--ipload-store=x", "--ipload-store: the segments of a load meet in it; give the segment, too"),
        ("--ipload-weights=1,2", "--ipload-weights: they are those of segments; give the segment, too"),
        ("--ipload-segment=0/2 --ipload-store=s3://x", "--ipload-store: 's3://x' is not a URL"),
        ("--ipload-segment=0/2 --ipload-json=x --ipload-store-wait=1s", "--ipload-store-wait: there is nothing to"),
        ("--ipload-segment=0/2 --ipload-store=x --ipload-start-at=1", "contradict each other: the segments agree"),
        ("--ipload-segment=0/2 --ipload-store=x --ipload-weights=1", "1 weights for 2 segments; give one whole number"),
        (
            "--ipload-segment=auto --ipload-store=x",
            "--ipload-segment: JOB_COMPLETION_INDEX of a Kubernetes Indexed Job",
        ),
        ("--ipload-segment=0/2 --ipload-json=ftp://joe:s3cret@x/y", "--ipload-json: 'ftp://***@x/y' is not a URL"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: str, complaint: str
) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    result = pytester.runpytest(*options.split())
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert complaint in " ".join(result.stderr.str().split())
    assert "s3cret" not in result.stderr.str()


def test_a_segment_reads_its_number_and_names_its_files(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_NODE_INDEX", "2")
    monkeypatch.setenv("CI_NODE_TOTAL", "2")
    pytester.makepyfile(test_a=load("iterations=3").replace("users=2", "users=5"))
    options = ("--ipload-segment=auto", "--ipload-weights=3,2", "--ipload-json=results/part-{segment}.json")
    pytester.runpytest(*options).assert_outcomes(passed=1)
    report = read("results/part-1.json")
    assert report["segment"] == {"index": 1, "count": 2, "weights": [3, 2]}
    assert report["tests"][0]["users"] == 2
    few = pytester.runpytest("--ipload-segment=0/2", "--ipload-weights=9,1", "--ipload-json=x.json")
    few.assert_outcomes(errors=1)
    few.stdout.fnmatch_lines(["*5 users cannot be divided into 2 segments with the weights 9,1; give at least 6*"])
