"""What the documents say is true: commands, tables, and the outputs that they show."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from array import array
from pathlib import Path
from textwrap import dedent

import pytest
from support.demo import EXAMPLES
from support.plugins import OTHER_PLUGINS

from pytest_ipload.plugin import newhooks
from pytest_ipload.report.files.k6_lines import METRICS, K6Lines
from pytest_ipload.settings.table import SETTINGS
from pytest_ipload.stats.sample import FAILED, FAULT, ITERATION, OK, REQUEST, SETUP, STEP
from pytest_ipload.stats.spool.session_spools import SpoolFacts
from pytest_ipload.stats.spool.spool_format import Batch, SpoolKey

ROOT = Path(__file__).parents[1]
KINDS = (REQUEST, STEP, SETUP, ITERATION)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block_after(mark: str) -> str:
    """The code block that follows a comment in the README."""
    match = re.search(rf"<!-- {re.escape(mark)} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert match is not None, mark
    return match[1]


def normalised(output: str) -> list[str]:
    """Lines without what differs from run to run: numbers, times, paths, widths."""
    lines = []
    for line in output.splitlines():
        text = re.sub(r"\d+(?:[.,]\d+)*", "0", line)
        text = re.sub(r"0 (?:us|ms|s)\b", "0 T", text)
        lines.append(re.sub(r"[-=_ .]{2,}", " ", text).strip())
    varying = ("platform", "cachedir", "rootdir", "plugins", "configfile", "connect ")
    return [line for line in lines if line and not line.startswith(varying)]


def rows_of_settings() -> dict[str, list[str]]:
    """The README's settings table by marker key."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row for row in rows if len(row) == 5}


def test_the_throughput_in_the_readme_is_that_of_the_measured_tables() -> None:
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    ours = re.findall(r"^\| \*\*pytest-ipload\*\* \| (\d+) .*\| ([\d.]+)x \| 1.00x \|$", measured, re.MULTILINE)
    fast = re.findall(r"^\| Locust FastHttpUser \| .*\| ([\d.]+)x \|$", measured, re.MULTILINE)
    k9 = re.findall(r"^\| k9-load, async bodies \| .*\| ([\d.]+)x \|$", measured, re.MULTILINE)
    row = r"^  \| (?:GET|POST|the same)[^|]*\| ([\d ]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]*) ?\|$"
    rows = re.findall(row, README, re.MULTILINE)
    assert len(rows) == 5
    for rate, over_requests, over_fast, over_k9 in rows:
        assert (rate.replace(" ", ""), over_requests) in ours
        assert over_fast in fast
        assert not over_k9 or over_k9 in k9


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_stands_in_the_readme_with_its_option_and_ini_key(setting: object) -> None:
    from pytest_ipload.settings.table import Setting

    assert isinstance(setting, Setting)
    row = rows_of_settings()[setting.key]
    assert row[1] == (f"`{setting.flag}`" if setting.option else "")
    assert row[2] == (f"`{setting.dest}`" if setting.ini else "")


def test_the_readme_has_no_setting_that_does_not_exist() -> None:
    assert set(rows_of_settings()) == {setting.key for setting in SETTINGS}


def test_each_option_stands_in_the_readme_and_the_documents_name_no_others(pytester: pytest.Pytester) -> None:
    options = re.compile(r"(?<![\w-])--ipload-[a-z]+(?:-[a-z]+)*")
    known = set(options.findall(pytester.runpytest("--help").stdout.str()))
    assert len(known) > 30
    assert known - set(options.findall(README)) == set()
    for document in (ROOT / "docs").glob("*.md"):
        assert set(options.findall(document.read_text(encoding="utf-8"))) <= known, document.name


