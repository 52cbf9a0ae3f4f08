"""Pools of whole runs: named ones, exclusive leases, bindings, checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

TEST = """
    import pytest

    @pytest.mark.ipload(base_url={url!r}, {settings})
    def test_it(ipload_session, ipload_user):
        reply = ipload_session.get("/whoami")
        assert reply.json()["address"] == reply.source_address == ipload_user.source_address
"""


def run(pytester: pytest.Pytester, url: str, settings: str, *options: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    pytester.makepyfile(test_pool=TEST.format(url=url, settings=settings))
    result = pytester.runpytest("--ipload-json=out.json", *options)
    tests = json.loads((pytester.path / "out.json").read_text())["tests"]
    return result, tests[0] if tests else {}


def spread(test: dict[str, Any], what: str = "requests") -> dict[str, int]:
    return {row["source_address"]: row[what] for row in test["by_source"]}


class TestNamedPools:
    def test_a_marker_and_the_command_line_may_name_a_pool_of_the_ini_file(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makeini("[pytest]\nipload_pools =\n    tenant-a = 127.0.5.1-127.0.5.2\n    tenant_b = 127.0.6.0/30\n")
        _, test = run(pytester, demo_url, "users=4, pool='tenant-a'")
        assert spread(test) == {"127.0.5.1": 2, "127.0.5.2": 2}
        _, test = run(pytester, demo_url, "users=4, pool='tenant-a'", "--ipload-pool=tenant_b")
        assert spread(test) == {"127.0.6.1": 2, "127.0.6.2": 2}

    def test_a_name_that_nobody_gave_is_an_error_that_lists_the_names(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makeini("[pytest]\nipload_pools =\n    tenant-a = 127.0.5.1\n")
        result, _ = run(pytester, demo_url, "pool='tenant-c'")
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*ip pool 'tenant-c': neither a named pool nor an interface; *tenant-a*"])

    @pytest.mark.parametrize("line", ["tenant", "tenant = 10.0.0.9-10.0.0.1", "1st = 127.0.0.1"])
    def test_a_line_that_makes_no_pool_is_a_usage_error(self, pytester: pytest.Pytester, line: str) -> None:
        pytester.makeini(f"[pytest]\nipload_pools =\n    {line}\n")
        result = pytester.runpytest()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: ini key ipload_pools: *"])

    def test_a_file_of_addresses_is_relative_to_the_root_directory(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        Path("addresses.txt").write_text("# two of them\n127.0.7.1\n127.0.7.2\n")
        _, test = run(pytester, demo_url, "users=2, pool='@addresses.txt'")
        assert spread(test) == {"127.0.7.1": 1, "127.0.7.2": 1}

    def test_an_interface_stands_for_its_addresses(self, pytester: pytest.Pytester, demo_url: str) -> None:
        _, test = run(pytester, demo_url, "users=2", "--ipload-pool=lo")
        assert spread(test)["127.0.0.1"] == 2


class TestBindings:
    @pytest.mark.parametrize(("binding", "per_user"), [("iteration", 8), ("request", 8)])
    def test_leases_that_change_spread_evenly_and_connections_are_kept(
        self, pytester: pytest.Pytester, demo_url: str, binding: str, per_user: int
    ) -> None:
        settings = f"users=5, iterations=40, pool='127.0.5.1-127.0.5.8', ip_binding='{binding}'"
        result, test = run(pytester, demo_url, settings)
        result.assert_outcomes(passed=1)
        assert set(spread(test).values()) == {25}
        assert sum(spread(test, "connections").values()) <= 5 * per_user

    def test_two_hundred_users_rotate_through_fifty_addresses_evenly(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        settings = "users=200, iterations=3, pool='127.0.5.1-127.0.5.50', ip_binding='request'"
        result, test = run(pytester, demo_url, settings)
        result.assert_outcomes(passed=1)
        assert len(spread(test)) == 50
        assert set(spread(test).values()) <= {11, 12, 13}  # within 1 of 600 / 50

    def test_a_random_order_is_the_same_in_each_run_of_a_seed(self, pytester: pytest.Pytester, demo_url: str) -> None:
        settings = "users=20, pool='127.0.5.1-127.0.5.8', ip_order='random'"
        runs = [spread(run(pytester, demo_url, settings, f"--ipload-seed={seed}")[1]) for seed in (1, 1, 2)]
        assert runs[0] == runs[1] != runs[2]

    def test_addresses_that_a_random_order_leaves_idle_are_listed(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        settings = "users=20, pool='127.0.5.1-127.0.5.40', ip_order='random', seed=7"
        _, test = run(pytester, demo_url, settings)
        assert test["unused_addresses"]["count"] == 40 - len(spread(test)) >= 20
        assert not set(test["unused_addresses"]["first"]) & set(spread(test))

    def test_least_used_is_even(self, pytester: pytest.Pytester, demo_url: str) -> None:
        _, test = run(pytester, demo_url, "users=16, pool='127.0.5.1-127.0.5.8', ip_order='least-used'")
        assert set(spread(test).values()) == {2}


class TestExclusiveLeases:
    POOL = "users=20, iterations=2, pool='127.0.5.1-127.0.5.10', ip_exclusive=True"

    def test_share(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result, test = run(pytester, demo_url, self.POOL)
        result.assert_outcomes(passed=1)
        assert set(spread(test, "users").values()) == {2}

    def test_wait(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result, test = run(pytester, demo_url, f"{self.POOL}, on_exhaustion='wait', ip_wait='30s'")
        result.assert_outcomes(passed=1)
        assert sum(spread(test).values()) == 40
        assert sum(spread(test, "users").values()) == 20

    def test_fail(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result, _ = run(pytester, demo_url, f"{self.POOL}, on_exhaustion='fail'")
        result.assert_outcomes(errors=1)
        result.stdout.re_match_lines(
            [r"ip pool: no address for user \d+: all 10 IPv4 addresses of the pool are leased; add addresses, .*"]
        )
        result.stdout.no_fnmatch_line("*pytest_ipload/*")  # no traceback of ours

    def test_fallback(self, pytester: pytest.Pytester, demo_url: str) -> None:
        pytester.makeini("[pytest]\nipload_pools =\n    spare = 127.0.6.1-127.0.6.10\n")
        result, test = run(pytester, demo_url, f"{self.POOL}, fallback_pool='spare'")
        result.assert_outcomes(passed=1)
        assert len(spread(test)) == 20
        assert set(spread(test, "users").values()) == {1}

    def test_a_wait_that_is_too_long_is_an_error_of_the_set_up(self, pytester: pytest.Pytester, demo_url: str) -> None:
        settings = "users=2, duration='20s', think_time='10ms', pool='127.0.5.1', ip_exclusive=True"
        result, _ = run(pytester, demo_url, f"{settings}, on_exhaustion='wait', ip_wait='200ms'")
        result.assert_outcomes(errors=1)
        result.stdout.re_match_lines([r"ip pool: no address for user \d: the only .* even after waiting 2\d\d ms; .*"])

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ("pool='127.0.5.1', on_exhaustion='wait'", "on_exhaustion='wait' requires ip_exclusive=True"),
            ("pool='127.0.5.1', ip_wait='1s'", "ip_wait requires ip_exclusive=True"),
            ("pool='127.0.5.1', fallback_pool='127.0.5.2'", "fallback_pool requires ip_exclusive=True"),
            ("ip_exclusive=True", "ip_exclusive needs an address pool"),
            ("pool='127.0.5.1', ip_exclusive=True, ip_wait='1s'", "ip_wait needs on_exhaustion='wait'"),
            ("pool='127.0.5.1', ip_exclusive=True, on_exhaustion='fallback'", "needs a fallback_pool"),
            (
                "pool='127.0.5.1', ip_exclusive=True, on_exhaustion='fail', fallback_pool='127.0.5.2'",
                "fallback_pool and on_exhaustion='fail' contradict each other",
            ),
            (
                "pool='127.0.5.1', ip_exclusive=True, fallback_pool='127.0.5.1'",
                "127.0.5.1 is also in the fallback pool",
            ),
        ],
    )
    def test_settings_that_make_no_sense_together_are_refused(
        self, pytester: pytest.Pytester, demo_url: str, settings: str, message: str
    ) -> None:
        result, _ = run(pytester, demo_url, settings)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines([f"*{message}*"])


class TestPoolCheck:
    POOL = "--ipload-pool=127.0.5.1,203.0.113.7"

    def test_strict_refuses_a_pool_with_an_unusable_address_before_collection(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(TEST.format(url=demo_url, settings=""))
        result = pytester.runpytest(self.POOL)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["ERROR: --ipload-pool: ip pool: 1 of 2 addresses *203.0.113.7*ip addr add 203.0.113.7/32 dev lo*"]
        )

    def test_skip_does_without_it(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result, test = run(pytester, demo_url, "users=4", self.POOL, "--ipload-pool-check=skip")
        result.assert_outcomes(passed=1)
        assert spread(test) == {"127.0.5.1": 4}

    def test_what_is_left_is_divided(self, pytester: pytest.Pytester, demo_url: str, xdist: None) -> None:
        pool = "--ipload-pool=203.0.113.0/29,127.0.5.1-127.0.5.4"
        result, test = run(pytester, demo_url, "users=8", pool, "--ipload-pool-check=skip", "-n2")
        result.assert_outcomes(passed=1)
        assert spread(test, "users") == {f"127.0.5.{last}": 2 for last in range(1, 5)}

    def test_skip_of_all_is_an_error(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result = pytester.runpytest("--ipload-pool=203.0.113.7", "--ipload-pool-check=skip")
        assert result.ret == pytest.ExitCode.USAGE_ERROR

    def test_off_finds_out_in_the_load_and_is_invalid(self, pytester: pytest.Pytester, demo_url: str) -> None:
        result, test = run(pytester, demo_url, "users=4", "--ipload-pool=203.0.113.7", "--ipload-pool-check=off")
        result.assert_outcomes(failed=1)
        assert test["verdict"] == "invalid"
        assert test["generator"]["faults"] == {"source-not-local": 4}

    def test_a_pool_of_the_ini_file_does_not_disturb_a_suite_without_load_tests(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeini("[pytest]\nipload_pool = 203.0.113.7\n")
        pytester.makepyfile(test_a="def test_it(): pass", test_b="def test_it(ipload_user): pass")
        result = pytester.runpytest()
        result.assert_outcomes(passed=1, errors=1)

    def test_the_pool_fixture_is_the_sessions_pool_and_knows_who_had_what(
        self, pytester: pytest.Pytester, demo_url: str
    ) -> None:
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.ipload(users=6, base_url={demo_url!r})
            def test_load(ipload_session):
                ipload_session.get("/whoami")

            def test_pool(ipload_pool):
                assert list(ipload_pool) == ["127.0.5.1", "127.0.5.2"]
                totals = {{address: stats.total for address, stats in ipload_pool.stats().items()}}
                assert totals == dict.fromkeys(ipload_pool, 3)
                lease = ipload_pool.acquire(1, 4)
                assert lease.address == "127.0.5.2"
                ipload_pool.release(lease)
            """
        )
        pytester.runpytest("--ipload-pool=127.0.5.1-127.0.5.2").assert_outcomes(passed=2)


