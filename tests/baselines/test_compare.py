from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.samples import MS, iteration, request
from support.saved_runs import NODEID, OTHER, result, saved_run, saved_test, write_runs

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.machine import this_machine
from pytest_ipload.baselines.compare import MOST_RUNS, Baselines
from pytest_ipload.baselines.saved_run import SavedRun
from pytest_ipload.baselines.store import Store
from pytest_ipload.verdict.regression.limit import CompareLimit


def baselines(*runs: SavedRun, limits: Sequence[str] = ()) -> Baselines:
    named = [(f"{len(runs) - place:04}_main.json", run) for place, run in enumerate(runs)]
    return Baselines(named, [CompareLimit.parse(limit) for limit in limits], this_machine())


class TestComparing:
    def test_without_limits_the_main_numbers_are_described(self) -> None:
        compared = baselines(saved_run(saved_test(10)), saved_run(saved_test(30))).compare(result(30))
        assert [(each.metric, each.change) for each in compared.comparisons] == [
            ("p50", pytest.approx(0.5, rel=0.01)),
            ("p95", pytest.approx(0.5, rel=0.01)),
            ("p99", pytest.approx(0.5, rel=0.01)),
            ("rps", 0),
        ]
        assert {(each.limit, each.regressed) for each in compared.comparisons} == {(None, False)}
        assert (compared.baseline.runs, compared.baseline.notes) == (2, [])
        assert compared.baseline.files == ["0002_main.json", "0001_main.json"]

    @pytest.mark.parametrize(("latency_ms", "regressed"), [(10, False), (12, True)])
    def test_each_limit_is_judged(self, latency_ms: float, regressed: bool) -> None:
        limits = ["p95:10%", "p95{step:checkout}:10%", "max:1h", "rps:1%"]
        compared = baselines(*[saved_run(saved_test(10))] * 8, limits=limits).compare(result(latency_ms))
        judged = {each.limit: each.regressed for each in compared.comparisons if each.limit is not None}
        assert judged == dict(zip(limits, (regressed, regressed, False, False), strict=True))

    def test_the_loads_of_one_test_are_told_apart(self) -> None:
        run = saved_run(saved_test(10), saved_test(50, load=1))
        compare = baselines(*[run] * 8, limits=["p95:10%"]).compare
        here = result(50)
        assert [each.regressed for each in compare(here).comparisons if each.limit] == [True]
        assert [each.regressed for each in compare(here, load=1).comparisons if each.limit] == [False]
        assert compare(here, load=2).baseline.notes == ["nothing to compare with: no run of this test is saved"]

    def test_the_newest_comparable_ones_are_taken(self) -> None:
        unfit = [saved_run(saved_test(1, users=9)), saved_run(saved_test(1, nodeid="test_b.py::test_b"))]
        runs = [*unfit, *(saved_run(saved_test(10)) for _ in range(MOST_RUNS)), saved_run(saved_test(9000))]
        compared = baselines(*runs).compare(result(10))
        assert compared.baseline.runs == MOST_RUNS
        assert compared.baseline.files[0] == f"{len(runs) - 2:04}_main.json"
        assert [each.baseline for each in compared.comparisons if each.metric == "p95"] == [pytest.approx(10, rel=0.01)]


