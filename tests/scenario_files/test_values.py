"""Values and paths: what is parsed, what it becomes, and that nothing but a clear error comes of anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.base.errors import ScenarioFailed, ScenarioFileError
from pytest_ipload.scenario_files.conditions import parse_condition
from pytest_ipload.scenario_files.document import parse
from pytest_ipload.scenario_files.json_paths import find, parse_path, written
from pytest_ipload.scenario_files.nodes import Place
from pytest_ipload.scenario_files.scope import Scope
from pytest_ipload.scenario_files.values import getter_of, template, tree

HERE = Place("x.ipload.yaml", 1, 1)
USER: Any = SimpleNamespace(index=7, iteration=3, source_address="127.0.0.9")


def scope(**values: Any) -> Scope:
    return Scope(USER, None, values, os.environ, in_iteration=True)


def value(text: str, **values: Any) -> Any:
    return getter_of(template(text, HERE))(scope(**values))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${n}", 5),
        ("${f}", 1.5),
        ("${yes}", True),
        ("${nothing}", None),
        ("${row}", {"name": "ada", "n": "1"}),
        ("a${n}b", "a5b"),
        ("${yes} ${nothing} ${f}", "true null 1.5"),
        ("${row.name}-${row.n}", "ada-1"),
        ("<${items}>", '<[{"id": 1}, {"id": 2}]>'),
        ("${items[1].id}", 2),
        ("${items.0.id}", 1),
        ("${items[-1].id}", 2),
        ("${row['name']}", "ada"),
        ("${user.index}", 7),
        ("u${user.index}-${iteration}-${user.source_address}", "u7-3-127.0.0.9"),
        ("$${n}", "${n}"),
        ("$$${n}", "$${n}"),
        ("$ {n} $n", "$ {n} $n"),
        ("${none:-x}", "x"),
        ("${none:-}", ""),
        ("${row.none:-a b:-c}", "a b:-c"),
        ("${object.name}", "of an object"),
    ],
)
def test_values(text: str, expected: Any) -> None:
    values = {
        "n": 5, "f": 1.5, "yes": True, "nothing": None, "row": {"name": "ada", "n": "1"},
        "items": [{"id": 1}, {"id": 2}], "object": SimpleNamespace(name="of an object", _secret="x"),
    }  # fmt: skip
    result = value(text, **values)
    assert result == expected
    assert type(result) is type(expected)


def test_the_environment_and_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "http://x")
    monkeypatch.delenv("NO_SHOP", raising=False)
    assert value("${env.SHOP}/a") == "http://x/a"
    assert value("${env.NO_SHOP:-http://y}") == "http://y"
    with pytest.raises(ScenarioFailed, match=r"\$\{env.NO_SHOP\}"):
        value("${env.NO_SHOP}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${id}", "${id}: it has no value here"),
        ("${row.x}", "${row.x}: it has 'name', and not 'x'"),
        ("${items[2]}", "${items[2]}: it is a list of 1, without 2"),
        ("${row.name.first}", "name is a text, so there is no 'first' in it"),
        ("${object._secret}", "of type SimpleNamespace"),
    ],
)
def test_values_that_are_not_there(text: str, message: str) -> None:
    with pytest.raises(ScenarioFailed) as caught:
        value(text, row={"name": "x"}, items=[1], object=SimpleNamespace(_secret="x"))
    assert message in str(caught.value)


def test_a_tree_keeps_types_and_is_made_anew_where_it_has_values() -> None:
    body = tree(parse('{n: "${n}", text: "n=${n}", list: ["${yes}", 1, null], plain: {a: [1.5]}}', "x"))
    made = getter_of(body)(scope(n=3, yes=True))
    assert made == {"n": 3, "text": "n=3", "list": [True, 1, None], "plain": {"a": [1.5]}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def paths_in(document: Any) -> list[tuple[tuple[str | int, ...], Any]]:
    found: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    if isinstance(document, (dict, list)):
        for key, inner in document.items() if isinstance(document, dict) else enumerate(document):
            found += [((key, *path), each) for path, each in paths_in(inner)]
    return found


@settings(max_examples=40)
@given(JSON)
def test_each_part_of_a_document_is_found_by_its_path_and_the_path_can_be_written(document: Any) -> None:
    for path, expected in paths_in(document):
        assert find(document, path) == expected
        text = written(path)
        if "'" not in "".join(map(str, path)) and "\\" not in text:
            assert find(document, parse_path(text)) == expected


def refused(run: Callable[[], object], *kinds: type[Exception]) -> str | None:
    """The text of an error of one of these kinds; None if there is none."""
    try:
        run()
    except kinds as error:
        return str(error)
    return None


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_a_clear_error(text: str) -> None:
    problem = refused(lambda: parse_path(text), ValueError)
    if problem is None:
        assert refused(lambda: find({"a": [1]}, parse_path(text)), LookupError) != ""
    else:
        assert "write it as in" in problem


@given(st.text(alphabet="${}a.[0]':- \n", max_size=20))
def test_any_text_is_a_value_or_an_error_with_a_place(text: str) -> None:
    problem = refused(lambda: template(text, HERE), ScenarioFileError)
    if problem is not None:
        assert problem.startswith("x.ipload.yaml:1:1: ")
    elif refused(lambda: value(text, a={"a": 1}), ScenarioFailed) is None and "${" not in text:
        assert value(text) == text


@given(st.text(alphabet="${}a.\"'=!<>[],0 innotadr\\", max_size=25))
def test_any_text_is_a_condition_or_an_error_with_a_place(text: str) -> None:
    problem = refused(lambda: parse_condition(text, HERE), ScenarioFileError)
    if problem is None:
        refused(lambda: parse_condition(text, HERE).test(scope(a="1")), ScenarioFailed)
    else:
        assert problem.startswith("x.ipload.yaml:1:1: ")


@settings(max_examples=40)
@given(JSON)
def test_json_is_yaml_and_reads_the_same(document: Any) -> None:
    assert parse(json.dumps(document), "x").plain() == document


@given(st.text(max_size=60))
def test_any_text_is_a_document_or_an_error_with_a_place(text: str) -> None:
    problem = refused(lambda: parse(text, "x"), ScenarioFileError)
    assert problem is None or problem.startswith("x:")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('${name} == "ada"', True),
        ("${name} == 'bob'", False),
        ('${name} != "bob"', True),
        ("${n} == 12", True),
        ("${n} == 12.0", True),
        ("${n} > 9", True),  # a text of a number, from a row
        ("${n} <= 12", True),
        ("${n} < ${m}", True),
        ('${name} < "b"', True),
        ("${stock}", False),
        ("not ${stock}", True),
        ("${flag}", False),
        ("${flag} == false", True),
        ("${nothing} == null", True),
        ("${list}", False),
        ('${name} in ["ada", "bob"]', True),
        ("${n} in [1, 12]", True),
        ('"d" in ${name}', True),
        ('${name} not in ["x"]', True),
        ("${n} > 9 and ${m} > 99 or ${stock}", False),
        ("${stock} or ${n} == 12 and not ${flag}", True),
        ("true", True),
        ("1 == true", False),
        ("${none:-0}", False),
        ('"${name}!" == "ada!"', True),
    ],
)
def test_conditions(text: str, expected: bool) -> None:
    values = {"name": "ada", "n": "12", "m": 13, "stock": 0, "flag": "false", "nothing": None, "list": []}
    assert parse_condition(text, HERE).test(scope(**values)) is expected


def test_a_comparison_that_makes_no_sense_fails_with_both_sides() -> None:
    with pytest.raises(ScenarioFailed, match='"ada" < 3 compares neither two numbers nor two texts'):
        parse_condition("${name} < 3", HERE).test(scope(name="ada"))
    with pytest.raises(ScenarioFailed, match="'in' needs a list, a text or an object"):
        parse_condition("1 in ${n}", HERE).test(scope(n=3))