def test_results_by_source_address_and_the_unused_ones_are_shown(pytester: pytest.Pytester, demo_url: str) -> None:
    result, test = run(pytester, demo_url, "users=3, iterations=2, pool='127.0.5.1-127.0.5.9'", "-v")
    assert test["unused_addresses"] == {"count": 6, "first": [f"127.0.5.{last}" for last in range(4, 10)]}
    result.stdout.re_match_lines(
        [
            r"source address +users +connections +requests +errors +p50 +p95 +p99 +max",
            r"127\.0\.5\.1 +1 +1 +2 +0 .*",
            r"not used: 6 addresses of the pool \(127\.0\.5\.4, 127\.0\.5\.5, 127\.0\.5\.6, 127\.0\.5\.7, \.\.\.\)",
        ]
    )
    _, test = run(pytester, demo_url, "users=9, pool='127.0.5.1-127.0.5.9'")
    assert "unused_addresses" not in test


def test_a_pool_that_cannot_reach_the_base_url_is_an_error_before_the_load(pytester: pytest.Pytester) -> None:
    result, _ = run(pytester, "http://203.0.113.5:80", "users=2, pool='127.0.5.1'")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the pool cannot reach the base URL*127.0.5.1 is a loopback address*"])


def test_the_plan_tells_addresses_files_and_ports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_plan="""
        import pytest

        @pytest.mark.ipload(users=20, pool="127.0.5.1-127.0.5.5")
        def test_it(ipload_user):
            pass
        """
    )
    result = pytester.runpytest("--collect-only", "-v")
    result.stdout.fnmatch_lines(
        ["*5 source addresses (marker), needs about 120 open files and 4 local ports per source address and target"]
    )


