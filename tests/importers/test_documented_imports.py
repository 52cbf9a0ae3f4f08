"""The page on imports shows what the command writes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pytest_ipload.cli.main import PASSED, main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "imports.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- (\w+): (\S.*?) -->\n```\w+\n(.*?)```", re.DOTALL)


def test_the_page_on_imports_shows_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE)
    assert [kind for kind, _, _ in blocks] == ["file", "output", "written", "file", "output"]
    for kind, what, text in blocks:
        if kind == "file":
            Path(what).write_text(text, encoding="utf-8")
        elif kind == "written":
            assert Path(what).read_text(encoding="utf-8") == text
        else:
            assert main(shlex.split(what)) == PASSED
            output = capsys.readouterr()
            assert f"$ python -m pytest_ipload {what}\n{output.err}{output.out}" == text
            if "-o test_shop.py" in what:
                assert text in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_names_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options == set(re.findall(r"(?m)^\| .*?`(--[a-z-]+)` \|", PAGE))