def test_links_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), EXAMPLES / "README.md"]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_example_of_the_readme_that_fails_fails_like_that(tmp_path: Path) -> None:
    shown = block_after("example: too_slow.py")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "examples/too_slow.py", *(f"-pno:{name}" for name in OTHER_PLUGINS)],
        cwd=tmp_path,
        # With CI set, pytest does not shorten its summary.
        env={
            **{name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")},
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    command, *output = shown.splitlines()
    assert command.endswith("pytest examples/too_slow.py")
    assert normalised("\n".join(output)) == normalised(done.stdout)


def test_the_files_of_test_data_md_are_tests_that_pass(pytester: pytest.Pytester, demo_url: str) -> None:
    text = (ROOT / "docs" / "test-data.md").read_text(encoding="utf-8")
    files = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(files) == text.count("```") // 2
    for name, content in files:
        Path(name).write_text(content, encoding="utf-8")
    pytester.runpytest("-W", "error", f"--ipload-base-url={demo_url}").assert_outcomes(passed=5)
    pytester.runpytest("--ipload-disable", f"--ipload-base-url={demo_url}", "-k", "not run_mix").assert_outcomes(
        passed=4, deselected=1
    )


HOOKS = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def code_of(text: str) -> str:
    """The lines that are not empty."""
    return "\n".join(line for line in dedent(text).splitlines() if line.strip())


def test_the_examples_of_hooks_md_do_what_it_says(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    module, *hooks = python_blocks(HOOKS)
    Path("test_shop.py").write_text(module, encoding="utf-8")
    Path("conftest.py").write_text("\n\n".join(hooks), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NIGHTLY", "")
    result = pytester.runpytest("-W", "error", "-s", "-pno:hypothesispytest")
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert {f"test_shop/{index} has left" in output for index in range(2)} == {True}
    assert len(re.findall(r"^(?:test_shop.py )?\d{10}\.\d{3} GET /search: 3\d\d ms, ok$", output, re.MULTILINE)) >= 4
    shown = re.search(r"<!-- output: pytest -->\n```\n(.*?)```", HOOKS, re.DOTALL)
    assert shown is not None
    wanted = [line for line in normalised(shown[1]) if "processor core" not in line]
    lines = iter(normalised(output[output.index(" FAILURES ") - 50 :]))
    assert [line for line in wanted if line in lines] == wanted
    monkeypatch.setenv("NIGHTLY", "1")
    pytester.runpytest("--collect-only", "-v").stdout.fnmatch_lines(["test_shop.py::test_shop: 20 users (hook), *"])


def test_each_hook_has_its_example_in_its_docstring_and_in_hooks_md() -> None:
    code = code_of("\n".join(python_blocks(HOOKS)))
    hooks = {name: hook for name, hook in vars(newhooks).items() if name.startswith("pytest_ipload_")}
    assert len(hooks) == 5
    for name, hook in hooks.items():
        example = code_of(inspect.cleandoc(hook.__doc__ or "").partition(" ::\n")[2])
        assert f"def {name}(" in example
        assert example in code
        assert f"| [`{name}`](#" in HOOKS


def test_the_scripts_of_jsonl_md_read_the_file(pytester: pytest.Pytester) -> None:
    latencies, medians = python_blocks((ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8"))
    pytester.makepyfile("""
        import pytest

        @pytest.mark.ipload(users=2, iterations=3)
        def test_load(ipload_user):
            with ipload_user.measure("GET /cart"):
                pass
    """)
    pytester.runpytest("--ipload-jsonl=load.jsonl").assert_outcomes(passed=1)
    expected = {latencies: "6 requests, the slowest *.* ms", medians: "GET /cart: 6 requests, median 0.0* ms"}
    for script, line in expected.items():
        Path("script.py").write_text(script, encoding="utf-8")
        pytester.runpython(Path("script.py")).stdout.fnmatch_lines([line])


def test_jsonl_md_has_each_metric_and_each_tag() -> None:
    document = (ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8")
    for metric, (kind, _) in METRICS.items():
        assert f"| `{metric}` | {kind} |" in document
    keys = [SpoolKey(kind, "GET /", "::1", 200, outcome, "x") for kind in KINDS for outcome in (OK, FAILED, FAULT)]
    batches = [Batch(key, array("q", [1]), array("q", [1]), None) for key in keys]
    lines = K6Lines()
    text = "".join(line for each in batches for line in lines.of_batch(SpoolFacts("test", 0, 2, True), each))
    tags = {tag for line in text.splitlines() for tag in json.loads(line)["data"].get("tags", ())}
    assert {tag for tag in tags if f"\n| `{tag}` |" not in document} == set()


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme_command tests" in script
    assert "readme_command examples" in script
    assert "pytest -n 3" in block_after("command: tests")
    assert "pytest examples --ipload-users=50" in block_after("command: examples")
