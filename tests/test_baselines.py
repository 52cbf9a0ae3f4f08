"""Saved runs and comparisons with them: whole runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.samples import iteration, request
from support.saved_runs import saved_run, saved_test, write_runs

from conftest import require_program
from pytest_ipload.base.machine import this_machine
from pytest_ipload.baselines.saved_run import SavedRun

FOLDER = f".ipload/{this_machine().folder}"
# Two milliseconds, or a little more: far from both the microsecond and the hour of the runs that it is compared with.
TESTS = """
    import time
    import pytest

    @pytest.mark.ipload(users=2, iterations=5)
    def test_it(ipload_user):
        with ipload_user.measure("GET /"):
            time.sleep(0.002)

    def test_ordinary():
        pass
"""
FAST, SLOW = 0.001, 3_600_000.0
"""Latencies in milliseconds."""
LIMIT = "--ipload-compare-fail=p95:10%"


def runs_with(latency_ms: float, count: int = 8, **more: Any) -> list[SavedRun]:
    """Runs of the test above in which all requests took as long."""
    samples = [request("GET /", latency_ms), iteration(latency_ms)] * 10
    return [saved_run(saved_test(samples=samples, **more))] * count


def saved_files() -> list[Path]:
    return sorted(Path(FOLDER).glob("*.json"))


def read(path: Path) -> SavedRun:
    return SavedRun.from_text(path.read_text(encoding="utf-8"))


def json_tests(path: str = "out.json") -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads(Path(path).read_text(encoding="utf-8"))["tests"]
    return tests


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_it=TESTS)
    return pytester


class TestSaving:
    def test_what_passed_is_saved_under_the_name(self, project: pytest.Pytester) -> None:
        for number in (1, 2):
            result = project.runpytest("--ipload-save=main")
            result.assert_outcomes(passed=2)
            result.stdout.fnmatch_lines([f"ipload saved run: {FOLDER}/000{number}_main.json (1 load)"])
        first, second = map(read, saved_files())
        assert list(first.tests) == list(second.tests) == [("test_it.py::test_it", 0)]
        assert first.machine == this_machine()
        [test] = first.tests.values()
        assert (test["iterations"], test["profile"]["users"]) == (10, 2)

    @pytest.mark.parametrize("dirty", [False, True])
    def test_a_name_is_made_up_of_commit_and_time(self, project: pytest.Pytester, dirty: bool) -> None:
        require_program("git", "apt-get install git")
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@y.test", "-c", "init.defaultBranch=trunk"]
        for words in (["init"], ["add", "test_it.py"], ["commit", "-m", "x"]):
            subprocess.run([*git, *words], check=True, capture_output=True)
        if dirty:
            project.makepyfile(test_it=TESTS.replace("pass", "assert True"))
        project.runpytest("--ipload-autosave").assert_outcomes(passed=2)
        [path] = saved_files()
        run = read(path)
        assert run.commit is not None
        assert (run.commit.branch, run.commit.dirty) == ("trunk", dirty)
        commit, moment, *more = path.stem.split("_")[1:]
        assert (commit, more) == (run.commit.id[:12], ["dirty"] * dirty)
        assert moment.replace("-", "") == run.saved_at.replace("-", "").replace(":", "").replace("T", "")[:14]

    def test_without_a_commit_it_is_the_time_and_a_given_name_comes_first(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.path.parent))
        project.runpytest("--ipload-autosave")
        project.runpytest("--ipload-autosave", "--ipload-save=main")
        [autosaved, named] = saved_files()
        assert autosaved.stem.removeprefix("0001_").replace("-", "").isdecimal()
        assert named.stem == "0002_main"

    def test_only_what_is_worth_comparing_with_is_saved_and_the_rest_is_named(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            test_more="""
            import pytest

            @pytest.mark.ipload(users=2, iterations=5)
            @pytest.mark.ipload_threshold("iterations > 1000")
            def test_beyond(ipload_user):
                pass

            @pytest.mark.ipload(users=1, arrival_rate=1000, duration="0.2s", max_users=1)
            def test_too_slow(ipload_user):
                ipload_user.random.sample(range(10**6), 10**5)

            def test_asserts(ipload):
                assert ipload.run(lambda user: None, iterations=3).requests == 1

            @pytest.mark.ipload
            def test_once(ipload_user):
                pass
        """
        )
        result = project.runpytest("--ipload-save=main")
        [path] = saved_files()
        assert [nodeid for nodeid, _ in read(path).tests] == ["test_it.py::test_it"]
        result.stdout.fnmatch_lines_random(
            [
                "not saved: test_more.py::test_beyond: its load is failed",
                "not saved: test_more.py::test_too_slow: its load is invalid",
                "not saved: test_more.py::test_asserts: the test failed",
                "not saved: test_more.py::test_once: a single iteration is not a measurement",
            ]
        )

    @pytest.mark.parametrize("options", [("-k", "ordinary"), ("--ipload-disable",), ("--ipload-skip",)])
    def test_without_a_load_that_passed_there_is_no_file(self, project: pytest.Pytester, options: Any) -> None:
        result = project.runpytest("--ipload-save=main", *options)
        result.stdout.fnmatch_lines(["the run is not saved: no load test passed"])
        assert result.ret == 0
        assert saved_files() == []

    def test_collecting_saves_nothing(self, project: pytest.Pytester) -> None:
        project.runpytest("--ipload-save=main", "--collect-only").stdout.no_fnmatch_line("*saved*")
        assert saved_files() == []

    def test_a_folder_that_cannot_be_written_is_said_and_changes_no_outcome(self, project: pytest.Pytester) -> None:
        Path(".ipload").touch()
        result = project.runpytest("--ipload-save=main")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["the run is not saved: *.ipload*"])

    def test_loads_of_the_fixture_are_numbered(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            def test_two(ipload):
                for users in (2, 3):
                    ipload.run(lambda user: None, users=users, iterations=2)
        """
        )
        pytester.runpytest("--ipload-save=main")
        result = pytester.runpytest("--ipload-compare", "--ipload-json=out.json")
        tests = read(saved_files()[0]).tests
        assert {key: test["profile"]["users"] for key, test in tests.items()} == {
            ("test_it.py::test_two", 0): 2,
            ("test_it.py::test_two", 1): 3,
        }
        result.assert_outcomes(passed=1)
        assert [test["baseline"]["runs"] for test in json_tests()] == [1, 1]

    def test_names_of_tests_are_no_paths(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import pytest

            @pytest.mark.parametrize("text", ["../../x", "a/b::c", "\\x1b[31m", "ä", "*"])
            @pytest.mark.ipload(users=2, iterations=2)
            def test_it(ipload_user, text):
                pass
        """
        )
        pytester.runpytest("--ipload-save=main").assert_outcomes(passed=5)
        assert len(read(saved_files()[0]).tests) == 5
        result = pytester.runpytest("--ipload-compare-fail=iterations_per_second:100%", "--ipload-json=out.json")
        result.assert_outcomes(passed=5)
        assert [test["baseline"]["runs"] for test in json_tests()] == [1] * 5


class TestComparing:
    def test_a_regression_fails_the_test_itself(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest(LIMIT, "--junitxml=junit.xml", "--ipload-json=out.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=1, failed=1)
        [test] = json_tests()
        [judged] = [each for each in test["comparisons"] if "limit" in each]
        assert (test["verdict"], test["reason"], judged["regressed"]) == ("failed", judged["message"], True)
        assert judged["message"].endswith("above the baseline's 1.00 us (limit +10 %; median of 8 runs, MAD 0 ms)")
        suite = ElementTree.parse("junit.xml").getroot()[0]
        assert (suite.get("failures"), suite.get("errors")) == ("1", "0")
        [failure] = suite.iter("failure")
        assert (failure.get("message") or "").splitlines()[0].removeprefix("ComparisonFailed: ") == judged["message"]
        result.stdout.fnmatch_lines(
            [
                judged["message"].replace("[", "[[]"),
                "test_it.py::test_it  FAILED",
                "REGR  p95 *",
                "baseline: p50 +*, p95 +*, p99 +*, rps +* (median of 8 saved runs)",
                "FAILED test_it.py::test_it - ComparisonFailed: p95 *",
            ]
        )

    def test_what_is_no_worse_passes_and_says_what_it_was_compared_with(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(SLOW))
        result = project.runpytest(LIMIT, "--ipload-json=out.json")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [
                "ok    p95 *, 99.99* % below the baseline's 1h00m00s (limit +10 %; median of 8 runs, MAD 0 ms)",
                "baseline: p50 -99.99* %, p95 -99.99* %, p99 -99.99* %, rps +*",
            ]
        )
        baseline = json_tests()[0]["baseline"]
        assert baseline["runs"] == 8
        assert baseline["files"][0] == f"{FOLDER}/0008_main.json"
        assert baseline["notes"] == []

    def test_without_limits_nothing_is_judged(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest("--ipload-compare", "--ipload-json=out.json")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["baseline: p50 +*, p95 +*, p99 +*, rps * (median of 8 saved runs)"])
        assert ["limit" in each for each in json_tests()[0]["comparisons"]] == [False] * 4

    def test_without_the_options_there_is_no_word_of_it(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest("--ipload-json=out.json")
        result.stdout.no_fnmatch_line("*baseline*")
        assert not {"comparisons", "baseline"} & set(json_tests()[0])

    def test_a_failed_threshold_comes_first(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest(LIMIT, "--ipload-threshold=p95 < 1us", "--tb=short")
        result.stdout.fnmatch_lines(["p95 *, limit < 1*", "p95 *, * above the baseline's *"], consecutive=True)

    @pytest.mark.parametrize("strict", [True, False])
    def test_an_expected_failure_stays_one(self, project: pytest.Pytester, strict: bool) -> None:
        mark = f'@pytest.mark.xfail(strict={strict}, reason="known")\n    @pytest.mark.ipload'
        project.makepyfile(test_it=TESTS.replace("@pytest.mark.ipload", mark))
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest(LIMIT)
        result.assert_outcomes(passed=1, xfailed=1)
        assert result.ret == 0

    def test_last_failed_repeats_it_and_x_stops_at_it(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        project.runpytest("-x", LIMIT, "-p", "cacheprovider").assert_outcomes(failed=1)
        project.runpytest("--lf", LIMIT, "-p", "cacheprovider").assert_outcomes(failed=1, deselected=0)

    def test_the_fixture_has_it_in_its_result(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            import time

            def test_it(ipload):
                result = ipload.run(lambda user: time.sleep(0.002), users=2, iterations=5)
                [comparison] = [each for each in result.comparisons if each.limit]
                assert comparison.regressed
                assert result.verdict == "failed"
                assert result.baseline.runs == 8
        """
        )
        runs = [
            saved_run({**test, "iterations_per_second": 1e9}) for run in runs_with(FAST) for test in run.tests.values()
        ]
        write_runs(pytester.path, *runs)
        pytester.runpytest("--ipload-compare-fail=iterations_per_second:10%").assert_outcomes(passed=1)

    def test_a_load_that_was_broken_off_is_not_compared(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        project.makepyfile(test_it=TESTS.replace("time.sleep(0.002)", "raise KeyboardInterrupt"))
        result = project.runpytest_inprocess(LIMIT, "--ipload-json=out.json", no_reraise_ctrlc=True)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        [test] = json_tests()
        assert test["verdict"] == "invalid"
        assert "comparisons" not in test

    def test_functional_tests_are_not_compared(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest(LIMIT, "--ipload-disable")
        result.assert_outcomes(passed=2)
        result.stdout.no_fnmatch_line("*baseline*")
        result.stdout.no_fnmatch_line("*NOT COMPARED*")


class TestUndecided:
    """Beyond the limit, with too few saved runs to say that it is more than noise."""

    LOUD = "--ipload-compare-fail: UNDECIDED: the difference may be noise: test_it.py::test_it (p95:10%)"

    @pytest.mark.parametrize("quiet", [(), ("-q",)])
    def test_it_passes_and_is_said_loudly(self, project: pytest.Pytester, quiet: tuple[str, ...]) -> None:
        write_runs(project.path, *runs_with(FAST, 7))
        reports = ("--ipload-json=out.json", "--ipload-summary=out.md", "--ipload-html=out.html")
        result = project.runpytest(LIMIT, *reports, *quiet)
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [*([] if quiet else ["[?][?]    p95 * undecided: it takes 8 saved runs *"]), self.LOUD]
        )
        [judged] = [each for each in json_tests()[0]["comparisons"] if "limit" in each]
        assert (judged["regressed"], judged["undecided"], judged["passed"]) == (False, True, True)
        assert "**undecided**: `p95 " in Path("out.md").read_text(encoding="utf-8")
        assert ">undecided<" in Path("out.html").read_text(encoding="utf-8")

    @pytest.mark.parametrize("option", ["--ipload-strict", "-oipload_strict=true"])
    def test_in_a_strict_session_it_fails(self, project: pytest.Pytester, option: str) -> None:
        write_runs(project.path, *runs_with(FAST, 7))
        result = project.runpytest(LIMIT, option, "--ipload-json=out.json")
        result.assert_outcomes(passed=1, failed=1)
        [test] = json_tests()
        [judged] = [each for each in test["comparisons"] if "limit" in each]
        assert (test["verdict"], test["reason"]) == ("failed", judged["message"])
        assert (judged["regressed"], judged["undecided"], judged["passed"]) == (False, True, False)
        result.stdout.fnmatch_lines(
            ["FAIL  p95 *undecided, a failure in a strict session: *", "FAILED *ComparisonFailed: p95 *"]
        )
        result.stdout.no_fnmatch_line("*UNDECIDED:*")

    def test_it_is_saved_so_that_the_noise_becomes_known(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST, 7))
        project.runpytest(LIMIT, "--ipload-save=main").assert_outcomes(passed=2)
        assert len(saved_files()) == 8


