"""``--ipload-explain``: how often it names a line that was made slow, how often one that was not, and what it costs.

Each run loads a small service (``explain_service.py``) with 6 users. *seconds*: ``price_of`` is slow for three seconds
of six, and a threshold is red, whose limit is twice the p90 that was measured just before without the slow place.
*versions*: it is slow in the new version, and not in the old one. *unchanged*: it is never slow, and the limit of a red
threshold is just below the median p95 of the seconds of a load before. *cost*: requests per second of the unchanged
service without and with the sampler, by turns. Prints Markdown; a run takes 18 s, one of two versions 30 s.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from child import ToolFailed, running
from machine import Cores, describe, interruptible, prepare
from options import count
from tools import bring_load_tests, pytest_command

SERVICE = Path(__file__).parent / "explain_service.py"
KINDS = ("cpu", "sleep", "lock")
SLOW = {"price_of", "count_price"}
"""The functions that are slow in each of the kinds: the one that is to be named first."""
_LIMIT_S = 120.0


@contextmanager
def service(cores: Cores, folder: Path, server: str, kind: str, when: str, seed: int) -> Iterator[str]:
    """Run the service; gives its URL."""
    command = [sys.executable, str(SERVICE), server, kind, when, str(seed)]
    with running("the service", command, cores.server, folder) as child:
        child.wait_until(lambda: "\n" in child.output(), "it listened")
        yield f"http://127.0.0.1:{int(child.output().split()[0])}"


def load(cores: Cores, folder: Path, url: str, *options: str) -> Mapping[str, Any]:
    """The result of one load, as in the JSON report."""
    report = folder / "report.json"
    command = pytest_command(
        "explain_load_test.py", f"--ipload-base-url={url}", f"--ipload-json={report}", "--ipload-users=6", *options
    )
    with running("pytest-ipload", command, cores.all or {cores.client}, folder) as child:
        code = child.wait(_LIMIT_S)
        if code not in (0, 1):
            raise child.failure(f"ended with exit code {code}")
    result: Mapping[str, Any] = json.loads(report.read_text())["tests"][0]
    return result


def named(result: Mapping[str, Any]) -> list[str] | None:
    """The functions whose share grew, the largest growth first; None if the load was not red, or nothing compared."""
    explained = result.get("explain", {})
    if result["verdict"] == "passed" or explained.get("kind") not in ("seconds", "versions"):
        return None
    return [line["function"] for line in explained["lines"]]


def p90_ms(cores: Cores, folder: Path, url: str) -> float:
    """Of the better one of two short loads: another process on this machine may disturb one of them."""
    return min(float(load(cores, folder, url, "--ipload-duration=2s")["latency"]["p90_ms"]) for _ in range(2))


def slow_seconds(cores: Cores, folder: Path, server: str, kind: str, seed: int, seconds: int) -> list[str] | None:
    """What is named where ``price_of`` is slow in some seconds."""
    with service(cores, folder, server, kind, "never", seed) as url:
        limit = f"--ipload-threshold=p90 < {2 * p90_ms(cores, folder, url):.3f}ms"
    with service(cores, folder, server, kind, "sometimes", seed) as url:
        return named(load(cores, folder, url, f"--ipload-duration={seconds}s", limit, "--ipload-explain"))


def unchanged(cores: Cores, folder: Path, server: str, seed: int) -> list[str] | None:
    """What is named where it is never slow."""
    with service(cores, folder, server, "cpu", "never", seed) as url:
        timeline = load(cores, folder, url, "--ipload-duration=5s")["timeline"]
        usual_ms = statistics.median(second["p95_ms"] for second in timeline[1:5] if "p95_ms" in second)
        limit = f"--ipload-threshold=p95 < {0.95 * usual_ms:.3f}ms"
        return named(load(cores, folder, url, "--ipload-duration=12s", limit, "--ipload-explain"))


def versions(cores: Cores, folder: Path, server: str, kind: str, seed: int) -> list[str] | None:
    """What is named where it is slow in the new version only."""
    with (
        service(cores, folder, server, kind, "never", seed) as old,
        service(cores, folder, server, kind, "always", seed) as new,
    ):
        options = ["--ipload-duration=2s", f"--ipload-against={old}", "--ipload-compare-fail=p50:10%"]
        return named(load(cores, folder, new, *options, "--ipload-explain"))


def costs(cores: Cores, folder: Path, server: str, runs: int) -> tuple[list[float], list[float], list[float]]:
    """Requests per second without and with the sampler, and its share of a processor core."""
    without, beside, shares = [], [], []
    with service(cores, folder, server, "cpu", "never", 0) as url:
        for _ in range(runs):
            without.append(load(cores, folder, url, "--ipload-duration=5s")["rps"])
            result = load(cores, folder, url, "--ipload-duration=5s", "--ipload-explain")
            beside.append(result["rps"])
            shares.append(result["explain"].get("cpu_share", 0.0))
    return without, beside, shares


def tally(found: list[list[str] | None]) -> str:
    """How many runs named the slow function first, and how many named another one, of those that were red."""
    red = [each for each in found if each is not None]
    right = sum(bool(each) and each[0] in SLOW for each in red)
    others = sum(bool(set(each) - SLOW) for each in red)
    return f"{right} of {len(red)} | {others} of {len(red)}"


def main() -> int:
    """Measure, and print."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=count, default=10, metavar="N", help="of each row (default: %(default)s)")
    made.add_argument(
        "--server", choices=("flask", "fastapi", "stdlib"), default="flask", help="(default: %(default)s)"
    )
    made.add_argument("--seed", type=count, default=1, metavar="N", help="of the first run (default: %(default)s)")
    made.add_argument(
        "--seconds", type=count, default=12, metavar="N", help="of a load that is slow in some (default: %(default)s)"
    )
    made.add_argument("--kind", choices=KINDS, help="this kind of slow function only")
    made.add_argument("--only", choices=("seconds", "versions", "unchanged", "cost"), help="this part only")
    options = made.parse_args()
    if importlib.util.find_spec(options.server) is None and options.server != "stdlib":
        raise ToolFailed(f"{options.server} is not installed", "")
    parts = [options.only] if options.only else ["seconds", "versions", "unchanged", "cost"]
    kinds = [options.kind] if options.kind else KINDS
    cores = prepare()
    seeds = range(options.seed, options.seed + options.runs)
    print(f"<!-- results: explain -->\n{describe(cores)}\n\n{options.server}, seeds {seeds[0]} to {seeds[-1]}\n")
    print("| | slow function named first | another one named |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bring_load_tests(folder)
        for kind in kinds:
            if "seconds" in parts:
                found = [slow_seconds(cores, folder, options.server, kind, seed, options.seconds) for seed in seeds]
                print(f"| slow in some seconds, {kind} | {tally(found)} |", flush=True)
        for kind in kinds:
            if "versions" in parts:
                found = [versions(cores, folder, options.server, kind, seed) for seed in seeds]
                print(f"| slow in the new version, {kind} | {tally(found)} |", flush=True)
        if "unchanged" in parts:
            found = [unchanged(cores, folder, options.server, seed) for seed in seeds]
            print(f"| unchanged | {tally(found)} |", flush=True)
        if "cost" in parts:
            without, beside, shares = costs(cores, folder, options.server, options.runs)
            change = statistics.median(after / before - 1 for before, after in zip(without, beside, strict=True))
            print(
                f"\nrequests per second: {statistics.median(without):.0f} without the sampler, "
                f"{statistics.median(beside):.0f} with it ({change:+.1%}, median of {options.runs} pairs); "
                f"the sampler took {statistics.median(shares):.1%} of a core"
            )
    print("<!-- end of results: explain -->")
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
