"""Whole runs: load tests and per-user fixtures that are coroutines, beside the plugins that run such tests, too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.plugins import without_others
from support.whole_run import WholeRun, whole_run

PLUGINS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, str]] = {
    # the plugins, options, the marker of the tests, the decorator of the fixtures
    "no plugin": ((), (), "", "@pytest.fixture"),
    "pytest-asyncio, strict": (("asyncio",), (), "@pytest.mark.asyncio", "@pytest_asyncio.fixture"),
    "pytest-asyncio, plain fixtures": (("asyncio",), (), "@pytest.mark.asyncio", "@pytest.fixture"),
    "pytest-asyncio, unmarked": (("asyncio",), (), "", "@pytest.fixture"),
    "pytest-asyncio, auto": (("asyncio",), ("-oasyncio_mode=auto",), "", "@pytest.fixture"),
    "anyio": (("anyio",), (), "@pytest.mark.anyio", "@pytest.fixture"),
    "both": (("anyio", "asyncio"), ("-oasyncio_mode=auto",), "@pytest.mark.anyio", "@pytest_asyncio.fixture"),
}
"""Ways to write async tests."""

HEADER = """
    import asyncio, contextvars, functools
    try:
        import pytest_asyncio
    except ImportError:
        pass

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @functools.lru_cache
    def number_of(loop):
        return next(numbers)

    numbers = iter(range(1000))
"""


@pytest.fixture
def run_with(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``whole_run`` beside other plugins; ``MARK`` and ``FIXTURE`` in the source are as in ``PLUGINS``."""

    def run(way: str, source: str, *args: str, conftest: str | None = None, **outcomes: int) -> WholeRun:
        plugins, options, mark, fixture = PLUGINS[way]
        if "asyncio" in plugins:
            pytest.importorskip("pytest_asyncio")
            options = (*options, "-oasyncio_default_fixture_loop_scope=function")
        monkeypatch.setenv("PYTEST_ADDOPTS", without_others(*plugins))
        text = (HEADER + source).replace("MARK", mark).replace("FIXTURE", fixture)
        return whole_run(pytester, text, *options, *args, conftest=conftest, **outcomes)

    return run


def results(name: str = "out.json") -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads(Path(name).read_text(encoding="utf-8"))["tests"]
    return tests


SHOP = """
    COLOUR = contextvars.ContextVar("COLOUR", default="none")

    FIXTURE
    async def login(ipload_user, note):
        token = COLOUR.set(f"user {ipload_user.index}")
        note("login", number_of(asyncio.get_running_loop()))
        yield ipload_user.index
        COLOUR.reset(token)
        note("logout", number_of(asyncio.get_running_loop()))

    FIXTURE
    async def basket(login, ipload_user, note):
        await asyncio.sleep(0)
        assert COLOUR.get() == f"user {login}"
        return [login]

    FIXTURE
    async def order(ipload_iteration, basket, note):
        note("order", ipload_iteration.number)
        yield basket * 2
        note("sent", ipload_iteration.number)

    @pytest.fixture
    def price(basket):
        assert COLOUR.get() == f"user {basket[0]}"
        return 5

    MARK
    @pytest.mark.ipload(users=2, iterations=2)
    async def test_order(order, price, ipload_user, note):
        await asyncio.sleep(0)
        assert order == [ipload_user.index] * 2
        assert COLOUR.get() == f"user {ipload_user.index}"
        note("body", number_of(asyncio.get_running_loop()))
"""


@pytest.mark.parametrize("way", PLUGINS)
def test_each_user_has_its_own_loop_from_its_set_up_to_its_teardown(run_with: Any, way: str) -> None:
    run = run_with(way, SHOP, passed=1)
    assert run.shared == []
    loops = set()
    for user in (0, 1):
        events = run.user(user)
        loop = events[0].rpartition(" ")[2]
        loops.add(loop)
        each = [[f"order {number}", f"body {loop}", f"sent {number}"] for number in range(2)]
        assert events == [f"login {loop}", *each[0], *each[1], f"logout {loop}"]
    assert len(loops) == 2