class TestCreep:
    def test_many_small_steps_are_found_by_the_oldest_runs(self, project: pytest.Pytester) -> None:
        """The newest twenty are slower than this one; those before them were not."""
        write_runs(project.path, *runs_with(FAST, 20), *runs_with(SLOW, 20))
        result = project.runpytest("--ipload-compare-fail=min:50%", "--ipload-json=out.json")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            [
                "ok    min *, * below the baseline's 1h00m00s (*20 runs*",
                "REGR  min *the newest 8 runs against the oldest 20*",
            ]
        )


class TestRounds:
    def test_the_round_that_stands_for_all_is_compared_and_saved(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = project.runpytest("--ipload-rounds=3", LIMIT, "--ipload-save=again", "--ipload-json=out.json")
        result.assert_outcomes(passed=1, failed=1)
        [test] = json_tests()
        assert [each["verdict"] for each in test["rounds"]] == ["passed"] * 3
        assert (test["verdict"], test["baseline"]["runs"]) == ("failed", 8)
        project.runpytest("--ipload-rounds=3", "--ipload-save=again").assert_outcomes(passed=2)
        [saved] = read(saved_files()[-1]).tests.values()
        assert saved["iterations"] == 10


class TestNothingToCompare:
    @pytest.mark.parametrize("quiet", [(), ("-q",)])
    def test_the_first_run_passes_with_a_loud_note(self, project: pytest.Pytester, quiet: tuple[str, ...]) -> None:
        result = project.runpytest(LIMIT, *quiet)
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [
                *([] if quiet else ["baseline: nothing to compare with: no run of this test is saved"]),
                "--ipload-compare-fail: NOT COMPARED: no baseline found: test_it.py::test_it",
            ]
        )

    def test_without_limits_the_note_is_in_the_block_only(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--ipload-compare")
        result.stdout.fnmatch_lines(["baseline: nothing to compare with: *"])
        result.stdout.no_fnmatch_line("*NOT COMPARED*")

    def test_a_different_profile_is_refused(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST, users=50))
        result = project.runpytest(LIMIT)
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            ["baseline: nothing to compare with: 8 saved runs left out: users 50, here 2", "*NOT COMPARED*test_it"]
        )

    def test_one_limit_of_two_that_has_nothing(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(SLOW))
        result = project.runpytest(LIMIT, "--ipload-compare-fail=p95{POST /}:10%")
        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            ["ok    p95 *", "baseline: p95{POST /}: nothing to compare with*", "*NOT COMPARED*"]
        )

    def test_broken_files_are_named_and_left_out(self, project: pytest.Pytester) -> None:
        *_, broken = write_runs(project.path, *runs_with(FAST, 9))
        broken.write_text("{")
        result = project.runpytest(LIMIT)
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines([f"--ipload-compare: left out: {FOLDER}/0009_main.json: not valid JSON: *"])


