"""One load on several hosts, over ssh or in segments: real sessions on a network of namespaces."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from support.hosts import ADDRESSES, GIVES_UP_AFTER_S, Bench, Outcome, total, two_hosts
from support.namespace import hosts_of_this_process

from conftest import require_program
from pytest_ipload.cli.main import PASSED

HOST_STOPS_WITHIN_S = 5
"""A host that hears nothing stops after 3 s, before anybody ends its workers; the rest is for a busy machine."""
SESSION_ENDS_WITHIN_S = 20
"""The controller misses a host after 3 s, and gives it up after another one."""
ALL_ADDRESSES = [address for addresses in ADDRESSES.values() for address in addresses]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with two_hosts(
        tmp_path_factory.mktemp("hosts"), require_program("sshd", "apt-get install openssh-server")
    ) as hosts:
        yield hosts


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, sshd: str, xdist: None) -> Bench:
    """The hosts that all tests share which leave them as they were."""
    hosts: Bench = request.getfixturevalue("both")
    return hosts.for_a_test(tmp_path)


@pytest.fixture
def cut_bench(tmp_path: Path, sshd: str, xdist: None) -> Iterator[Bench]:
    """Hosts of its own for a test that cuts their links."""
    with two_hosts(tmp_path, sshd) as hosts:
        yield hosts


def write(bench: Bench, source: str) -> None:
    (bench.folder / "test_load.py").write_text("import os, pathlib, signal, time\nimport pytest\n\n" + dedent(source))


def test_workers_on_two_hosts_share_one_load(bench: Bench) -> None:
    """Its pool is a list of addresses; in the other tests it is an interface."""
    write(
        bench,
        """
        @pytest.mark.ipload(iterations=5)
        def test_load(ipload_session):
            assert ipload_session.get("/").ok

        def test_ordinary():
            pass
        """,
    )
    pool = "10.77.1.11-10.77.1.12, 10.77.2.21, 10.77.2.22"
    outcome = bench.run("--ipload-users=20", f"--ipload-pool={pool}", "--ipload-pool-check=skip", "test_load.py")
    assert outcome.code == 0, outcome.output
    assert sorted(outcome.cases) == [("test_load", []), ("test_ordinary", [])]
    assert outcome.output.count("test_load.py::test_load  PASSED") == 1
    [test] = outcome.tests
    shards = test["shards"]
    assert [(shard["name"], shard["users"], shard["requests"]) for shard in shards] == [
        (f"gw{number}", 5, 25) for number in range(4)
    ]
    for number in ("users", "iterations", "requests", "failed_requests"):
        assert test[number] == total(shards, number), number
    assert (test["verdict"], test["users"], test["requests"]) == ("passed", 20, 100)
    # The workers of a host have one address each: five users of each worker are all that came from it.
    assert Counter(peer for _, peer in bench.hits()) == dict.fromkeys(ALL_ADDRESSES, 25)
    assert {row["source_address"]: (row["users"], row["connections"]) for row in test["by_source"]} == (
        dict.fromkeys(ALL_ADDRESSES, (5, 5))
    )


def test_each_worker_has_its_own_addresses_of_its_own_host(bench: Bench) -> None:
    write(
        bench,
        """
        LOG = pathlib.Path("log")

        def note(*words):
            with LOG.open("a") as file:
                print(os.environ["PYTEST_XDIST_WORKER"], *words, file=file)

        @pytest.mark.ipload(users=8)
        def test_shared(ipload_session):
            note("shared", ipload_session.get("/").source_address)

        @pytest.mark.parametrize("n", range(8))
        def test_whole(ipload, ipload_pool, n):
            note("pool", *ipload_pool)
            ipload.run(lambda user: note("whole", user.session.get("/").source_address), users=2)
            time.sleep(0.3)
        """,
    )
    outcome = bench.run("--ipload-pool=eth0", "test_load.py")
    assert outcome.code == 0, outcome.output
    seen: dict[str, dict[str, set[str]]] = {"shared": {}, "pool": {}, "whole": {}}
    for line in (bench.folder / "log").read_text().splitlines():
        worker, what, *addresses = line.split()
        seen[what].setdefault(worker, set()).update(addresses)
    expected = {f"gw{number}": {address} for number, address in enumerate(ALL_ADDRESSES)}
    assert seen == {"shared": expected, "pool": expected, "whole": expected}


def test_an_address_that_is_on_one_host_only_is_named(bench: Bench) -> None:
    write(bench, "def test_load(ipload_user): pass")
    outcome = bench.run("--ipload-users=4", f"--ipload-pool={','.join(ADDRESSES['a'])}", "test_load.py")
    assert outcome.code == 1, outcome.output
    assert outcome.cases == [("test_load", ["error"])]
    assert "ip pool: 1 of 1 addresses are not on this host" in outcome.output
    assert "the set-up failed on 2 of 4 workers: gw2, gw3" in outcome.output


def test_what_is_no_pool_anywhere_is_refused_before_any_worker_starts(bench: Bench) -> None:
    write(bench, "def test_load(ipload_user): pass")
    with bench.session(bench.controller, *bench.two_workers_each(), "--ipload-pool=eth0,10.0.0.300") as session:
        output, _ = session.process.communicate(timeout=60)
    assert session.process.returncode == pytest.ExitCode.USAGE_ERROR
    assert output.startswith("ERROR: --ipload-pool: ip pool '10.0.0.300': neither an address nor ")


CUT_OFF = """
    @pytest.mark.ipload(users=8, duration="30s", think_time="20ms")
    def test_load(ipload_session):
        ipload_session.get("/")

    @pytest.mark.ipload(users=8)
    def test_next(ipload_user):
        pass
