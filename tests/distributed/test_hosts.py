"""One load on several hosts, over ssh or in segments: real sessions on a network of namespaces."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from support.hosts import ADDRESSES, Bench, total, two_hosts

from pytest_ipload.__main__ import PASSED, main

ALL_ADDRESSES = [address for addresses in ADDRESSES.values() for address in addresses]


@pytest.fixture
def bench(tmp_path: Path, sshd: str, xdist: None) -> Iterator[Bench]:
    with two_hosts(tmp_path, sshd) as hosts:
        yield hosts


def write(bench: Bench, source: str) -> None:
    (bench.folder / "test_load.py").write_text("import os, pathlib, time\nimport pytest\n\n" + dedent(source))


@pytest.mark.parametrize(
    "pool",
    [
        ["--ipload-pool=eth0"],
        ["--ipload-pool=10.77.1.11-10.77.1.12, 10.77.2.21, 10.77.2.22", "--ipload-pool-check=skip"],
    ],
    ids=["interface", "addresses"],
)
def test_workers_on_two_hosts_share_one_load(bench: Bench, pool: list[str]) -> None:
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
    outcome = bench.run("--ipload-users=20", *pool, "test_load.py")
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
    assert "ip pool: 1 of 1 addresses cannot be used as a source" in outcome.output
    assert "the set-up failed on 2 of 4 workers: gw2, gw3" in outcome.output


def test_a_host_that_is_cut_off_fails_the_load_and_stops_loading_by_itself(bench: Bench) -> None:
    write(
        bench,
        """
        @pytest.mark.ipload(users=8, duration="60s", think_time="20ms")
        def test_load(ipload_session):
            ipload_session.get("/")
        """,
    )
    with bench.session(bench.controller, *bench.two_workers_each(), "--ipload-pool=eth0", "test_load.py") as session:
        bench.wait_for_hits(10)
        bench.hosts["b"].ip("link set control down")
        cut_at = time.monotonic()
        outcome = session.outcome()
    assert outcome.code == 1, outcome.output
    assert outcome.cases == [("test_load", ["failure"])]
    print(outcome.output)
    print("ended after", outcome.ended_at - cut_at)
    for n in "ab":
        print(n, max(at for at, peer in bench.hits() if peer in ADDRESSES[n]) - cut_at)
        print(bench.hosts[n].processes())
    assert 0


def test_a_worker_that_dies_on_another_host_is_replaced(bench: Bench) -> None:
    write(
        bench,
        """
        @pytest.mark.ipload(users=8, duration="60s", think_time="20ms")
        def test_load(ipload_session, ipload_user):
            ipload_session.get("/")
            if ipload_user.index == 3 and ipload_user.iteration == 5:
                os._exit(1)

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
    print(bench.hosts["b"].processes())
