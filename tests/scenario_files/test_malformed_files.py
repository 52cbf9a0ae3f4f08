"""Files that are not valid: each one is refused with the place, what was given and what is allowed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from pytest_ipload.base.errors import ScenarioFileError
from pytest_ipload.scenario_files.document import LARGEST
from pytest_ipload.scenario_files.scenarios import read_scenarios
from pytest_ipload.scenario_files.script import Script

NAME = "shop.ipload.yaml"
ONE = "scenarios: {a: {steps: [{get: /}]}}"
"""A file that is valid."""


class Malformed(NamedTuple):
    """A file, where it is wrong, and a part of the message."""

    name: str
    text: str | bytes
    line: int
    column: int
    message: str


def in_scenario(lines: str) -> str:
    """A file with these lines in its scenario, from line 3 on, five columns in."""
    return "scenarios:\n  a:\n" + "".join(f"    {line}\n" for line in dedent(lines).strip("\n").splitlines())


def with_steps(lines: str) -> str:
    """A file with these steps, from line 4 on, seven columns in."""
    return in_scenario("steps:\n" + "".join(f"  {line}\n" for line in dedent(lines).strip("\n").splitlines()))


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


MALFORMED = [
    # What is not YAML, or YAML that is refused.
    Malformed("empty", "", 1, 1, "the file is empty; it needs the key 'scenarios'"),
    Malformed("only a comment", "# nothing\n", 1, 1, "the file is empty"),
    Malformed("not UTF-8", b"scenarios:\n  caf\xe9: 1\n", 2, 6, "not UTF-8 (byte 0xe9); save the file as UTF-8"),
    Malformed("UTF-16", "scenarios: {}".encode("utf-16"), 1, 1, "not UTF-8"),
    Malformed("too large", "#" * (LARGEST + 1), 1, 1, "larger than 1024 KiB"),
    Malformed("control character", "a: b\nc: \x01\n", 2, 4, "the character \\x01 is not allowed in YAML"),
    Malformed("tab", "scenarios:\n\ta: 1\n", 2, 1, "indent with spaces, not with tabs"),
    Malformed("never closed", "scenarios: [a,\n", 2, 1, "expected the node content"),
    Malformed("two documents", f"{ONE}\n---\n{ONE}\n", 2, 1, "a second document begins here"),
    Malformed("tag", "scenarios: !!python/name:os.system x\n", 1, 12, "tags such as"),
    Malformed("tag of a list", "scenarios: !mine [a]\n", 1, 12, "tags such as !mine are not supported"),
    Malformed(
        "key twice", with_steps("- get: /\n  name: a\n  name: b"), 6, 9, "'name' comes twice, here and in line 5"
    ),
    Malformed("scenario twice", "scenarios:\n  a: {steps: []}\n  a: {steps: []}\n", 3, 3, "here and in line 2"),
    Malformed("number as key", f"{ONE}\n404: x\n", 2, 1, "a key must be a text, not the number 404"),
    Malformed("null as key", f"{ONE}\n~: x\n", 2, 1, "a key must be a text, not nothing"),
    Malformed("true as key", f"{ONE}\ntrue: x\n", 2, 1, "a key must be a text, not true"),
    Malformed("list as key", f"{ONE}\n? [a]\n: x\n", 2, 3, "a key must be a text, not a list"),
    Malformed("alias of itself", "scenarios: &a [*a]\n", 1, 16, "the alias *a is inside of what it refers to"),
    Malformed("alias without anchor", "scenarios: *a\n", 1, 12, "an anchor &a that does not exist before it"),
    Malformed("billion laughs", bomb(9), 5, 25, "more than 50000 values"),
    Malformed("deep", "scenarios: " + "[" * 5000, 1, 62, "nested more than 50 levels deep"),
    Malformed("merge of a number", with_steps("- get: /\n  <<: 3"), 5, 13, "what << merges must be a mapping"),
    Malformed("value in a flow mapping", with_steps("- get: /\n  params: {x: ${y}}"), 5, 22, "in quotes"),
    Malformed("bracket in a flow mapping", with_steps("- get: /\n  capture: {x: body.items[0].id}"), 5, 32, "[0].id'"),
    Malformed(
        "brace in a flow list",
        in_scenario("thresholds: [p95{GET /health} < 1s]\nsteps: []"),
        3,
        21,
        "put texts with brackets in quotes, as in '${name}', 'body.items[0].id' and 'p95{GET /} < 1s'",
    ),
    Malformed("sleep", with_steps("- sleep: 1s"), 4, 9, "(did you mean 'think'?)"),
    Malformed("upper case", with_steps("- GET: /"), 4, 9, "(did you mean 'get'?)"),
    Malformed("check of a step", with_steps("- get: /\n  check: 200"), 5, 9, "(did you mean 'expect'?)"),
    Malformed("assert as a step", with_steps("- assert: 200"), 4, 9, "('expect' is a key of a request)"),
    Malformed("users", in_scenario("users: 5\nsteps: []"), 3, 5, "'users' (it belongs in 'load')"),
    Malformed("colon in a text", with_steps("- get: /a: b"), 4, 16, "put a text that has ': ' in it in quotes"),
    # Unknown keys, and values of the wrong kind.
    Malformed("a list", "- a\n", 1, 1, "a scenario file must be a mapping (key: value), not a list"),
    Malformed("a text", "hello\n", 1, 1, "not the text 'hello'"),
    Malformed("no scenarios", "base_url: http://x\n", 1, 1, "needs the key 'scenarios'"),
    Malformed("empty scenarios", "scenarios: {}\n", 1, 12, "scenarios is empty"),
    Malformed("scenarios without a value", "scenarios:\n", 1, 11, "must be a mapping (key: value), not nothing"),
    Malformed(
        "key of the file", f"{ONE}\nbase_ulr: http://x\n", 2, 1, "unknown key 'base_ulr' (did you mean 'base_url'?)"
    ),
    Malformed("key of defaults", f"{ONE}\ndefaults: {{header: {{}}}}\n", 2, 12, "'header' (did you mean 'headers'?)"),
    Malformed(
        "key of an environment", f"{ONE}\nenvironments: {{x: {{url: y}}}}\n", 2, 20, "allowed: base_url, variables"
    ),
    Malformed("key of a scenario", in_scenario("stpes: []"), 3, 5, "'stpes' (did you mean 'steps'?) in scenarios.a"),
    Malformed("no steps", in_scenario("fixtures: [a]"), 3, 5, "needs the key 'steps'"),
    Malformed("empty steps", in_scenario("steps: []"), 3, 5, "an iteration needs at least one step"),
    Malformed("steps as a mapping", in_scenario("steps: {get: /}"), 3, 12, "steps must be a list (lines that begin"),
    Malformed(
        "key of load", in_scenario("load: {usres: 3}\nsteps: [get: /]"), 3, 12, "'usres' (did you mean 'users'?)"
    ),
    Malformed("value of load", in_scenario("load: {users: no}\nsteps: [get: /]"), 3, 19, "users: 'no' is not a whole"),
    Malformed(
        "no unit", in_scenario("load: {duration: 30}\nsteps: [get: /]"), 3, 22, "30 has no unit; write it as in 30s"
    ),
    Malformed("rate", in_scenario("load: {max_rate: 9}\nsteps: [get: /]"), 3, 22, "write it as in 9/s"),
    Malformed("sexagesimal", in_scenario("load: {duration: 1:30}\nsteps: [get: /]"), 3, 22, "'1:30' is not a duration"),
    Malformed("threshold", in_scenario("thresholds: [p95 < 2]\nsteps: [get: /]"), 3, 18, "'2' is not a duration"),
    Malformed(
        "key of a threshold",
        in_scenario("thresholds: [{expression: p95 < 2s, severty: warn}]\nsteps: [get: /]"),
        3,
        41,
        "'severty' (did you mean 'severity'?)",
    ),
    Malformed(
        "data without a file", in_scenario("data: {order: random}\nsteps: [get: /]"), 3, 11, "needs the key 'file'"
    ),
    Malformed("data that is not there", in_scenario("data: {file: x.csv}\nsteps: [get: /]"), 3, 18, "there is no file"),
    Malformed("data of no kind", in_scenario("data: {file: x.xml}\nsteps: [get: /]"), 3, 18, "unknown file type"),
    Malformed(
        "order",
        in_scenario("data: {file: rows.csv, order: uniquee}\nsteps: [get: /]"),
        3,
        35,
        "(did you mean 'unique'?)",
    ),
    Malformed(
        "data without a variable",
        in_scenario("data: {file: '${env.NO_X}'}\nsteps: [get: /]"),
        3,
        18,
        "data: ${env.NO_X}",
    ),
    Malformed("fixture", in_scenario("fixtures: [a b]\nsteps: [get: /]"), 3, 16, "cannot be the name of a fixture"),
    # Steps.
    Malformed("no kind", with_steps("- gte: /"), 4, 9, "a step needs one of these keys (did you mean 'get'?)"),
    Malformed("two kinds", with_steps("- get: /\n  post: /"), 5, 9, "cannot have both 'get' and 'post'"),
    Malformed("step as a text", with_steps("- get"), 4, 9, "a step must be a mapping (key: value), not the text 'get'"),
    Malformed(
        "key of a step", with_steps("- get: /\n  headerz: {}"), 5, 9, "'headerz' (did you mean 'headers'?) in a step"
    ),
    Malformed("no URL", with_steps("- get:"), 4, 13, "get must be a text, not nothing"),
    Malformed("two bodies", with_steps("- post: /\n  json: {}\n  data: a"), 5, 9, "'json' is the whole body"),
    Malformed("empty body", with_steps("- post: /\n  json:"), 5, 9, "'json' is empty"),
    Malformed(
        "data as a list", with_steps("- post: /\n  data: [a]"), 5, 9, "'data' must be a mapping (a form) or a text"
    ),
    Malformed("file that is not there", with_steps("- post: /\n  files: {f: x}"), 5, 20, "files: there is no file"),
    Malformed("timeout", with_steps("- get: /\n  timeout: 5"), 5, 18, "5 has no unit"),
    Malformed("think", with_steps("- think: 3s-1s"), 4, 16, "runs backwards"),
    Malformed(
        "think of a row", with_steps("- think: ${user.index}s"), 4, 16, "settings are read before there are users"
    ),
    Malformed("nothing to repeat", with_steps("- repeat: 3"), 4, 9, "the steps to repeat are given nowhere"),
    Malformed("how often", with_steps("- repeat: -1\n  steps: [get: /]"), 4, 17, "repeat must be a whole number of 1"),
    Malformed("never", with_steps("- repeat: 0\n  steps: [get: /]"), 4, 17, "1 or more (0 only as a value of ${...})"),
    Malformed(
        "nothing but think", with_steps("- think: 1s"), 4, 9, "no step of the scenario can send a request or run"
    ),
    Malformed("never true", with_steps("- if: 1 > 2\n  steps: [get: /]"), 4, 9, "no step of the scenario can"),
    Malformed(
        "never else",
        with_steps("- if: true\n  steps: [think: 1s]\n  else: [get: /]"),
        4,
        9,
        "no step of the scenario can",
    ),
    Malformed(
        "value in a default", with_steps("- get: '/${env.X:-${y}}'"), 4, 14, "a default is a plain text, without values"
    ),
    Malformed("NUL in a URL", with_steps('- get: "/a\\0"'), 4, 9, "a URL cannot have the character '\\x00' in it"),
    Malformed("component that is not there", with_steps("- component: x.wasm"), 4, 20, "there is no file"),
    Malformed(
        "input of an action", with_steps("- action: ping\n  with: {name: x}"), 5, 9, "cannot have an input 'name'"
    ),
    # Replies.
    Malformed(
        "key of expect", with_steps("- get: /\n  expect: {bdoy.id: 1}"), 5, 18, "(did you mean 'body'?) in expect"
    ),
    Malformed("status", with_steps("- get: /\n  expect: 99"), 5, 17, "the number 99 is not a status"),
    Malformed(
        "status in words", with_steps("- get: /\n  expect: {status: ok}"), 5, 26, "the text 'ok' is not a status"
    ),
    Malformed("no status", with_steps("- get: /\n  expect: []"), 5, 17, "an empty list allows no status at all"),
    Malformed("pattern", with_steps("- get: /\n  expect: {matches: (}"), 5, 27, "not a valid regular expression"),
    Malformed("path", with_steps("- get: /\n  expect: {body.a..b: 1}"), 5, 18, "is not a valid path"),
    Malformed("source", with_steps("- get: /\n  capture: {id: bdoy.id}"), 5, 23, "allowed: body.PATH, header.NAME"),
    Malformed("pattern of a capture", with_steps("- get: /\n  capture: {id: 'regex:('}"), 5, 23, "not a valid regular"),
    Malformed(
        "name of a capture", with_steps("- get: /\n  capture: {a b: body}"), 5, 19, "is not a valid name of a value"
    ),
    Malformed("reserved name", with_steps("- get: /\n  capture: {user: body}"), 5, 19, "has a meaning of its own"),
    # Values and conditions.
    Malformed("never ends", with_steps("- get: /${id"), 4, 14, "'${' without its '}' in '/${id'"),
    Malformed("not a name", with_steps("- get: /${a b}"), 4, 14, "${a b} is not a valid value"),
    Malformed("of a user", with_steps("- get: /${user.name}"), 4, 14, "known of a user: ${user.index}"),
    Malformed("never captured", with_steps("- get: /${id}"), 4, 14, "no step before this one captures it"),
    Malformed(
        "captured later", with_steps("- get: /${id}\n- get: /\n  capture: {id: body}"), 4, 14, "later, in line 5"
    ),
    Malformed(
        "mistyped",
        with_steps("- get: /\n  capture: {order: body}\n- get: /${orderr}"),
        6,
        14,
        "(did you mean 'order'?)",
    ),
    Malformed(
        "column",
        in_scenario("data: {file: rows.csv}\nsteps: [get: '/${row.nmaee}']"),
        4,
        18,
        "no column 'nmaee' (did you mean 'name'?); columns: name, city",
    ),
    Malformed("setting", in_scenario("load: {users: '${n}'}\nsteps: [get: /]"), 3, 19, "${n} is not known here"),
    Malformed("one equals sign", with_steps("- if: ${iteration} = 3\n  steps: []"), 4, 13, "is not valid at '= 3'"),
    Malformed("word in a condition", with_steps("- if: ${iteration} == a\n  steps: []"), 4, 13, "is not valid at 'a'"),
    Malformed("half a condition", with_steps("- if: ${iteration} ==\n  steps: []"), 4, 13, "is not valid at its end"),
    Malformed(
        "long condition", with_steps(f"- if: {'not ' * 999}true\n  steps: []"), 4, 13, "longer than 500 characters"
    ),
    Malformed("list of lists", with_steps(f"- if: 1 in {'[' * 400}\n  steps: []"), 4, 13, "is not valid at '['"),
    Malformed("long key", f"{ONE}\n? {'x' * 500_000}\n: 1\n", 2, 3, "unknown key 'xxx"),
    Malformed(
        "code as a condition", with_steps("- if: __import__('os')\n  steps: []"), 4, 13, 'is not valid at "__import__'
    ),
]


def scripts(path: Path) -> list[Script]:
    return [Script(scenario, [path.parent]) for scenario in read_scenarios(path, NAME, None)]


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.name.replace(" ", "-"))
def test_a_malformed_file_is_refused_with_its_place(case: Malformed, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(case.text if isinstance(case.text, bytes) else case.text.encode())
    (tmp_path / "rows.csv").write_text("name,city\na,b\n")
    (tmp_path / "x.xml").touch()
    with pytest.raises(ScenarioFileError) as caught:
        scripts(path)
    text = str(caught.value)
    assert text.startswith(f"{NAME}:{case.line}:{case.column}: "), text
    assert case.message in text
    assert len(text) < 1200


def test_at_least_forty_are_different() -> None:
    assert len({case.name for case in MALFORMED}) == len(MALFORMED) >= 40


def test_texts_that_other_versions_of_yaml_would_change_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / NAME
    words = ["on", "no", "Yes", "12:30", "012", "0x1f", "1_000", "2024-01-31", "1e999", ".inf", "="]
    body = "".join(f"\n            - {word}" for word in words)
    path.write_text(with_steps(f"- post: /\n  json:{body}"))
    [scenario] = read_scenarios(path, NAME, None)
    assert scenario.steps[0].fields["json"] == words


def test_aliases_and_merge_keys_are_read_and_own_keys_win(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text(
        "defaults: {headers: &common {A: '1', B: '2'}}\n"
        + with_steps("- get: /\n  headers: {B: '3', <<: *common}\n- get: /\n  headers: *common")
    )
    [scenario] = read_scenarios(path, NAME, None)
    assert [step.fields["headers"] for step in scenario.steps] == [{"A": "1", "B": "3"}, {"A": "1", "B": "2"}]


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"\xef\xbb\xbf" + ONE.encode())
    assert [scenario.name for scenario in read_scenarios(path, NAME, None)] == ["a"]


def test_without_pyyaml_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / NAME
    path.write_text(ONE)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ScenarioFileError, match=re.escape("pip install 'pytest-ipload[yaml]'")):
        read_scenarios(path, NAME, None)
