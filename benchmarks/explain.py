"""``--ipload-explain``: how often it names a line that was made slow, how often one that was not, and what it costs.

Each run loads a small service (``explain_service.py``) with 6 users. *seconds*: ``price_of`` is slow for three seconds
of six, and a threshold is red, whose limit is between the times of quick and slow seconds of a load before. *versions*:
it is slow in the new version, and not in the old one. *unchanged*: it is never slow, and the limit of a red threshold
is just below the median p95 of the seconds of a load before. *cost*: requests per second of the unchanged service
without and with the sampler, alternating, three times. A run takes 13 s, one of two versions 15 s. Prints Markdown.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from child import ToolFailed, running
from machine import Cores, describe, interruptible, prepare
from options import count, names
from tools import bring_load_tests, pytest_command

SERVICE = Path(__file__).parent / "explain_service.py"
KINDS = ("cpu", "sleep", "lock")
OF_VERSIONS = ("cpu", "sleep")
"""A lock is slow in the same way as a sleep, where rounds are compared."""
PARTS = ("seconds", "versions", "unchanged", "cost")
SLOW = {"price_of", "count_price"}
"""The functions that are slow in each of the kinds: one of them is to be named."""
_LIMIT_S = 120.0
_PAIRS = 3


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
    if result["verdict"] == "passed" or "slow" not in explained:
        return None
    return [line["function"] for line in explained["lines"] if "share_before" in line]


def between_ms(result: Mapping[str, Any]) -> float:
    """A limit between the p95 of the quick seconds and of the slow ones of a load."""
    logs = sorted(math.log(second["p95_ms"]) for second in result["timeline"] if second.get("p95_ms"))
    half = len(logs) // 2
    return math.exp((statistics.median(logs[:half]) + statistics.median(logs[half:])) / 2)


def slow_seconds(
    cores: Cores, folder: Path, server: str, kind: str, seeds: Sequence[int], seconds: int
) -> Iterator[list[str] | None]:
    """What is named where ``price_of`` is slow in some seconds.

    The limit comes from the load before, as the machine may be slower at another time. A load that kept it says
    nothing, and is repeated once.
    """
    with service(cores, folder, server, kind, "sometimes", 0) as url:
        limit_ms = between_ms(load(cores, folder, url, "--ipload-duration=6s"))
    for seed in seeds:
        with service(cores, folder, server, kind, "sometimes", seed) as url:
            for _ in range(2):
                limit = f"--ipload-threshold=p95 < {limit_ms:.3f}ms"
                result = load(cores, folder, url, f"--ipload-duration={seconds}s", limit, "--ipload-explain")
                limit_ms = between_ms(result)
                if result["verdict"] != "passed":
                    break
            yield named(result)


def unchanged(
    cores: Cores, folder: Path, server: str, seeds: Sequence[int], seconds: int
) -> Iterator[list[str] | None]:
    """What is named where it is never slow."""
    for seed in seeds:
        with service(cores, folder, server, "cpu", "never", seed) as url:
            timeline = load(cores, folder, url, "--ipload-duration=3s")["timeline"]
            usual_ms = statistics.median(second["p95_ms"] for second in timeline if "p95_ms" in second)
            limit = f"--ipload-threshold=p95 < {0.95 * usual_ms:.3f}ms"
            yield named(load(cores, folder, url, f"--ipload-duration={seconds}s", limit, "--ipload-explain"))


def versions(cores: Cores, folder: Path, server: str, kind: str, seeds: Sequence[int]) -> Iterator[list[str] | None]:
    """What is named where it is slow in the new version only."""
    for seed in seeds:
        with (
            service(cores, folder, server, kind, "never", seed) as old,
            service(cores, folder, server, kind, "always", seed) as new,
        ):
            options = ["--ipload-duration=1s", f"--ipload-against={old}", "--ipload-compare-fail=p50:10%"]
            yield named(load(cores, folder, new, *options, "--ipload-explain"))


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


def tally(found: Sequence[list[str] | None]) -> str:
    """In how many runs the slow function was named, and first, and another one; how many had nothing to compare."""
    compared = [each for each in found if each is not None]
    right = sum(not SLOW.isdisjoint(each) for each in compared)
    first = sum(bool(each) and each[0] in SLOW for each in compared)
    others = sum(bool(set(each) - SLOW) for each in compared)
    shares = " | ".join(f"{number} of {len(found)}" for number in (right, first, others))
    return f"{shares} | {len(found) - len(compared)}"


def rows(
    cores: Cores, folder: Path, options: argparse.Namespace, seeds: Sequence[int]
) -> Iterator[tuple[str, Iterator[list[str] | None]]]:
    """Each row's heading, and what its runs name, which are made as they are asked for."""
    server, seconds = options.server, options.seconds
    if "seconds" in options.only:
        for kind in options.kinds:
            yield f"slow in some seconds, {kind}", slow_seconds(cores, folder, server, kind, seeds, seconds)
    if "versions" in options.only:
        for kind in (kind for kind in options.kinds if kind in OF_VERSIONS):
            yield f"slow in the new version, {kind}", versions(cores, folder, server, kind, seeds)
    if "unchanged" in options.only:
        yield "unchanged", unchanged(cores, folder, server, seeds, seconds)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--runs", type=count, default=10, metavar="N", help="of each row (default: %(default)s)")
    made.add_argument(
        "--server", choices=("flask", "fastapi", "stdlib"), default="flask", help="(default: %(default)s)"
    )
    made.add_argument("--seed", type=count, default=1, metavar="N", help="of the first run (default: %(default)s)")
    made.add_argument("--seconds", type=count, default=9, metavar="N", help="of a load (default: %(default)s)")
    made.add_argument("--kinds", type=names(KINDS), default=KINDS, help=f"of slow functions: {','.join(KINDS)}")
    made.add_argument("--only", type=names(PARTS), default=PARTS, help=f"these parts: {','.join(PARTS)}")
    return made


def main() -> int:
    """Measure, and print."""
    options = parser().parse_args()
    if importlib.util.find_spec(options.server) is None and options.server != "stdlib":
        raise ToolFailed(f"{options.server} is not installed", "")
    cores = prepare()
    seeds = range(options.seed, options.seed + options.runs)
    print(f"<!-- results: explain -->\n{describe(cores)}\n\n{options.server}, seeds {seeds[0]} to {seeds[-1]}\n")
    print("| | slow function named | named first | another one named | nothing to compare |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bring_load_tests(folder)
        for heading, found in rows(cores, folder, options, seeds):
            print(f"| {heading} | {tally(list(found))} |", flush=True)
        if "cost" in options.only:
            without, beside, shares = costs(cores, folder, options.server, _PAIRS)
            change = statistics.median(after / before - 1 for before, after in zip(without, beside, strict=True))
            print(
                f"\nrequests per second: {statistics.median(without):.0f} without the sampler, "
                f"{statistics.median(beside):.0f} with it ({change:+.1%}, median of {_PAIRS} pairs); "
                f"the sampler took {statistics.median(shares):.1%} of a core"
            )
    print("<!-- end of results: explain -->")
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
