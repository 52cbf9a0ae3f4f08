"""The dashboard in the documentation asks for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.live import histogram, live_numbers
from support.results import judged, load_result
from support.samples import iteration, request, step

from pytest_ipload.base.health_catalogue import fired
from pytest_ipload.report.files.metrics import HISTOGRAM, Family
from pytest_ipload.report.files.session_metrics import SessionMetrics
from pytest_ipload.stats.live import NameNumbers
from pytest_ipload.verdict.result import GeneratorHealth

DASHBOARD = json.loads((Path(__file__).parents[3] / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))
METRIC = re.compile(r"\b(ipload_\w+)(?:\{([^}]*)\})?")
BY = re.compile(r"\bby \(([^)]*)\)")
SAVED = re.compile(r"\$(\w+|\{\w+\})")


def expressions(node: Any) -> Iterator[str]:
    """All queries, wherever they are."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in ("expr", "definition"))
        for value in node.values():
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def families() -> dict[Family, set[str]]:
    """Families and the labels of their samples: those of a running load and of one that has everything."""
    session = SessionMetrics()
    session.show("test_a.py::test_live", live_numbers(by_name={"GET /": NameNumbers(latency=histogram(1))}))
    health = GeneratorHealth.of([fired("late-starts", "3 of 50")], cpu_share=0.5, timer_lag_p99_ms=0.25)
    measured = [request(), iteration(), step("buy")]
    result = load_result(measured, thresholds=[judged("p95 < 1s", measured)], generator=health).as_dict()
    times = {"count": 1, **result["latency"]}
    result["checks"] = [{"name": "paid", "passed": 3, "failed": 1, "rate": 0.75}]
    result["metrics"] = [{"name": "sold", "kind": "count", "count": 3}, {"name": "age", "kind": "time", **times}]
    statistics = {"mean": 0.5, "max": 1.0, "min": 0.1, "last": 0.5}
    target = {"name": "shop", "pid": 1, "host": "here", "metrics": {"cpu": statistics, "rss": statistics}}
    session.finish("test_a.py::test_done", "", [{**result, "targets": [target]}])
    found: defaultdict[Family, set[str]] = defaultdict(set)
    for family, samples in session.families():
        for sample in samples:
            found[family].update(sample.labels)
    return dict(found)


def test_each_metric_and_each_label_of_its_queries_exists() -> None:
    known: dict[str, set[str]] = {}
    for family, labels in families().items():
        suffixes = ("_bucket", "_count", "_sum") if family.type == HISTOGRAM else ("",)
        known |= {family.sample({}, 0).name + suffix: labels for suffix in suffixes}
    queries = list(dict.fromkeys(expressions(DASHBOARD)))
    assert len(queries) > 15
    for query in queries:
        asked = METRIC.findall(re.sub(BY, "", query))
        assert asked, query
        for name, selector in asked:
            assert name in known, query
            labels = {part.partition("=")[0].strip() for part in selector.split(", ") if part}
            labels |= {label.strip() for group in BY.findall(query) for label in group.split(",")}
            if query.startswith("label_values"):
                labels.add(query.rstrip(")").rpartition(", ")[2])
            assert labels <= known[name], query


def test_it_shows_what_a_load_is_judged_by() -> None:
    text = "\n".join(expressions(DASHBOARD))
    for part in ("histogram_quantile(0.5,", "histogram_quantile(0.95,", "histogram_quantile(0.99,"):
        assert part in text
    for metric in ("requests_total", "failed_requests_total", "users_at_work", "generator_healthy"):
        assert f"ipload_{metric}" in text
    for metric in ("checks_total", "metric_count_total", "metric_seconds_bucket", "target_cpu_cores"):
        assert f"ipload_{metric}" in text


def test_its_variables_are_defined_and_its_panels_do_not_overlap() -> None:
    own = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = {name.strip("{}") for name in SAVED.findall(json.dumps(DASHBOARD))}
    assert {name for name in used if not name.startswith("__")} == own
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
