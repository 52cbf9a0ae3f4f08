"""Load tests that run together, each divided over the workers of pytest-xdist: whole runs."""

from __future__ import annotations

import json
from textwrap import dedent
from typing import Any

import pytest
from support.stalls import watched_stalls
from support.team_run import TeamRun, team_run

pytestmark = pytest.mark.usefixtures("xdist")

SHOP = """
    together = pytest.mark.ipload_together("shop")

    def note(name):
        with open(f"log-{worker()}", "a") as file:
            print(time.perf_counter(), name, file=file)

    def visit(user, name, seconds=0.001):
        note(name)
        with user.measure(name):
            time.sleep(seconds)

    def test_ordinary():
        note("ordinary")

    @together
    @pytest.mark.ipload(users=4, duration="%(browse)s", think_time="5ms")
    def test_browse(ipload_user):
        visit(ipload_user, "BROWSE")

    @pytest.mark.ipload(users=2, iterations=2)
    def test_alone(ipload_user):
        visit(ipload_user, "ALONE")

    @together
    @pytest.mark.ipload(users=3, duration="200ms", think_time="5ms"%(buy)s)
    %(marks)s
    def test_buy(ipload_user):
        visit(ipload_user, "BUY")
"""


def shop(
    pytester: pytest.Pytester,
    *args: str,
    browse: str = "300ms",
    buy: str = "",
    marks: str = "",
    more: str = "",
    **run: Any,
) -> TeamRun:
    source = dedent(SHOP) % {"browse": browse, "buy": buy, "marks": marks} + dedent(more)
    return team_run(pytester, source, *(args or ("-n2",)), **run)


def verdicts(run: TeamRun) -> dict[str, str]:
    return {name: test["verdict"] for name, test in run.tests.items()}


def shards(test: Any) -> list[tuple[str, int]]:
    return [(shard["name"], shard["users"]) for shard in test.get("shards", ())]


def log_of(pytester: pytest.Pytester) -> list[tuple[float, str]]:
    lines = [line for path in pytester.path.glob("log-*") for line in path.read_text().splitlines()]
    return sorted((float(line.split()[0]), line.split()[1]) for line in lines)


def first_of(pytester: pytest.Pytester) -> dict[str, float]:
    log = log_of(pytester)
    return {name: next(at for at, what in log if what == name) for name in {name for _, name in log}}


class TestOneClock:
    def test_each_is_divided_and_all_begin_at_once(self, pytester: pytest.Pytester) -> None:
        """One of them fails, one begins later, one has fewer users than there are workers, one is skipped."""
        more = """
            @together
            @pytest.mark.ipload(users=1, duration="100ms")
            def test_probe(ipload_user):
                visit(ipload_user, "PROBE")

            @together
            @pytest.mark.skip(reason="closed")
            def test_closed(ipload_user):
                visit(ipload_user, "CLOSED")
        """
        marks = '@pytest.mark.ipload_threshold("p95 < 1us")'
        with watched_stalls() as stalls:
            run = shop(pytester, "-n2", buy=', start_after="250ms"', marks=marks, more=more)
        run.expect(1, passed=4, failed=1, skipped=1)
        assert {name: (test["verdict"], test.get("together")) for name, test in run.tests.items()} == {
            "test_browse": ("passed", "shop"),
            "test_buy": ("failed", "shop"),
            "test_probe": ("passed", "shop"),
            "test_alone": ("passed", None),
        }
        assert shards(run.tests["test_browse"]) == [("gw0", 2), ("gw1", 2)]
        assert shards(run.tests["test_buy"]) == [("gw0", 2), ("gw1", 1)]
        assert shards(run.tests["test_probe"]) == []
        checks = [check["name"] for check in run.tests["test_browse"]["generator"]["checks"]]
        assert checks == ["partner-skipped"]
        first, log = first_of(pytester), log_of(pytester)
        late = 0.05 + 3 * stalls.worst_s  # usually 2 ms
        assert abs(first["BROWSE"] - first["PROBE"]) < late
        assert 0.25 - late < first["BUY"] - first["BROWSE"] < 0.25 + late
        assert first["ordinary"] < first["BROWSE"]
        assert max(at for at, what in log if what in ("BROWSE", "BUY")) < first["ALONE"]
        assert list(run.cases)[1:5] == ["test_browse", "test_buy", "test_probe", "test_closed"]

    def test_each_worker_runs_the_whole_group_in_its_turn(self, pytester: pytest.Pytester) -> None:
        run = shop(pytester, "-n2", "--dist=each", once=False)
        run.expect(0, passed=8)
        order = [what for _, what in log_of(pytester) if what in ("BROWSE", "BUY", "ALONE")]
        blocks = ["ALONE" if what == "ALONE" else "GROUP" for what in order]
        runs = [what for place, what in enumerate(blocks) if place == 0 or blocks[place - 1] != what]
        assert runs == ["GROUP", "ALONE"]


