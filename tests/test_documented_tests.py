"""The tests that the documents show, run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.admin_site import running_admin_site
from support.demo import running_stream_server, running_target
from support.fast_search import FastSearch, fast_search
from support.metrics_server import metrics_server
from support.programs import Served
from support.samples import MS, iteration, measurements, request, step
from support.targets import target_readings
from support.wat import wat
from test_docs import normalised
from wasmtime import wat2wasm

from pytest_ipload.load.set_up import SetUps
from pytest_ipload.load.target.proc_tree import has_proc
from pytest_ipload.plugin.items import markers
from pytest_ipload.settings.table import BY_KEY
from pytest_ipload.stats.sample import FAILED, FIRST_EVENT, GAP
from pytest_ipload.stats.target_readings import STANDARD
from pytest_ipload.stats.target_summary import judged_targets
from pytest_ipload.verdict.threshold import config, expression, target_metric
from pytest_ipload.verdict.threshold.config import ThresholdConfig
from pytest_ipload.verdict.threshold.evaluate import evaluate
from pytest_ipload.verdict.threshold.expression import Threshold
from pytest_ipload.verdict.threshold.measure import Scope

__all__ = ["fast_search"]

DOCS = Path(__file__).parents[1] / "docs"


def python_blocks(document: str) -> list[str]:
    """The blocks of Python code in a document."""
    return re.findall(r"```python\n(.*?)```", (DOCS / document).read_text(encoding="utf-8"), re.DOTALL)


def examples_of(document: str) -> list[str]:
    """What stands in the columns ``examples`` of a document's tables."""
    found: list[str] = []
    column: int | None = None
    for line in (DOCS / document).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            column = None
        elif "examples" in cells:
            column = cells.index("examples")
        elif column is not None:
            found += re.findall("`([^`]+)`", cells[column])
    return found


def test_the_searches_of_the_page_on_capacity_pass(pytester: pytest.Pytester, fast_search: FastSearch) -> None:
    fast_search.capacity = 350.0
    [source] = [block for block in python_blocks("capacity.md") if "import pytest" in block]
    pytester.makepyfile(source)
    pytester.runpytest("-W", "error").assert_outcomes(passed=2)


def test_the_tests_of_the_page_on_streams_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("\n\n".join(["import pytest", *python_blocks("streams.md")]))
    with running_stream_server() as url:
        result = pytester.runpytest(f"--ipload-base-url={url}", "-W", "error")
    result.assert_outcomes(passed=3)


def test_the_tests_of_the_page_on_components_pass(pytester: pytest.Pytester) -> None:
    own, shared = python_blocks("components.md")
    pytester.makepyfile(own, test_shared=shared)
    Path("shop.wasm").write_bytes(wat2wasm(wat()))
    pytester.runpytest("-W", "error").assert_outcomes(passed=2)


@pytest.mark.skipif(not has_proc(), reason="needs /proc")
def test_the_tests_of_the_page_on_targets_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("\n\n".join(["import pytest", *python_blocks("target.md")]))
    with running_target() as target, metrics_server() as server:
        server.reply = lambda path: (200, '{"status": "success", "data": {"resultType": "scalar", "result": [1, "3"]}}')
        pytester.makeconftest(
            f"""
            import pytest

            @pytest.fixture(scope="session")
            def shop_pid():
                return {target.pid}

            @pytest.fixture(scope="session")
            def prometheus_url():
                return {server.url!r}
            """
        )
        result = pytester.runpytest(f"--ipload-base-url={target.url}", "-W", "error")
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    "document",
    [
        "async.md",
        "checks-and-metrics.md",
        "load-models.md",
        "health-checks.md",
        "thresholds.md",
        "source-addresses.md",
        "together.md",
    ],
)
def test_the_tests_of_a_document_pass(pytester: pytest.Pytester, document: str) -> None:
    module = "\n\n".join(["import pytest", *python_blocks(document)])
    pytester.makepyfile(module)
    with running_target() as target:
        result = pytester.runpytest(f"--ipload-base-url={target.url}", "-W", "error")
    result.assert_outcomes(passed=len(re.findall("^ *(?:async )?def test_", module, re.MULTILINE)))


def test_the_files_of_the_first_load_test_do_what_the_page_says(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / "first-load-test.md").read_text(encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "100")
    outputs = 0
    with running_admin_site() as url:
        # In the order of the page: an output is that of the files before it.
        for kind, what, content in re.findall(r"<!-- (file|output): (.*?) -->\n```\w+\n(.*?)```", text, re.DOTALL):
            if kind == "file":
                path = pytester.path / what
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(re.sub(r"http://127\.0\.0\.1:800[01]", url, content), encoding="utf-8")
                continue
            command, *shown = content.splitlines()
            result = pytester.runpytest(*shlex.split(command.removeprefix("$ pytest ")))
            lines = iter(normalised(result.stdout.str()))
            # What the generator took, and how sure a value is, depends on this machine.
            wanted = [line for line in normalised("\n".join(shown)) if not re.search("^generator|uncertain", line)]
            assert [line for line in wanted if line in lines] == wanted
            outputs += 1
        assert outputs == 2
        pytester.runpytest("tests/load", "--ipload-duration=300ms").assert_outcomes(passed=5)
        pytester.runpytest("tests/load", "--ipload-disable").assert_outcomes(passed=5)