MANY = """
    @pytest.fixture
    async def client(ipload_user):
        await asyncio.sleep(0)
        yield ipload_user.index

    class TestShop:
        @pytest.fixture
        async def cart(self, client):
            self.client = client
            return self

        MARK
        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.ipload(users=2, iterations=2)
        async def test_method(self, cart, number, ipload_user):
            await asyncio.sleep(0)
            assert (self, self.client) == (cart, ipload_user.index)
            self.number = getattr(self, "number", 0) + number
            assert self.number == number * (ipload_user.iteration + 1)

        MARK
        @staticmethod
        async def test_static(client, ipload_user):
            assert client == ipload_user.index

    @pytest.mark.ipload(users=2, iterations=2)
    def test_blocking_body(client, ipload_user):
        assert client == ipload_user.index

    MARK
    @pytest.mark.ipload(arrival_rate="200/s", total_iterations=6, users=1, max_users=3)
    async def test_open_model(client):
        await asyncio.sleep(0.001)

    MARK
    @pytest.mark.ipload(users=2, ramp_up="20ms", iterations=2, set_up="on-arrival")
    async def test_later(client):
        await asyncio.sleep(0.001)
"""


@pytest.mark.parametrize("way", ["no plugin", "pytest-asyncio, auto"])
def test_methods_parameters_and_all_load_models_work(run_with: Any, way: str) -> None:
    run_with(way, MANY, passed=6)


@pytest.mark.usefixtures("xdist")
def test_workers_share_an_async_load(run_with: Any) -> None:
    source = """
    MARK
    @pytest.mark.ipload(users=4, iterations=3)
    async def test_shared(ipload_user):
        async with ipload_user.measure("call"):
            await asyncio.sleep(0)
    """
    run_with("pytest-asyncio, strict", source, "-n2", "--ipload-json=out.json", passed=1)
    [test] = results()
    assert (test["users"], test["requests"], len(test["shards"])) == (4, 12, 2)


def test_a_load_that_a_test_runs_takes_coroutines_and_mixes_them(run_with: Any) -> None:
    source = """
    async def browse(user):
        async with user.measure("browse it"):
            await asyncio.sleep(0)

    def buy(user):
        with user.measure("buy it"):
            pass

    def test_run(ipload):
        result = ipload.run(browse, users=2, iterations=2)
        assert (result.requests, result.failed_iterations) == (4, 0)
        result = ipload.run({browse: 1, buy: 1}, users=2, iterations=2)
        assert {row.name: row.requests for row in result.by_name} == {"browse it": 2, "buy it": 2}
        assert {step.name for step in result.steps} == {"browse", "buy"}
    """
    run_with("no plugin", source, passed=1)


OUTCOMES = """
    class Odd(BaseException):
        pass

    FIXTURE
    async def thing(USER):
        loop = asyncio.get_running_loop()
        yield loop
        assert asyncio.get_running_loop() is loop

    FIXTURE
    async def broken(USER):
        raise OSError("503")

    FIXTURE
    async def breaks(USER):
        yield
        raise OSError("504")

    MARK
    async def test_passes(thing, USER):
        assert asyncio.get_running_loop() is thing
        assert asyncio.get_event_loop() is thing
        assert asyncio.current_task() is not None

    MARK
    async def test_fails(thing, USER):
        await asyncio.sleep(0)
        assert thing is None

    MARK
    async def test_skips(thing, USER):
        pytest.skip("not today")

    MARK
    async def test_fails_at_once(thing, USER):
        pytest.fail("so it is")

    MARK
    @pytest.mark.xfail(raises=KeyError, strict=True)
    async def test_is_known_to_fail(thing, USER):
        raise KeyError

    MARK
    @pytest.mark.xfail(raises=KeyError, strict=True)
    async def test_is_not_that_one(thing, USER):
        raise ValueError

    MARK
    async def test_is_odd(thing, USER):
        raise Odd

    MARK
    async def test_cancels_itself(thing, USER):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    MARK
    async def test_times_out(thing, USER):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(60), 0.001)

    MARK
    async def test_gathers(thing, USER):
        assert await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2)) == [1, 2]

    MARK
    async def test_set_up(broken, USER):
        pass

    MARK
    async def test_teardown(breaks, USER):
        pass
"""


