"""Names and texts that are meant to break reports: no report breaks, and each is read back by a reader of others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.pages import Element
from support.plugins import OTHER_PLUGINS
from support.readers import READERS

from pytest_ipload.base.text import printable, printable_lines
from pytest_ipload.distributed.protocol.messages import sendable
from pytest_ipload.report.files.registry import REPORT_FILES

NAMES = (
    "<script>alert(1)</script>",
    "a|b`c``d\\|e",
    "new\nline\r\x85\u2028end",
    "x" * 10_000,
    "right \u202e left",
    "nul \x00 end",
    "half \ud800 pair",
    "\x1b[31mred\x1b[0m\x07",
    "@octocat #1 ![x](y) &amp;",
    'a,b c%20d "quoted" \\n',
    "]]></failure>",
)
TESTS = f"""
import pytest

NAMES = {NAMES!a}

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.ipload(users=2, iterations=2)
def test_name(ipload_user, name):
    with ipload_user.step(name), ipload_user.measure(name):
        pass
    if ipload_user.index:
        with ipload_user.measure(name):
            raise type(name.replace("\\ud800", "").replace("\\0", ""), (Exception,), {{}})(name)
"""
REQUESTS, FAILED_REQUESTS, ITERATIONS = 6, 2, 4
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")
"""What a terminal, a browser or a reader of lines may obey, or cannot read at all."""


@pytest.mark.parametrize("options", [(), ("-n2",), ("-n1", "--ipload-concurrent")], ids=["alone", "team", "worker"])
def test_odd_names_break_no_report(tmp_path: Path, options: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    if options:
        request.getfixturevalue("xdist")
    (tmp_path / "test_it.py").write_text(TESTS, encoding="ascii")
    paths = {kind.name: tmp_path / f"out.{kind.name}" for kind in REPORT_FILES}
    files = [f"{kind.flag}={paths[kind.name]}" for kind in REPORT_FILES]
    without = [f"-pno:{name}" for name in OTHER_PLUGINS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "--junit-xml=out.xml", *files, *without, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        timeout=120,
    )
    output = done.stdout.decode("utf-8")
    assert (done.returncode, done.stderr) == (pytest.ExitCode.TESTS_FAILED, b""), output
    texts = {name: path.read_bytes().decode("utf-8") for name, path in paths.items()}
    texts["html"] = re.sub("<script>.*?</script>", "", texts["html"], flags=re.DOTALL)  # plotly's own sources
    for text in (output, *texts.values()):
        assert OBEYED.search(text) is None
    found = {name: read(paths[name]) for name, read in READERS.items()}
    # A report of a worker's own goes over execnet, which sends UTF-8.
    names = [sendable(name) for name in NAMES] if "--ipload-concurrent" in options else [*NAMES]
    nodeids = [test["nodeid"] for test in found["json"]["tests"]]
    assert len(set(nodeids)) == len(NAMES)
    assert all(nodeid.isprintable() for nodeid in nodeids)
    check_json(found["json"], names)
    check_hlog(found["hlog"], nodeids, names)
    check_openmetrics(found["openmetrics"], nodeids, names)
    check_summary(found["summary"], nodeids, names)
    check_html(found["html"], nodeids, names)
    check_junit(tmp_path / "out.xml", nodeids, names)
    check_terminal(output, nodeids)


def check_json(report: dict[str, Any], names: list[str]) -> None:
    for test, name in zip(report["tests"], names, strict=True):
        [row], [step], [failure] = test["by_name"], test["steps"], test["failures"]
        assert (row["name"], row["requests"], row["failed_requests"]) == (name, REQUESTS, FAILED_REQUESTS)
        assert (step["name"], step["count"]) == (name, ITERATIONS)
        assert (failure["count"], failure["message"][:300]) == (FAILED_REQUESTS, name.splitlines()[0][:300])


def check_hlog(intervals: list[Any], nodeids: list[str], names: list[str]) -> None:
    successful = REQUESTS - FAILED_REQUESTS
    counts: dict[tuple[str, ...], int] = {}
    for each in intervals:
        counts[each.tag] = counts.get(each.tag, 0) + each.histogram.get_total_count()
    tags = [(nodeid,) for nodeid in nodeids] + list(zip(nodeids, names, strict=True))
    assert counts == dict.fromkeys(tags, successful)


def check_openmetrics(samples: dict[str, list[Any]], nodeids: list[str], names: list[str]) -> None:
    told = {(each.labels["test"], each.labels["name"]): each.value for each in samples["ipload_requests_total"]}
    written = [printable_lines(name).replace("#", r"\x23") for name in names]
    tests = [nodeid.replace("#", r"\x23") for nodeid in nodeids]
    assert told == dict.fromkeys(zip(tests, written, strict=True), REQUESTS)
    steps = [each.labels["step"] for each in samples["ipload_failed_steps_total"]]
    assert steps == written


def check_summary(summary: Any, nodeids: list[str], names: list[str]) -> None:
    [[_, *rows]] = summary.tables
    assert [row[1:3] for row in rows] == [["failed", str(REQUESTS)]] * len(nodeids)
    for row, nodeid in zip(rows, nodeids, strict=True):  # pytest itself shortens long ones, from 9.0 on
        start, _, end = row[0].strip("⟨⟩").partition("...")
        assert start
        assert nodeid.startswith(start)
        assert nodeid.endswith(end)
    failures = [text for text in summary.texts if " × " in text]
    for text, name in zip(failures, names, strict=True):
        assert f": ⟨{printable(name.splitlines()[0])[:300]}" in text
    tags = {tag for each in summary.html for tag in re.findall(r"</?\w+", each)}
    assert tags == {"<details", "</details", "<summary", "</summary", "<code", "</code"}


def check_html(page: Element, nodeids: list[str], names: list[str]) -> None:
    assert [heading.one("bdi").text for heading in page.all("h2")] == nodeids
    tables = [table.table() for table in page.all("table") if table.one("caption").text == "Requests by name"]
    assert [rows[1][0] for rows in tables] == [printable(name).strip() for name in names]


def check_junit(path: Path, nodeids: list[str], names: list[str]) -> None:
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    assert [f"test_it.py::{case.get('name')}" for case in cases] == nodeids
    for case, name in zip(cases, names, strict=True):
        values = {each.get("name"): each.get("value") for each in case.iter("property")}
        assert values["ipload_requests"] == str(REQUESTS)
        [failure] = case.iter("failure")
        assert printable(name.splitlines()[0])[:300] in (failure.text or "")


def check_terminal(output: str, nodeids: list[str]) -> None:
    section = output.partition("= load tests =")[2].partition("= short test summary info =")[0]
    assert section
    assert [line for nodeid in nodeids for line in section.splitlines() if line == f"{nodeid}  FAILED"] == [
        f"{nodeid}  FAILED" for nodeid in nodeids
    ]
    others = [line for line in section.splitlines() if not line.startswith("test_it.py::")]
    assert max(map(len, others)) <= 500  # whatever the length of a request's name
