"""How true the capacity of a real server is that is known, and whether a generator that is the limit is told from it.

The server (``queueing_server.py``) has c workers that take an exact time for each request. In the first part its
capacity has to be found; in the second it is far beyond what the generator can do, as the body burns processor time.
The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from options import amount, count
from table import markdown

_FOLDER = Path(__file__).parent
_CLOSE = 0.1
"""A result within this share of the true capacity is right."""
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Target:
    """A server, and how its capacity is searched."""

    name: str
    workers: int
    service_ms: float
    start: str
    up_to: str
    limit: str
    burn_ms: float = 0.0

    @property
    def capacity(self) -> float:
        """Requests per second."""
        return self.workers / self.service_ms * 1000


QUEUE = Target("4 workers, 20 ms", 4, 20.0, "40/s", "800/s", "p95 < 150ms")
BEYOND = Target("64 workers, 5 ms; the body burns 8 ms", 64, 5.0, "40/s", "2000/s", "p95 < 150ms", burn_ms=8.0)
_PARTS = {"server": QUEUE, "generator": BEYOND}
"""By the limit that is to be found."""


@contextmanager
def served(target: Target) -> Iterator[str]:
    """The base URL of the target's server."""
    command = [sys.executable, str(_FOLDER / "queueing_server.py"), str(target.workers), str(target.service_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().split()[1]}"
        finally:
            server.stdin.close()
            server.wait(10)


def search(target: Target, step_s: float) -> Mapping[str, Any]:
    """What a search finds: the ``capacity`` of the JSON report."""
    environment = {
        **os.environ,
        "BENCHMARK_BURN_S": repr(target.burn_ms / 1000),
        "BENCHMARK_LIMIT": target.limit,
        "BENCHMARK_START": target.start,
        "BENCHMARK_UP_TO": target.up_to,
        "BENCHMARK_STEP": f"{step_s:g}s",
    }
    with tempfile.TemporaryDirectory() as folder, served(target) as url:
        report = Path(folder) / "out.json"
        test = _FOLDER / "bodies" / "capacity_load_test.py"
        command = [sys.executable, "-mpytest", str(test), f"--rootdir={folder}", "-q", "-pno:cacheprovider"]
        options = [f"--ipload-base-url={url}", f"--ipload-json={report}", "--ipload-progress=off"]
        done = subprocess.run(
            [*command, *options], env=environment, cwd=folder, capture_output=True, text=True, timeout=_LONGEST_S
        )
        if not report.exists():
            raise SystemExit(f"the search ended without a report:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        [result] = json.loads(report.read_text(encoding="utf-8"))["tests"]
        if "capacity" not in result:
            raise SystemExit(f"the search ended without a result: {result['reason']}")
    found: Mapping[str, Any] = result["capacity"]
    return found


def is_right(target: Target, found: Mapping[str, Any]) -> bool:
    """Whether the rate is near the true one; if the generator is the limit, whether there is none."""
    if target.burn_ms:
        return found["verdict"] == "invalid" and "rate" not in found
    return "rate" in found and abs(found["rate"] / target.capacity - 1) <= _CLOSE


def row_of(target: Target, results: list[Mapping[str, Any]]) -> list[str]:
    """A row of the table."""
    rates = [found["rate"] for found in results if "rate" in found]
    right = sum(is_right(target, found) for found in results)
    inside = sum(found.get("low", 0) <= target.capacity <= found.get("high", 0) for found in results if "rate" in found)
    return [
        target.name,
        f"{target.capacity:g}/s",
        f"{right} of {len(results)}",
        f"{min(rates):.4g} to {max(rates):.4g}/s" if rates else "none",
        f"{inside} of {len(rates)}" if rates else "-",
        f"{statistics.median(len(found['rounds']) for found in results):g}",
    ]


def main() -> None:
    """Run both parts, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=count, default=10, metavar="N", help="searches of each kind (default: 10)")
    parser.add_argument("--step", type=amount, default=4.0, metavar="S", help="seconds of a round (default: 4)")
    parser.add_argument("--only", choices=_PARTS, help="one part instead of both")
    given = parser.parse_args()
    rows = []
    for target in _PARTS.values() if given.only is None else (_PARTS[given.only],):
        results = []
        for number in range(given.runs):
            found = search(target, given.step)
            results.append(found)
            word = "right" if is_right(target, found) else "WRONG"
            print(
                f"{target.name}, {number + 1} of {given.runs}: {word}: {found['reason']}", file=sys.stderr, flush=True
            )
        rows.append(row_of(target, results))
    headers = ["target", "its capacity", "right", "found", "in the interval", "rounds (median)"]
    print(markdown(headers, rows))


if __name__ == "__main__":
    main()
