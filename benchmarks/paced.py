"""Paced loads by several tools: the latencies that each of them reports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import proc
from child import ToolFailed, running
from distribution import Figures, figures
from tools import has_locust, has_plugin, locust_command, pytest_command, requests_command

WARMUP_S = 1.0
"""Requests in it are not looked at, for no tool: connections are opened in it."""
_MORE_S = 60.0
"""How long a tool may take for its start and end."""


@dataclass(frozen=True)
class Workload:
    """Users who make a request each ``pacing_s``, evenly spread."""

    name: str
    users: int
    pacing_s: float
    burn_s: float = 0.0
    """Processor time that the body burns after each request."""
    scheme: str = "http"

    @property
    def rate(self) -> float:
        """Requests per second as planned."""
        return self.users / self.pacing_s


@dataclass(frozen=True)
class Report:
    """What a tool says of a load."""

    latency: Figures
    smallest: float
    """The shortest latency in milliseconds. One below the truth would mean that its clock starts too late."""
    requests_per_s: float
    response_time: Figures | None = None
    """With the lateness of each request against its plan; only pytest-ipload has it."""
    note: str = ""
    foreign_share: float = 0.0
    """How much of the tool's core went to other processes meanwhile, or to other machines."""


@dataclass(frozen=True)
class Run:
    """One load by one tool."""

    workload: Workload
    url: str
    seconds: float
    """After the warm-up."""
    core: int
    folder: Path
    authority: Path | None = None
    """The certificate authority that tools have to trust."""

    @property
    def environment(self) -> dict[str, str]:
        """What the bodies read."""
        load = self.workload
        return {
            **({} if self.authority is None else {"BENCHMARK_CA": str(self.authority)}),
            "BENCHMARK_BURN_S": f"{load.burn_s:g}",
            "BENCHMARK_LATENCIES": str(self.latencies),
            "BENCHMARK_PACING": f"{load.pacing_s * 1e6:.0f}us",
            "BENCHMARK_PACING_S": repr(load.pacing_s),
            "BENCHMARK_SECONDS": repr(self.seconds),
            "BENCHMARK_USERS": str(load.users),
            "BENCHMARK_WARMUP_S": f"{WARMUP_S:g}",
        }

    @property
    def latencies(self) -> Path:
        """Where the latencies are written."""
        return self.folder / "latencies.json"

    def run(self, name: str, command: list[str], codes: tuple[int, ...] = (0,)) -> str:
        """Run a tool to its end; what it printed. Raises ToolFailed at any other exit code."""
        self.latencies.unlink(missing_ok=True)
        with running(name, command, self.core, self.folder, self.environment) as child:
            code = child.wait(WARMUP_S + self.seconds + _MORE_S)
            if code not in codes:
                raise child.failure(f"ended with exit code {code}")
            return child.output()


@dataclass(frozen=True)
class PacedTool:
    """A tool that can hold a rate."""

    label: str
    install: str
    is_installed: Callable[[], bool]
    run: Callable[[Run], Report]

    def report(self, run: Run) -> Report:
        """Run the load; what the tool says of it. Raises ToolFailed if it fails."""
        began, core, own = time.perf_counter(), proc.core_seconds(run.core), proc.cpu_of_ended_children()
        report = self.run(run)
        foreign = (proc.core_seconds(run.core) - core) - (proc.cpu_of_ended_children() - own)
        return replace(report, foreign_share=max(0.0, foreign / (time.perf_counter() - began)))


def _plugin(run: Run) -> Report:
    """A load test that could not keep its plan has the verdict ``invalid``: its figures are shown, with a note."""
    command = pytest_command(
        "paced_load_test.py",
        f"--ipload-users={run.workload.users}",
        f"--ipload-duration={WARMUP_S + run.seconds:g}s",
        f"--ipload-warmup={WARMUP_S:g}s",
        f"--ipload-base-url={run.url}",
        f"--ipload-json={run.latencies}",
    )
    output = run.run("pytest-ipload", command, codes=(0, 1))
    try:
        return parse_result(run.latencies.read_text())
    except (OSError, KeyError, ValueError) as error:
        raise ToolFailed(f"pytest-ipload wrote no usable result ({error!r})", output) from None


def parse_result(text: str) -> Report:
    """The figures of the only load test in a file of ``--ipload-json``. ValueError or KeyError if they are missing."""
    (test,) = json.loads(text)["tests"]
    note = "" if test["verdict"] == "passed" else f"{test['verdict']}: {test['reason']}"
    response = figures_of(test["response_time"]) if "response_time" in test else None
    return Report(figures_of(test["latency"]), test["latency"]["min_ms"], test["rps"], response, note)


def figures_of(distribution: dict[str, float]) -> Figures:
    """The figures of a distribution in the JSON report: those of its histogram, and the exact largest value."""
    return Figures(*(distribution[f"{name}_ms"] for name in ("p50", "p90", "p99", "max")))


def _requests(run: Run) -> Report:
    load = run.workload
    spread = (f"--pacing={load.pacing_s!r}", f"--spread={load.pacing_s!r}", f"--burn={load.burn_s:g}")
    record = (f"--warmup={WARMUP_S:g}", f"--latencies={run.latencies}")
    ca = () if run.authority is None else (f"--ca={run.authority}",)
    run.run("requests", requests_command("get", run.url, load.users, WARMUP_S + run.seconds, *spread, *record, *ca))
    return _of_plain_latencies(run)


def _locust(run: Run) -> Report:
    limit = WARMUP_S + run.seconds + _MORE_S / 2  # it ends itself, so long after its last user has come
    command = locust_command("locust_paced.py", "PacedFastUser", run.url, run.workload.users, limit)
    run.run("Locust", command)
    return _of_plain_latencies(run)


def _of_plain_latencies(run: Run) -> Report:
    latencies = json.loads(run.latencies.read_text())
    if not latencies:
        raise ToolFailed(f"no request was recorded in {run.seconds:g} s", "")
    return Report(figures(latencies), min(latencies), len(latencies) / run.seconds)


PACED_TOOLS = {
    "pytest-ipload": PacedTool("**pytest-ipload**", "pip install -e .", has_plugin, _plugin),
    "requests": PacedTool("requests.Session, threads", "pip install requests", lambda: True, _requests),
    "locust-fast": PacedTool("Locust FastHttpUser", "pip install locust", has_locust, _locust),
}