"""


def run_and_cut(bench: Bench, *names: str) -> Outcome:
    """Cut the controller's link to these hosts while both load: they stop by themselves, and the session ends."""
    write(bench, CUT_OFF)
    with bench.session(bench.controller, *bench.two_workers_each(), "--ipload-pool=eth0", "test_load.py") as session:
        bench.wait_for_hits(10)
        for name in names:
            bench.hosts[name].ip("link set control down")
        cut_at = time.monotonic()
        outcome = session.outcome()
    assert "INTERNALERROR" not in outcome.output
    assert outcome.ended_at - cut_at < SESSION_ENDS_WITHIN_S
    time.sleep(max(0.0, cut_at + HOST_STOPS_WITHIN_S + 1 - time.monotonic()))  # does anything come after all?
    late = [at - cut_at for at, peer in bench.hits() for name in names if peer in ADDRESSES[name]]
    assert max(late) < HOST_STOPS_WITHIN_S < GIVES_UP_AFTER_S
    return outcome


def test_a_host_that_is_cut_off_fails_the_load_and_stops_loading_by_itself(cut_bench: Bench) -> None:
    outcome = run_and_cut(cut_bench, "b")
    assert outcome.code == 1, outcome.output
    assert outcome.cases == [("test_load", ["failure"]), ("test_next", [])]
    assert "1 failed, 1 passed" in outcome.output
    lost, following = outcome.tests
    assert lost["verdict"] == "invalid"
    assert re.match("lost 2 of 4 workers: (gw2: .*; gw3: |gw3: .*; gw2: )", lost["reason"])
    assert [shard["name"] for shard in lost["shards"]] == ["gw0", "gw1"]
    assert [(shard["name"], shard["users"]) for shard in following["shards"]] == [("gw0", 4), ("gw1", 4)]
    for name in ADDRESSES:
        cut_bench.wait_for_no_worker(name)


def test_when_all_hosts_are_cut_off_the_session_ends_with_its_reports(cut_bench: Bench) -> None:
    outcome = run_and_cut(cut_bench, "a", "b")
    assert outcome.code == pytest.ExitCode.INTERRUPTED, outcome.output
    assert outcome.cases == [("test_load", ["failure"])]
    [lost] = re.findall("the load test lost 4 of 4 workers: (.*)", outcome.output)[:1]
    assert sorted(re.findall(r"\bgw[0-3](?=: )", lost)) == ["gw0", "gw1", "gw2", "gw3"]
    assert "no worker is left" in outcome.output