def test_a_functional_run_has_the_outcomes_of_pytest_asyncio(run_with: Any) -> None:
    """One user and one iteration, against the same tests that request no user."""
    way = "pytest-asyncio, strict"
    ordinary, load = (run_with(way, OUTCOMES.replace("USER", name)) for name in ("request", "ipload_user"))
    phases = [
        [(report.nodeid, report.when, report.outcome, hasattr(report, "wasxfail")) for report in run.reports]
        for run in (ordinary, load)
    ]
    assert phases[0] == phases[1]
    assert len(phases[0]) >= 12 * 3 - 2
    crashes = [
        {report.nodeid: report.longrepr.reprcrash.lineno for report in run.reports if report.failed}
        for run in (ordinary, load)
    ]
    in_asyncio = crashes[0].pop("test_it.py::test_cancels_itself")  # in asyncio's lines, which a load leaves out
    assert crashes[1].pop("test_it.py::test_cancels_itself") < in_asyncio
    assert crashes[0] == crashes[1]


class TestFailures:
    def test_show_the_users_own_lines(self, run_with: Any) -> None:
        source = """
    async def fetch(number):
        await asyncio.sleep(0)
        assert number < 2, "too many"

    MARK
    @pytest.mark.ipload(users=2, iterations=1)
    async def test_gathers(ipload_user):
        async with ipload_user.step("fetch"):
            await asyncio.gather(fetch(1), asyncio.wait_for(fetch(2), 5))

    MARK
    async def test_functional(ipload_user):
        await asyncio.wait_for(fetch(3), 5)
        """
        run = run_with("pytest-asyncio, strict", source, "--ipload-json=out.json", failed=2)
        output = run.result.stdout.str()
        assert "AssertionError: too many" in output
        failures = output.partition("load tests =")[0]  # in CI, pytest's summary has all of it again
        assert failures.count(">       assert number < 2") == failures.count("asyncio.wait_for(fetch(") == 2
        for name in ("user_loop.py", "/asyncio/", "per_user.py", "runners.py"):
            assert name not in output
        [test, _] = results()
        assert [(each["type"], each["count"]) for each in test["failures"]] == [("AssertionError", 2)]
        assert test["failures"][0]["location"].startswith("test_it.py:")

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with Python 3.11")
    def test_of_task_groups_and_timeouts_are_those_of_the_body(self, run_with: Any) -> None:
        source = """
    async def fails():
        raise KeyError("inside")

    @pytest.fixture
    async def group(ipload_user):
        async with asyncio.TaskGroup() as tasks:
            yield tasks

    @pytest.mark.ipload(users=2, iterations=2)
    async def test_passes(group):
        async with asyncio.timeout(5), asyncio.TaskGroup() as own:
            own.create_task(asyncio.sleep(0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        await group.create_task(asyncio.sleep(0))

    async def test_fails(ipload_user):
        async with asyncio.TaskGroup() as own:
            own.create_task(fails())

    async def test_fails_in_the_fixture(group):
        group.create_task(fails())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        """
        run = run_with("no plugin", source, passed=2, failed=1, errors=1)
        run.expect_lines("*ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)*")
        assert run.result.stdout.str().count("KeyError: 'inside'") >= 2
        assert run.phases("failed") == ["call", "teardown"]

    def test_in_a_set_up_are_errors_of_the_set_up(self, run_with: Any) -> None:
        source = """
    @pytest.fixture
    async def login(ipload_user):
        await asyncio.sleep(0)
        raise OSError("503 for the login")

    @pytest.mark.ipload(users=3)
    async def test_it(login):
        pass
        """
        run = run_with("no plugin", source, errors=1)
        run.expect_lines('>       raise OSError("503 for the login")', "E * OSError: 503 for the login")
        run.result.stdout.no_fnmatch_line("*user_loop*")


