"""What a sandboxed component costs beside a body in Python that does the same: time of a call, and memory of a user.

The target is the demo target of the examples, in a process of its own. The bodies take turns, so that a slow moment of
the machine affects all of them. Components in Python and JavaScript are measured if examples/components/build.sh has
built them. With ``--minutes``, 50 users run a component for so long, and the memory of their process is watched.
The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from machine import describe, interruptible, prepare
from options import amount, count
from table import block, markdown, median, ratio, spread
from tools import bring_load_tests, pytest_command

from pytest_ipload.components.component import Component
from pytest_ipload.components.component_store import ComponentStore
from pytest_ipload.load.test_data.data_feeds import DataFeeds
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.transport.session import LoadSession

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
BODIES = Path(__file__).resolve().parent / "bodies"
SOURCE = "127.0.0.5"
_WARM = 20
_MIB = 1 << 20
_MEMORY = "256MiB"
_WATCHED_USERS = 50
Body = Callable[[VirtualUser], object]


class Scenario(NamedTuple):
    """A body, and the name of the one in Python that does the same."""

    name: str
    body: Body
    beside: str


class Turn(NamedTuple):
    """Microseconds per iteration of one turn: by the clock, and of this process's time on a core."""

    clock_us: float
    cpu_us: float


class Users(NamedTuple):
    """What one user more takes: milliseconds until it is set up, and memory in MiB."""

    set_up_ms: float
    mib: float


def whoami(user: VirtualUser) -> None:
    """The body in Python that does what ``bodies/whoami.wat`` does."""
    user.session.get("/whoami")


def shop(user: VirtualUser) -> None:
    """The body in Python that does what the components of the examples do, but for their TCP connection."""
    session = user.session
    if not session.cookies:
        session.post("/login", json={"name": "ada"})
    cart = session.get("/cart").json()
    user.check("the cart is the user's", cart["name"] == "ada")
    with user.step("buy"):
        order = session.post("/orders", json={"item": "book"}).json()["order"]
        session.get(f"/bytes/{order}", name="GET /bytes/{order}")
    target = urlsplit(str(session.base_url))
    with (
        user.measure("whoami by TCP"),
        user.create_connection((str(target.hostname), target.port or 80), 30.0) as stream,
    ):
        stream.sendall(b"GET /whoami HTTP/1.0\r\n\r\n")
        reply = b""
        while part := stream.recv(4096):
            reply += part
    user.check("the lease is the source", json.loads(reply.partition(b"\r\n\r\n")[2])["address"] == SOURCE)


def scenarios(store: ComponentStore, url: str) -> Iterator[Scenario]:
    """All that can be measured here."""
    yield Scenario("GET: Python", whoami, "GET: Python")
    yield Scenario("GET: component in text form", store.component(BODIES / "whoami.wat"), "GET: Python")
    yield Scenario("shop: Python", shop, "shop: Python")
    address = urlsplit(url)
    given = {"item": "book", "host": address.hostname, "port": address.port}
    for language in ("python", "javascript"):
        file = EXAMPLES / "components" / "build" / f"shop-{language}.wasm"
        if not file.exists():
            print(f"{file.name} is not there: examples/components/build.sh {language} builds it", file=sys.stderr)
            continue
        print(f"compiling {file.name}", file=sys.stderr)
        component = store.component(
            file, limits={"memory": _MEMORY, "time": 60.0}, rows={"accounts": [{"name": "ada"}]}
        )
        yield Scenario(f"shop: component in {language}", partial(_run, component, given), "shop: Python")


def _run(component: Component, given: dict[str, Any], user: VirtualUser) -> object:
    return component(user, **given)


def new_user(url: str, index: int) -> VirtualUser:
    """A user in an iteration, as a load makes it."""
    recorder = Recorder()

    def make_session(user: VirtualUser) -> LoadSession:
        return LoadSession(SOURCE, url, record=user.record)

    user = VirtualUser(
        index,
        seed=1,
        source_addresses=(SOURCE,),
        record=recorder.record,
        make_session=make_session,
        feed_book=DataFeeds(1, 1, ()),
    )
    user.begin_iteration(0, 0)
    return user


