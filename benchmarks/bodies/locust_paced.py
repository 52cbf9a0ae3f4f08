"""A paced Locust user, whose latencies are recorded as the floats that Locust measures, not as its rounded statistics.

Users start spread over one cycle: in phase, they would wait for each other.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

BURN_S = float(os.environ["BENCHMARK_BURN_S"])
PACING_S = float(os.environ["BENCHMARK_PACING_S"])
SECONDS = float(os.environ["BENCHMARK_SECONDS"])
USERS = int(os.environ["BENCHMARK_USERS"])
WARMUP_S = float(os.environ["BENCHMARK_WARMUP_S"])


FIRST = "first"
"""The name of each user's first request, which opens its connection and is not recorded."""
REST_S = 1.0
"""How long the load goes on after the measurement, for the replies to its last requests."""


class Recording:
    """The latencies of a load in milliseconds. Its warm-up begins when all users have had their first reply."""

    def __init__(self, environment: Environment) -> None:
        self.latencies: list[float] = []
        self._environment = environment
        self._came = 0
        self._judged_from = self._judged_to = math.inf

    def add(self, name: str, response_time: float, exception: BaseException | None, **_: object) -> None:
        started = time.perf_counter() - response_time / 1000
        if name == FIRST:
            self._came += 1
            if self._came == USERS:
                self._begin()
        elif exception is None and self._judged_from <= started < self._judged_to:
            self.latencies.append(response_time)

    def _begin(self) -> None:
        runner = self._environment.runner
        assert runner is not None
        self._judged_from = time.perf_counter() + WARMUP_S
        self._judged_to = self._judged_from + SECONDS
        threading.Timer(WARMUP_S + SECONDS + REST_S, runner.quit).start()

    def write(self, **_: object) -> None:
        Path(os.environ["BENCHMARK_LATENCIES"]).write_text(json.dumps(self.latencies))


@events.test_start.add_listener  # type: ignore[untyped-decorator]  # here and below: Locust's hooks have no types
def record(environment: Environment, **_: object) -> None:
    recording = Recording(environment)
    environment.events.request.add_listener(recording.add)  # type: ignore[no-untyped-call]
    environment.events.quitting.add_listener(recording.write)  # type: ignore[no-untyped-call]


class PacedFastUser(FastHttpUser):
    wait_time = constant_throughput(1 / PACING_S)
    _numbers: ClassVar[Iterator[int]] = itertools.count()

    def on_start(self) -> None:
        self.client.get("/small", name=FIRST)
        time.sleep(PACING_S * next(self._numbers) / USERS)

    @task
    def get(self) -> None:
        r = self.client.get("/small")
        assert r.status_code == 200
        until = time.thread_time() + BURN_S
        while time.thread_time() < until:
            pass
