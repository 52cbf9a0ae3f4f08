"""Streams of events: the gaps that pytest-ipload reports beside those of the server's own log.

A server on one core sends each user an event each 20 ms, and logs when it did; the load runs on the other core. Prints
Markdown. One round takes about 10 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import proc
from child import running
from distribution import Figures, figures
from machine import Cores, describe, interruptible, prepare
from options import amount, count
from paced import figures_of
from tools import bring_load_tests, pytest_command

SERVER = Path(__file__).parent / "stream_server.py"
_LIMIT_S = 120.0


def measure(cores: Cores, folder: Path, users: int, events: int, gap_ms: float, rounds: int) -> dict[str, object]:
    """One load: what the server logged, what was reported, and the processor time per event in microseconds."""
    server_command = [sys.executable, str(SERVER), str(events), f"{gap_ms:g}"]
    with running("the stream server", server_command, cores.server, folder) as server:
        server.wait_until(lambda: "\n" in server.output(), "it listened")
        port = int(server.output().split()[1])
        report = folder / "report.json"
        command = pytest_command(
            "stream_load_test.py",
            f"--ipload-users={users}",
            f"--ipload-iterations={rounds}",
            f"--ipload-base-url=http://127.0.0.1:{port}",
            f"--ipload-json={report}",
        )
        before = proc.cpu_of_ended_children()
        with running("pytest-ipload", command, cores.client, folder, {"BENCHMARK_EVENTS": str(events)}) as load:
            code = load.wait(_LIMIT_S)
            if code not in (0, 1):
                raise load.failure(f"ended with exit code {code}")
        cpu_s = proc.cpu_of_ended_children() - before
        server.close_stdin()
        server.wait(10.0)
        log = json.loads(server.output().splitlines()[1])
    (test,) = json.loads(report.read_text())["tests"]
    return {
        "gap, server's log": figures(log["gaps"]),
        "gap, reported": figures_of(test["gap"]),
        "first event, server's log": figures(log["firsts"]),
        "first event, reported": figures_of(test["ttfe"]),
        "events": f"{test['gap']['count'] + test['ttfe']['count']} of {len(log['gaps']) + len(log['firsts'])}",
        "cpu": f"{cpu_s * 1e6 / (users * events * rounds):.0f} us per event with the start of pytest, "
        f"{test['generator'].get('cpu_share', 0):.0%} of the core during the load",
        "verdict": f"{test['verdict']} {test['reason']}".strip(),
        "generator": "; ".join(test["generator"]["notes"]) or "healthy",
    }


def main() -> int:
    """Measure, and print."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--rounds", type=count, default=3, metavar="N", help="streams of each user (default: %(default)s)"
    )
    made.add_argument("--users", type=count, default=200, metavar="N", help="(default: %(default)s)")
    made.add_argument("--events", type=count, default=100, metavar="N", help="of each stream (default: %(default)s)")
    made.add_argument("--gap-ms", type=amount, default=20.0, metavar="MS", help="between events (default: %(default)g)")
    options = made.parse_args()
    cores = prepare()
    head = describe(cores)
    with tempfile.TemporaryDirectory() as folder:
        bring_load_tests(Path(folder))
        found = measure(cores, Path(folder), options.users, options.events, options.gap_ms, options.rounds)
    print(f"<!-- results: streams -->\n{head}")
    load = f"{options.users} users, {options.rounds} streams each of {options.events} events"
    print(f"- {load}, one each {options.gap_ms:g} ms")
    for name in ("events", "cpu", "verdict", "generator"):
        print(f"- {name}: {found[name]}")
    print("\n| ms | p50 | p90 | p99 | max |\n|---|---|---|---|---|")
    for name, value in found.items():
        if isinstance(value, Figures):
            print(f"| {name} | {' | '.join(f'{each:.2f}' for each in value)} |")
    print("<!-- end of results: streams -->")
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
