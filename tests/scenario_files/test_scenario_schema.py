"""The schema, the documentation and the reader say the same, as they follow one table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.demo import EXAMPLES

from pytest_ipload.cli.main import main
from pytest_ipload.scenario_files.grammar import METHODS, STEPS, TABLES, file_schema
from pytest_ipload.scenario_files.scenarios import read_scenarios

PAGE = (Path(__file__).parents[2] / "docs" / "scenario-files.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def is_valid(document: Any) -> bool:
    return jsonschema.Draft202012Validator(file_schema()).is_valid(document)


def in_steps(*steps: Any) -> dict[str, Any]:
    return {"scenarios": {"a": {"steps": list(steps)}}}


def test_the_schema_is_a_schema_and_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "scenario"]) == 0
    printed = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed == file_schema()
    assert main(["schema"]) == 0
    assert "nodeid" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["shop.ipload.yaml", *(name for name in FILES if name.endswith(".yaml"))])
def test_what_the_reader_takes_is_valid(name: str, tmp_path: Path) -> None:
    text = FILES.get(name) or (EXAMPLES / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_scenarios(tmp_path / name, name, None)
    assert is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    "document",
    [
        {}, {"scenarios": {}}, {"scenarios": {"a": {}}}, {**in_steps({"get": "/"}), "x": 1},
        in_steps({"gte": "/"}), in_steps({"get": "/", "post": "/"}), in_steps({"get": "/", "headerz": {}}),
        in_steps({"get": "/", "expect": {"statuz": 1}}), in_steps({"get": "/", "expect": 99}),
        in_steps({"get": "/", "capture": {"x": "bdoy.id"}}), in_steps({"step": "x"}), in_steps({"think": 3}),
        in_steps({"if": "${a}", "steps": [{"gte": "/"}]}),
        {"scenarios": {"a": {"steps": [{"get": "/"}], "load": {"usres": 1}}}},
    ],
)  # fmt: skip
def test_what_the_reader_refuses_is_not_valid(document: Any) -> None:
    assert is_valid(in_steps({"get": "/"}))
    assert not is_valid(document)


def test_the_page_has_a_row_for_each_key() -> None:
    for name, keys in TABLES.items():
        if name == "file":
            assert all(f"{key}:\n" in PAGE or f"{key}: " in PAGE for key in keys)
            continue
        table = PAGE.partition(f"<!-- keys: {name} -->\n")[2].partition("\n\n")[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(keys), name
    steps = PAGE.partition("| step | what it does |\n")[2].partition("\n\n")[0]
    shown = [word for row in steps.splitlines() for word in re.findall(r"`(\w+)", row.split("|")[1])]
    assert [word for word in shown if word not in ("steps", "with")] == list(STEPS)
    assert list(STEPS)[: len(METHODS)] == list(METHODS)


def test_the_files_of_the_page_pass(pytester: pytest.Pytester, demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in FILES.items():
        Path(name).write_text(content, encoding="utf-8")
    monkeypatch.setenv("SHOP_URL", demo_url)
    files = [name for name in FILES if name.endswith(".yaml")]
    pytester.runpytest("-W", "error", f"--ipload-base-url={demo_url}", *files).assert_outcomes(passed=3)
    pytester.runpytest("-W", "error", "places.ipload.yaml", "--ipload-environment=small").assert_outcomes(passed=1)
