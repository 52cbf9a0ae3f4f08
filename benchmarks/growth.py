"""Memory of a load over time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import proc
from child import running
from nginx import Nginx
from scenarios import SCENARIOS
from tools import TOOLS, Task

FROM_S = 10
"""Growth counts from this second after the first request on: buffers and caches have filled by then."""


@dataclass(frozen=True)
class Growth:
    """Resident memory at each second of a load, in KiB, and the requests in that time."""

    samples: tuple[int, ...]
    requests: int

    @property
    def start(self) -> int:
        """Memory when growth begins to count."""
        return self.samples[min(FROM_S, len(self.samples) // 2)]

    @property
    def grown(self) -> int:
        """How much more it is at the end."""
        return self.samples[-1] - self.start


def watch(nginx: Nginx, users: int, seconds: int, core: int, folder: Path) -> Growth:
    """Run a load test for ``seconds`` and read its memory each second. Raises ToolFailed if it fails."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "get")
    task = Task(scenario, nginx, users, seconds + 2)
    before = nginx.status().requests
    with running("pytest-ipload", TOOLS["pytest-ipload"].command(task), core, folder) as child:
        child.wait_until(lambda: nginx.status().requests > before, "its first request arrived")
        began, samples = time.perf_counter(), []
        for second in range(seconds + 1):
            time.sleep(max(0.0, began + second - time.perf_counter()))
            if not child.is_running:
                raise child.failure(f"ended after {second} of {seconds} s")
            samples.append(proc.resident_kib(child.pid))
        requests = nginx.status().requests - before
        code = child.wait(60)
        if code:
            raise child.failure(f"ended with exit code {code}")
    return Growth(tuple(samples), requests)


def timeline(samples: Sequence[int], points: int = 7) -> str:
    """Some of the samples, evenly chosen with the first and the last, as ``0 s: 40.1, 10 s: 41.0`` in MiB."""
    last = len(samples) - 1
    chosen = dict.fromkeys(round(last * point / (points - 1)) for point in range(points))
    return ", ".join(f"{second} s: {samples[second] / 1024:.1f}" for second in chosen)
