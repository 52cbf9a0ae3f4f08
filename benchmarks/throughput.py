"""Requests per second, and processor time per request, of pytest-ipload and other tools against nginx.

nginx (one worker) has one core, the tool another one. While the load is steady, requests are counted by nginx itself,
not by the tools; processor time is that of all processes of a tool in the same seconds. The rounds of the tools
alternate. The result is Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from child import ToolFailed
from machine import NOTED_FOREIGN_SHARE, Cores, describe, interruptible, prepare
from nginx import Nginx, running_nginx
from options import add_only, count, names, parser, rounds_text
from scenarios import SCENARIOS, Scenario
from steady import Throughput, measure, task_seconds
from table import block, markdown, median, ratio, spread
from tools import TOOLS, Task, bring_load_tests

OURS, BASE = "pytest-ipload", "requests"
BUSY = 0.95
"""A server that is busier than this share of its core may be what limits a tool."""


@dataclass
class Results:
    """The rounds of one scenario by tool, and what is to be said about them."""

    scenario: Scenario
    rounds: dict[str, list[Throughput]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: bool = False

    def rates(self, tool: str) -> list[float]:
        """Requests per second of each round."""
        return [each.requests_per_s for each in self.rounds.get(tool, [])]

    def as_markdown(self) -> str:
        """The scenario's table and notes."""
        ours, base = median(self.rates(OURS)), median(self.rates(BASE))
        rows = []
        for name, rounds in self.rounds.items():
            own = median(self.rates(name))
            cpu = spread([each.cpu_us for each in rounds])
            rows.append([TOOLS[name].label, spread(self.rates(name)), cpu, ratio(own, base), ratio(ours, own)])
        headers = ("tool", "requests/s", "CPU us/request", "rate / requests", "pytest-ipload / this")
        parts = [f"### `{self.scenario.name}`", self.scenario.text, markdown(headers, rows)]
        notes = [*self.notes, *self.busy_server(), *self.disturbances()]
        return "\n\n".join([*parts, *(["\n".join(f"- {note}" for note in notes)] if notes else [])])

    def busy_server(self) -> list[str]:
        """Whose rates are rather the server's."""
        busiest = {name: max((each.server_share for each in rounds), default=0) for name, rounds in self.rounds.items()}
        return [
            f"{TOOLS[name].label}: nginx used {share:.0%} of its core; it is the limit, not the tool."
            for name, share in busiest.items()
            if share >= BUSY
        ]

    def disturbances(self) -> list[str]:
        """Who did not have the core for itself."""
        worst = {name: max((each.foreign_share for each in rounds), default=0) for name, rounds in self.rounds.items()}
        shares = [f"{TOOLS[name].label} {share:.0%}" for name, share in worst.items() if share >= NOTED_FOREIGN_SHARE]
        return [f"Other processes used the tools' core, in the worst round of {', '.join(shares)}."] if shares else []


def run_scenario(scenario: Scenario, options: argparse.Namespace, nginx: Nginx, cores: Cores, folder: Path) -> Results:
    """All rounds of all tools; one that fails is noted, and the others go on."""
    results = Results(scenario)
    users = min(options.users, scenario.users or options.users)
    task = Task(scenario, nginx, users, task_seconds(options.seconds))
    for name in scenario.tools:
        if name in options.only:
            missing = TOOLS[name].missing()
            if missing is None:
                results.rounds[name] = []
            else:
                results.notes.append(missing)
    for number in range(1, options.rounds + 1):
        for name, rounds in results.rounds.items():
            try:
                measured = measure(TOOLS[name], task, cores, folder, options.seconds)
            except ToolFailed as error:
                results.failed = True
                results.notes.append(f"round {number}: {error.summary}.")
                print(f"{scenario.name}, round {number}: {error}", file=sys.stderr)
                continue
            rounds.append(measured)
            rate = f"{measured.requests_per_s:.0f} requests/s, {measured.cpu_us:.1f} us"
            print(f"{scenario.name}, round {number} of {options.rounds}: {name} {rate}", file=sys.stderr)
    return results


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=5, what="length of each measurement, after 1 s to settle")
    add_only(made, TOOLS)
    scenarios = [scenario.name for scenario in SCENARIOS]
    made.add_argument(
        "--scenarios",
        type=names(scenarios),
        default=tuple(scenarios),
        metavar="NAME,NAME",
        help=f"scenarios to run (default: {','.join(scenarios)})",
    )
    made.add_argument("--users", type=count, default=50, help="users, threads or connections (default: %(default)s)")
    return made.parse_args(words)


def run(options: argparse.Namespace, cores: Cores) -> list[Results]:
    """All scenarios, one after the other."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        with running_nginx(cores.server, folder) as nginx:
            chosen = [scenario for scenario in SCENARIOS if scenario.name in options.scenarios]
            return [run_scenario(scenario, options, nginx, cores, folder) for scenario in chosen]


def main() -> int:
    """Run the scenarios and print their tables; 1 if a tool failed."""
    options, cores = parse(), prepare()
    head = describe(cores, ("nginx", "k9", "hey", "wrk"))
    results = run(options, cores)
    how = (
        f"{options.users} users, {rounds_text(options.rounds)} of {options.seconds:g} s: median (smallest-largest). "
        "Requests are counted by nginx; CPU is that of all processes of the tool."
    )
    print(block("throughput", [how, head, *(each.as_markdown() for each in results)]))
    return int(any(each.failed for each in results))


if __name__ == "__main__":
    sys.exit(interruptible(main))
