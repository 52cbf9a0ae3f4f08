"""Throughput and processor time of a tool while its load is steady."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import proc
from child import running
from machine import Cores
from nginx import Nginx
from tools import Task, Tool

SETTLE_S = 1.0
"""From the moment when as many requests as users have arrived to the beginning of the measurement."""
MARGIN_S = 1.0
"""The tool goes on for about so long after the measurement."""
END_LIMIT_S = 30.0
HALTED = 1.5
"""A measurement that takes so many times the seconds asked for was halted, as virtual machines sometimes are."""


@dataclass(frozen=True)
class Instant:
    """What the counters say at one moment."""

    seconds: float
    requests: int
    tool_cpu: float
    server_cpu: float
    core_cpu: float


@dataclass(frozen=True)
class Throughput:
    """What a tool did between two instants."""

    requests_per_s: float
    cpu_us: float
    """Processor time of all of the tool's processes, in microseconds per request."""
    server_share: float
    """How busy the server was: 1 is one core."""
    foreign_share: float
    """How much of the tools' core went to processes that are neither the tool nor the server, or to other machines."""

    @classmethod
    def between(cls, begin: Instant, end: Instant, cores: Cores) -> Throughput:
        """From two readings. ValueError if there was no request between them."""
        requests, seconds = end.requests - begin.requests, end.seconds - begin.seconds
        tool, server = end.tool_cpu - begin.tool_cpu, end.server_cpu - begin.server_cpu
        if requests <= 0 or seconds <= 0:
            raise ValueError(f"{requests} requests in {seconds:g} s")
        foreign = end.core_cpu - begin.core_cpu - tool - (server if cores.shared else 0)
        return cls(requests / seconds, tool * 1e6 / requests, server / seconds, max(0.0, foreign / seconds))


def measure(tool: Tool, task: Task, cores: Cores, folder: Path, seconds: float) -> Throughput:
    """Run a tool on its core and measure ``seconds`` of it. Raises ToolFailed if it fails."""
    nginx = task.nginx
    before = nginx.status().requests
    environment = {"BENCHMARK_CA": nginx.certificate}
    with running(tool.label, tool.command(task), cores.client, folder, environment) as child:
        child.wait_until(lambda: nginx.status().requests >= before + task.users, "its users had come")
        time.sleep(SETTLE_S)
        begin = _instant(nginx, child.pid, cores.client)
        time.sleep(seconds)
        end = _instant(nginx, child.pid, cores.client)
        if is_halted(begin, end, seconds):
            raise child.failure(f"was halted: {seconds:g} s took {end.seconds - begin.seconds:.1f} s")
        if not child.is_running:
            raise child.failure("ended before the measurement did")
        code = child.wait(END_LIMIT_S)
        problem = f"ended with exit code {code}" if code else tool.complaint(child.output())
        if problem:
            raise child.failure(problem)
        try:
            return Throughput.between(begin, end, cores)
        except ValueError as error:
            raise child.failure(f"made {error}") from None


def is_halted(begin: Instant, end: Instant, seconds: float) -> bool:
    """Whether far more time passed between two instants than the ``seconds`` that were asked for."""
    return end.seconds - begin.seconds > HALTED * seconds


def task_seconds(seconds: float) -> float:
    """How long a tool has to send requests for a measurement of ``seconds``; whole, because some take no other."""
    return float(math.ceil(SETTLE_S + seconds + MARGIN_S))


def _instant(nginx: Nginx, pid: int, core: int) -> Instant:
    cpu = (proc.cpu_seconds(pid), proc.cpu_seconds(nginx.child.pid), proc.core_seconds(core))
    requests = nginx.status().requests
    return Instant(time.perf_counter(), requests, *cpu)