def turn(body: Body, user: VirtualUser, iterations: int) -> Turn:
    """Some iterations, one after the other."""
    started, cpu = time.perf_counter(), time.process_time()
    for _ in range(iterations):
        body(user)
    spent, cpu_spent = time.perf_counter() - started, time.process_time() - cpu
    return Turn(spent / iterations * 1e6, cpu_spent / iterations * 1e6)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cost_of_users(body: Body, url: str, users: int) -> Users:
    """One user first, whose memory is not counted: what is shared comes with it."""
    with contextlib.ExitStack() as stack:

        def come(index: int) -> None:
            user = new_user(url, index)
            stack.callback(user.close)
            stack.callback(user.release_actions)
            body(user)

        come(0)
        before, began = resident(), time.perf_counter()
        for index in range(users):
            come(index + 1)
        spent = time.perf_counter() - began
        return Users(spent / users * 1e3, (resident() - before) / users / _MIB)


def measure(url: str, rounds: int, iterations: int, users: int) -> Iterator[str]:
    """The tables of what a call costs, and a user."""
    store = ComponentStore()
    known = list(scenarios(store, url))
    everyone = {each.name: new_user(url, index) for index, each in enumerate(known)}
    turns: dict[str, list[Turn]] = {each.name: [] for each in known}
    for each in known:
        turn(each.body, everyone[each.name], _WARM)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for each in known:
            turns[each.name].append(turn(each.body, everyone[each.name], iterations))
    clock = {name: [each.clock_us for each in found] for name, found in turns.items()}
    cpu = {name: [each.cpu_us for each in found] for name, found in turns.items()}
    yield markdown(
        ["scenario: body", "us per iteration", "of it processor", "beside Python"],
        [
            [
                each.name,
                spread(clock[each.name]),
                spread(cpu[each.name]),
                ratio(median(cpu[each.name]), median(cpu[each.beside])),
            ]
            for each in known
        ],
    )
    for user in everyone.values():
        user.release_actions()
        user.close()
    costs = {each.name: cost_of_users(each.body, url, users) for each in known}
    yield markdown(
        ["scenario: body", "ms for a user's set-up and first iteration", "MiB per user"],
        [[name, f"{cost.set_up_ms:.1f}", f"{cost.mib:.2f}"] for name, cost in costs.items()],
    )
    store.close()


def watch(url: str, minutes: float) -> Iterator[str]:
    """The memory and the threads of a process whose users run a component for so long."""
    options = [f"--ipload-users={_WATCHED_USERS}", f"--ipload-duration={minutes * 60:g}s", f"--ipload-base-url={url}"]
    with tempfile.TemporaryDirectory() as folder:
        bring_load_tests(Path(folder))
        shutil.copy(BODIES / "whoami.wat", folder)
        report = Path(folder, "report.json")
        command = pytest_command("component_load_test.py", *options, f"--ipload-json={report}")
        rows: list[list[str]] = []
        began, step_s = time.monotonic(), max(minutes * 60 / 10, 1.0)
        with subprocess.Popen(command, cwd=folder, stdout=sys.stderr) as process:
            try:
                while process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(step_s)
                        break
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    found = dict(line.split(":", 1) for line in status.splitlines())
                    size = int(found["VmRSS"].split()[0]) / 1024
                    rows.append([f"{time.monotonic() - began:.0f}", f"{size:.1f}", found["Threads"].strip()])
            finally:
                process.kill()
        [test] = json.loads(report.read_text())["tests"]
    users, iterations, failed = test["users"], test["iterations"], test["failed_iterations"]
    yield f"{users} users, {iterations} iterations, {failed} of them failed: {test['verdict']}."
    yield markdown(["s", "MiB resident", "threads"], rows)


def main(arguments: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=count, default=7)
    parser.add_argument("--iterations", type=count, default=200, help="of each body and round")
    parser.add_argument("--users", type=count, default=10, help="whose memory is measured")
    parser.add_argument("--minutes", type=amount, help="only watch the memory of a long load")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(EXAMPLES))
    running_target = importlib.import_module("demo_target").running_target
    cores = prepare()
    with running_target() as target:
        if options.minutes is None:
            parts: list[Any] = list(measure(target.url, options.rounds, options.iterations, options.users))
        else:
            parts = list(watch(target.url, options.minutes))
    name = "components" if options.minutes is None else "components over time"
    print(block(name, [describe(cores), *parts]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(lambda: main(sys.argv[1:])))