LATE = """
    @pytest.fixture
    def late(ipload_user):
        if ipload_user.index == 2:
            raise ValueError("came too late")

    @together
    @pytest.mark.ipload(stages="900ms:3,60s:3", set_up="on-arrival")
    def test_late(ipload_user, late):
        visit(ipload_user, "LATE")
        time.sleep(0.01)
"""
FAILING = """
    @together
    @pytest.mark.ipload(users=2, duration="200ms", think_time="5ms")
    def test_background(ipload_user):
        pytest.fail("boo")
"""
BREAKS = """
    @pytest.fixture
    def {name}_breaks():
        if worker() == "gw1":
            {how}
"""
GROUPS = {
    "late": {"browse": "1500ms", "marks": "", "more": LATE},
    "failing": {"browse": "300ms", "marks": "", "more": FAILING},
    **{
        name: {
            "browse": "300ms",
            "marks": f'@pytest.mark.usefixtures("{name}_breaks")',
            "more": BREAKS.format(name=name, how=how),
        }
        for name, how in {"skips": "pytest.skip('closed')", "raises": "raise ValueError('broken')"}.items()
    },
}
"""What befalls one test of each."""


class TestOutcomes:
    def test_what_befalls_one_of_a_group_makes_the_others_invalid(self, pytester: pytest.Pytester) -> None:
        """A group of each kind; their tests and what they note have the name of the group in front."""
        source = ""
        for name, parts in GROUPS.items():
            group = dedent(SHOP) % {"buy": "", **parts} + dedent(parts["more"])
            for word, own in {"test_": f"test_{name}_", '"BROWSE"': f'"{name}-BROWSE"', '"shop"': f'"{name}"'}.items():
                group = group.replace(word, own)
            source += group
        run = team_run(pytester, source, "-n2")
        assert run.result.ret == 1
        found = verdicts(run)
        assert {test: verdict for test, verdict in found.items() if "_late_" in test} == {
            "test_late_browse": "invalid",
            "test_late_buy": "passed",
            "test_late_late": "error",
            "test_late_alone": "passed",
        }
        assert run.tests["test_late_browse"]["reason"].count("test_it.py::test_late_late ended before its time") == 1
        assert {test: verdict for test, verdict in found.items() if "_failing_" in test} == {
            "test_failing_browse": "invalid",
            "test_failing_buy": "invalid",
            "test_failing_background": "failed",
            "test_failing_alone": "passed",
        }
        reason = run.tests["test_failing_buy"]["reason"]
        assert reason.count("all iterations of test_it.py::test_failing_background failed") == 1
        noted = {what for _, what in log_of(pytester)}
        assert {what for what in noted if "BROWSE" in what} == {"late-BROWSE", "failing-BROWSE"}
        for name in ("skips", "raises"):  # a set-up that does so on one worker
            assert run.cases[f"test_{name}_ordinary"] == run.cases[f"test_{name}_alone"] == []
            assert run.cases[f"test_{name}_browse"]
            assert "error" in run.cases[f"test_{name}_buy"]

    def test_a_lost_worker_is_named_by_all(self, pytester: pytest.Pytester) -> None:
        more = """
            @together
            @pytest.mark.ipload(users=2, duration="60s", think_time="10ms")
            def test_dies(ipload_user):
                visit(ipload_user, "DIES")
                if worker() == "gw1" and ipload_user.iteration > 20:
                    os._exit(3)
        """
        run = shop(pytester, browse="60s", more=more, deaths=True)
        assert run.result.ret == 1
        assert {name: verdict for name, verdict in verdicts(run).items() if name != "test_alone"} == {
            "test_browse": "invalid",
            "test_buy": "invalid",
            "test_dies": "invalid",
        }
        assert all("gw1" in run.tests[name]["reason"] for name in ("test_browse", "test_dies"))
        assert verdicts(run)["test_alone"] == "passed"

    def test_dash_x_and_xfail(self, pytester: pytest.Pytester) -> None:
        marks = '@pytest.mark.xfail\n@pytest.mark.ipload_threshold("p95 < 1us")'
        more = """
            @together
            @pytest.mark.ipload(users=2, iterations=1)
            @pytest.mark.ipload_threshold("p95 < 1us")
            def test_first_to_fail(ipload_user):
                visit(ipload_user, "FAILS")
        """
        run = shop(pytester, "-n2", "-x", marks=marks, more=more)
        run.result.assert_outcomes(passed=2, xfailed=1, failed=1)
        assert "test_alone" not in run.cases

    def test_a_segment_of_a_group_on_one_worker(self, pytester: pytest.Pytester) -> None:
        run = shop(pytester, "-n1", "--ipload-segment=0/2", buy=', start_after="100ms"')
        run.expect(0, passed=4)
        part = json.loads((pytester.path / "out.json").read_text())
        assert part["segment"] == {"index": 0, "count": 2}
        assert run.tests["test_buy"]["part"]["together"] == "shop"
