"""What the documents say is true: commands, tables, and the outputs that they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo import EXAMPLES
from support.plugins import OTHER_PLUGINS

from pytest_ipload.settings import SETTINGS

ROOT = Path(__file__).parents[1]
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
    varying = ("platform", "cachedir", "rootdir", "plugins", "configfile")
    return [line for line in lines if line and not line.startswith(varying)]


def rows_of_settings() -> dict[str, list[str]]:
    """The README's settings table by marker key."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): row for row in rows if len(row) == 5}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_each_setting_stands_in_the_readme_with_its_option_and_ini_key(setting: object) -> None:
    from pytest_ipload.settings import Setting

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
    pytester.runpytest("-W", "error", f"--ipload-base-url={demo_url}").assert_outcomes(passed=4)
    pytester.runpytest("--ipload-disable", f"--ipload-base-url={demo_url}", "-k", "not mix").assert_outcomes(
        passed=3, deselected=1
    )


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme_command tests" in script
    assert "readme_command examples" in script
    assert "coverage run -m pytest" in block_after("command: tests")
    assert "pytest examples --ipload-users=50" in block_after("command: examples")


def test_the_changelog_is_kept() -> None:
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
