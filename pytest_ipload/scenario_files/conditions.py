"""The conditions of ``if``: comparisons of values. Parsed, never evaluated as code.

::

    condition  = all { "or" all }        all = test { "and" test }        test = [ "not" ] value [ operator value ]
    operator   = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in"
    value      = "${...}" | number | text in quotes | "true" | "false" | "null" | "[" value { "," value } "]"

Rows and captures are often texts of numbers, so a text is compared with a number as a number.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from pytest_ipload.base.errors import ScenarioFailed
from pytest_ipload.base.process_environment import ENVIRONMENT
from pytest_ipload.scenario_files.nodes import Place
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.values import Getter, Template, getter_of, template

Test = Callable[[Scope], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<reference>\$\{[^}]*\})|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?![\w.]))"""
    r"""|(?P<sign>==|!=|<=|>=|<|>|\[|\]|,)|(?P<word>[A-Za-z]+))"""
)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_HELP = (
    'write it as in ${x} == "a", ${n} > 3, ${x} in ["a", "b"] or not ${x}; operators: ==, !=, <, <=, >, >=, '
    "in, not in; and, or"
)
_LONGEST = 500
"""Characters of a condition: each 'not' in it is a level of calls."""
_FALSE_TEXTS = ("", "0", "false")


class Condition:
    """A condition: its test, and the templates in it."""

    def __init__(self, test: Test, templates: Sequence[Template]) -> None:
        self.test = test
        self.templates = templates


def parse_condition(text: str, place: Place) -> Condition:
    """Read a condition. Raises ScenarioFileError."""
    if len(text) > _LONGEST:
        raise place.fault(f"the condition is longer than {_LONGEST} characters; divide it into several steps")
    return _Parser(text, place).condition()


class _Parser:
    def __init__(self, text: str, place: Place) -> None:
        self._text = text
        self._place = place
        self._templates: list[Template] = []
        self._tokens = self._split()
        self._next = 0

    def _split(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        position = 0
        while position < len(self._text.rstrip()):
            match = _TOKEN.match(self._text, position)
            if match is None:
                self._refuse(f"{self._text[position:].strip():.40}")
            tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()
        return tokens

    def _refuse(self, what: str) -> NoReturn:
        at = f" at {what!r}" if what else " at its end"
        raise self._place.fault(f"the condition {self._text!r:.100} is not valid{at}; {_HELP}")

    def condition(self) -> Condition:
        test = self._any()
        if self._next < len(self._tokens):
            self._refuse(self._peek())
        return Condition(test, self._templates)

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self, *texts: str) -> str | None:
        kind = self._tokens[self._next][0] if self._next < len(self._tokens) else ""
        if kind in ("sign", "word") and self._peek() in texts:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _any(self) -> Test:
        tests = [self._all()]
        while self._take("or"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda scope: any(test(scope) for test in tests)

    def _all(self) -> Test:
        tests = [self._test()]
        while self._take("and"):
            tests.append(self._test())
        return tests[0] if len(tests) == 1 else lambda scope: all(test(scope) for test in tests)

    def _test(self) -> Test:
        if self._take("not"):
            inner = self._test()
            return lambda scope: not inner(scope)
        left = self._value()
        sign = self._take("==", "!=", *_ORDERS, "in", "not")
        if sign is None:
            return lambda scope: is_true(left(scope))
        if sign == "not" and not self._take("in"):
            self._refuse(self._peek())
        right = self._value()
        return _comparison(sign, left, right)

    def _value(self) -> Getter:
        if self._next >= len(self._tokens):
            self._refuse("")
        kind, text = self._tokens[self._next]
        self._next += 1
        if kind == "reference":
            parsed = template(text, self._place)
            if isinstance(parsed, Template):
                self._templates.append(parsed)
            return getter_of(parsed)
        if kind == "number":
            number = float(text) if "." in text else int(text)
            return lambda scope: number
        if kind == "text":
            return self._quoted(text)
        if kind == "word" and text in _WORDS:
            constant = _WORDS[text]
            return lambda scope: constant
        if text == "[":
            return self._list()
        return self._refuse(text)

    def _quoted(self, text: str) -> Getter:
        content = re.sub(r"\\(.)", r"\1", text[1:-1])
        parsed = template(content, self._place)
        if isinstance(parsed, Template):
            self._templates.append(parsed)
        return getter_of(parsed)

    def _list(self) -> Getter:
        values: list[Getter] = []
        while not self._take("]"):
            if values and not self._take(","):
                self._refuse(self._peek())
            if self._peek() == "[":
                self._refuse("[")  # nothing is a list of lists here, and each is a level of calls
            values.append(self._value())
        return lambda scope: [value(scope) for value in values]


def is_true(value: Any) -> bool:
    """Nothing, 0, false and what is empty are not; rows are texts, so neither are the texts ``0`` and ``false``."""
    return value not in _FALSE_TEXTS if isinstance(value, str) else bool(value)


def is_equal(left: Any, right: Any) -> bool:
    """A number equals a text that is that number; true and false equal their texts, and no number."""
    if isinstance(left, str) != isinstance(right, str):
        text, other = (left, right) if isinstance(left, str) else (right, left)
        if isinstance(other, bool):
            return bool(text == str(other).lower())
        number = _number(text)
        return number is not None and isinstance(other, (int, float)) and bool(number == other)
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _comparison(sign: str, left: Getter, right: Getter) -> Test:
    if sign == "==":
        return lambda scope: is_equal(left(scope), right(scope))
    if sign == "!=":
        return lambda scope: not is_equal(left(scope), right(scope))
    if sign == "in":
        return lambda scope: _is_in(left(scope), right(scope))
    if sign == "not":
        return lambda scope: not _is_in(left(scope), right(scope))
    compare = _ORDERS[sign]
    return lambda scope: _is_ordered(sign, compare, left(scope), right(scope))


def _is_in(value: Any, container: Any) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    if isinstance(container, Mapping):
        return value in container if isinstance(value, str) else False
    if isinstance(container, Sequence):
        return any(is_equal(value, each) for each in container)
    raise ScenarioFailed(f"if: 'in' needs a list, a text or an object on its right, not {_shown(container)}")


def _is_ordered(sign: str, compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    numbers = _number(left), _number(right)
    if None not in numbers:
        return compare(*numbers)
    if isinstance(left, str) and isinstance(right, str):
        return compare(left, right)
    raise ScenarioFailed(f"if: {_shown(left)} {sign} {_shown(right)} compares neither two numbers nor two texts")


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,300}(?:\.[0-9]+)?\s*", value):
        return float(value) if "." in value else int(value)
    return None


def _shown(value: Any) -> str:
    try:
        return f"{ENVIRONMENT.hide(json.dumps(value, ensure_ascii=False)):.60}"
    except (TypeError, ValueError):
        return f"an object of type {type(value).__name__}"