def test_too_few_open_files_are_a_usage_error_before_the_start(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(ipload_user): pass")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
    code = limited + "import pytest; sys.exit(pytest.main(['--ipload-users=50', '-p', 'no:locust']))"
    result = pytester.run(sys.executable, "-c", code)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --ipload-users=50 needs about 150 open files, the limit is 64 (hard 64); run 'ulimit -n 256' or *"]
    )


def test_a_bare_call_of_requests_is_noted(pytester: pytest.Pytester, demo_url: str) -> None:
    pytester.makepyfile(
        f"""
        import requests

        def test_it(ipload_user):
            assert requests.get({demo_url!r} + "/whoami").ok
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["generator: not healthy (bare-calls)*", "  bare-calls: the body uses requests.get() itself. Such requests *"]
    )


class TestPoolsOfOtherHosts:
    """xdist's workers are elsewhere: this host has not their addresses. No worker is started here."""

    ELSEWHERE = ("--dist=load", "--tx=2*popen//via=a", "--collect-only")

    @pytest.mark.parametrize("pool", ["eth7", "203.0.113.7", "@/only/there", "spare"])
    def test_they_are_not_tried_here(self, pytester: pytest.Pytester, xdist: None, pool: str) -> None:
        pytester.makeini("[pytest]\nipload_pool = eth8\nipload_pools =\n    spare = eth9\n")
        pytester.makepyfile("def test_it(ipload_user): pass")
        assert pytester.runpytest(f"--ipload-pool={pool}", *self.ELSEWHERE).ret == pytest.ExitCode.OK
        assert pytester.runpytest(f"--ipload-pool={pool}").ret == pytest.ExitCode.USAGE_ERROR

    def test_nor_is_there_a_limit_for_users(
        self, pytester: pytest.Pytester, xdist: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resource = pytest.importorskip("resource")
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (100, 100))
        pytester.makepyfile("def test_it(ipload_user): pass")
        assert pytester.runpytest("--ipload-users=1000", *self.ELSEWHERE).ret == pytest.ExitCode.OK
        assert pytester.runpytest("--ipload-users=1000").ret == pytest.ExitCode.USAGE_ERROR

    @pytest.mark.parametrize(
        ("ini", "option", "error"),
        [
            ("", "--ipload-pool=10.0.0.300", "--ipload-pool: ip pool '10.0.0.300': neither an address"),
            ("ipload_pool = 10.0.0.0/33", "", "ini key ipload_pool: ip pool '10.0.0.0/33': bad prefix"),
            ("ipload_pools = spare = 10.0.0.0/33", "", "ini key ipload_pools: ip pool '10.0.0.0/33': bad prefix"),
        ],
    )
    def test_what_is_no_pool_anywhere_is_a_usage_error(
        self, pytester: pytest.Pytester, xdist: None, ini: str, option: str, error: str
    ) -> None:
        pytester.makeini(f"[pytest]\n{ini}\n")
        result = pytester.runpytest(*filter(None, [option]), *self.ELSEWHERE)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {error}*"])