class TestReferences:
    @pytest.mark.parametrize("reference", ["slow", "0002", f"{FOLDER}/0002_slow.json"])
    def test_what_is_named_is_compared_with(self, project: pytest.Pytester, reference: str) -> None:
        write_runs(project.path, *runs_with(FAST, 1))
        [slow] = runs_with(SLOW, 1)
        write_runs(project.path, SavedRun(**{**vars(slow), "name": "slow"}))
        # One run decides nothing; in a strict session that is red.
        project.runpytest(f"--ipload-compare={reference}", LIMIT, "--ipload-strict").assert_outcomes(passed=2)
        project.runpytest("--ipload-compare=0001", LIMIT, "--ipload-strict").assert_outcomes(passed=1, failed=1)

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (("--ipload-compare=nosuch", "-n1"), f"*--ipload-compare: 'nosuch': no such file*, and {FOLDER} has none"),
            (("--ipload-compare=nosuch",), f"*--ipload-compare: 'nosuch': no such file*, and {FOLDER} has none"),
            (
                ("--ipload-compare", "test_it.py"),
                "*write it before --ipload-compare, which takes the word that follows*",
            ),
            (("--ipload-compare", "test_it.py::test_it"), "*If test_it.py::test_it is what to test*"),
            (("--ipload-compare-fail=p95",), "*--ipload-compare-fail: limit 'p95': there is no ':'*"),
            (("--ipload-save=a/b",), "*--ipload-save: 'a/b' is not a valid name for a saved run*"),
            (("--ipload-save=0001",), "*--ipload-save: '0001' is not a valid name*"),
            (
                ("--ipload-segment=0/2", "--ipload-autosave"),
                "*--ipload-autosave and --ipload-segment contradict each other*",
            ),
            (("--ipload-segment=0/2", LIMIT), "*--ipload-compare-fail and --ipload-segment contradict each other*"),
            (("--ipload-segment=0/2", "--ipload-compare"), "*--ipload-compare and --ipload-segment contradict*"),
            (("--ipload-segment=0/2", "--ipload-save=x"), "*--ipload-save and --ipload-segment contradict*"),
        ],
    )
    def test_what_makes_no_sense_is_a_usage_error(
        self, project: pytest.Pytester, options: tuple[str, ...], complaint: str
    ) -> None:
        result = project.runpytest(*options)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([complaint])

    def test_a_path_before_the_option_is_what_is_tested(self, project: pytest.Pytester) -> None:
        project.runpytest("test_it.py", "--ipload-compare").assert_outcomes(passed=2)


