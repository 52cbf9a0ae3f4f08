"""What a step expects of its reply."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.scenario_files.conditions import is_equal
from pytest_ipload.scenario_files.json_paths import JsonPath
from pytest_ipload.scenario_files.replies import (
    Response,
    beginning,
    body_name,
    header_of,
    in_body,
    last_name,
    shown_value,
    status_of,
)
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.values import Getter, Template, as_text, as_written, getter_of, templates_in

USUAL = range(200, 400)


class Pattern:
    """A regular expression; values that are put into it match themselves."""

    def __init__(self, source: str | Template) -> None:
        """Raises ``re.error`` if it is not valid."""
        self.source = source
        self._fixed = re.compile(source) if isinstance(source, str) else None
        self._pieces: list[str | Getter] = []
        if isinstance(source, Template):
            self._pieces = [part if isinstance(part, str) else part.getter() for part in source.parts]
            re.compile("".join(part if isinstance(part, str) else "x" for part in source.parts))

    def of(self, scope: Scope) -> re.Pattern[str]:
        """The expression with the values of a scope."""
        if self._fixed is not None:
            return self._fixed
        return re.compile("".join(p if isinstance(p, str) else re.escape(as_text(p(scope))) for p in self._pieces))

    def __str__(self) -> str:
        """As it is written: the values in it may be secrets."""
        return f"regex:{self.source!s:.200}"

    @property
    def templates(self) -> Sequence[Template]:
        """The templates in it."""
        return [self.source] if isinstance(self.source, Template) else []


class Allowed:
    """What a part of a reply may be: one of some values, or what a regular expression is found in."""

    def __init__(self, alternatives: Sequence[Any]) -> None:
        """Each one is a value, a ``Template`` or a tree of them, or a ``Pattern``."""
        self.alternatives = alternatives
        self._tests = [self._test(each) for each in alternatives]

    @staticmethod
    def _test(alternative: Any) -> Callable[[Any, Scope], bool]:
        if isinstance(alternative, Pattern):
            return lambda value, scope: alternative.of(scope).search(as_text(value)) is not None
        get = getter_of(alternative)
        if isinstance(alternative, Template):  # rows are texts, whatever they mean
            return lambda value, scope: is_equal(value, get(scope))
        return lambda value, scope: _is_same(value, get(scope))

    def has(self, value: Any, scope: Scope) -> bool:
        """Whether the value is allowed."""
        for test in self._tests:  # noqa: SIM110  # a generator costs more than the one test that there usually is
            if test(value, scope):
                return True
        return False

    def shown(self, name: str) -> str:
        """What is allowed, as it is written: the values may be secrets."""
        texts = []
        for each in self.alternatives:
            if isinstance(each, Pattern) or (isinstance(each, Template) and each.is_reference):
                texts.append(str(each))
            else:
                texts.append(shown_value(as_written(each), name))
        return " or ".join(texts)


def _is_same(value: Any, expected: Any) -> bool:
    """Whether JSON values are equal: true is not 1."""
    if isinstance(value, dict) and isinstance(expected, dict):
        return value.keys() == expected.keys() and all(_is_same(value[key], expected[key]) for key in value)
    if isinstance(value, list) and isinstance(expected, list):
        return len(value) == len(expected) and all(map(_is_same, value, expected))
    return isinstance(value, bool) == isinstance(expected, bool) and bool(value == expected)


class Expectation(NamedTuple):
    """All that a step expects; where it says nothing of the status, one from 200 to 399."""

    statuses: tuple[int | str, ...] = ()
    """Statuses, and classes such as ``4xx``."""
    status_patterns: tuple[re.Pattern[str], ...] = ()
    headers: tuple[tuple[str, Allowed], ...] = ()
    body: tuple[tuple[JsonPath, Allowed], ...] = ()
    matches: Pattern | None = None

    @property
    def only_statuses(self) -> list[int | str] | None:
        """The session's own ``expect``, for what it can tell by itself."""
        if self.status_patterns or self.headers or self.body or self.matches:
            return None
        return list(self.statuses)

    def check(self, response: Response, scope: Scope, name: str) -> None:
        """Raises ScenarioFailed, naming the request, if the response is not what is expected."""
        if not self._has_status(response.status_code):
            statuses = [*map(str, self.statuses), *(f"regex:{each.pattern}" for each in self.status_patterns)]
            expected = " or ".join(statuses) or "a status from 200 to 399"
            raise ScenarioFailed(f"{name}: status: expected {expected}, got {status_of(response)}")
        for header, allowed in self.headers:
            try:
                value = header_of(response, header)
            except LookupError as error:
                raise _failed(name, f"header.{header}", allowed, header, str(error)) from None
            if not _has_text(allowed, value, scope):
                raise _failed(name, f"header.{header}", allowed, header, f"got {shown_value(value, header)}")
        for path, allowed in self.body:
            try:
                value = in_body(response, path)
            except LookupError as error:
                raise _failed(name, body_name(path), allowed, last_name(path), str(error)) from None
            if not allowed.has(value, scope):
                key = last_name(path)
                raise _failed(name, body_name(path), allowed, key, f"got {shown_value(value, key)}")
        if self.matches is not None and self.matches.of(scope).search(response.text) is None:
            raise ScenarioFailed(f"{name}: matches: {self.matches} is not found in the body {beginning(response.text)}")

    def _has_status(self, status: int) -> bool:
        if not (self.statuses or self.status_patterns):
            return status in USUAL
        return (
            status in self.statuses
            or f"{status // 100}xx" in self.statuses
            or any(pattern.search(str(status)) for pattern in self.status_patterns)
        )

    def templates(self) -> Sequence[Template]:
        """All templates in it."""
        found: list[Template] = []
        for _, allowed in (*self.headers, *self.body):
            for each in allowed.alternatives:
                found += each.templates if isinstance(each, Pattern) else templates_in(each)
        return [*found, *(self.matches.templates if self.matches else ())]

    def over(self, default: Expectation) -> Expectation:
        """This one, and what it leaves open of the default."""
        has_status = self.statuses or self.status_patterns
        own_headers = {header.lower() for header, _ in self.headers}
        own_paths = {path for path, _ in self.body}
        return Expectation(
            self.statuses if has_status else default.statuses,
            self.status_patterns if has_status else default.status_patterns,
            (*(each for each in default.headers if each[0].lower() not in own_headers), *self.headers),
            (*(each for each in default.body if each[0] not in own_paths), *self.body),
            self.matches or default.matches,
        )


NOTHING_EXPECTED = Expectation()
"""But one of the usual statuses."""


def _has_text(allowed: Allowed, value: str, scope: Scope) -> bool:
    """Whether a header is allowed: it is a text, so a number that is expected means its text."""
    return allowed.has(value, scope) or any(
        not isinstance(each, Pattern) and as_text(getter_of(each)(scope)) == value for each in allowed.alternatives
    )


def _failed(name: str, what: str, allowed: Allowed, key: str, got: str) -> ScenarioFailed:
    return ScenarioFailed(f"{name}: {what}: expected {allowed.shown(key)}, {ENVIRONMENT.hide(got)}")
