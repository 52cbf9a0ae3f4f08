"""What scenario files have read of the environment is not shown."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from pytest_ipload.base.process_environment import Environment


def test_only_values_that_were_read_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPLOAD_READ", "s3cr3t")
    monkeypatch.setenv("IPLOAD_OTHER", "another")
    environment = Environment()
    assert environment["IPLOAD_READ"] == "s3cr3t"
    assert environment.hide("xs3cr3ty another") == "x***y another"
    with pytest.raises(KeyError):
        environment["IPLOAD_NONE"]


@pytest.mark.parametrize("form", [str, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), quote])
def test_however_they_are_written(monkeypatch: pytest.MonkeyPatch, form: object) -> None:
    secret = 'a"b/\u00e4 c'
    monkeypatch.setenv("IPLOAD_READ", secret)
    environment = Environment()
    assert environment["IPLOAD_READ"]
    assert callable(form)
    assert environment.hide(form(secret)).strip('"') == "***"


def test_of_secrets_only_where_other_values_may_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPLOAD_PASSWORD", "s3cr3t")
    monkeypatch.setenv("IPLOAD_REGION", "north")
    environment = Environment()
    assert environment["IPLOAD_PASSWORD"] + environment["IPLOAD_REGION"]
    assert environment.hide_secrets("log in s3cr3t north") == "log in *** north"


def test_short_ones_where_they_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPLOAD_READ", "7")
    environment = Environment()
    assert environment["IPLOAD_READ"]
    assert environment.hide("got 7, not 17") == "got ***, not 17"
