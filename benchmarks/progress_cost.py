"""What it costs a load to be shown while it runs: processor time per request, with live numbers and without.

pytest runs 50 users against nginx in a terminal, and nginx has another core. In each round all ways to show a load take
their turn, in changing order. The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from child import ToolFailed
from machine import Cores, describe, interruptible, prepare
from nginx import running_nginx
from options import count, parser, rounds_text
from scenarios import SCENARIOS
from steady import Throughput, measure, task_seconds
from table import ABSENT, block, markdown, spread
from tools import TOOLS, Task, Tool, bring_load_tests

WAYS: Mapping[str, tuple[str, ...]] = {
    "off": ("--ipload-progress=off",),
    "a line in the terminal": ("--ipload-progress=auto",),
    "a line, and Prometheus": ("--ipload-progress=auto", "--ipload-prometheus=0"),
}
"""Options of pytest; the first way is what the others are compared with."""
BASE = next(iter(WAYS))
_IN_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

Rounds = Mapping[str, Sequence[Throughput]]


def in_terminal(way: str) -> Tool:
    """pytest in a pseudo-terminal, which all ways have."""

    def command(task: Task) -> list[str]:
        return [sys.executable, "-c", _IN_TERMINAL, *TOOLS["pytest-ipload"].command(task), *WAYS[way]]

    return Tool(way, way, "", lambda: True, command)


def added_percent(rounds: Rounds, way: str) -> list[float]:
    """In each round, by how much more processor time a request took than without live numbers, in percent."""
    pairs = zip(rounds[way], rounds[BASE], strict=True)
    return [(shown.cpu_us / hidden.cpu_us - 1) * 100 for shown, hidden in pairs]


def as_markdown(rounds: Rounds) -> str:
    """The table of all ways."""
    rows = []
    for way, each in rounds.items():
        added = added_percent(rounds, way) if way != BASE else []
        difference = f"{statistics.median(added):+.1f} % ({min(added):+.1f} to {max(added):+.1f})" if added else ABSENT
        rows.append(
            [way, spread([one.requests_per_s for one in each]), spread([one.cpu_us for one in each]), difference]
        )
    return markdown(("shown", "requests/s", "CPU us/request", "added in a round"), rows)


def run(options: argparse.Namespace, cores: Cores) -> Rounds:
    """All rounds. Raises ToolFailed."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "get")
    rounds: dict[str, list[Throughput]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        with running_nginx(cores.server, folder) as nginx:
            task = Task(scenario, nginx, options.users, task_seconds(options.seconds))
            for number in range(options.rounds):
                for way in list(WAYS)[:: -1 if number % 2 else 1]:
                    measured = measure(in_terminal(way), task, cores, folder, options.seconds)
                    rounds[way].append(measured)
                    print(
                        f"round {number + 1} of {options.rounds}: {way}: {measured.requests_per_s:.0f} requests/s, "
                        f"{measured.cpu_us:.2f} us, others took {measured.foreign_share:.0%} of the core",
                        file=sys.stderr,
                    )
    return rounds


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=7, seconds=8, what="length of each measurement, after 1 s to settle")
    made.add_argument("--users", type=count, default=50, help="users (default: %(default)s)")
    return made.parse_args(words)


def main() -> int:
    """Run the rounds and print their table; 1 if a run failed."""
    options, cores = parse(), prepare()
    head = describe(cores, ("nginx",))
    try:
        rounds = run(options, cores)
    except ToolFailed as error:
        print(error, file=sys.stderr)
        return 1
    how = (
        f"{options.users} users in a terminal, {rounds_text(options.rounds)} of {options.seconds:g} s: median "
        "(smallest-largest). *Added* is the difference from the run without live numbers in the same round."
    )
    print(block("progress_cost", [how, head, as_markdown(rounds)]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
