"""What a step takes from its reply for later ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.scenario_files.expectations import USUAL
from pytest_ipload.scenario_files.json_paths import parse_path
from pytest_ipload.scenario_files.replies import Response, beginning, header_of, in_body, status_of
from pytest_ipload.scenario_files.scope import Scope

SOURCES = "body.PATH, header.NAME, cookie.NAME or regex:PATTERN"
Find = Callable[[Response, Scope], Any]


class Capture(NamedTuple):
    """A value to take, and the name that it gets."""

    name: str
    source: str
    """As it is written."""
    find: Find
    """Raises LookupError."""


def parse_source(text: str) -> Find:
    """Where a value is to be found. Raises ``ValueError`` that says what is allowed."""
    kind, dot, rest = text.partition(".")
    if text.startswith("regex:"):
        return _by_pattern(text.removeprefix("regex:"))
    if kind == "header" and rest:
        return lambda response, scope: header_of(response, rest)
    if kind == "cookie" and rest:
        return lambda response, scope: _cookie(response, scope, rest)
    if kind == "body" or kind.startswith("body["):
        path = parse_path(text.removeprefix("body").removeprefix("."))
        if dot and not rest:
            raise ValueError(f"{text!r:.80} ends with a dot; give a path, as in body.items.0.id")
        return lambda response, scope: in_body(response, path)
    raise ValueError(f"{text!r:.100} is not a valid source; allowed: {SOURCES}")


def _by_pattern(source: str) -> Find:
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise ValueError(f"{source!r:.100} is not a valid regular expression: {error}") from None
    group = 1 if pattern.groups else 0

    def find(response: Response, scope: Scope) -> Any:
        match = pattern.search(response.text)
        if match is None or match[group] is None:
            raise LookupError(f"it is not found in the body {beginning(response.text)}")
        return match[group]

    return find


def _cookie(response: Response, scope: Scope, name: str) -> str:
    """A cookie that the reply has set, or one that the session has: of a redirect on the way."""
    for jar in (response.cookies, scope.session.cookies):
        for cookie in jar:
            if cookie.name == name:
                return str(cookie.value)
    raise LookupError("there is no such cookie")


def capture(captures: tuple[Capture, ...], response: Response, scope: Scope, name: str) -> None:
    """Take the values into the scope. Raises ScenarioFailed, naming the request, if there is none."""
    for each in captures:
        try:
            scope.values[each.name] = each.find(response, scope)
        except LookupError as error:
            why = ENVIRONMENT.hide(str(error))
            status = "" if response.status_code in USUAL else f" (the reply was {status_of(response)})"
            raise ScenarioFailed(f"{name}: capture {each.name} from {each.source:.100}: {why}{status}") from None
