"""How exact the reported latencies are: tools measure a server that answers after exactly 20 ms.

The server has one core and, where allowed, real-time priority; it reports its own lateness. The tool has another core.
An error is what a tool reports minus 20 ms. The rounds of the tools alternate. The result is Markdown on stdout;
progress is on stderr.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from child import ToolFailed
from distribution import Figures, of_stalls, over_rounds
from exact_server import Lateness, compile_server, running_server
from machine import NOTED_FOREIGN_SHARE, Cores, describe, interruptible, prepare
from nginx import write_certificates
from options import add_only, names, parser, rounds_text
from paced import PACED_TOOLS, Report, Run, Workload
from table import ABSENT, block, markdown, median, number, ratio
from tools import bring_load_tests

OURS = "pytest-ipload"
DELAY_MS = 20.0
BIN_MS = 0.016
"""Width of the bins of pytest-ipload's histogram at ``DELAY_MS``."""
STALL_EVERY_S, STALL_S = 10.0, 1.0
STALLED = Workload("stall", users=50, pacing_s=0.1)
WORKLOADS = (
    Workload("200/s", users=50, pacing_s=0.25),
    Workload("1000/s", users=50, pacing_s=0.05),
    Workload("2000/s", users=100, pacing_s=0.05),
    Workload("400/s+1ms", users=50, pacing_s=0.125, burn_s=0.001),
    Workload("100/s+5ms", users=50, pacing_s=0.5, burn_s=0.005),
    Workload("1000/s https", users=50, pacing_s=0.05, scheme="https"),
)


@dataclass
class Results:
    """The rounds of one tool with one workload."""

    workload: Workload
    tool: str
    reports: list[Report] = field(default_factory=list)
    lateness: list[Lateness] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For notes."""
        return f"{self.workload.name}, {PACED_TOOLS[self.tool].label}"

    def errors(self) -> Figures | None:
        """Reported latencies minus the true one."""
        return over_rounds([report.latency.minus(DELAY_MS) for report in self.reports]) if self.reports else None

    def response_row(self) -> list[list[str]]:
        """The same for response times, which only pytest-ipload reports."""
        times = [report.response_time.minus(DELAY_MS) for report in self.reports if report.response_time is not None]
        if not times:
            return []
        label = f"{PACED_TOOLS[self.tool].label}, response time"
        return [[self.workload.name, label, ABSENT, ABSENT, *map(number, over_rounds(times)), *[ABSENT] * 3]]

    def resolution(self) -> float:
        """Errors below this many milliseconds say nothing: the server itself was so late, or the bins are so wide."""
        return max([BIN_MS, *(late.p99_us / 1000 for late in self.lateness)])

    def by_ours(self, ours: Results | None) -> str:
        """This tool's p99 error by that of ours; a lower bound where ours is smaller than can be resolved."""
        errors, base = self.errors(), ours.errors() if ours else None
        if errors is None or ours is None or base is None:
            return ABSENT
        if self is ours or base.p99 >= ours.resolution():
            return ratio(errors.p99, base.p99)
        if errors.p99 < ours.resolution():
            return ABSENT
        return f"> {ratio(errors.p99, ours.resolution())}"

    def row(self, ours: Results | None) -> list[str]:
        """The row of the table, compared with ``ours``."""
        errors = self.errors()
        rate = median([report.requests_per_s for report in self.reports])
        return [
            self.workload.name,
            PACED_TOOLS[self.tool].label,
            ABSENT if rate is None else number(rate),
            number(min(report.smallest for report in self.reports) - DELAY_MS) if self.reports else ABSENT,
            *([number(value) for value in errors] if errors else [ABSENT] * 4),
            self.by_ours(ours),
            number(max(late.p99_us for late in self.lateness)) if self.lateness else ABSENT,
            number(max(late.max_us for late in self.lateness)) if self.lateness else ABSENT,
        ]

    def notes(self, cores: Cores) -> list[str]:
        """What went wrong."""
        said = [f"{self.name}: {report.note}" for report in self.reports if report.note]
        foreign = max((report.foreign_share for report in self.reports), default=0)
        if foreign >= NOTED_FOREIGN_SHARE and not cores.shared:  # the server is such a process on a shared core
            said.append(f"{self.name}: other processes used {foreign:.0%} of the tool's core in the worst round.")
        late_s = max((late.max_us for late in self.lateness), default=0.0) / 1e6
        if late_s * 1000 >= DELAY_MS:  # as when a virtual machine is halted
            said.append(f"{self.name}: the server itself was late by up to {number(late_s)} s; measure this row again.")
        return [*dict.fromkeys(said), *self.failures]


class Benchmark:
    """Runs tools against a server on the other core."""

    def __init__(self, cores: Cores, folder: Path) -> None:
        self.cores = cores
        self._folder = folder
        self._binary = compile_server(folder)
        bring_load_tests(folder)

    @functools.cached_property
    def _with_tls(self) -> Path:
        write_certificates(self._folder)
        return compile_server(self._folder, tls=True)

    def run(self, results: Results, seconds: float, stall: tuple[float, float] | None = None) -> None:
        """One more round; a failure is noted."""
        try:
            folder, is_secure = self._folder, results.workload.scheme == "https"
            binary = self._with_tls if is_secure else self._binary
            certificate, authority = (folder / "both.pem", folder / "ca.pem") if is_secure else (None, None)
            with running_server(binary, self.cores.server, folder, DELAY_MS, stall, certificate) as server:
                run = Run(results.workload, server.url, seconds, self.cores.client, folder, authority)
                report = PACED_TOOLS[results.tool].report(run)
                lateness = server.end()
        except (ToolFailed, ValueError) as error:
            results.failures.append(f"{results.name}: {str(error).splitlines()[0].rstrip(':')}.")
            print(f"{results.name}: {error}", file=sys.stderr)
            return
        results.reports.append(report)
        results.lateness.append(lateness)
        p50, _, p99, _ = report.latency
        print(f"{results.name}: {report.requests_per_s:.0f}/s, p50 {p50:.3f} p99 {p99:.3f} ms", file=sys.stderr)