@pytest.mark.parametrize("document", ["from-locust.md", "from-k6.md"])
def test_a_translated_file_is_a_load_test_that_passes(pytester: pytest.Pytester, demo_url: str, document: str) -> None:
    text = (DOCS / document).read_text(encoding="utf-8")
    files = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL))
    needed = set(re.findall(r"@?pytest\.mark\.(ipload\w*)", files["test_shop.py"]))
    if missing := needed - set(markers.MARKERS):
        pytest.skip(f"there is no marker {', '.join(sorted(missing))} yet")
    for name, content in files.items():
        shorter = re.sub(r'"10s"|"6s"', '"1s"', content.replace("2s:10,6s:10,2s:0", "300ms:10,1s:10,300ms:0"))
        (pytester.path / name).write_text(shorter.replace('"2s"', '"300ms"'), encoding="utf-8")
    result = pytester.runpytest(f"--ipload-base-url={demo_url}", "-W", "error")
    result.assert_outcomes(passed=sum(content.count("def test_") for content in files.values()))


@pytest.mark.parametrize("document", ["from-locust.md", "from-k6.md"])
def test_the_tables_of_other_tools_name_keys_and_options_that_exist(pytester: pytest.Pytester, document: str) -> None:
    rows = [row for row in (DOCS / document).read_text(encoding="utf-8").splitlines() if row.startswith("| ")][1:]
    assert len(rows) >= 30
    ours = re.sub(r"--ipload[\w-]+", "", "\n".join(row.split(" | ")[1] for row in rows))
    keys = set(re.findall(r"\b([a-z_]+)=(?=[\"\d,`])", ours)) - {"name", "expect", "delay", "abort_on_fail"}
    assert keys - {*BY_KEY, "start_after", "browse", "buy", "order"} == set()


def test_the_clients_of_any_client_md_leave_from_their_users_addresses(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    redis_server: Served,
    postgresql: Served,
    mosquitto: Served,
    demo_url: str,
) -> None:
    for name, served in {"REDIS_PORT": redis_server, "PGPORT": postgresql, "MQTT_PORT": mosquitto}.items():
        monkeypatch.setenv(name, str(served.port))
    pytester.makeconftest(
        f"import pytest\n\n@pytest.fixture(scope='session')\ndef base_url():\n    return {demo_url!r}\n"
    )
    module = "\n\n".join(["import pytest", *python_blocks("any-client.md")])
    pytester.makepyfile(module)
    result = pytester.runpytest("-W", "error")
    result.assert_outcomes(passed=len(re.findall("^def test_", module, re.MULTILINE)))


def test_each_key_of_the_marker_has_an_example() -> None:
    names = (
        "load-models.md",
        "source-addresses.md",
        "http-versions.md",
        "health-checks.md",
        "any-client.md",
        "together.md",
    )
    blocks = [block for name in names for block in python_blocks(name)]
    marked = re.findall(r"@pytest\.mark\.ipload\((.*?)\)\n(?:@|def)", "\n".join(blocks), re.DOTALL)
    assert not {key for key in BY_KEY if not any(re.search(rf"\b{key}=", keywords) for keywords in marked)}


def test_each_key_of_a_threshold_has_an_example() -> None:
    code = "\n".join(python_blocks("thresholds.md"))
    document = (DOCS / "thresholds.md").read_text(encoding="utf-8")
    for key in config.KEYS:
        assert re.search(rf"ipload_threshold\(.*\b{key}=", code), key
        assert f"\n| `{key}` |" in document


def test_the_examples_of_the_grammar_hold_of_a_load_that_has_everything() -> None:
    fast: dict[str, Any] = {"status": 200, "source_address": "10.0.0.5"}
    opened: dict[str, Any] = {"connections": 1, "connect_ns": 2 * MS, "tls_ns": 5 * MS, "first_byte_ns": 8 * MS}
    samples = [*[request("GET /cart", 10, **fast)] * 18, request("GET /items/7", 12, **fast, **opened)]
    samples += [
        request("GET /cart", 30, outcome=FAILED, status=503),
        *[iteration(20)] * 19,
        iteration(50, outcome=FAILED),
    ]
    samples += [
        request("chat", latency, **fast)._replace(kind=kind) for kind, latency in ((FIRST_EVENT, 300), (GAP, 20))
    ]
    samples += [*[step("checkout", 25)] * 19, step("checkout", 40, outcome=FAILED)]
    metrics = {"cpu": [60.0] * 10, "rss": [4e8] * 10, "threads": [8.0] * 10, "files": [30.0] * 10, "queue": [9.0] * 10}
    targets = judged_targets([target_readings("api", metrics)], 0.0, 10.0)
    scope = Scope(
        10.0,
        pool_size=2,
        addresses_used=2,
        dropped=0,
        planned_iterations=20,
        set_ups=SetUps(10, 10, 1),
        targets=targets,
    )
    for text in examples_of("thresholds.md"):
        result = evaluate(ThresholdConfig(Threshold.parse(text)), measurements(samples), scope)
        assert result.passed, result.message
        assert result.measured is not None


def test_there_is_an_example_of_everything_in_the_grammar() -> None:
    all_of_them = [Threshold.parse(text) for text in examples_of("thresholds.md")]
    parsed = [each for each in all_of_them if not each.measured.is_of_target]
    of_targets = [each for each in all_of_them if each.measured.is_of_target]
    assert {each.statistic for each in of_targets} == {*target_metric.STATISTICS, "percentile"}
    assert {each.family for each in of_targets} == {f"target.{name}" for name in (*STANDARD, "queue")}
    assert {each.family for each in parsed} == {None, *expression.FAMILIES}
    assert {each.statistic for each in parsed} == set(expression._UNITS)
    assert {each.operator for each in parsed} == set(expression._COMPARISONS)
    assert {each.selector.kind for each in parsed if each.selector} == {"name", "step", "source", "status"}
