"""Expectations of a reply without a server: what the messages show, and what they must not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.scenario_files.document import parse
from pytest_ipload.scenario_files.reply_shapes import Expect
from pytest_ipload.scenario_files.scope import Scope

USER: Any = SimpleNamespace(index=0, iteration=0, source_address=None)
SCOPE = Scope(USER, None, {"secret": "s3cr3t-expected", "id": "7"}, {}, in_iteration=True)


def reply(body: Any, text: str = "the text", **headers: str) -> Any:
    return SimpleNamespace(status_code=200, reason="OK", headers=headers, cookies=[], text=text, json=lambda: body)


def problem(expect: str, response: Any, default: str = "{}") -> str:
    """What a reply is refused with; empty if it is not."""
    expectation, by_default = (Expect().read(parse(text, "x"), "expect") for text in (expect, default))
    try:
        expectation.over(by_default).check(response, SCOPE, "GET /")
    except ScenarioFailed as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", ["token", "password", "api_key", "data.access_token", "session_id"])
def test_values_that_are_named_as_secrets_are_are_not_shown(name: str) -> None:
    body: Any = "s3cr3t-got"
    for key in reversed(name.split(".")):
        body = {key: body}
    message = problem(f'{{body.{name}: "${{secret}}"}}', reply(body))
    assert message == f"GET /: body.{name}: expected ${{secret}}, got ***"
    message = problem('{header.Authorization: "${secret}"}', reply(None, Authorization="Bearer s3cr3t"))
    assert "s3cr3t" not in message
    assert "matches: regex:x${secret} is not found" in problem('{matches: "x${secret}"}', reply(None))
    assert "s3cr3t" not in problem("{matches: nothing}", reply(None, '{"token": "s3cr3t-got"}'))


def test_messages_are_bounded() -> None:
    long = "x" * 1_000_000
    for expect in ("{body.a: b}", "{header.a: b}", "{matches: y}", "{body.b: 1}"):
        assert 20 < len(problem(expect, reply({"a": long, long: 1}, long, a=long))) < 700


@pytest.mark.parametrize(
    ("expect", "body", "is_met"),
    [
        ("{body.n: 1}", {"n": 1}, True),
        ("{body.n: 1}", {"n": 1.0}, True),
        ("{body.n: 1}", {"n": True}, False),
        ("{body.n: true}", {"n": 1}, False),
        ("{body.n: false}", {"n": 0}, False),
        ("{body.n: '1'}", {"n": 1}, False),
        ("{body.n: null}", {"n": None}, True),
        ("{body.n: null}", {}, False),
        ("{body.n: '${id}'}", {"n": 7}, True),  # a text, as rows are
        ("{body.n: '${id}'}", {"n": 8}, False),
        ("{body.n: [a, b]}", {"n": "b"}, True),
        ("{body.n: [[a, b]]}", {"n": ["a", "b"]}, True),
        ("{body.n: [[a, b]]}", {"n": ["a"]}, False),
        ("{body.n: {a: 1}}", {"n": {"a": 1}}, True),
        ("{body.n: {a: 1}}", {"n": {"a": 1, "b": 2}}, False),
        ("{body.n: 'regex:^[0-9]+$'}", {"n": 12}, True),
        ("{body.n: 'regex:^${id}$'}", {"n": "7"}, True),
        ("{body: [[1]]}", [1], True),
        ("{body.0: 1}", [1], True),
    ],
)
def test_values_of_the_body(expect: str, body: Any, is_met: bool) -> None:
    assert (problem(expect, reply(body)) == "") == is_met


def test_a_default_holds_where_the_step_says_nothing_else() -> None:
    default = "{status: 404, header.A: a, header.B: b, body.x: 1, matches: text}"
    assert "status: expected 404" in problem("{}", reply({"x": 1}, A="a", B="b"), default)
    assert problem("{status: 2xx}", reply({"x": 1}, A="a", B="b"), default) == ""
    assert "header.B: expected" in problem("{status: 200, header.a: c}", reply({"x": 1}, a="c", B="x"), default)
    assert "body.x: expected 2" in problem("{status: 200, body.x: 2}", reply({"x": 1}, A="a", B="b"), default)
    assert "matches: regex:text" in problem("200", reply({"x": 1}, "x", A="a", B="b"), default)
    assert problem("{status: 200, matches: x}", reply({"x": 1}, "x", A="a", B="b"), default) == ""


def test_a_body_that_is_not_json_is_shown() -> None:
    def fails() -> Any:
        raise ValueError("no JSON")

    response = reply(None, "<html>")
    response.json = fails
    assert problem("{body.x: 1}", response) == "GET /: body.x: expected 1, the body is not JSON: '<html>'"
