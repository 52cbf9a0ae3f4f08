from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import load_result
from support.samples import MS, iteration, request, step
from support.saved_runs import NODEID, result, saved_run, saved_test
from support.targets import target_readings

from pytest_ipload.base.commit import Commit
from pytest_ipload.baselines.saved_run import SCHEMA, SavedRun, is_too_small, of_result
from pytest_ipload.stats.sample import FAILED, FIRST_EVENT, GAP
from pytest_ipload.verdict.regression.metric_reader import value_of
from pytest_ipload.verdict.threshold.expression import Metric

HOSTILE = ["größe", "\ud800 alone", "a\x00b\x1b[31m", "../../etc/passwd", "[a/b-\u2028]", "x" * 5000, ""]
METRICS = (
    "p95",
    "p99.9",
    "mean",
    "min",
    "max",
    "p95{GET /}",
    "p95{step:checkout}",
    "rps",
    "error_rate",
    "rps{GET /}",
    "ttfe.p95",
    "gap.p99{GET /}",
)


def plain(run: SavedRun | None = None) -> dict[str, Any]:
    """The content of a file."""
    content: dict[str, Any] = json.loads((run or saved_run(saved_test())).to_text())
    return content


@pytest.mark.parametrize("metric", METRICS)
def test_what_comes_back_has_the_same_values(metric: str) -> None:
    samples = [request("GET /", latency) for latency in range(1, 200)] + [
        request(outcome=FAILED),
        iteration(),
        step("checkout"),
    ]
    events = [request("GET /", latency)._replace(kind=kind) for latency in (2, 3) for kind in (FIRST_EVENT, GAP)]
    here = result(samples=[*samples, *events, *[iteration(outcome=FAILED)] * 3])
    assert value_of(Metric.parse(metric), here) is not None
    back = SavedRun.from_text(saved_run(of_result(here, 0)).to_text()).tests[NODEID, 0]
    assert value_of(Metric.parse(metric), back) == value_of(Metric.parse(metric), here)


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=30))
def test_any_latencies_come_back(latencies_ns: list[int]) -> None:
    here = result(samples=[request(latency_ms=ns / MS) for ns in latencies_ns])
    back = SavedRun.from_text(saved_run(of_result(here, 0)).to_text()).tests[NODEID, 0]
    for metric in map(Metric.parse, ("p50", "max", "mean")):
        assert value_of(metric, back) == pytest.approx(value_of(metric, here))


def test_machine_commit_and_all_loads_come_back() -> None:
    run = saved_run(saved_test(), saved_test(20, load=1), saved_test(nodeid="test_b.py::test_b"), processor="x")
    run = SavedRun(**{**vars(run), "commit": Commit("1f0c", None, dirty=True)})
    back = SavedRun.from_text(run.to_text())
    assert (back.machine, back.commit, back.name, back.saved_at) == (run.machine, run.commit, run.name, run.saved_at)
    assert list(back.tests) == [(NODEID, 0), (NODEID, 1), ("test_b.py::test_b", 0)]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(name: str) -> None:
    samples = [request(name), iteration()]
    text = saved_run(of_result(result(nodeid=f"test_it.py::test_it[{name}]", samples=samples), 0)).to_text()
    [(nodeid, _)] = SavedRun.from_text(text).tests
    assert nodeid == f"test_it.py::test_it[{name}]"
    assert SavedRun.from_text(text).tests[nodeid, 0]["by_name"][0]["name"] == name


def test_the_bulk_and_the_secrets_of_a_result_are_not_saved() -> None:
    kept = saved_test(base_url="http://me:secret@a.test/")
    assert "secret" not in json.dumps(kept)
    assert not {"timeline", "by_source", "thresholds", "failures", "generator"} & set(kept)


def test_what_is_not_known_is_left_out() -> None:
    content = plain()
    content["more"] = content["tests"][0]["more"] = content["tests"][0]["latency"]["more"] = [1]
    [test] = SavedRun.from_text(json.dumps(content)).tests.values()
    assert "more" not in test
    assert "more" not in test["latency"]


