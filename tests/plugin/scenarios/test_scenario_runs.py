"""Scenario files in whole sessions: they are load tests like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import Mock

import pytest
from support.shop_server import ShopServer, running_shop

from pytest_ipload.base.errors import ScenarioFileError
from pytest_ipload.cli.main import main
from pytest_ipload.plugin.scenarios import scenario_module
from pytest_ipload.scenario_files.scenarios import read_scenarios

OPTIONS = ("-W", "error", "-p", "no:hypothesispytest")

SHOP = """
    defaults:
      headers: {X-Shop: "1"}
    scenarios:
      shop:
        load: {users: 2, iterations: 2}
        data: {file: users.csv}
        set_up:
          - get: /login
            capture: {csrf: 'regex:name="csrf" value="([^"]+)"'}
          - post: /login
            data: {name: "${row.name}", csrf: "${csrf}"}
            expect: {status: 200, "body.items[0].id": 7}
            capture: {me: cookie.user}
        steps:
          - get: /items
            params: {page: "${iteration}", sort: [name, price]}
            expect: {header.Content-Type: application/json}
            capture: {item: "body.items[0].id", stock: body.items.0.stock}
          - get: /items/${item}
            expect: {body.id: "${item}", body.price: [2, 2.5], matches: '"price"'}
          - step: buy
            steps:
              - if: ${stock} > 0
                steps:
                  - post: /orders
                    json: {item: "${item}", who: "${row.name}", rush: no, note: "for ${row.name}"}
                    expect: 201
                    capture: {place: header.Location}
                  - get: ${place}
                    name: GET order
        tear_down:
          - post: /logout
"""
USERS = "name\nada\ngrace\n"
PYTHON = """
import re
import pytest

@pytest.fixture
def row(ipload_user):
    return next(ipload_user.feed("users.csv"))

@pytest.fixture
def shopper(ipload_session, row):
    ipload_session.headers["X-Shop"] = "1"
    csrf = re.search('name="csrf" value="([^"]+)"', ipload_session.get("/login").text)[1]
    ipload_session.post("/login", data={"name": row["name"], "csrf": csrf}).raise_for_status()
    yield ipload_session
    ipload_session.post("/logout").raise_for_status()

@pytest.mark.ipload(users=2, iterations=2)
def test_shop(shopper, row, ipload_user):
    page = {"page": ipload_user.iteration, "sort": ["name", "price"]}
    item = shopper.get("/items", params=page).json()["items"][0]
    assert shopper.get(f"/items/{item['id']}", name="GET /items/{item}").json()["price"] == 2.5
    with ipload_user.step("buy"):
        if item["stock"] > 0:
            body = {"item": item["id"], "who": row["name"], "rush": "no", "note": f"for {row['name']}"}
            order = shopper.post("/orders", json=body, expect=201)
            shopper.get(order.headers["Location"], name="GET order")
