"""Settings of whole runs: each option, ini key and marker key takes effect, or is refused with its name."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_ipload.load.generator.affinity import allowed_cpus
from pytest_ipload.settings.table import SETTINGS

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

TEST = """
    import pytest

    {markers}
    def test_it(ipload_user):
        with ipload_user.measure("GET /"):
            pass
"""

MIXED = """
    import pytest

    @pytest.mark.ipload(users=2)
    def test_marked():
        pass

    @pytest.mark.parametrize("number", [1, 2])
    def test_with_a_user(number, ipload_user):
        pass

    def test_ordinary():
        pass
"""


def run(
    pytester: pytest.Pytester, *options: str, markers: str = "", ini: str = ""
) -> tuple[pytest.RunResult, dict[str, Any]]:
    """Run one load test; the result, and its entry in the JSON report."""
    pytester.makepyfile(TEST.format(markers=markers))
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest("--ipload-json=out.json", *options)
    report = pytester.path / "out.json"
    tests = json.loads(report.read_text())["tests"] if report.exists() else []
    return result, tests[0] if tests else {}


def refused(result: pytest.RunResult, *patterns: str) -> None:
    """The run ended with a usage error before anything was collected, with these lines."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(list(patterns))
    result.stdout.no_fnmatch_line("*collected*")