class TestNothingToCompare:
    def test_without_a_run_of_the_test(self) -> None:
        for runs in ([], [saved_run(saved_test(nodeid="test_b.py::test_b"))]):
            compared = baselines(*runs, limits=["p95:10%"]).compare(result())
            assert compared.comparisons == []
            assert compared.baseline.notes == ["nothing to compare with: no run of this test is saved"]

    def test_another_profile_or_machine_is_refused_and_says_in_what_it_differs(self) -> None:
        runs = [
            *[saved_run(saved_test(users=50, iterations=7))] * 2,
            saved_run(saved_test(), processor="Z80", processors=1024),
        ]
        here = this_machine()
        compared = baselines(*runs, limits=["p95:10%"]).compare(result())
        assert compared.comparisons == []
        assert compared.baseline.notes == [
            "nothing to compare with: 2 saved runs left out: users 50, here 2; iterations 7, here 5; 1 saved run left "
            f"out: processor Z80, here {here.processor}; processors 1024, here {here.processors}"
        ]

    def test_what_is_left_out_is_said_also_beside_others(self) -> None:
        compared = baselines(saved_run(saved_test()), saved_run(saved_test(users=50))).compare(result())
        assert compared.baseline.runs == 1
        assert compared.baseline.notes == ["1 saved run left out: users 50, here 2"]

    def test_one_iteration_is_not_compared(self) -> None:
        compared = baselines(saved_run(saved_test())).compare(result(samples=[request(), iteration()]))
        assert compared.baseline.notes == ["nothing is compared: a single iteration is not a measurement"]

    def test_a_metric_that_no_saved_run_has(self) -> None:
        compared = baselines(saved_run(saved_test()), limits=["p95{POST /}:10%", "p95:10%"]).compare(result())
        assert [each.limit for each in compared.comparisons if each.limit] == ["p95:10%"]
        assert compared.baseline.notes == ["p95{POST /}: nothing to compare with: the saved runs have no such value"]

    def test_a_name_where_iterations_have_planned_starts(self) -> None:
        samples: list[Any] = [request("GET /", lateness_ns=MS), iteration(), iteration()]
        here = {**result(samples=samples), "response_time": result(samples=samples)["latency"]}
        saved = {**saved_test(samples=samples), "response_time": here["response_time"]}
        compared = baselines(saved_run(saved), limits=["p95{GET /}:1%", "raw.p95{GET /}:1%"]).compare(here)
        assert compared.baseline.notes == [
            "p95{GET /}: nothing to compare with: the saved runs have no such value; where iterations have planned "
            "starts, write raw.p95{GET /}"
        ]
        assert [each.limit for each in compared.comparisons if each.limit] == ["raw.p95{GET /}:1%"]

    def test_a_metric_that_only_the_saved_runs_have_is_a_regression(self) -> None:
        here = result(samples=[request("POST /"), iteration(), iteration()])
        compared = baselines(saved_run(saved_test()), limits=["p95{GET /}:10%"]).compare(here)
        assert [each.message for each in compared.comparisons if each.regressed] == [
            "p95{GET /}: no samples, the baseline's is 10.0 ms (limit +10 %)"
        ]


@pytest.mark.parametrize(
    ("saved", "here", "notes"),
    [
        ("http://a.test", "http://a.test:8000/x", []),
        ("http://a.test", "http://b.test", ["other runs loaded a.test, this one loaded b.test"]),
        (None, "http://b.test", []),
        ("http://a.test", None, []),
    ],
)
def test_another_target_is_compared_and_said(saved: str | None, here: str | None, notes: list[str]) -> None:
    compared = baselines(saved_run(saved_test(base_url=saved))).compare(result(base_url=here))
    assert (compared.baseline.runs, compared.baseline.notes) == (1, notes)


class TestReading:
    def test_what_cannot_be_read_is_left_out_and_named(self, tmp_path: Path) -> None:
        good, broken, other_schema = write_runs(tmp_path, *[saved_run(saved_test())] * 3)
        broken.write_text("{")
        other_schema.write_text(good.read_text().replace('"schema": 1', '"schema": 7'))
        read = Baselines.read(Store(tmp_path), "", ["p95:10%"])
        assert [text.partition(":")[0].rpartition("/")[2] for text in read.unusable] == [
            "0003_main.json",
            "0002_main.json",
        ]
        assert "it has schema 7, this version reads 1" in read.unusable[0]
        assert read.compare(result()).baseline.files == [f".ipload/{this_machine().folder}/0001_main.json"]

    @pytest.mark.parametrize("reference", ["0001", "main", "{folder}"])
    def test_what_was_named_and_cannot_be_read_is_refused(self, tmp_path: Path, reference: str) -> None:
        [path] = write_runs(tmp_path, saved_run())
        path.write_text("{}")
        with pytest.raises(SettingError, match=r"0001_main.json: not a saved run"):
            Baselines.read(Store(tmp_path), reference.format(folder=path.parent), [])

    def test_nothing_at_all_is_fine_unless_it_was_named(self, tmp_path: Path) -> None:
        assert Baselines.read(Store(tmp_path), "", []).compare(result()).baseline.runs == 0
        [broken] = write_runs(tmp_path, saved_run())
        broken.write_text("{")
        assert Baselines.read(Store(tmp_path), "", []).compare(result()).baseline.runs == 0
        broken.unlink()
        with pytest.raises(SettingError, match="has none"):
            Baselines.read(Store(tmp_path), "main", [])

    def test_a_run_of_another_machine_by_its_path_is_refused_when_it_comes_to_comparing(self, tmp_path: Path) -> None:
        path = Store(tmp_path, OTHER).save(saved_run(saved_test(), machine=OTHER))
        compared = Baselines.read(Store(tmp_path), str(path), []).compare(result())
        [note] = compared.baseline.notes
        assert "nothing to compare with: 1 saved run left out: " in note
        assert "architecture riscv64, here " in note
        assert NODEID not in note