Damage = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda run: run.update(kind="x"), "not a saved run; saved runs are written with --ipload-save"),
        (lambda run: run.update(schema=SCHEMA + 1), f"it has schema {SCHEMA + 1}, this version reads {SCHEMA}"),
        (lambda run: run.pop("schema"), "it has schema None"),
        (lambda run: run.update(tests={}), "tests: expected a list, got {}"),
        (lambda run: run.update(tests=[1]), r"tests\[0\]: expected an object, got 1"),
        (lambda run: run.update(name=1), "name: expected a text, got 1"),
        (lambda run: run.pop("saved_at"), "saved_at: expected a text, got None"),
        (lambda run: run.pop("machine"), "machine: expected an object with system"),
        (lambda run: run["machine"].update(processors="2"), "machine.processors: expected a value of type int"),
        (lambda run: run.update(commit={"id": 1}), "commit: expected an object with id"),
        (lambda run: run["tests"][0].pop("nodeid"), r"tests\[0\].nodeid: expected a text"),
        (lambda run: run["tests"][0].update(load=-1), r"tests\[0\].load: expected a whole number from 0"),
        (lambda run: run["tests"][0].update(profile=[]), r"tests\[0\].profile: expected an object"),
        (lambda run: run["tests"][0].update(requests=True), r"tests\[0\].requests: expected a whole number"),
        (lambda run: run["tests"][0].update(rps="1"), r"tests\[0\].rps: expected a number from 0 on, got '1'"),
        (lambda run: run["tests"][0].update(rps=-1), r"tests\[0\].rps: expected a number from 0 on, got -1"),
        (lambda run: run["tests"][0].update(rps=float("nan")), r"tests\[0\].rps: expected a number from 0 on, got nan"),
        (lambda run: run["tests"][0].update(rps=float("inf")), r"tests\[0\].rps: expected a number from 0 on, got inf"),
        (lambda run: run["tests"][0].update(error_rate=None), r"tests\[0\].error_rate: expected a number"),
        (lambda run: run["tests"][0].pop("latency"), r"tests\[0\].latency: expected an object"),
        (lambda run: run["tests"][0]["latency"].pop("max_ms"), r"tests\[0\].latency.max_ms: expected a number"),
        (lambda run: run["tests"][0]["latency"].update(histogram="x"), "not an HdrHistogram"),
        (lambda run: run["tests"][0]["latency"].update(count=7), "its count and its histogram contradict each other"),
        (lambda run: run["tests"][0].update(response_time=1), r"tests\[0\].response_time: expected an object"),
        (lambda run: run["tests"][0].pop("by_name"), r"tests\[0\].by_name: expected a list"),
        (lambda run: run["tests"][0]["by_name"][0].pop("rps"), r"tests\[0\].by_name\[0\].rps: expected a number"),
        (lambda run: run["tests"][0]["steps"][0].update(name=None), r"tests\[0\].steps\[0\].name: expected a text"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(damage: Damage, complaint: str) -> None:
    content = plain()
    damage(content)
    with pytest.raises(ValueError, match=complaint):
        SavedRun.from_text(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, "{}", '{"kind": []}'])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not (valid JSON|a saved run)"):
        SavedRun.from_text(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data(), json_values)
def test_anything_in_the_place_of_anything_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    content: Any = plain()
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    try:
        run = SavedRun.from_text(json.dumps(content))
    except ValueError:
        return
    for test in run.tests.values():
        for metric in METRICS:
            value_of(Metric.parse(metric), test)


def test_one_iteration_is_too_small() -> None:
    assert is_too_small(result(samples=[request(), iteration()]))
    assert is_too_small(result(samples=[]))
    assert not is_too_small(result(samples=[iteration()] * 2))


class TestTargets:
    def run(self, **metrics: Any) -> SavedRun:
        found = load_result([request("GET /")] * 9, nodeid=NODEID, targets=[target_readings(metrics=metrics)])
        return saved_run(of_result(found.as_dict(), 0))

    def test_the_statistics_that_can_be_compared_are_kept(self) -> None:
        read = SavedRun.from_text(self.run(cpu=[10.0, 30]).to_text())
        [test] = read.tests.values()
        assert test["targets"] == [{"name": "api", "metrics": {"cpu": {"mean": 20, "max": 30, "min": 10, "last": 30}}}]
        assert value_of(Metric.parse("target.cpu.max{a*}"), test) == 30
        assert value_of(Metric.parse("target.rss.max{api}"), test) is None

    @pytest.mark.parametrize("value", ["null", '"7"', "NaN", "true", "[]"])
    def test_a_file_with_anything_else_is_refused(self, value: str) -> None:
        text = self.run(cpu=[10.0, 30]).to_text().replace('"mean": 20', f'"mean": {value}')
        with pytest.raises(ValueError, match=r"targets\[0\]\.cpu\.mean: expected a number|not valid JSON"):
            SavedRun.from_text(text)
