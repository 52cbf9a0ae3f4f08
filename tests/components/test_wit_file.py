"""The WIT file of components."""

from __future__ import annotations

from importlib import resources

import pytest

from pytest_ipload.cli.main import main


def test_it_is_in_the_package_and_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    text = (resources.files("pytest_ipload.components") / "load.wit").read_text("utf-8")
    assert main(["wit"]) == 0
    assert capsys.readouterr().out == text
    assert "package pytest-ipload:load;" in text
    assert "world scenario {" in text