class TestEffects:
    """The setting is in the result's profile, and where it counts something, so it is in the numbers."""

    @pytest.mark.parametrize(
        ("key", "text", "profile"),
        [
            ("users", "3", {"users": 3}),
            ("iterations", "4", {"iterations": 4}),
            ("duration", "50ms", {"duration_s": 0.05}),
            ("ramp_up", "20ms", {"ramp_up_s": 0.02}),
            ("warmup", "1ms", {"warmup_s": 0.001}),
            pytest.param("pool", "127.0.4.1-127.0.4.3", {"pool": "127.0.4.1-127.0.4.3"}, marks=linux_only),
            ("base_url", "http://127.0.0.1:9", {"base_url": "http://127.0.0.1:9"}),
            ("timeout", "1m30s", {"timeout_s": 90.0}),
        ],
    )
    def test_of_options_and_ini_keys(
        self, pytester: pytest.Pytester, key: str, text: str, profile: dict[str, Any]
    ) -> None:
        flag = f"--ipload-{key.replace('_', '-')}={text}"
        for options, ini, origin in (((flag,), "", "command line"), ((), f"ipload_{key} = {text}", "ini")):
            result, test = run(pytester, *options, ini=ini)
            assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)  # a short warm-up may leave nothing
            assert profile.items() <= test["profile"].items()
            assert test["profile"]["origins"][key] == origin

    @pytest.mark.parametrize(
        ("option", "profile"),
        [
            ("--ipload-graceful-stop=2s", {"graceful_stop_s": 2.0}),
            ("--ipload-ip-order=least-used", {"ip_order": "least-used"}),
            ("--ipload-fast=off", {"fast": False}),
            ("--ipload-http=1.1", {"http": "1.1"}),
            ("--ipload-seed=-5", {"seed": -5}),
            ("--ipload-stages=50ms:2", {"stages": [[0.05, 2]], "users": 2}),
            ("--ipload-stages=50ms:20/s", {"stages": [[0.05, 20]], "arrival_rate": 20.0}),
            ("--ipload-max-rate=100/s", {"max_rate": 100.0}),
        ],
    )
    def test_of_options_without_an_ini_key(
        self, pytester: pytest.Pytester, option: str, profile: dict[str, Any]
    ) -> None:
        _, test = run(pytester, option)
        assert profile.items() <= test["profile"].items()

    def test_every_option_and_ini_key_is_tested_here(self) -> None:
        tested = {"users", "iterations", "duration", "ramp_up", "warmup", "pool", "base_url", "timeout"}
        in_test_tls = {"tls_resumption"}
        in_test_health = {"suppress_health_check"}
        assert {setting.key for setting in SETTINGS if setting.ini} == tested | in_test_health | in_test_tls
        options = {setting.key for setting in SETTINGS if setting.option}
        without_ini = {"graceful_stop", "ip_order", "seed", "stages", "arrival_rate", "max_rate", "fast", "http"}
        assert options == tested | without_ini | in_test_tls

    def test_of_numbers_of_users_and_iterations(self, pytester: pytest.Pytester) -> None:
        _, test = run(pytester, "--ipload-users=3", "--ipload-iterations=4")
        assert (test["users"], test["iterations"], test["requests"]) == (3, 12, 12)

    def test_of_a_duration_and_a_ramp_up(self, pytester: pytest.Pytester) -> None:
        marker = "@pytest.mark.ipload(think_time='5ms')"
        _, test = run(pytester, "--ipload-duration=100ms", "--ipload-ramp-up=50ms", "--ipload-users=2", markers=marker)
        assert test["users"] == 2
        assert 0.15 <= test["duration_s"] < 5

    def test_of_total_iterations(self, pytester: pytest.Pytester) -> None:
        _, test = run(pytester, markers="@pytest.mark.ipload(users=3, total_iterations=10)")
        assert (test["users"], test["iterations"]) == (3, 10)

    def test_of_a_warm_up(self, pytester: pytest.Pytester) -> None:
        marker = "@pytest.mark.ipload(users=2, duration='200ms', think_time='5ms')"
        _, test = run(pytester, "--ipload-warmup=100ms", markers=marker)
        assert test["warmup_iterations"] == test["warmup_requests"] > 0
        assert test["iterations"] > 0

    @linux_only
    def test_of_a_pool(self, pytester: pytest.Pytester) -> None:
        _, test = run(pytester, "--ipload-pool=127.0.4.1-127.0.4.3", "--ipload-users=3")
        assert {row["source_address"]: row["users"] for row in test["by_source"]} == {
            f"127.0.4.{number}": 1 for number in (1, 2, 3)
        }

    def test_of_a_seed(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_it(ipload_user):\n    print('drawn', ipload_user.random.random())\n")
        drawn = [
            [line for line in pytester.runpytest("-s", f"--ipload-seed={seed}").outlines if "drawn" in line]
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_of_thresholds_from_everywhere(self, pytester: pytest.Pytester) -> None:
        result, test = run(
            pytester,
            *("--ipload-threshold=requests < 5", "--ipload-threshold", "max < 1h"),
            ini="ipload_thresholds =\n    requests > 0\n    error_rate < 10%",
            markers="@pytest.mark.ipload_threshold('rps > 0')",
        )
        result.assert_outcomes(passed=1)
        expressions = ["rps > 0", "requests > 0", "error_rate < 10%", "requests < 5", "max < 1h"]
        assert [threshold["expression"] for threshold in test["thresholds"]] == expressions

    @pytest.mark.parametrize(
        ("options", "ini", "outcome"),
        [
            ((), "", "failed"),
            (("--ipload-allow-host=shop.invalid",), "", "allowed"),
            (("--ipload-allow-host=other.invalid", "--ipload-allow-host=*.invalid"), "", "allowed"),
            ((), "ipload_allowed_hosts =\n    other.invalid\n    shop.invalid", "allowed"),
            (("--ipload-base-url=http://shop.invalid",), "", "allowed"),
        ],
    )
    def test_of_allowed_hosts(
        self, pytester: pytest.Pytester, options: tuple[str, ...], ini: str, outcome: str
    ) -> None:
        pytester.makeini(f"[pytest]\n{ini}\n")
        pytester.makepyfile("def test_it(ipload_session):\n    ipload_session.get('http://shop.invalid/')\n")
        result = pytester.runpytest(*options)
        result.assert_outcomes(failed=1)
        word = "*TargetNotAllowed*'shop.invalid' is not in ipload_allowed_hosts*"
        if outcome == "allowed":
            result.stdout.no_fnmatch_line(word)  # no such host: it fails all the same, but later
            result.stdout.fnmatch_lines(["*ConnectionError*"])
        else:
            result.stdout.fnmatch_lines([word])

    def test_of_command_line_over_marker_over_ini_key_by_key(self, pytester: pytest.Pytester) -> None:
        _, test = run(
            pytester,
            "--ipload-users=2",
            markers="@pytest.mark.ipload(users=9, iterations=3, timeout='4s')",
            ini="ipload_users = 8\nipload_iterations = 7\nipload_timeout = 6s\nipload_ramp_up = 1ms",
        )
        assert (test["users"], test["iterations"], test["profile"]["timeout_s"]) == (2, 6, 4.0)
        origins = {key: value for key, value in test["profile"]["origins"].items() if value != "default"}
        assert origins == {"users": "command line", "iterations": "marker", "timeout": "marker", "ramp_up": "ini"}

    def test_of_the_nearest_marker_key_by_key(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest
            pytestmark = pytest.mark.ipload(users=9, iterations=9, timeout="9s")

            @pytest.mark.ipload(users=5, iterations=3)
            class TestIt:
                @pytest.mark.ipload(users=2)
                def test_it(self):
                    pass
        """)
        pytester.runpytest("--ipload-json=out.json").assert_outcomes(passed=1)
        (test,) = json.loads(Path("out.json").read_text())["tests"]
        assert (test["users"], test["iterations"], test["profile"]["timeout_s"]) == (2, 6, 9.0)


class TestUsageErrors:
    @pytest.mark.parametrize(
        ("option", "why"),
        [
            ("--ipload-users=0", "argument --ipload-users: '0' is too small; give a whole number of 1 or more"),
            ("--ipload-users=many", "argument --ipload-users: 'many' is not a whole number"),
            ("--ipload-iterations=1.5", "argument --ipload-iterations: '1.5' is not a whole number"),
            ("--ipload-duration=30", "argument --ipload-duration: '30' is not a duration; *30s*"),
            ("--ipload-duration=0s", "argument --ipload-duration: '0s' must be greater than 0*"),
            ("--ipload-ramp-up=-1s", "argument --ipload-ramp-up: '-1s' is not a duration*"),
            ("--ipload-warmup=", "argument --ipload-warmup: '' is not a duration*"),
            ("--ipload-graceful-stop=x", "argument --ipload-graceful-stop: 'x' is not a duration*"),
            ("--ipload-pool=", "argument --ipload-pool: '' must be a non-empty string"),
            ("--ipload-ip-order=x", "argument --ipload-ip-order: 'x' is unknown; allowed: 'round-robin', *"),
            ("--ipload-base-url=shop", "argument --ipload-base-url: 'shop' is not a URL; *http://127.0.0.1:8000"),
            ("--ipload-timeout=0s", "argument --ipload-timeout: '0s' must be greater than 0*"),
            ("--ipload-seed=x", "argument --ipload-seed: 'x' is not a whole number"),
            ("--ipload-pool-check=x", "argument --ipload-pool-check: invalid choice: 'x'*"),
            ("--ipload-progress=loud", "argument --ipload-progress: invalid choice: 'loud'*"),
        ],
    )
    def test_a_bad_option_is_named(self, pytester: pytest.Pytester, option: str, why: str) -> None:
        result, _ = run(pytester, option)
        refused(result, f"*: error: {why}")

    @pytest.mark.parametrize(
        ("option", "why"),
        [
            ("--ipload-pool=10.0.0.9-10.0.0.1", "--ipload-pool: ip pool '10.0.0.9-10.0.0.1': *"),
            ("--ipload-threshold=p95", "--ipload-threshold: threshold 'p95': no operator and no limit; *"),
            ("--ipload-allow-host=http://x", "--ipload-allow-host: allowed host 'http://x' is malformed; *"),
            ("--ipload-prometheus=x", "--ipload-prometheus: 'x' is not a valid port; give a port (0 for any*"),
            ("--ipload-prometheus=0.0.0.0:0", "--ipload-prometheus: '0.0.0.0:0' is not a loopback address; *"),
            ("--ipload-json=.", "--ipload-json: . is a directory; give the path of a file"),
        ],
    )
    def test_what_is_found_out_later_is_named_too(self, pytester: pytest.Pytester, option: str, why: str) -> None:
        result, _ = run(pytester, option)
        refused(result, f"ERROR: {why}")

    @pytest.mark.parametrize(
        ("ini", "why"),
        [
            ("ipload_users = 0", "ipload_users: *0* is too small; give a whole number of 1 or more"),
            ("ipload_users = many", "ipload_users: 'many' is not a whole number"),
            ("ipload_users =", "ipload_users: '' is not a whole number"),
            ("ipload_iterations = -1", "ipload_iterations: *-1* is too small*"),
            ("ipload_duration = 30", "ipload_duration: '30' is not a duration*"),
            ("ipload_ramp_up = x", "ipload_ramp_up: 'x' is not a duration*"),
            ("ipload_warmup = 5", "ipload_warmup: '5' is not a duration*"),
            ("ipload_pool = 10.0.0.9-10.0.0.1", "ipload_pool: ip pool '10.0.0.9-10.0.0.1': *"),
            ("ipload_base_url = shop", "ipload_base_url: 'shop' is not a URL*"),
            ("ipload_timeout = 0s", "ipload_timeout: '0s' must be greater than 0*"),
            (
                "ipload_thresholds =\n    p95 < 1s\n    p95 < 1",
                "ipload_thresholds: threshold 'p95 < 1': the limit of *",
            ),
            ("ipload_allowed_hosts = a b", "ipload_allowed_hosts: allowed host 'a b' is malformed*"),
            ("ipload_strict = perhaps", "ipload_strict: invalid truth value 'perhaps'; give true or false"),
        ],
    )
    def test_a_bad_ini_value_is_named(self, pytester: pytest.Pytester, ini: str, why: str) -> None:
        result, _ = run(pytester, ini=ini)
        refused(result, f"ERROR: ini key {why}")

    @pytest.mark.parametrize(
        ("options", "ini", "why"),
        [
            (("--ipload-users=0",), "", "argument --ipload-users: '0' is too small"),
            (("--ipload-threshold=p95",), "", "--ipload-threshold: threshold 'p95'"),
            ((), "ipload_users = 0", "ini key ipload_users: "),
            ((), "ipload_strict = perhaps", "ini key ipload_strict: invalid truth value 'perhaps'; give true or false"),
        ],
    )
    @pytest.mark.usefixtures("xdist")
    def test_under_xdist_they_are_the_same(
        self, pytester: pytest.Pytester, options: tuple[str, ...], ini: str, why: str
    ) -> None:
        result, _ = run(pytester, *options, "-n1", ini=ini)
        refused(result, f"*{why}*")

    def test_only_and_skip_together(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "--ipload-only", "--ipload-skip")
        refused(result, "ERROR: --ipload-only and --ipload-skip together select nothing; give one of them")

    def test_an_option_cannot_be_shortened(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "--ipload-user=5")
        refused(result, "*unrecognized arguments: --ipload-user=5")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
    def test_more_users_than_files_may_be_open(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytester.makepyfile("raise RuntimeError('it must not be collected')")
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256)); import pytest; "
            "sys.exit(pytest.main())"
        )
        result = pytester.run(sys.executable, "-c", code, "--ipload-users=1200")
        refused(
            result,
            "ERROR: --ipload-users=1200 needs about 1300 open files, the limit is 128 (hard 256); "
            "run 'ulimit -n 2048' or use fewer users",
        )


class TestNativeToml:
    """The table ``[tool.pytest]`` of pytest 9 has types of its own."""

    @staticmethod
    def run(pytester: pytest.Pytester, table: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(TEST.format(markers=""))
        pytester.makepyprojecttoml(f"[tool.pytest]\n{table}\n")
        return pytester.runpytest("--ipload-json=out.json", *options)

    pytestmark = pytest.mark.skipif(pytest.version_tuple < (9, 2), reason="older ones refuse numbers for texts")

    @pytest.mark.parametrize("users", ["3", "'3'"])
    def test_a_number_may_be_one(self, pytester: pytest.Pytester, users: str) -> None:
        result = self.run(pytester, f"ipload_users = {users}\nipload_iterations = 2\nipload_timeout = '2s'")
        result.assert_outcomes(passed=1)
        (test,) = json.loads(Path("out.json").read_text())["tests"]
        assert (test["users"], test["iterations"], test["profile"]["timeout_s"]) == (3, 6, 2.0)

    def test_lists_are_lists(self, pytester: pytest.Pytester) -> None:
        self.run(pytester, "ipload_thresholds = ['requests == 1', 'p95 < 1h']").assert_outcomes(passed=1)

    @pytest.mark.parametrize(
        ("table", "why"),
        [
            ("ipload_users = 0", "ini key ipload_users: 0 is too small; give a whole number of 1 or more"),
            ("ipload_users = 1.5", "*'ipload_users' expects one of int | string, got float: 1.5"),
            ("ipload_users = true", "*'ipload_users' expects one of int | string, got bool: True"),
            ("ipload_users = 'many'", "ini key ipload_users: 'many' is not a whole number"),
            ("ipload_duration = 30", "*'ipload_duration' expects a string, got int: 30"),
            ("ipload_thresholds = 'p95 < 1s'", "*'ipload_thresholds' expects a list *"),
            ("ipload_pools = 'a = 127.0.0.1'", "*'ipload_pools' expects a list *"),
            ("ipload_strict = 'perhaps'", "*'ipload_strict' expects a bool, got str: 'perhaps'"),
            ("ipload_suppress_health_check = 'x'", "*'ipload_suppress_health_check' expects a list *"),
            (
                "ipload_suppress_health_check = ['x']",
                "ini key ipload_suppress_health_check: 'x' is an unknown health check; *",
            ),
        ],
    )
    def test_a_bad_value_is_named(self, pytester: pytest.Pytester, table: str, why: str) -> None:
        refused(self.run(pytester, table), f"ERROR: {why}")


@pytest.mark.skipif(not (9, 0) <= pytest.version_tuple < (9, 2), reason="older ones know no such table")
@pytest.mark.parametrize("line", ["ipload_users = 3", "ipload_thresholds = 'p95 < 1s'"])
def test_a_pytest_whose_tables_take_texts_only_says_so_and_names_the_key(pytester: pytest.Pytester, line: str) -> None:
    refused(TestNativeToml.run(pytester, line), f"*config option '{line.split()[0]}' expects a *, got *")


needs_two_cpus = pytest.mark.skipif(
    len(allowed_cpus()) < 2, reason="with one CPU, or no choice among them, there is nothing to pin"
)

CPUS = """
    import json, os, pathlib, pytest

    def cpus(where):
        with open(pathlib.Path(__file__).parent / f"{where}.jsonl", "a") as log:
            log.write(json.dumps(sorted(os.sched_getaffinity(0))) + "\\n")

    @pytest.fixture(scope="session", autouse=True)
    def shared():
        cpus("shared")
        yield
        cpus("shared")

    @pytest.fixture
    def visitor(ipload_user):
        cpus("user")
        yield
        cpus("user")

    @pytest.mark.ipload(users=2)
    def test_load(visitor):
        cpus("user")
        BODY

    def test_after():
        cpus("shared")
"""


def cpus_of(where: str) -> list[list[int]]:
    """The CPUs that threads of the inner run might use."""
    return [json.loads(line) for line in Path(f"{where}.jsonl").read_text().splitlines()]


def notes_of(test: dict[str, Any]) -> list[str]:
    """What is said of the generator, but for the remark that the bodies here send no requests."""
    return [note for note in test["generator"]["notes"] if not note.startswith("nothing-measured: ")]


@needs_two_cpus
class TestPin:
    ALL = sorted(allowed_cpus())

    @pytest.mark.parametrize(
        ("options", "ini", "cpu"),
        [
            ((), "", ALL[-1:]),
            (("--ipload-pin=auto",), "", ALL[-1:]),
            (("--ipload-pin=FIRST",), "", ALL[:1]),
            ((), "ipload_pin = FIRST", ALL[:1]),
            (("--ipload-pin=auto",), "ipload_pin = FIRST", ALL[-1:]),
            (("--ipload-pin=off",), "ipload_pin = auto", []),
            ((), "ipload_pin = off", []),
            (("--ipload-disable",), "", []),
            (("--ipload-disable", "--ipload-pin=FIRST"), "", []),
        ],
    )
    def test_the_load_runs_on_the_cpu_and_nothing_else_does(
        self, pytester: pytest.Pytester, options: tuple[str, ...], ini: str, cpu: list[int]
    ) -> None:
        first = str(self.ALL[0])
        pytester.makepyfile(CPUS.replace("BODY", "pass"))
        pytester.makeini(f"[pytest]\n{ini.replace('FIRST', first)}\n")
        pytester.runpytest("--ipload-json=out.json", *(option.replace("FIRST", first) for option in options))
        generator = json.loads(Path("out.json").read_text())["tests"][0]["generator"]
        assert ([generator["pinned_cpu"]] if "pinned_cpu" in generator else []) == cpu
        assert generator["healthy"]
        users = 1 if "--ipload-disable" in options else 2
        assert cpus_of("user") == [cpu or self.ALL] * users * 3  # set-up, body, tear-down
        assert cpus_of("shared") == [self.ALL] * 3
        assert sorted(os.sched_getaffinity(0)) == self.ALL

    @pytest.mark.parametrize("body", ["raise ValueError", "pytest.skip()", "pytest.exit('enough')"])
    def test_all_cpus_are_back_however_the_load_ends(self, pytester: pytest.Pytester, body: str) -> None:
        pytester.makepyfile(CPUS.replace("BODY", body))
        pytester.runpytest()
        assert self.ALL[-1:] in cpus_of("user")
        assert cpus_of("shared")[-1] == self.ALL
        assert sorted(os.sched_getaffinity(0)) == self.ALL

    def test_all_cpus_are_back_when_a_set_up_fails(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(CPUS.replace('yield\n        cpus("user")', "raise ValueError"))
        pytester.runpytest().assert_outcomes(errors=1, passed=1)
        assert cpus_of("shared") == [self.ALL] * 3

    def test_all_cpus_are_back_after_control_c(self, pytester: pytest.Pytester) -> None:
        body = "import _thread, time; _thread.interrupt_main(); time.sleep(0.1)"
        pytester.makepyfile(CPUS.replace("BODY", body))
        result = pytester.runpytest_subprocess("--ipload-duration=30s", timeout=60)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert cpus_of("user")[0] == self.ALL[-1:]
        assert cpus_of("shared") == [self.ALL] * 2  # before and after; the next test did not run

    def test_a_load_of_the_fixture_is_pinned_too(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import os

            def test_it(ipload):
                before, seen = os.sched_getaffinity(0), []
                result = ipload.run(lambda user: seen.append(os.sched_getaffinity(0)), users=2)
                assert seen == [{result.generator.pinned_cpu}] * 2
                assert os.sched_getaffinity(0) == before
        """)
        pytester.runpytest().assert_outcomes(passed=1)

    def test_a_cpu_that_cannot_be_had_is_a_note_and_no_fault(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(thread: int, cpus: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        result, test = run(pytester)
        result.assert_outcomes(passed=1)
        (note,) = notes_of(test)
        what = f"not-pinned: the load was not pinned to CPU {self.ALL[-1]}: Operation not permitted"
        assert note.startswith(f"{what}. ")
        assert test["generator"]["healthy"]
        assert "pinned_cpu" not in test["generator"]
        result.stdout.fnmatch_lines(["generator: healthy*", f"  {what[:60]}*"])

    @pytest.mark.parametrize("given", ["100000", "-1", "x", "", "1.5", "0,1", "AUTO"])
    def test_a_bad_value_is_refused_with_all_that_are_allowed(self, pytester: pytest.Pytester, given: str) -> None:
        known = ", ".join(map(str, self.ALL))
        why = f"{given!r} is not a CPU available to this process; give 'auto', 'off' or one of {known}"
        result, _ = run(pytester, f"--ipload-pin={given}")
        refused(result, f"ERROR: --ipload-pin: {why}")
        result, _ = run(pytester, ini=f"ipload_pin = {given}")
        refused(result, f"ERROR: ini key ipload_pin: {why}")

    def test_a_cpu_that_exists_and_is_not_allowed_is_refused(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(TEST.format(markers=""))
        code = f"import os, sys, pytest; os.sched_setaffinity(0, {{{self.ALL[0]}}}); sys.exit(pytest.main())"
        result = pytester.run(sys.executable, "-c", code, f"--ipload-pin={self.ALL[1]}")
        refused(
            result,
            f"ERROR: --ipload-pin: '{self.ALL[1]}' is not a CPU available to this process; give 'auto', 'off' or one "
            f"of {self.ALL[0]}",
        )

    @pytest.mark.skipif(pytest.version_tuple < (9, 2), reason="older ones refuse numbers for texts")
    def test_in_a_toml_table_it_may_be_a_number(self, pytester: pytest.Pytester) -> None:
        TestNativeToml.run(pytester, f"ipload_pin = {self.ALL[0]}").assert_outcomes(passed=1)
        (test,) = json.loads(Path("out.json").read_text())["tests"]
        assert test["generator"]["pinned_cpu"] == self.ALL[0]
        refused(TestNativeToml.run(pytester, "ipload_pin = true"), "ERROR: *'ipload_pin' expects *")

    def test_it_is_no_marker_key(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, markers="@pytest.mark.ipload(pin='off')")
        result.stdout.fnmatch_lines(["marker ipload: unknown key 'pin'*"])

    @pytest.mark.usefixtures("xdist")
    def test_xdist_workers_have_a_cpu_each(self, pytester: pytest.Pytester) -> None:
        test = self.two_workers(pytester)
        assert {shard["pinned_cpu"] for shard in test["shards"]} == set(self.ALL[-2:])
        assert notes_of(test) == []

    @pytest.mark.usefixtures("xdist")
    def test_xdist_workers_share_a_cpu_that_is_given_and_say_so(self, pytester: pytest.Pytester) -> None:
        test = self.two_workers(pytester, f"--ipload-pin={self.ALL[0]}")
        assert [shard["pinned_cpu"] for shard in test["shards"]] == [self.ALL[0]] * 2
        assert test["generator"]["healthy"]
        (note,) = notes_of(test)
        assert note.startswith(f"shared-cpu: the loads of 2 workers run on CPU {self.ALL[0]}. ")

    @staticmethod
    def two_workers(pytester: pytest.Pytester, *options: str) -> dict[str, Any]:
        """The result of a load of two users, one on each worker."""
        pytester.makepyfile("def test_it(ipload_user): pass")
        result = pytester.runpytest("--ipload-json=out.json", "-n2", "--ipload-users=2", *options)
        result.assert_outcomes(passed=1)
        [test] = json.loads(Path("out.json").read_text())["tests"]
        found: dict[str, Any] = test
        return found


def test_where_the_system_keeps_no_process_on_a_cpu_there_is_auto_and_off_only(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    for options in ((), ("--ipload-pin=auto",), ("--ipload-pin=off",)):
        result, test = run(pytester, *options)
        result.assert_outcomes(passed=1)
        assert notes_of(test) == []
        assert "pinned_cpu" not in test["generator"]
    result, _ = run(pytester, "--ipload-pin=0")
    refused(result, "ERROR: --ipload-pin: '0': this system cannot pin a process to a CPU; give 'auto' or 'off'")


class TestMistakesInMarkers:
    """An error in the set-up of the one test, naming place, value and what is allowed."""

    @pytest.mark.parametrize(
        ("markers", "why"),
        [
            (
                "ipload(usres=5)",
                "marker ipload: unknown key 'usres' (did you mean 'users'?); known: users, iterations,*",
            ),
            (
                "ipload(threshold='p95 < 5s')",
                "marker ipload: unknown key 'threshold'; thresholds have a marker of their own, as in "
                "@pytest.mark.ipload_threshold('p95 < 200ms')",
            ),
            ("ipload(users=0)", "marker ipload: users: 0 is too small; give a whole number of 1 or more"),
            ("ipload(users='many')", "marker ipload: users: 'many' is not a whole number"),
            ("ipload(duration='30')", "marker ipload: duration: '30' is not a duration; *20ms*"),
            ("ipload(50)", "marker ipload: takes keyword arguments only, as in users=50; got 50"),
            ("ipload(ramp_down='1s')", "ramp_down needs a duration*"),
            ("ipload(pool='10.0.0.9-10.0.0.1')", "ip pool '10.0.0.9-10.0.0.1': *"),
            ("ipload(pool='192.0.2.1')", "ip pool: 1 of 1 addresses are not on this host: 192.0.2.1; *"),
            ("ipload_threshold('p95')", "marker ipload_threshold: threshold 'p95': no operator*"),
            (
                "ipload_threshold('p95 < 5')",
                "marker ipload_threshold: threshold 'p95 < 5': the limit of p95 is not valid: *",
            ),
            (
                "ipload_threshold('p59x < 5s')",
                "marker ipload_threshold: threshold 'p59x < 5s': 'p59x' is not a metric*",
            ),
            ("ipload_threshold()", "marker ipload_threshold: no expression given; give some, as in 'p95 < 200ms'"),
            ("ipload_threshold(5)", "marker ipload_threshold: 5 is not a string, as in 'p95 < 200ms'"),
            (
                "ipload_threshold('p95 < 5s', sverity='warn')",
                "marker ipload_threshold: unknown key 'sverity' (did you mean 'severity'?); known: abort_on_fail*",
            ),
            (
                "ipload_threshold('p95 < 5s', severity='red')",
                "marker ipload_threshold: severity 'red' is unknown; allowed: 'fail', 'warn'",
            ),
            (
                "ipload_threshold('p95 < 5s', abort_on_fail=1)",
                "marker ipload_threshold: abort_on_fail 1 is neither True nor False",
            ),
            (
                "ipload_threshold('p95 < 5s', abort_on_fail=True, delay='soon')",
                "marker ipload_threshold: delay 'soon' is not a duration; a duration has a number and a unit,*",
            ),
            (
                "ipload_threshold('p95 < 5s', abort_on_fail=True, delay=-1)",
                "marker ipload_threshold: delay -1 is not a duration; give seconds as a number of 0 or more, *",
            ),
            (
                "ipload_threshold('p95 < 5s', delay='1s')",
                "marker ipload_threshold: delay says when abort_on_fail begins; set abort_on_fail=True too, or *",
            ),
            (
                "ipload_threshold('p95 < 5s', abort_on_fail=True, severity='warn')",
                "marker ipload_threshold: threshold 'p95 < 5s': abort_on_fail=True and severity='warn' contradict *",
            ),
            (
                "ipload_threshold('p95 < 5s', window='0s')",
                "marker ipload_threshold: window '0s' must be greater than 0; give a duration such as 10s",
            ),
            (
                "ipload_threshold('p95 < 5s', window='10')",
                "marker ipload_threshold: window '10' is not a duration; *",
            ),
            (
                "ipload_threshold('p95 < 5s', window=0.01)",
                "marker ipload_threshold: threshold 'p95 < 5s': window=10ms is too short; the shortest window is 100ms",
            ),
            (
                "ipload_threshold('p95 < 5s', confidence='95%')",
                "marker ipload_threshold: confidence '95%' is not a valid confidence; give a number above 0.5 *",
            ),
            (
                "ipload_threshold('p95 < 5s', confidence=95)",
                "marker ipload_threshold: confidence 95 is not a valid confidence; give a number above 0.5 *",
            ),
            (
                "ipload_threshold('rps > 5', confidence=0.95)",
                "marker ipload_threshold: threshold 'rps > 5': confidence only applies to percentiles, error_rate, *",
            ),
            (
                "ipload_threshold('p95 == 5s', confidence=0.95)",
                "marker ipload_threshold: threshold 'p95 == 5s': confidence does not apply to '==', *",
            ),
            (
                "ipload_threshold('dropped_iterations == 0')",
                "threshold 'dropped_iterations == 0' needs an arrival_rate: without one there are no planned *",
            ),
            (
                "ipload_threshold('p95 < 5s', window='1m')\n    @pytest.mark.ipload(duration='30s', warmup='5s')",
                "threshold 'p95 < 5s': window=1m is longer than the judged part of the load, 25s",
            ),
            ("ipload_threshold('ip_pool_usage > 1%')", "*'ip_pool_usage > 1%' needs an address pool*"),
            (
                "ipload_treshold('p95 < 5s')",
                "unknown marker 'ipload_treshold' (did you mean 'ipload_threshold'?); known: *",
            ),
            ("ipload_users(5)", "unknown marker 'ipload_users'*"),
            (
                "iplaod(users=5)",
                "unknown marker 'iplaod' (did you mean 'ipload'?); if it is one of your own, *",
            ),
            ("ip_load", "unknown marker 'ip_load' (did you mean 'ipload'?); *"),
            (
                "iplaod_threshold('p95 < 1us')",
                "unknown marker 'iplaod_threshold' (did you mean 'ipload_threshold'?)*",
            ),
        ],
    )
    def test_are_named(self, pytester: pytest.Pytester, markers: str, why: str) -> None:
        pytester.makepyfile(TEST.format(markers=f"@pytest.mark.{markers}"), test_other="def test_other(): pass")
        result = pytester.runpytest("-W", "ignore::pytest.PytestUnknownMarkWarning")  # pytest's own of a mistyped one
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*ERROR at setup of test_it*", why])
        result.stdout.no_fnmatch_line("*pytest_ipload*Error*")

    def test_a_slip_is_one_in_a_test_that_is_no_load_test_too(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("import pytest\n\n@pytest.mark.iplaod\ndef test_it(): pass\n")
        result = pytester.runpytest("-W", "ignore::pytest.PytestUnknownMarkWarning")
        result.assert_outcomes(errors=1)

    @pytest.mark.parametrize("name", ["upload", "load", "isolated", "integration", "ip_load"])
    def test_markers_of_the_projects_own_are_left_alone(self, pytester: pytest.Pytester, name: str) -> None:
        pytester.makeini("[pytest]\nmarkers =\n    ip_load(n): a load of addresses\n    other: text\n")
        pytester.makepyfile(f"import pytest\n\n@pytest.mark.{name}\ndef test_it(): pass\n")
        result = pytester.runpytest("-W", "ignore::pytest.PytestUnknownMarkWarning")
        result.assert_outcomes(passed=1)

    def test_a_threshold_without_a_load_test(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.ipload_threshold("p95 < 1s")
            def test_it(): pass
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            ["the marker ipload_threshold needs a load test: mark the test with @pytest.mark.*"]
        )

    def test_one_whose_test_starts_its_loads_itself(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.ipload_threshold("p95 < 1s")
            def test_it(ipload): ipload.run(print)
        """)
        result = pytester.runpytest()
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(
            ["the marker ipload_threshold is for load tests*let the test assert on the result*"]
        )


class TestThresholdKeys:
    @pytest.mark.parametrize(
        "keys",
        [
            "abort_on_fail=False, window=None, severity='fail', confidence=None",
            "abort_on_fail=True, delay='1m30s'",
            "abort_on_fail=True, delay=0",
            "confidence=0.95",
            "severity='warn'",
        ],
    )
    def test_good_ones_are_taken(self, pytester: pytest.Pytester, keys: str) -> None:
        result, _ = run(pytester, markers=f"@pytest.mark.ipload_threshold('p95 < 1h', {keys})")
        result.assert_outcomes(passed=1)

    def test_they_hold_for_the_expressions_of_their_marker(self, pytester: pytest.Pytester) -> None:
        markers = """
    @pytest.mark.ipload(iterations=100)
    @pytest.mark.ipload_threshold("p95 < 1h", "p90 < 1h", confidence=0.9)
    @pytest.mark.ipload_threshold("max < 1h")
    """
        result, test = run(pytester, "--ipload-threshold=p99 < 1h", markers=markers)
        result.assert_outcomes(passed=1)
        confidences = {each["expression"]: each.get("confidence") for each in test["thresholds"]}
        assert confidences == {
            "p95 < 1h": 0.9,
            "p90 < 1h": 0.9,
            "max < 1h": None,
            "p99 < 1h": None,
            "error_rate == 0%": None,
        }

    def test_the_plan_shows_them(self, pytester: pytest.Pytester) -> None:
        marker = "@pytest.mark.ipload_threshold('p95 < 1s', window='10s', abort_on_fail=True)"
        pytester.makepyfile(TEST.format(markers=marker))
        result = pytester.runpytest("--collect-only", "-v")
        result.stdout.fnmatch_lines(["*p95 < 1s (window 10s, abort_on_fail after 10s)*"])

    def test_a_load_from_within_a_test_refuses_what_it_does_not_measure(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            def test_it(ipload):
                ipload.run(lambda user: None)
        """)
        result = pytester.runpytest("--ipload-threshold=dropped_iterations == 0")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["E *SettingError: threshold 'dropped_iterations == 0' needs an arrival_rate: *"])


class TestSelection:
    @pytest.mark.parametrize(
        ("options", "passed", "deselected"),
        [((), 4, 0), (("--ipload-only",), 3, 1), (("--ipload-skip",), 1, 3), (("--ipload-only", "-k", "marked"), 1, 3)],
    )
    def test_only_and_skip(
        self, pytester: pytest.Pytester, options: tuple[str, ...], passed: int, deselected: int
    ) -> None:
        pytester.makepyfile(MIXED)
        pytester.runpytest(*options).assert_outcomes(passed=passed, deselected=deselected)

    def test_only_in_a_suite_without_load_tests_selects_nothing(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("def test_ordinary(): pass")
        assert pytester.runpytest("--ipload-only").ret == pytest.ExitCode.NO_TESTS_COLLECTED

    @pytest.mark.usefixtures("xdist")
    def test_under_xdist(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(MIXED)
        pytester.runpytest("--ipload-skip", "-n1").assert_outcomes(passed=1)


class TestDisable:
    MARKERS = """
    @pytest.mark.ipload(users=5, iterations=3, pacing="10s", warmup="1s")
    @pytest.mark.ipload_threshold("requests > 1000", "error_rate <= 100%")
    """

    def test_it_runs_once_and_judges_no_thresholds(self, pytester: pytest.Pytester) -> None:
        result, test = run(
            pytester, "--ipload-disable", "--ipload-users=9", "--ipload-threshold=max < 0ms", markers=self.MARKERS
        )
        result.assert_outcomes(passed=1)
        assert (test["users"], test["iterations"], test["requests"]) == (1, 1, 1)
        assert [threshold["expression"] for threshold in test["thresholds"]] in ([], ["error_rate == 0%"])

    def test_what_a_functional_test_does_not_measure_is_not_asked_of_it(self, pytester: pytest.Pytester) -> None:
        markers = """
    @pytest.mark.ipload(arrival_rate="20/s", duration="1h")
    @pytest.mark.ipload_threshold("dropped_iterations == 0")
    @pytest.mark.ipload_threshold("rps > 1", window="1m", abort_on_fail=True)
    """
        result, test = run(pytester, "--ipload-disable", markers=markers)
        result.assert_outcomes(passed=1)
        assert "dropped_iterations" not in test

    def test_a_failing_body_fails_with_its_own_traceback(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile("""
            import pytest

            @pytest.mark.ipload(users=5, duration="10s")
            @pytest.mark.ipload_threshold("max < 0ms")
            def test_it(ipload_user):
                found = ipload_user.index + 41
                assert found == 42
        """)
        result = pytester.runpytest("--ipload-disable")
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines([">*assert found == 42", "E*assert 41 == 42", "test_*.py:7: AssertionError"])
        result.stdout.no_fnmatch_line("*ThresholdFailed*")

    def test_a_number_of_users_that_this_machine_cannot_serve_is_no_matter(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "--ipload-disable", "--ipload-users=100000000")
        result.assert_outcomes(passed=1)


class TestHelp:
    def test_all_supported_options_and_ini_keys_are_shown_and_no_planned_option(
        self, pytester: pytest.Pytester
    ) -> None:
        text = pytester.runpytest("--help").stdout.str()
        for setting in SETTINGS:
            assert (f"  {setting.flag}=" in text) == setting.option
            assert (f"  {setting.dest} (" in text) == setting.ini
        for flag in ("threshold", "allow-host", "json", "pool-check", "pin", "strict", "disable", "only", "skip"):
            assert f"  --ipload-{flag}" in text
        assert "  ipload_pin (" in text
        assert "  ipload_strict (" in text

    def test_both_markers_are_shown(self, pytester: pytest.Pytester) -> None:
        pytester.runpytest("--markers").stdout.fnmatch_lines(
            ["@pytest.mark.ipload(users=1, *", "@pytest.mark.ipload_threshold(*expressions*"]
        )

    def test_they_are_known_to_strict_markers(self, pytester: pytest.Pytester) -> None:
        result, _ = run(pytester, "--strict-markers", markers="@pytest.mark.ipload(users=2)")
        result.assert_outcomes(passed=1)