@pytest.mark.parametrize("how", ["os._exit(1)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_worker_that_dies_or_hangs_on_another_host_is_replaced(bench: Bench, how: str) -> None:
    write(
        bench,
        f"""
        @pytest.mark.ipload(users=8, duration="60s", think_time="20ms")
        def test_load(ipload_session, ipload_user):
            ipload_session.get("/")
            if ipload_user.index == 3 and ipload_user.iteration == 5:
                {how}

        @pytest.mark.ipload(users=8)
        def test_next(ipload_session):
            ipload_session.get("/")
        """,
    )
    outcome = bench.run("--ipload-pool=eth0", "test_load.py")
    assert outcome.code == 1, outcome.output
    assert outcome.cases == [("test_load", ["failure"]), ("test_next", [])]
    lost, following = outcome.tests
    assert lost["verdict"] == "invalid"
    assert "lost 1 of 4 workers: gw3: " in lost["reason"]
    assert [shard["name"] for shard in lost["shards"]] == ["gw0", "gw1", "gw2"]
    assert (following["verdict"], following["requests"]) == ("passed", 8)
    assert [(shard["name"], shard["users"]) for shard in following["shards"]] == [
        ("gw0", 2),
        ("gw1", 2),
        ("gw2", 2),
        ("gw4", 2),
    ]
    assert {row["source_address"]: row["users"] for row in following["by_source"]} == dict.fromkeys(ALL_ADDRESSES, 2)
    for name in ADDRESSES:
        bench.wait_for_no_worker(name)


def test_segments_on_two_hosts_measure_what_one_host_measures(tmp_path: Path) -> None:
    with two_hosts(tmp_path, None, delay_s=0.1) as bench:
        write(
            bench,
            """
            @pytest.mark.ipload(users=20, iterations=30)
            @pytest.mark.ipload_threshold("p95 < 5s", "p99{GET /} > 50ms")
            def test_load(ipload_session):
                ipload_session.get("/")
            """,
        )
        began_at = time.monotonic()
        with bench.session(bench.hosts["a"], "--ipload-pool=eth0", "test_load.py", name="whole") as session:
            [whole] = session.outcome().tests
        # Two sessions that start at the same time take as long for it as three of them, or less.
        start_up_s = time.monotonic() - began_at - whole["duration_s"]
        at, names = time.time() + 2 + 3 * start_up_s, ["segment-0", "segment-1"]
        with contextlib.ExitStack() as stack:
            for index, (name, host) in enumerate(zip(names, bench.hosts.values(), strict=True)):
                options = (f"--ipload-segment={index}/2", f"--ipload-start-at={at}", "--ipload-pool=eth0")
                running = stack.enter_context(bench.session(host, *options, "test_load.py", name=name))
                stack.callback(running.outcome)
        peers = Counter(peer for _, peer in bench.hits())
    files = [f"{name}.json" for name in names]
    command = [sys.executable, "-m", "pytest_ipload", "merge", *files, "--json", "merged.json"]
    merging = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert merging.returncode == PASSED, merging.stdout + merging.stderr
    [merged] = json.loads((tmp_path / "merged.json").read_text())["tests"]
    for number in ("verdict", "users", "iterations", "requests", "failed_requests"):
        assert merged[number] == whole[number], number
    assert (merged["verdict"], merged["users"], merged["requests"]) == ("passed", 20, 600)
    assert merged["latency"]["p50_ms"] == pytest.approx(whole["latency"]["p50_ms"], rel=0.1)
    assert [(shard["name"], shard["users"]) for shard in merged["shards"]] == [("segment 0/2", 10), ("segment 1/2", 10)]
    # The whole run left from host a alone, with 300 requests from each of its addresses.
    assert peers == {address: 150 if address in ADDRESSES["b"] else 450 for address in ALL_ADDRESSES}


def test_the_bench_leaves_nothing_behind(tmp_path: Path, sshd: str) -> None:
    def break_off() -> None:
        with two_hosts(tmp_path, sshd) as bench:
            left.update(pid for host in bench.hosts.values() for pid in host.processes())
            raise KeyboardInterrupt

    left: set[int] = set()
    others = hosts_of_this_process()
    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert len(left) == 4  # an sshd and the program that started it, on each host
    assert hosts_of_this_process() == others
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)
    assert not list(tmp_path.glob("ssh-*"))
