"""The load tools that are compared: how each is started, and how its own output says that something went wrong."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from machine import program
from nginx import Nginx
from scenarios import Scenario

BODIES = Path(__file__).parent / "bodies"


@dataclass(frozen=True)
class Task:
    """What a tool is asked to do."""

    scenario: Scenario
    nginx: Nginx
    users: int
    seconds: float
    """How long it sends requests."""

    @property
    def base_url(self) -> str:
        """Where the scenario's server is."""
        return self.nginx.urls[self.scenario.server]

    @property
    def url(self) -> str:
        """What it gets."""
        return self.base_url + self.scenario.path


@dataclass(frozen=True)
class Tool:
    """A load tool."""

    name: str
    label: str
    install: str
    is_installed: Callable[[], bool]
    command: Callable[[Task], list[str]]
    complaint: Callable[[str], str | None] = lambda output: None
    """What its output says of failed requests, for a tool whose exit code does not tell."""

    def missing(self) -> str | None:
        """Why it is left out; None if it is there."""
        return None if self.is_installed() else f"{self.label} is left out: install it with `{self.install}`."


def pytest_command(test_file: str, *options: str) -> list[str]:
    """pytest as a user runs it, with this plugin and without those that others brought here (Locust's patches all)."""
    return [sys.executable, "-m", "pytest", test_file, *without_other_plugins(), *options]


def without_other_plugins() -> list[str]:
    """The options that leave out all installed plugins of pytest but this one."""
    names = {point.name for point in importlib.metadata.entry_points(group="pytest11")} - {"ipload"}
    return [f"-pno:{name}" for name in sorted(names)]


def bring_load_tests(folder: Path) -> None:
    """Copy the load tests to where pytest finds no settings but their own."""
    for path in BODIES.glob("*load_test*.py"):
        shutil.copy(path, folder)
    (folder / "pytest.ini").write_text("[pytest]\n")


def has_plugin() -> bool:
    """Whether pytest finds pytest-ipload."""
    return any(point.name == "ipload" for point in importlib.metadata.entry_points(group="pytest11"))


def has_locust() -> bool:
    """Whether Locust can be imported."""
    return importlib.util.find_spec("locust") is not None


def requests_command(body: str, url: str, users: int, seconds: float, *options: str) -> list[str]:
    """Plain requests sessions on threads."""
    threads = str(BODIES / "requests_threads.py")
    return [sys.executable, threads, body, url, f"--users={users}", f"--seconds={seconds:g}", *options]


def locust_command(file: str, user_class: str, host: str, users: int, seconds: float) -> list[str]:
    """Locust without its web page; all users are spawned at once."""
    how = ["--headless", "--only-summary", "--loglevel=WARNING", f"--users={users}", f"--spawn-rate={users}"]
    when = f"--run-time={math.ceil(seconds)}s"  # it takes whole seconds only
    return [sys.executable, "-m", "locust", f"--locustfile={BODIES / file}", *how, when, f"--host={host}", user_class]


def _plugin(task: Task) -> list[str]:
    load = (
        f"--ipload-users={task.users}",
        f"--ipload-duration={task.seconds:g}s",
        f"--ipload-base-url={task.base_url}",
    )
    return pytest_command(f"load_tests.py::test_{task.scenario.test}", *load)


def _requests(task: Task) -> list[str]:
    body = task.scenario.test if task.scenario.test in ("full", "post", "body", "upload") else "get"
    ca = () if task.scenario.server == "http" else (f"--ca={task.nginx.certificate}",)
    return requests_command(body, task.url, task.users, task.seconds, *ca)


def _locust(kind: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        body = {"cookie": "Cookie", "cookie_changing": "CookieChanging"}.get(task.scenario.test)
        body = body or (task.scenario.test.title() if task.scenario.test in ("full", "post", "body") else "Get")
        # A second more: its time begins when the first user is spawned.
        return locust_command("locust_users.py", f"{body}{kind}User", task.base_url, task.users, task.seconds + 1)

    return command


def _sockets(task: Task) -> list[str]:
    body, threads = "upload" if task.scenario.test == "upload" else "get", str(BODIES / "bare_sockets.py")
    return [sys.executable, threads, body, task.url, f"--users={task.users}", f"--seconds={task.seconds:g}"]


def _hey(task: Task) -> list[str]:
    return [program("hey") or "hey", "-c", str(task.users), "-z", f"{task.seconds:g}s", task.url]


def _wrk(task: Task) -> list[str]:
    return [program("wrk") or "wrk", "-t1", f"-c{task.users}", f"-d{math.ceil(task.seconds)}s", task.url]


def _k9(file: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        body = task.scenario.test if task.scenario.test in ("full", "post") else "get"
        how = ["--quiet", "--no-color", f"--vus={task.users}", f"--duration={task.seconds:g}s"]
        # It cannot be told to trust an authority, so it does not verify certificates, as FastHttpUser.
        what = ["--insecure-skip-tls-verify", f"--env=TARGET={task.url}", f"--env=BODY={body}", "--http-version=1.1"]
        return [program("k9") or "k9", "run", *how, *what, str(BODIES / "k9_load" / file)]

    return command


def k9_complaint(output: str) -> str | None:
    """It warns of failed requests and of exceptions in bodies; its exit code is zero all the same."""
    match = re.search(r"^(?:WARN request failed|ERROR).*", output, re.MULTILINE)
    if match is None and "http_req_failed" not in output:
        return "printed no summary"
    return match and match[0]


def hey_complaint(output: str) -> str | None:
    """hey lists how often it got which status, and errors."""
    codes = set(re.findall(r"^\s+\[(\d+)\]\s+\d+ responses", output, re.MULTILINE))
    if codes == {"200"} and "Error distribution" not in output:
        return None
    return f"got the statuses {sorted(codes)} or errors"


def wrk_complaint(output: str) -> str | None:
    """wrk has a line for what went wrong only."""
    match = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", output)
    return match[0] if match else None


_PIP_K9 = "pip install k9-load"


def _has_k9() -> bool:
    return bool(program("k9"))


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("pytest-ipload", "**pytest-ipload**", "pip install -e .", has_plugin, _plugin),
        Tool("requests", "requests.Session, threads", "pip install requests", lambda: True, _requests),
        Tool("locust-http", "Locust HttpUser", "pip install locust", has_locust, _locust("Http")),
        Tool("locust-fast", "Locust FastHttpUser", "pip install locust", has_locust, _locust("Fast")),
        Tool("k9-plan", "k9-load, plan without Python", _PIP_K9, _has_k9, _k9("plan.py"), k9_complaint),
        Tool("k9-async", "k9-load, async bodies", _PIP_K9, _has_k9, _k9("async_script.py"), k9_complaint),
        Tool("k9-sync", "k9-load, bodies on threads", _PIP_K9, _has_k9, _k9("sync_script.py"), k9_complaint),
        Tool("sockets", "bare sockets, threads", "", lambda: True, _sockets),
        Tool("hey", "hey", "apt-get install hey", lambda: bool(program("hey")), _hey, hey_complaint),
        Tool("wrk", "wrk", "apt-get install wrk", lambda: bool(program("wrk")), _wrk, wrk_complaint),
    )
}