"""


@pytest.fixture
def shop() -> Iterator[ShopServer]:
    with running_shop() as server:
        yield server


def run(pytester: pytest.Pytester, shop: ShopServer | None, text: str, *args: str, **outcomes: int) -> pytest.RunResult:
    """Run a file in this process."""
    Path("shop.ipload.yaml").write_text(dedent(text), encoding="utf-8")
    url = [] if shop is None else [f"--ipload-base-url={shop.url}"]
    result = pytester.runpytest(*OPTIONS, *url, "--ipload-json=out.json", *args, no_reraise_ctrlc=True)
    if outcomes:
        result.assert_outcomes(**outcomes)
    return result


def results() -> dict[str, Any]:
    """The tests of the JSON report, by node id."""
    return {test["nodeid"]: test for test in json.loads(Path("out.json").read_text(encoding="utf-8"))["tests"]}


def names(test: Any) -> list[str]:
    return [row["name"] for row in test["by_name"]]


def one(steps: str, before: str = "") -> str:
    """A file with one scenario."""
    lines = [f"    {line}" for line in dedent(steps).strip().splitlines()]
    return "\n".join([*dedent(before).strip().splitlines(), "scenarios:", "  one:", *lines, ""])


def test_python_and_yaml_send_the_same_requests(pytester: pytest.Pytester, shop: ShopServer) -> None:
    Path("users.csv").write_text(USERS)
    pytester.makepyfile(test_it=PYTHON)
    run(pytester, shop, SHOP, "test_it.py", passed=1)
    in_python, by_name = {who: shop.of(who) for who in ("ada", "grace", "?")}, names(results()["test_it.py::test_shop"])
    headers = [sorted(each.headers) for each in shop.seen]
    assert len(in_python["ada"]) == 1 + 1 + 2 * 4 + 1
    shop.seen.clear()
    run(pytester, shop, SHOP, "shop.ipload.yaml", passed=1)
    assert {who: shop.of(who) for who in ("ada", "grace", "?")} == in_python
    assert sorted(map(sorted, (each.headers for each in shop.seen))) == sorted(headers)
    test = results()["shop.ipload.yaml::shop"]
    assert sorted(names(test)) == sorted(by_name) == ["GET /items", "GET /items/{item}", "GET order", "POST /orders"]
    assert (test["users"], test["iterations"], test["requests"]) == (2, 4, 16)
    assert [step["name"] for step in test["steps"]] == ["buy"]


def test_many_workers_share_the_load(pytester: pytest.Pytester, shop: ShopServer, xdist: None) -> None:
    Path("users.csv").write_text(USERS)
    run(pytester, shop, SHOP, "-n", "2", passed=1)
    test = results()["shop.ipload.yaml::shop"]
    assert (test["users"], test["iterations"], len(test["shards"])) == (2, 4, 2)
    assert len(shop.of("ada")) == len(shop.of("grace")) == 11


TWO = """
    scenarios:
      browse:
        load: {users: 3, duration: 50ms}
        steps: [get: /items]
      buy and go:
        load: {users: 1}
        thresholds:
          - p95{GET /items} < 10s
          - {expression: requests > 100, severity: warn}
        steps: [get: /items]