def errors_part(benchmark: Benchmark, options: argparse.Namespace, tools: Sequence[str]) -> tuple[str, bool]:
    """The table of errors with its notes, and whether a run failed."""
    chosen = [load for load in WORKLOADS if load.name in options.workloads]
    everything = [[Results(load, tool) for tool in tools] for load in chosen]
    for of_workload in everything:
        for _ in range(options.rounds):
            for results in of_workload:
                benchmark.run(results, options.seconds)
    rows, notes = [], []
    for of_workload in everything:
        ours = next((results for results in of_workload if results.tool == OURS), None)
        rows += [row for results in of_workload for row in [results.row(ours), *results.response_row()]]
        notes += [note for results in of_workload for note in results.notes(benchmark.cores)]
    flat = [results for of_workload in everything for results in of_workload]
    if any(not late.real_time for results in flat for late in results.lateness):
        notes.append("The server had no real-time priority (it needs root or CAP_SYS_NICE).")
    headers = ("load", "tool", "requests/s", "min", "p50", "p90", "p99", "max")
    more = ("p99 / pytest-ipload's", "server's p99, us", "server's max, us")
    how = (
        f"Error in ms (reported minus {DELAY_MS:g} ms), {rounds_text(options.rounds)} of {options.seconds:g} s: "
        "medians, and the smallest and largest of all rounds. `+1ms`: the body burns 1 ms of CPU after each request; "
        "`https`: kept connections under TLS (Locust's FastHttpUser does not verify certificates, by default). "
        "The last two columns are the lateness of the server itself, worst round. `>`: the error of pytest-ipload is "
        "below what this server and the histogram can resolve, so the ratio is a lower bound."
    )
    table = markdown((*headers, *more), rows)
    return "\n\n".join([how, table, *_list(notes)]), any(results.failures for results in flat)


def stall_part(benchmark: Benchmark, options: argparse.Namespace, tools: Sequence[str]) -> tuple[str, bool]:
    """What the tools say of a server that stalls, and whether a run failed."""
    every, stall = STALL_EVERY_S * 1000, STALL_S * 1000
    rows = [
        ["evenly arriving users, by arithmetic", number(STALLED.rate), *map(_ms, of_stalls(DELAY_MS, every, stall))]
    ]
    notes = []
    everything = [Results(STALLED, tool) for tool in tools if tool != "requests"]
    for results in everything:
        benchmark.run(results, 2 * STALL_EVERY_S, (STALL_EVERY_S, STALL_S))
        notes += results.notes(benchmark.cores)
        for report in results.reports:
            label, rate = PACED_TOOLS[results.tool].label, number(report.requests_per_s)
            rows.append([f"{label}, latency", rate, *map(_ms, report.latency)])
            if report.response_time is not None:
                rows.append([f"{label}, response time", rate, *map(_ms, report.response_time)])
    how = (
        f"### A server that stalls\n\nThe server stalls for {STALL_S:g} s in every {STALL_EVERY_S:g} s; "
        f"{STALLED.users} users ask for {STALLED.rate:g} requests/s during two such periods. Reported values in ms."
    )
    table = markdown(("what", "requests/s", "p50", "p90", "p99", "max"), rows)
    return "\n\n".join([how, table, *_list(notes)]), any(results.failures for results in everything)


def _ms(value: float) -> str:
    return f"{value:.1f}"


def _list(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes)] if notes else []


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=10, what="length of each measurement, after 1 s of warm-up")
    add_only(made, PACED_TOOLS)
    loads = [load.name for load in WORKLOADS]
    made.add_argument(
        "--workloads",
        type=names(loads),
        default=tuple(loads),
        metavar="NAME,NAME",
        help=f"loads to run (default: {','.join(loads)})",
    )
    made.add_argument("--stall", action="store_true", help="also measure a server that stalls; takes 25 s per tool")
    return made.parse_args(words)


def main() -> int:
    """Run the loads and print their table; 1 if a run failed."""
    options, cores = parse(), prepare()
    head = describe(cores, ("cc",))
    tools = [name for name in options.only if PACED_TOOLS[name].is_installed()]
    missing = [
        f"{PACED_TOOLS[name].label} is left out: install it with `{PACED_TOOLS[name].install}`."
        for name in options.only
        if name not in tools
    ]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        benchmark = Benchmark(cores, Path(name))
        parts = [errors_part(benchmark, options, tools)]
        if options.stall:
            parts.append(stall_part(benchmark, options, tools))
    print(block("accuracy", [head, *_list(missing), *(text for text, _ in parts)]))
    return int(any(failed for _, failed in parts))


if __name__ == "__main__":
    sys.exit(interruptible(main))