class TestSharedFixtures:
    def test_stay_those_of_their_plugin(self, run_with: Any) -> None:
        source = """
    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def place(note):
        async def answer(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        note("shared")
        await asyncio.sleep(0)
        yield "localhost"
        note("shared over")

    @pytest.mark.asyncio(loop_scope="module")
    async def test_ordinary(place):
        await asyncio.sleep(0)

    @pytest.mark.asyncio(loop_scope="module")
    @pytest.mark.ipload(users=2, iterations=2)
    async def test_load(place, ipload_user):
        await asyncio.sleep(0)
        assert place == "localhost"
        """
        assert run_with("pytest-asyncio, strict", source, passed=2).all == ["shared", "shared over"]

    def test_that_belong_to_another_loop_are_refused(self, run_with: Any) -> None:
        source = """
    @pytest_asyncio.fixture
    async def queue():
        yield asyncio.Queue()

    @pytest_asyncio.fixture
    async def name(queue):
        return "plain"

    @pytest.mark.asyncio
    async def test_body(queue, ipload_user):
        raise AssertionError("must not run")

    @pytest_asyncio.fixture
    async def reader(queue, ipload_user):
        raise AssertionError("must not run")

    def test_fixture(reader):
        raise AssertionError("must not run")

    @pytest.mark.asyncio
    async def test_plain(name, ipload_user):
        assert name == "plain"
        """
        run = run_with("pytest-asyncio, strict", source, passed=1, errors=2)
        message = (
            "all users would share 'queue' (asyncio.queues.Queue), which belongs to one event loop, and each user has "
            "a loop of its own; let the fixture depend on ipload_user, so that each user makes its own"
        )
        assert run.result.stdout.lines.count(message) == 2

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
    def test_hidden_in_other_objects_get_a_note(self, run_with: Any) -> None:
        source = """
    class Shop:
        def __init__(self):
            self.ready = asyncio.get_running_loop().create_future()

    @pytest_asyncio.fixture
    async def shop():
        return Shop()

    @pytest.mark.asyncio
    async def test_it(shop, ipload_user):
        await shop.ready
        """
        run = run_with("pytest-asyncio, strict", source, failed=1)
        run.expect_lines("E * RuntimeError: *attached to a different loop", "E *(shared here: shop); let the fixture *")

    def test_without_a_plugin_are_refused_by_pytest(self, run_with: Any) -> None:
        source = """
    @pytest.fixture(scope="module")
    async def place():
        return "localhost"

    async def test_it(place, ipload_user):
        raise AssertionError("must not run")
        """
        run = run_with("no plugin", source, errors=1)
        run.expect_lines("*requested an async fixture 'place'*")


def test_an_async_fixture_by_name_works_in_blocking_code_and_says_what_to_do_in_a_coroutine(run_with: Any) -> None:
    source = """
    @pytest.fixture
    async def client(ipload_user):
        return ipload_user.index

    @pytest.fixture
    def named(request, ipload_user):
        return request.getfixturevalue("client")

    @pytest.mark.ipload(users=2)
    async def test_works(named, ipload_user):
        assert named == ipload_user.index

    async def test_fails(request, ipload_user):
        request.getfixturevalue("client")
    """
    run = run_with("no plugin", source, passed=1, failed=1)
    run.expect_lines("E * name an async fixture in the signature in place of request.getfixturevalue()")


def test_waiting_for_a_turn_leaves_the_users_other_tasks_alone(run_with: Any) -> None:
    source = """
    @pytest.mark.ipload(users=1, iterations=1, max_rate="50/s")
    async def test_it(ipload_user, note):
        async def beat():
            while True:
                await asyncio.sleep(0)
                beats.append(len(done))

        async def call(number):
            async with ipload_user.measure("call"):
                done.append(number)

        beats, done = [], []
        beating = asyncio.create_task(beat())
        await asyncio.gather(*(call(number) for number in range(3)))
        beating.cancel()
        assert {1, 2} <= set(beats)
    """
    run_with("no plugin", source, "--ipload-json=out.json", passed=1)
    assert results()[0]["requests"] == 3


def test_the_plan_counts_the_files_of_the_users_loops(run_with: Any) -> None:
    source = """
    @pytest.mark.ipload(users=40)
    async def test_it(ipload_user):
        pass
    """
    run = run_with("no plugin", source, "--collect-only", "-v")
    run.expect_lines("*::test_it: 40 users *needs about 260 open files and *")


CLIENTS = {
    "httpx": """
    import httpx, ssl

    CONTEXT = ssl.create_default_context()

    @pytest.fixture
    async def client(ipload_user):
        async with httpx.AsyncClient(base_url=URL, verify=CONTEXT, trust_env=False) as client:
            yield client

    async def get(client, path):
        response = await client.get(path)
        response.raise_for_status()
        return response.text
    """,
    "aiohttp": """
    import aiohttp

    @pytest.fixture
    async def client(ipload_user):
        async with aiohttp.ClientSession(URL) as client:
            yield client

    async def get(client, path):
        async with client.get(path) as response:
            response.raise_for_status()
            return await response.text()
    """,
}