"""


def test_scenarios_are_items_that_are_selected_and_planned(pytester: pytest.Pytester, shop: ShopServer) -> None:
    result = run(pytester, shop, TWO, "-k", "buy", "-v", passed=1, deselected=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml::buy and go PASSED*", "warn * requests 1, limit > 100*"])
    run(pytester, shop, TWO, "shop.ipload.yaml::browse", passed=1)
    assert list(results()) == ["shop.ipload.yaml::browse"]
    plan = pytester.runpytest(*OPTIONS, "--collect-only", "-v")
    plan.stdout.fnmatch_lines(
        ["*ScenarioModule shop.ipload.yaml*", "*browse*", "*buy and go*", "*3 users*", "*1 user*"]
    )
    run(pytester, shop, TWO, "--ipload-disable", passed=2)
    run(pytester, shop, TWO, "--ipload-skip", deselected=2)


def test_thresholds_fail_the_scenario(pytester: pytest.Pytester, shop: ShopServer) -> None:
    result = run(pytester, shop, one("thresholds: [requests > 5, p95 < 9s]\nsteps: [get: /items]"), failed=1)
    result.stdout.fnmatch_lines(["FAIL * requests 1, limit > 5*"])


def test_an_expectation_that_is_not_met_fails_the_request_and_the_iteration_goes_on(
    pytester: pytest.Pytester, shop: ShopServer
) -> None:
    text = one("""
        load: {users: 2, iterations: 2}
        steps:
          - get: /items
            expect: {status: [200, 2xx], body.items.0.name: regex:^coffee, header.Content-Type: text/html}
          - get: /items/7
    """)
    run(pytester, shop, text, failed=1)
    test = results()["shop.ipload.yaml::one"]
    assert (test["requests"], test["failed_requests"], test["failed_iterations"]) == (8, 4, 4)
    [failure] = test["failures"]
    assert failure["message"] == 'GET /items: header.Content-Type: expected "text/html", got "application/json"'
    assert failure["location"] == "shop.ipload.yaml:5"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("expect: {body.items.9.id: 1}", "body.items.9.id: expected 1, items is a list of 2, without '9'"),
        ("expect: {body.items.0.id: '7'}", 'body.items.0.id: expected "7", got 7'),
        ("expect: {body.items.0: {id: 7, name: tea, stock: true}}", "got {"),
        ("expect: {body.items.1.stock: [1, null]}", "expected 1 or null, got 0"),
        ("expect: {header.X: 1}", "header.X: expected 1, there is no such header"),
        ("expect: {matches: 'coffee'}", "matches: regex:coffee is not found in the body '{"),
        ("expect: {status: 'regex:^5'}", "status: expected regex:^5, got 200 OK"),
        ("capture: {id: body.none}", "GET /items: capture id from body.none: it has 'items', and not 'none'"),
        ("capture: {id: cookie.none}", "capture id from cookie.none: there is no such cookie"),
        ("capture: {id: header.None}", "capture id from header.None: there is no such header"),
        ("capture: {id: 'regex:co(ff)ee'}", "capture id from regex:co(ff)ee: it is not found in the body"),
    ],
)
def test_the_message_names_step_expectation_and_what_came(
    pytester: pytest.Pytester, shop: ShopServer, step: str, message: str
) -> None:
    run(pytester, shop, one(f"load: {{iterations: 2}}\nsteps:\n  - get: /items\n    {step}"), failed=1)
    [failure] = results()["shop.ipload.yaml::one"]["failures"]
    assert message in failure["message"]
    assert (failure["type"], failure["location"]) == ("ScenarioFailed", "shop.ipload.yaml:5")


def test_environments(pytester: pytest.Pytester, shop: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", shop.url)
    text = one(
        """
        load: {iterations: "${rounds}"}
        steps:
          - get: /items/${item}
        """,
        """
        base_url: ${env.NO_SUCH_URL:-http://127.0.0.1:1}
        defaults: {variables: {item: 7, rounds: 1}, headers: {X-Shop: a, X-Kept: "1"}}
        environments:
          staging: {base_url: "${env.SHOP_URL}", variables: {item: 8, rounds: 2}, headers: {X-Shop: b}}
          local: {}
        """,
    )
    run(pytester, None, text, "--ipload-environment=staging", passed=1)
    assert [each.line for each in shop.seen] == ["GET /items/8"] * 2
    assert {(each.headers["x-shop"], each.headers["x-kept"]) for each in shop.seen} == {("b", "1")}
    run(pytester, None, text, failed=1)  # the file's own base URL, where nothing listens
    run(pytester, shop, text, "-o", "ipload_environment=local", passed=1)  # the command line comes first
    assert shop.seen[-1].line == "GET /items/7"
    result = run(pytester, None, text, "--ipload-environment=stagign", errors=1)
    result.stdout.fnmatch_lines(
        ["shop.ipload.yaml:3:1: unknown environment 'stagign' (did you mean 'staging'?); known: staging, local"]
    )


CONFTEST = """
    import pytest

    class Ping:
        def init(self, user):
            self.count = 0

        def do(self, user, *, word):
            self.count += 1
            return {"answer": word[::-1], "count": self.count}

        def release(self, user):
            pass

    @pytest.fixture
    def account(ipload_user):
        return {"name": f"user-{ipload_user.index}"}

    @pytest.fixture
    def ping(ipload_user):
        return Ping()

    @pytest.fixture
    def number(ipload_iteration):
        return ipload_iteration.number * 10
"""


def test_fixtures_are_values_and_actions_have_outputs(pytester: pytest.Pytester, shop: ShopServer) -> None:
    pytester.makeconftest(CONFTEST)
    text = one("""
        load: {iterations: 2}
        fixtures: [ping, account, number]
        set_up:
          - get: /login?name=${account.name}
        steps:
          - action: ${ping}
            name: PING
            with: {word: "w${number}"}
          - get: /items/${count}
            params: {answer: "${answer}"}
    """)
    run(pytester, shop, text, passed=1)
    assert [each.line for each in shop.seen] == [
        "GET /login?name=user-0", "GET /items/1?answer=0w", "GET /items/2?answer=01w",
    ]  # fmt: skip
    assert sorted(names(results()["shop.ipload.yaml::one"])) == ["GET /items/{count}", "PING"]


def test_a_failed_set_up_or_teardown_step_is_an_error_of_the_test(pytester: pytest.Pytester, shop: ShopServer) -> None:
    result = run(pytester, shop, one("set_up: [get: /none]\nsteps: [get: /items]"), errors=1)
    result.stdout.fnmatch_lines(
        ["*GET /none: status: expected a status from 200 to 399, got 404 Not Found*", "*set_up:*"]
    )
    assert [each.line for each in shop.seen] == ["GET /none"]
    teardown = one("tear_down: [get: /none, post: /logout]\nsteps: [get: /items]")
    run(pytester, shop, teardown, passed=1, errors=1)
    assert [each.line for each in shop.seen[-2:]] == ["GET /none", "POST /logout"]


def test_think_time_is_no_part_of_the_iteration(pytester: pytest.Pytester, shop: ShopServer) -> None:
    text = one("""
        load: {iterations: 2}
        thresholds: ["iteration.max < 500ms", "p95{step:buy} < 500ms"]
        steps:
          - step: buy
            steps:
              - think: 500ms-510ms
              - get: /items
    """)
    run(pytester, shop, text, passed=1)
    assert results()["shop.ipload.yaml::one"]["duration_s"] > 0.95


def test_the_end_of_the_load_ends_a_pause_and_fails_nothing(pytester: pytest.Pytester, shop: ShopServer) -> None:
    text = one("""
        load: {users: 2, duration: 300ms, graceful_stop: 100ms}
        steps: [get: /items, {think: 60s, if: "${iteration} > 0"}, get: /items/7]
        tear_down: [post: /logout]
    """)
    run(pytester, shop, text, passed=1)
    test = results()["shop.ipload.yaml::one"]
    assert (test["iterations"], test["failed_iterations"]) == (2, 0)
    assert "unstoppable-users" not in json.dumps(test["generator"])
    assert [each.line for each in shop.seen[-2:]] == ["POST /logout"] * 2


def test_repeat_and_if(pytester: pytest.Pytester, shop: ShopServer) -> None:
    text = one("""
        data: {file: users.csv, as: user_row}
        steps:
          - repeat: 2
            steps: [get: /items/1]
          - repeat: {times: "${user_row.n}", steps: [get: /items/2]}
          - if: ${user_row.name} == "ada"
            steps: [get: /items/3]
            else: [get: /items/4]
          - get: /items/5
            if: not ${user_row.name}
          - get: /items/6
            if: ${user.index} in [0, 1]
    """)
    Path("users.csv").write_text("name,n\nbob,3\n")
    run(pytester, shop, text, passed=1)
    assert [each.line[-1] for each in shop.seen] == [*"11222", "4", "6"]


@pytest.mark.parametrize(
    ("per", "rows"),
    [("", ["ada", "bob", "ada"]), (", per: user", ["ada", "ada", "ada"]), (", order: unique", ["ada", "bob"])],
)
def test_rows_are_drawn_for_each_iteration_or_user(
    pytester: pytest.Pytester, shop: ShopServer, per: str, rows: list[str]
) -> None:
    Path("users.jsonl").write_text('{"name": "ada"}\n{"name": "bob"}\n')
    text = one(f"""
        load: {{iterations: 3}}
        data: {{file: users.jsonl{per}}}
        steps: [get: "/items/1?${{row.name}}"]
    """)
    run(pytester, shop, text)
    assert [each.line.partition("?")[2] for each in shop.seen] == rows
    [test] = results().values()
    assert test["verdict"] == ("passed" if len(rows) == 3 else "failed")
    assert [failure["type"] for failure in test["failures"]] == ["FeedExhausted"] * (3 - len(rows))


def test_what_an_iteration_captures_ends_with_it_and_what_the_set_up_captures_stays(
    pytester: pytest.Pytester, shop: ShopServer
) -> None:
    text = one("""
        load: {iterations: 2}
        set_up:
          - get: /items
            capture: {first: "body.items[0].id"}
        steps:
          - get: /items/${first}
            params: {price: "${price:-none}"}
          - get: /items/8
            if: ${iteration} == 0
            capture: {price: body.price}
    """)
    run(pytester, shop, text, passed=1)
    assert [each.line for each in shop.seen] == [
        "GET /items", "GET /items/7?price=none", "GET /items/8", "GET /items/7?price=none",
    ]  # fmt: skip


def test_defaults_hold_for_all_scenarios_and_own_settings_come_first(
    pytester: pytest.Pytester, shop: ShopServer
) -> None:
    text = """
        defaults:
          timeout: 7s
          load: {users: 2, iterations: 2}
          thresholds: [requests > 3]
          expect: {status: 404, header.Content-Type: application/json}
          think: 20ms
        scenarios:
          one: {steps: [get: /none]}
          two: {load: {users: 1, timeout: 9s}, steps: [{get: /items, expect: 200}, {get: /login, expect: 200}]}
    """
    run(pytester, shop, text, passed=1, failed=1)
    first, second = (results()[f"shop.ipload.yaml::{name}"] for name in ("one", "two"))
    assert (first["verdict"], first["users"], first["requests"]) == ("passed", 2, 4)
    assert first["duration_s"] > 0.04
    assert [each["profile"]["timeout_s"] for each in (first, second)] == [7, 9]
    assert (second["users"], second["requests"], second["failed_requests"]) == (1, 4, 2)
    assert "requests > 3" in [each["expression"] for each in second["thresholds"]]
    assert "GET /login: header.Content-Type" in second["failures"][0]["message"]


def test_what_is_sent(pytester: pytest.Pytester, shop: ShopServer) -> None:
    Path("logo.txt").write_text("a logo")
    text = one(
        """
        steps:
          - post: /orders
            data: héllo ${iteration}
            headers: {X-Own: "${token}", X-Default: null, X-Number: 5}
          - get: /items/8
            capture: {token: body.price}
          - put: /items/7
            headers: {X-Flag: true}
            params: {q: "a b&c", none: null, flag: false}
            data: {a: 1, b: [x, y]}
            timeout: 5s
          - post: /orders
            files: {logo: logo.txt, other: {file: logo.txt, name: "x-${user.index}.svg", type: image/svg+xml}}
            data: {kind: img}
        """,
        """
        defaults: {headers: {X-Default: d, X-Late: "${token}"}, variables: {tokens: 1}, expect: {status: 2xx}}
        """,
    ).replace('X-Own: "${token}"', 'X-Own: "$${token}"')
    run(pytester, shop, text, passed=1)
    raw, _, form, upload = shop.seen
    assert raw.body == "héllo 0"
    assert {name: raw.headers.get(name) for name in ("x-own", "x-default", "x-late", "x-number")} == {
        "x-own": "${token}", "x-default": None, "x-late": None, "x-number": "5",
    }  # fmt: skip
    assert (form.line, form.body) == ("PUT /items/7?q=a+b%26c&flag=false", "a=1&b=x&b=y")
    assert (form.headers["x-flag"], form.headers["x-default"], form.headers["x-late"]) == ("true", "d", "2.5")
    assert 'filename="x-0.svg"\r\nContent-Type: image/svg+xml' in upload.body
    assert 'name="kind"\r\n\r\nimg' in upload.body


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("scenarios: {one: {stpes: []}}", ["shop.ipload.yaml:1:19: unknown key 'stpes' (did you mean 'steps'?)*"]),
        (
            "scenarios: {setup_module: {steps: [{get: /}]}}",
            ["*:1:13: the scenario name 'setup_module' means something*"],
        ),
        ("scenarios: {'a::b': {steps: [{get: /}]}}", ["*:1:13: 'a::b' cannot be the name of a scenario; allowed:*"]),
    ],
)
def test_a_malformed_file_is_a_collection_error(pytester: pytest.Pytester, text: str, lines: list[str]) -> None:
    result = run(pytester, None, text, errors=1)
    result.stdout.fnmatch_lines(lines)
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_ipload/*")


def test_scenarios_run_together_by_the_marker_for_that_if_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "shop.ipload.yaml").write_text("scenarios: {one: {together: x, steps: [{get: /}]}}")
    [scenario] = read_scenarios(tmp_path / "shop.ipload.yaml", "shop.ipload.yaml", None)
    with pytest.raises(ScenarioFileError, match=r"^shop.ipload.yaml:1:19: together: this version has no marker"):
        scenario_module.together_mark(scenario, {})
    marker = Mock()
    assert (
        scenario_module.together_mark(scenario, {"ipload_together": ""}, marker) is marker.ipload_together.return_value
    )
    marker.ipload_together.assert_called_once_with("x")


def test_a_file_that_is_named_almost_right_is_not_passed_over(pytester: pytest.Pytester) -> None:
    Path("shop.ipload.yml").write_text("scenarios: {}")
    Path("other.yaml").write_text("not ours: [")
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["shop.ipload.yml: scenario files are named [*].ipload.yaml; rename it to shop.ipload.yaml"]
    )


def test_a_scenario_file_with_another_name_is_refused_if_it_is_given(pytester: pytest.Pytester) -> None:
    Path("shop.yaml").write_text("scenarios: {}")
    Path("other.yaml").write_text("a: b")
    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result = pytester.runpytest(*OPTIONS, "shop.yaml")
    result.stdout.fnmatch_lines(["shop.yaml: scenario files are named [*].ipload.yaml; rename it to shop.ipload.yaml"])
    assert "rename" not in pytester.runpytest(*OPTIONS, "other.yaml").stdout.str()


def test_a_missing_fixture_is_shown_where_the_file_names_it(pytester: pytest.Pytester, shop: ShopServer) -> None:
    result = run(pytester, shop, one("fixtures: [shoper]\nsteps: [get: /]"), errors=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml:3:*: fixtures: fixture 'shoper' not found", "*available fixtures:*"])
    assert "_ipload_steps" not in result.stdout.str()


def test_plans_say_where_in_the_file_values_come_from(pytester: pytest.Pytester) -> None:
    environments = "base_url: http://127.0.0.1:1\nenvironments: {staging: {base_url: 'http://127.0.0.1:2'}}"
    Path("shop.ipload.yaml").write_text(one("load: {users: 3}\nsteps: [get: /]", environments))
    plan = pytester.runpytest(*OPTIONS, "--collect-only", "-v").stdout.str()
    assert re.search(r"3 users \(shop\.ipload\.yaml:\d+:\d+\), .*127\.0\.0\.1:1 \(shop\.ipload\.yaml:\d+:\d+\)", plan)
    plan = pytester.runpytest(*OPTIONS, "--collect-only", "-v", "--ipload-environment=staging").stdout.str()
    assert "http://127.0.0.1:2 (environment staging)" in plan


def test_a_variable_that_an_imported_module_needs_fails_its_set_up(pytester: pytest.Pytester) -> None:
    Path("curl.txt").write_text("curl http://127.0.0.1:9/ -d password=x")
    assert main(["import", "curl.txt", "-o", "test_it.py"]) == 0
    pytester.makepyfile(test_other="def test_other(): pass")
    result = pytester.runpytest(*OPTIONS)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*set the environment variable CURL_PASSWORD*"])


def test_components_and_missing_variables_are_errors_of_the_set_up(pytester: pytest.Pytester, shop: ShopServer) -> None:
    Path("shop.wasm").touch()
    result = run(pytester, shop, one("steps: [component: shop.wasm]"), errors=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml:3:13: component shop.wasm: it is not WebAssembly: *"])
    result = run(pytester, shop, one("load: {users: '${env.NO_USERS}'}\nsteps: [get: '/${env.NO_PATH}']"), errors=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml:3:19: users: ${env.NO_USERS}: *; set the variable, or write *"])
    result = run(pytester, shop, one("steps: [get: '/${env.NO_PATH}']"), errors=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml:3:18: the environment variable NO_PATH is not set; set it, *"])
    assert shop.seen == []


def test_secrets_are_masked(pytester: pytest.Pytester, shop: ShopServer) -> None:
    text = one("""
        load: {iterations: 2}
        steps:
          - get: /login
            expect: {matches: nothing, status: 200}
            capture: {password: 'regex:value="([^"]+)"'}
          - post: /orders
            expect: {body.order: "${password}"}
          - get: /items/7
            expect: {body.token: abcdef123}
    """)
    result = run(pytester, shop, text, failed=1)
    assert "abcdef123" not in result.stdout.str() + Path("out.json").read_text()


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ('{status: 201, body: "${env.TOK}"}', 'body: expected ${env.TOK}, got {"order": "***"}'),
        ('{status: 201, body.order: "a ${env.TOK}"}', 'body.order: expected "a ${env.TOK}", got "***"'),
        ('{status: 201, body: {order: ["${env.TOK}"]}}', 'expected {"order": ["${env.TOK}"]}, got {"order": "***"}'),
        ('{status: 201, header.Location: "${env.TOK}"}', 'expected ${env.TOK}, got "/orders/***"'),
        ("{status: 201, matches: 'x${env.TOK}'}", 'regex:x${env.TOK} is not found in the body \'{"order": "***"}\''),
    ],
)
@pytest.mark.parametrize("in_set_up", [False, True])
def test_values_of_the_environment_are_in_no_output(
    pytester: pytest.Pytester,
    shop: ShopServer,
    monkeypatch: pytest.MonkeyPatch,
    expect: str,
    message: str,
    in_set_up: bool,
) -> None:
    monkeypatch.setenv("TOK", "A-1")
    step = f"""
      - post: /orders
        headers: {{Authorization: "Bearer ${{env.TOK}}"}}
        expect: {expect}"""
    steps = f"set_up:{step}\nsteps: [get: /items]" if in_set_up else f"steps:{step}"
    text = one(f"load: {{iterations: 2}}\n{dedent(steps)}")
    result = run(pytester, shop, text, "-vv", "--junit-xml=out.xml", **{"errors" if in_set_up else "failed": 1})
    outputs = [result.stdout.str(), Path("out.json").read_text(), Path("out.xml").read_text()]
    assert [output for output in outputs if "A-1" in output] == []
    assert message in result.stdout.str().replace("\n", " ")
    assert "${env.TOK}" in outputs[1]
    assert "${env.TOK}" in outputs[2]


def test_a_secret_of_the_environment_is_not_in_a_name(
    pytester: pytest.Pytester, shop: ShopServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "abc-secret-1")
    monkeypatch.setenv("SHOP_REGION", "north")
    text = one("steps: [{get: /items, name: 'items of ${env.SHOP_TOKEN} in ${env.SHOP_REGION}'}]")
    result = run(pytester, shop, text, passed=1)
    assert "items of *** in north" in Path("out.json").read_text()
    assert "abc-secret-1" not in Path("out.json").read_text() + result.stdout.str()


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("step", ["if: ${user.index} > 9", 'repeat: "${env.NONE:-0}"'])
def test_iterations_in_which_no_step_is_run_get_a_remark(
    pytester: pytest.Pytester, shop: ShopServer, iterations: int, step: str
) -> None:
    text = f"load: {{iterations: {iterations}}}\nsteps:\n  - {step}\n    steps: [get: /items]"
    run(pytester, shop, one(text), passed=1)
    notes = " ".join(results()["shop.ipload.yaml::one"]["generator"]["notes"])
    assert f"no step was run in {iterations} iteration" in notes
    run(pytester, shop, one("steps: [get: /items]"), passed=1)
    assert "no step was run" not in Path("out.json").read_text()


def test_an_unknown_action_is_an_error_of_the_set_up(pytester: pytest.Pytester, shop: ShopServer) -> None:
    result = run(pytester, shop, one("load: {users: 2}\nsteps:\n  - get: /items\n  - action: nope"), errors=1)
    result.stdout.fnmatch_lines(["shop.ipload.yaml:6:9: unknown action 'nope'; *"])
    assert results()["shop.ipload.yaml::one"]["verdict"] == "error"
    assert shop.seen == []