@pytest.mark.usefixtures("xdist")
class TestWorkers:
    def run(self, project: pytest.Pytester, *options: str) -> pytest.RunResult:
        return project.runpytest("-n2", "--ipload-json=out.json", *options)

    def test_the_controller_saves_each_load_once_and_a_regression_is_one_failure(
        self, project: pytest.Pytester
    ) -> None:
        self.run(project, "--ipload-save=main").assert_outcomes(passed=2)
        [path] = saved_files()
        run = read(path)
        [test] = run.tests.values()
        assert (test["iterations"], test["profile"]["processes"]) == (10, 2)
        for run_with in runs_with(FAST):
            [fast] = run_with.tests.values()
            write_runs(project.path, saved_run({**fast, "profile": {**fast["profile"], "processes": 2}}, name="fast"))
        result = self.run(project, "--ipload-compare=fast", LIMIT, "--junitxml=junit.xml")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["REGR  p95 *"])
        assert ElementTree.parse("junit.xml").getroot()[0].get("failures") == "1"

    def test_so_it_is_where_one_worker_runs_it_whole(self, project: pytest.Pytester) -> None:
        write_runs(project.path, *runs_with(FAST))
        result = self.run(project, LIMIT, "--ipload-concurrent", "--ipload-save=again")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["REGR  p95 *", "not saved: test_it.py::test_it: its load is failed"])
