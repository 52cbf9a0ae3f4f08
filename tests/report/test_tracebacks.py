"""What pytest shows of a failure behind requests: the user's own lines, and the fault in words before all else."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.whole_run import whole_run

pytestmark = pytest.mark.usefixtures("closed_port")

CONFTEST = """
    @pytest.fixture
    def logged_in(ipload_session):
        ipload_session.post("/login")
"""
TESTS = """
    @pytest.mark.ipload(users=5, iterations=2)
    def test_set_up(logged_in):
        pass

    @pytest.mark.ipload(users=5, iterations=2)
    @pytest.mark.ipload_threshold("p95 < 1s")
    def test_body(ipload_session):
        ipload_session.get("/")

    def test_functional(ipload_session):
        ipload_session.get("/")
"""


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    """The base URL of a server that is not there."""
    monkeypatch.setenv("COLUMNS", "300")
    return "127.0.0.1:9"


def shown(lines: list[str], title: str) -> list[str]:
    """The lines of one failure, from its title on."""
    begin = next(number for number, line in enumerate(lines) if line.strip("_ ") == title)
    length = next(
        number for number, line in enumerate(lines[begin + 1 :]) if line.startswith(("___", "===", "--- ", "-----"))
    )
    body = lines[begin + 1 : begin + 1 + length]
    return [line for line in body if line and not line.startswith("[gw")]  # xdist's line


@pytest.mark.parametrize("style", ["auto", "long", "short", "native"])
def test_the_first_line_says_what_and_where_and_few_follow(
    pytester: pytest.Pytester, closed_port: str, style: str
) -> None:
    options = (f"--ipload-base-url=http://{closed_port}", f"--tb={style}")
    lines = whole_run(pytester, TESTS, *options, conftest=CONFTEST, failed=2, errors=1).result.outlines
    set_up = shown(lines, "ERROR at setup of test_set_up")
    assert set_up[0] == f"5 of 5 users failed in set-up: connection refused by {closed_port}, at conftest.py:7"
    assert any('ipload_session.post("/login")' in line for line in set_up)
    functional = shown(lines, "test_functional")
    assert functional[0] == f"connection refused by {closed_port}, at test_it.py:15"
    body = shown(lines, "test_body")
    assert body[0] == (
        f"p95: no successful samples, 10 failed, limit < 1.00 s: "
        f"ConnectionError at test_it.py:12: connection refused by {closed_port}"
    )
    assert f"  10 x ConnectionError at test_it.py:12: connection refused by {closed_port} " in "\n".join(body)
    for each in (set_up, functional, body):
        assert len(each) < 20
        assert not any(word in line for line in each for word in ("urllib3/", "requests/", "pytest_ipload/", "dial"))
        assert any("requests.exceptions.ConnectionError: HTTPConnectionPool(" in line for line in each)


def test_the_summary_the_reports_and_every_line_of_failures_say_the_same(
    pytester: pytest.Pytester, closed_port: str
) -> None:
    options = (f"--ipload-base-url=http://{closed_port}", "--junit-xml=out.xml", "--ipload-json=out.json")
    run = whole_run(pytester, TESTS, *options, conftest=CONFTEST, failed=2, errors=1)
    run.expect_lines(
        f"FAILED test_it.py::test_functional - connection refused by {closed_port}, at test_it.py:15",
        f"ERROR test_it.py::test_set_up - 5 of 5 users failed in set-up: connection refused by {closed_port}, at *",
    )
    root = ElementTree.parse(pytester.path / "out.xml").getroot()
    problems = {
        str(case.get("name")): next(child for child in case if child.tag in ("failure", "error"))
        for case in root.iter("testcase")
    }
    assert (problems["test_set_up"].text or "").startswith("5 of 5 users failed in set-up: connection refused by ")
    for problem in problems.values():
        assert "pytest_ipload/" not in (problem.text or "")
        assert f"connection refused by {closed_port}" in (problem.text or "").splitlines()[0]
    tests = json.loads((pytester.path / "out.json").read_text())["tests"]
    body = next(test for test in tests if test["nodeid"].endswith("test_body"))
    assert [(each["type"], each["message"]) for each in body["failures"]] == [
        ("ConnectionError", f"connection refused by {closed_port}")
    ]
    assert "pytest_ipload/" not in body["traceback"]["text"]
    assert 'ipload_session.get("/")' in body["traceback"]["text"]


def test_in_one_line_a_verdict_is_placed_in_the_test(pytester: pytest.Pytester, closed_port: str) -> None:
    run = whole_run(pytester, TESTS, f"--ipload-base-url=http://{closed_port}", "--tb=line", conftest=CONFTEST)
    run.expect_lines(
        f"*test_it.py:9: ThresholdFailed: p95: no successful samples, 10 failed, limit < 1.00 s: * "
        f"connection refused by {closed_port}",
        f"*test_it.py:15: connection refused by {closed_port}, at test_it.py:15",
    )


def test_full_trace_shows_all_of_it(pytester: pytest.Pytester, closed_port: str) -> None:
    options = (f"--ipload-base-url=http://{closed_port}", "--full-trace")
    run = whole_run(pytester, TESTS, *options, conftest=CONFTEST, failed=2, errors=1)
    run.expect_lines("5 of 5 users failed in set-up*", "*urllib3*connectionpool.py*")


def test_only_what_is_shown_changes(pytester: pytest.Pytester, closed_port: str) -> None:
    """Plugins and debuggers find the exception as requests raised it."""
    run = whole_run(
        pytester,
        """
        def test_it(ipload_session):
            ipload_session.get("/")
        """,
        f"--ipload-base-url=http://{closed_port}",
        "-s",
        conftest="""
            def frames(traceback):
                while traceback is not None:
                    yield traceback.tb_frame.f_globals["__name__"]
                    traceback = traceback.tb_next

            def pytest_exception_interact(call):
                error = call.excinfo.value
                print("raised", type(error).__module__, type(error).__name__, type(error.args[0]).__name__)
                print("behind it", type(error.__context__).__name__)
                print("requests.adapters" in set(frames(error.__traceback__)))
                print("requests.adapters" in set(frames(call.excinfo.tb)))
        """,
        failed=1,
    )
    run.expect_lines(
        "*raised requests.exceptions ConnectionError MaxRetryError", "behind it MaxRetryError", "True", "True"
    )


def test_the_users_own_exceptions_keep_their_frames_and_causes(pytester: pytest.Pytester, closed_port: str) -> None:
    pytester.makepyfile(
        shop="""
        import requests

        class Closed(Exception):
            pass

        class Shop:
            def __init__(self, session):
                self.session = session

            def buy(self):
                try:
                    self.session.get("/buy")
                except requests.ConnectionError as error:
                    raise Closed("for today") from error

            def buy_by_auth(self):
                self.session.get("/buy", auth=self.signs)

            def signs(self, request):
                raise Closed("no key")
        """
    )
    run = whole_run(
        pytester,
        """
        from shop import Shop

        def test_cause(ipload_session):
            Shop(ipload_session).buy()

        def test_inside(ipload_session):
            Shop(ipload_session).buy_by_auth()
        """,
        f"--ipload-base-url=http://{closed_port}",
        failed=2,
    )
    lines = run.result.outlines
    cause = shown(lines, "test_cause")
    assert "The above exception was the direct cause of the following exception:" in cause
    assert any("Closed: for today" in line for line in cause)
    assert sum("shop.py:" in line for line in cause) >= 2
    assert sum("MaxRetryError" in line for line in cause) == 0
    inside = shown(lines, "test_inside")
    assert any('raise Closed("no key")' in line for line in inside)
    assert any('self.session.get("/buy", auth=self.signs)' in line for line in inside)
    assert not any("requests/" in line or "pytest_ipload/" in line for line in [*cause, *inside])


def test_an_assertion_is_shown_as_pytest_shows_it(pytester: pytest.Pytester) -> None:
    source = """
        @pytest.mark.parametrize("found", [{"a": 1}])
        def test_it(request, found%s):
            assert found == {"a": 2}
    """
    stock = whole_run(pytester, source % "", failed=1).result.outlines
    ours = whole_run(pytester, source % ", ipload_user", failed=1).result.outlines
    title = "test_it[found0]"
    assert [line.replace(", ipload_user", "") for line in shown(ours, title) if "= <" not in line] == [
        line for line in shown(stock, title) if "= <" not in line
    ]


def test_a_shared_fixture_and_a_load_that_a_test_starts(pytester: pytest.Pytester, closed_port: str) -> None:
    run = whole_run(
        pytester,
        f"""
        import requests

        @pytest.fixture(scope="module")
        def shop():
            return requests.get("http://{closed_port}/")

        def test_shared(shop, ipload_session):
            pass

        def test_run(ipload):
            result = ipload.run(lambda user: user.session.get("http://{closed_port}/"), users=2)
            print(result.traceback.text)
            assert result.failures[0].message == "connection refused by {closed_port}"
            assert not result.traceback.text.count("urllib3/")
            assert "lambda user" in result.traceback.text
        """,
        passed=1,
        errors=1,
    )
    lines = shown(run.result.outlines, "ERROR at setup of test_shared")
    assert lines[0] == f"connection refused by {closed_port}, at test_it.py:9"
    assert len(lines) < 12


@pytest.mark.usefixtures("xdist")
def test_two_workers(pytester: pytest.Pytester, closed_port: str) -> None:
    run = whole_run(
        pytester, TESTS, f"--ipload-base-url=http://{closed_port}", "-n2", conftest=CONFTEST, failed=2, errors=1
    )
    lines = run.result.outlines
    set_up = shown(lines, "ERROR at setup of test_set_up")
    assert set_up[0] == (
        f"3 of 3 users failed in set-up on worker gw0: connection refused by {closed_port}, at conftest.py:7"
    )
    body = shown(lines, "test_body")
    assert body[0].endswith(f": connection refused by {closed_port}")
    assert len(set_up) < 20
    assert len(body) < 20


def test_the_page_shows_no_frame_of_a_library(pytester: pytest.Pytester, closed_port: str) -> None:
    whole_run(pytester, TESTS, f"--ipload-base-url=http://{closed_port}", "--ipload-html=out.html", conftest=CONFTEST)
    page = Path(pytester.path / "out.html").read_text()
    assert f"connection refused by {closed_port}" in page
    assert "urllib3/" not in page
    assert "pytest_ipload/transport" not in page
