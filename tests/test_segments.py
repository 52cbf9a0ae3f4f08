"""Segments of a load in sessions of their own, and the command that merges them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.http_server import RecordingServer
from support.plugins import OTHER_PLUGINS
from support.readers import validator

from pytest_ipload.cli.main import FAILED, PASSED, UNUSABLE, main
from pytest_ipload.report.files.registry import REPORT_FILES

MODULE = """
    import pytest

    {markers}
    def test_it(ipload_session, ipload_user):
        assert ipload_session.get(f"/hello?{{ipload_user.index}}", name="GET /hello").ok
"""


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def lead_s(pytester: pytest.Pytester) -> float:
    """Seconds in which sessions that begin now are ready for their load, as busy as the machine is."""
    began = time.perf_counter()
    pytester.run(sys.executable, "-m", "pytest", "--collect-only", "-q")
    return max(2.5, 5 * (time.perf_counter() - began))


def run_segments(
    pytester: pytest.Pytester, server: RecordingServer, markers: str, count: int = 2, *, apart_s: float = 0.0
) -> list[Path]:
    """Run all segments at the same time, each in a process of its own; the paths of their reports.

    They meet in a folder, unless they are to begin ``apart_s`` after each other.
    """
    pytester.makepyfile(test_it="".join(line[4:] for line in MODULE.format(markers=markers).splitlines(keepends=True)))
    if apart_s:
        start_at = time.time() + lead_s(pytester)
    running, paths = [], []
    for index in range(count):
        paths.append(pytester.path / f"segment{index}.json")
        options = [
            f"--ipload-segment={index}/{count}",
            f"--ipload-start-at={start_at + index * apart_s}" if apart_s else "--ipload-store=store",
            f"--ipload-json={paths[-1]}",
            f"--ipload-base-url={server.url('')}",
        ]
        without = [f"-pno:{name}" for name in ("cacheprovider", *OTHER_PLUGINS)]  # they take time to start
        command = [sys.executable, "-m", "pytest", "-q", *without, *options]
        running.append(subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True))
    for process in running:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    return paths


def merged(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of the command, and what it printed."""
    code = main(["merge", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


class TestMerge:
    def test_two_segments_are_one_load(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        markers = "@pytest.mark.ipload(users=5, iterations=4)\n    @pytest.mark.ipload_threshold('p95 < 5s')"
        paths = run_segments(pytester, server, markers)
        assert sorted({int(hit.target.split("?")[1]) for hit in server.hits}) == [0, 1, 2, 3, 4]
        assert len(server.hits) == 20
        reports = [json.loads(path.read_text()) for path in paths]
        assert [report["segment"] for report in reports] == [{"index": 0, "count": 2}, {"index": 1, "count": 2}]
        assert [report["tests"][0]["users"] for report in reports] == [3, 2]

        files = [word for kind in REPORT_FILES for word in (f"--{kind.name}", f"out/merged.{kind.name}")]
        code, output = merged(*paths, "--junit", "out/merged.xml", *files, capsys=capsys)
        assert code == PASSED
        assert all(Path(f"out/merged.{kind.name}").stat().st_size for kind in REPORT_FILES)
        assert "| `test_it.py::test_it` | passed    |         20 |" in Path("out/merged.summary").read_text()
        assert "test_it.py::test_it  PASSED" in output
        assert "5 users" in output
        assert output.endswith("1 passed, 0 failed\n")
        [test] = json.loads(Path("out/merged.json").read_text())["tests"]
        assert (test["requests"], test["users"], test["verdict"]) == (20, 5, "passed")
        assert [(shard["name"], shard["users"], shard["requests"]) for shard in test["shards"]] == [
            ("segment 0/2", 3, 12),
            ("segment 1/2", 2, 8),
        ]
        assert all(shard["start_skew_ms"] < 1000 for shard in test["shards"])
        counts = [report["tests"][0]["latency"]["count"] for report in reports]
        assert test["latency"]["count"] == sum(counts) == 20
        [case] = ElementTree.parse("out/merged.xml").getroot().iter("testcase")
        assert (case.get("classname"), case.get("name")) == ("test_it", "test_it")
        properties = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert properties["ipload_requests"] == "20"

    def test_arrivals_are_divided(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        markers = "@pytest.mark.ipload(arrival_rate='50/s', duration='1s', max_users=6)"
        paths = run_segments(pytester, server, markers, 3)
        assert len(server.hits) == 50
        assert merged(*paths, "--json", "merged.json", capsys=capsys)[0] == PASSED
        [test] = json.loads(Path("merged.json").read_text())["tests"]
        assert (test["planned_iterations"], test["dropped_iterations"], test["requests"]) == (50, 0, 50)

    def test_the_thresholds_are_judged_on_the_whole(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        markers = "@pytest.mark.ipload(users=4)\n    @pytest.mark.ipload_threshold('requests > 3', 'p95 < 1us')"
        paths = run_segments(pytester, server, markers)
        code, output = merged(*paths, "--junit", "merged.xml", capsys=capsys)
        assert code == FAILED
        assert "ok    requests 4, limit > 3" in output
        assert "FAIL  p95 " in output
        [failure] = ElementTree.parse("merged.xml").getroot().iter("failure")
        assert (failure.get("message") or "").startswith("p95 ")

    def test_a_missing_segment_is_no_pass(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, _ = run_segments(pytester, server, "@pytest.mark.ipload(users=4)")
        code, output = merged(first, "--junit", "merged.xml", capsys=capsys)
        assert code == FAILED
        assert "INVALID" in output
        assert "missing: segment 1/2; the numbers are those of the others only" in output
        [failure] = ElementTree.parse("merged.xml").getroot().iter("failure")
        assert (failure.get("message") or "").startswith("missing: segment 1/2")

    def test_a_segment_that_comes_twice_or_is_of_another_load_is_no_pass(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = run_segments(pytester, server, "@pytest.mark.ipload(users=4)")
        code, output = merged(first, second, second, capsys=capsys)
        assert (code, "segment 1/2 is present 2 times: " in output) == (FAILED, True)
        report = json.loads(second.read_text())
        report["tests"][0]["part"]["profile"]["users"] = 9
        second.write_text(json.dumps(report))
        code, output = merged(first, second, capsys=capsys)
        assert (code, "differ in their users (4 and 9)" in output) == (FAILED, True)
        report["segment"]["count"] = 3
        second.write_text(json.dumps(report))
        code, output = merged(first, second, capsys=capsys)
        assert (code, "the files are from loads in 2 and in 3 segments" in output) == (FAILED, True)

    def test_segments_that_ran_at_different_times_are_no_load(
        self, pytester: pytest.Pytester, server: RecordingServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        paths = run_segments(pytester, server, "@pytest.mark.ipload(users=4)", apart_s=1.0)
        code, output = merged(*paths, capsys=capsys)
        assert code == FAILED
        assert "the segments did not run together: their loads began " in output


class TestFilesOfNoUse:
    @pytest.fixture
    def report(self, pytester: pytest.Pytester) -> dict[str, Any]:
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-segment=0/1", "--ipload-json=report.json")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*::test_it  SEGMENT 0/1 (judged when merged)"])
        report: dict[str, Any] = json.loads(Path("report.json").read_text())
        return report

    def test_a_report_is_of_use(self, report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
        assert merged("report.json", capsys=capsys)[0] == PASSED

    @pytest.mark.parametrize(
        ("damage", "complaint"),
        [
            (
                lambda report: report.pop("segment"),
                "the report of a whole run; segments are run with",
            ),
            (lambda report: report.update(schema=2), "not a JSON report of pytest-ipload (schema 1)"),
            (lambda report: report.update(segment={"index": 5, "count": 2}), "partition 5 of 2 does not exist"),
            (lambda report: report["tests"][0].pop("part"), "tests[0].part: expected an object"),
            (lambda report: report["tests"].append("x"), "tests[1].part: expected an object"),
            (lambda report: report["tests"][0]["part"].update(users=None), "tests[0].part.users: expected"),
            (lambda report: report["tests"].clear(), "the files contain no load tests"),
        ],
    )
    def test_a_damaged_one_is_named(
        self,
        report: dict[str, Any],
        damage: Callable[[Any], object],
        complaint: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        damage(report)
        Path("damaged.json").write_text(json.dumps(report))
        code, output = merged("damaged.json", capsys=capsys)
        assert code == UNUSABLE
        assert output.startswith("error: ")
        assert complaint in output

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"x"', "\0"])
    def test_what_is_no_report_at_all(self, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "file.json"
        path.write_text(text)
        code, output = merged(path, capsys=capsys)
        assert (code, output.startswith((f"error: {path}: not ", f"error: {path}: it "))) == (UNUSABLE, True)

    @pytest.mark.usefixtures("report")
    def test_a_report_that_cannot_be_written(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("file").touch()
        code, output = merged("report.json", "--hlog", "file/out", capsys=capsys)
        assert (code, output.startswith("error: --hlog: file/out cannot be written: ")) == (UNUSABLE, True)
        code, output = merged("report.json", "--hlog", ".", capsys=capsys)
        assert (code, output) == (UNUSABLE, "error: --hlog: . is a directory; give the path of a file\n")

    def test_the_schema_describes_the_report_of_a_segment(self, report: dict[str, Any]) -> None:
        assert {"segment", "part"} <= set(report["tests"][0])
        validator().validate(report)

    def test_what_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert merged(tmp_path / "nothing.json", capsys=capsys)[0] == UNUSABLE


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "complaint"),
        [
            (
                "--ipload-segment=1",
                "'1' is not a segment; give its number, from 0, and the number of segments",
            ),
            ("--ipload-segment=4/4", "'4/4' does not exist; of 4 segments the first is 0/4 and the last 3/4"),
            ("--ipload-segment=-1/4", "'-1/4' is not a segment"),
            ("--ipload-segment=0/0", "'0/0' does not exist; a load has at least one segment, which is 0/1"),
            ("--ipload-start-at=soon", "'soon' is not a valid time; give Unix seconds"),
            ("--ipload-start-at=2026-01-31T12:00:00", "is not a valid time"),
            ("--ipload-start-at=1767225600000", "is not a valid time"),
        ],
    )
    def test_a_bad_one_is_a_usage_error(self, pytester: pytest.Pytester, option: str, complaint: str) -> None:
        result = pytester.runpytest(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {option.partition('=')[0]}: *{complaint}*"])

    def test_one_without_a_file_for_its_result_is_a_usage_error(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-segment=0/2", "--ipload-users=2")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --ipload-segment: *without a file its result would be lost; *"])
        assert pytester.runpytest("--ipload-segment=0/2", "--collect-only").ret == 0

    def test_each_load_has_a_start_of_its_own(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            f"""
            import time
            import pytest

            AT = {(at := time.time() + 0.5)}

            def test_ordinary():
                pass

            @pytest.mark.parametrize("number", range(3))
            def test_load(ipload_user, number):
                assert time.time() >= AT + number * 0.5

            def test_unselected(ipload_user):
                pass
            """
        )
        result = pytester.runpytest(f"--ipload-start-at={at}", "--ipload-start-every=500ms", "-k", "not unselected")
        result.assert_outcomes(passed=4, deselected=1)
        alone = pytester.runpytest("--ipload-start-every=500ms")
        assert alone.ret == pytest.ExitCode.USAGE_ERROR
        alone.stderr.fnmatch_lines(["ERROR: --ipload-start-every: give the start of the first load, too *"])

    def test_fewer_users_than_segments(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-segment=0/2", "--ipload-json=segment.json")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["--ipload-segment=0/2: 1 user cannot be divided into 2 segments; *"])

    def test_a_load_that_a_test_judges_itself_cannot_be_divided(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload): ipload.run(lambda user: None, users=2)")
        result = pytester.runpytest("--ipload-segment=0/2", "--ipload-json=segment.json")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*ipload.run: a load that a test starts and judges itself cannot be divided*"])

    def test_no_load_begins_before_its_time(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            f"""
            import time

            def test_it(ipload_user):
                assert time.time() >= {(at := time.time() + 1.0)}
            """
        )
        result = pytester.runpytest(f"--ipload-start-at={at}")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["ipload: no load begins before * UTC, * from now"])
        assert time.time() >= at

    def test_a_time_that_is_over_is_now(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-start-at=2020-01-01T00:00:00Z")
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(
            ["ipload: WARNING: --ipload-start-at: 2020-01-01 00:00:00 UTC was * ago: loads begin at once, *"]
        )

    @pytest.mark.parametrize("workers", [(), ("-n1",)])
    @pytest.mark.usefixtures("xdist")
    def test_a_time_far_away_is_a_usage_error(self, pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-start-at=99999999999", *workers)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["*--ipload-start-at: 5138-*UTC is *h*s from now; give a time within the next 48 hours"]
        )