@pytest.mark.parametrize("name", CLIENTS)
def test_calls_of_an_async_client_are_measured(run_with: Any, name: str) -> None:
    pytest.importorskip(name)
    source = """
    @pytest.mark.ipload(users=3, iterations=4)
    @pytest.mark.ipload_threshold("error_rate < 60%")
    async def test_it(client, ipload_user):
        async with ipload_user.measure("GET /"):
            assert await get(client, "/")
        if ipload_user.iteration % 2:
            async with ipload_user.measure("GET /gone"):
                await get(client, "/status/410")
    """
    with RecordingServer() as server:
        text = f"    URL = {server.url('')!r}\n" + CLIENTS[name] + source
        run_with("no plugin", text, "--ipload-json=out.json", passed=1)
        assert len(server.hits) == 18
        assert len(server.connections) == 3  # each user keeps its own
    rows = {row["name"]: (row["requests"], row["failed_requests"]) for row in results()[0]["by_name"]}
    assert rows == {"GET /": (12, 0), "GET /gone": (6, 6)}


FACTORIES = {
    "pytest-asyncio": (
        "pytest-asyncio, strict",
        """
    def pytest_asyncio_loop_factories():
        from test_it import OwnLoop
        return {"own": OwnLoop}
    """,
    ),
    "anyio": (
        "anyio",
        """
    @pytest.fixture
    def anyio_backend():
        from test_it import OwnLoop
        return "asyncio", {"loop_factory": OwnLoop}
    """,
    ),
}


@pytest.mark.parametrize("plugin", FACTORIES)
def test_users_have_loops_of_the_kind_that_the_plugin_is_set_to(run_with: Any, plugin: str) -> None:
    way, conftest = FACTORIES[plugin]
    source = """
    del anyio_backend

    class OwnLoop(asyncio.SelectorEventLoop):
        pass

    MARK
    @pytest.mark.ipload(users=2)
    async def test_it(ipload_user):
        assert type(asyncio.get_running_loop()).__name__ == "OwnLoop"
    """
    run_with(way, source, conftest=conftest, passed=1)


@pytest.mark.parametrize("name", CLIENTS)
def test_async_clients_leave_from_the_addresses_of_their_users(run_with: Any, name: str) -> None:
    pytest.importorskip(name)
    source = """
    @pytest.mark.ipload(users=50, iterations=2, pool="127.0.0.0/28")
    async def test_it(client, ipload_user):
        async with ipload_user.measure("GET /"):
            assert await get(client, f"/?from={ipload_user.source_address}")

    @pytest.mark.ipload(users=2, iterations=1)
    async def test_guard(client, ipload_user):
        await get(client, "http://203.0.113.7/")
    """
    with RecordingServer() as server:
        text = f"    URL = {server.url('')!r}\n"
        run = run_with("no plugin", text + CLIENTS[name] + source, "--ipload-json=out.json", passed=1, errors=1)
        assert {(hit.peer, hit.target) for hit in server.hits} == {
            (f"127.0.0.{number}", f"/?from=127.0.0.{number}") for number in range(1, 15)
        }
        assert len(server.hits) == 100
    run.expect_lines("error: the test failed: *'203.0.113.7' is not in ipload_allowed_hosts; load was not sent. *")
    rows = {row["source_address"]: row["users"] for row in results()[0]["by_source"]}
    assert rows == {f"127.0.0.{number}": 4 if number < 9 else 3 for number in range(1, 15)}


def test_a_loop_whose_sockets_cannot_be_bound_is_refused(run_with: Any) -> None:
    source = """
    del anyio_backend

    class LoopInC(asyncio.AbstractEventLoop):
        def __init__(self):
            self.inner = asyncio.new_event_loop()

        def __getattribute__(self, name):
            own = name in ("inner", "__class__", "__init__")
            return object.__getattribute__(self, name) if own else getattr(self.inner, name)

    @pytest.fixture
    def anyio_backend():
        return "asyncio", {"loop_factory": LoopInC}

    MARK
    async def test_refused(ipload_user):
        raise AssertionError("must not run")
    """
    run = run_with("anyio", source, errors=1)
    run.expect_lines("test_it.LoopInC opens its sockets in C, *bind_sockets='session'")
