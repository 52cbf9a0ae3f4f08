"""What a load costs besides its requests: memory per user, growth, start-up, the machinery itself, an idle plugin.

Everything is measured on real runs in processes of their own, pinned to one core; nginx has another one. The result is
Markdown on stdout; progress is on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from child import ToolFailed, running
from growth import FROM_S, timeline, watch
from held_users import FILES_BESIDES, Held, allow_open_files, hold, kib_per_user
from idle_plugin import TESTS, differences, run_pairs
from machine import Cores, describe, interruptible, prepare
from nginx import Nginx, running_nginx
from options import add_only, amount, count, counts, names, parser, rounds_text
from table import block, markdown, number, spread
from tools import TOOLS, bring_load_tests

_COSTS_LIMIT_S = 300.0


@dataclass(frozen=True)
class Bench:
    """What the parts need."""

    options: argparse.Namespace
    cores: Cores
    folder: Path
    nginx: Nginx
    failures: list[str] = field(default_factory=list)

    def fail(self, what: str, error: ToolFailed) -> None:
        """Note a run that failed; the others go on."""
        self.failures.append(f"- {what}: {error.summary}.")
        print(f"{what}: {error}", file=sys.stderr)


def users_part(bench: Bench) -> str:
    """Memory and start-up by number of users."""
    options = bench.options
    limit = allow_open_files() - FILES_BESIDES
    possible = [users for users in options.users if users <= limit]
    rows = [row for tool in options.only for row in user_rows(bench, tool, (1, *possible))]
    headers = ("tool", "users", "RSS, MiB", "KiB per user", "all had come after, s")
    how = (
        "### Users\n\nEach user is a thread with a session and one open connection; it has made one request and waits. "
        "RSS is the process's resident memory then, thread stacks included; *per user* is the difference from the run "
        "with one user, by the number of the others. *All had come*: from the start of the command until nginx had "
        f"counted the last user's first request. {rounds_text(options.rounds)}, median (smallest-largest)."
    )
    left_out = ", ".join(str(users) for users in options.users if users not in possible)
    notes = [f"- Left out, for the limit of open files (`ulimit -Hn`): {left_out} users."] if left_out else []
    return "\n\n".join([how, markdown(headers, rows), *notes])


def user_rows(bench: Bench, tool: str, numbers: Sequence[int]) -> list[list[str]]:
    """The rows of one tool; ``numbers`` begins with one user, whom the others are compared with."""
    held: dict[int, list[Held]] = {users: [] for users in numbers}
    per_user: dict[int, list[float]] = {users: [] for users in numbers}
    for turn in range(1, bench.options.rounds + 1):
        alone: Held | None = None
        for users in numbers:
            try:
                run = hold(tool, users, bench.nginx, bench.cores.client, bench.folder, bench.options.seconds)
            except ToolFailed as error:
                bench.fail(f"users, round {turn}", error)
                continue
            held[users].append(run)
            if users == 1:
                alone = run
            elif alone is not None:
                per_user[users].append(kib_per_user(run, alone))
            said = f"{run.resident_kib} KiB, all came after {run.all_came_s:.2f} s"
            print(f"users, round {turn} of {bench.options.rounds}: {tool}, {users}: {said}", file=sys.stderr)
    return [
        [
            TOOLS[tool].label,
            str(users),
            spread([run.resident_kib / 1024 for run in held[users]]),
            spread(per_user[users]),
            spread([run.all_came_s for run in held[users]]),
        ]
        for users in numbers
    ]


def growth_part(bench: Bench) -> str:
    """Memory over time."""
    seconds = max(2, round(bench.options.minutes * 60))
    print(f"growth: {seconds} s", file=sys.stderr)
    grown = watch(bench.nginx, 50, seconds, bench.cores.client, bench.folder)
    per_million = grown.grown * 1e6 / max(1, grown.requests)
    return "\n\n".join(
        [
            f"### Growth\n\n50 users, {seconds} s, {grown.requests} requests. Resident memory in MiB, "
            f"read once a second: {timeline(grown.samples)}.",
            f"From second {min(FROM_S, seconds // 2)} to the end it grew by **{grown.grown} KiB** "
            f"({number(per_million)} KiB per million requests).",
        ]
    )


def costs_part(bench: Bench) -> str:
    """The machinery without HTTP."""
    options = bench.options
    script = Path(__file__).with_name("costs.py")
    command = [sys.executable, str(script), f"--rounds={options.rounds}", f"--count={options.count}"]
    print("costs", file=sys.stderr)
    with running("costs.py", command, bench.cores.client, bench.folder) as child:
        if code := child.wait(_COSTS_LIMIT_S):
            raise child.failure(f"ended with exit code {code}")
        costs = json.loads(child.output().splitlines()[-1])
    meaning = {
        "iteration, 1 user": "an iteration with an empty body, 1 user",
        "iteration, 50 users": "the same, 50 users",
        "record": "making a request's sample and recording it",
        "fold": "folding a sample into the histograms",
    }
    how = (
        "### The machinery\n\nProcessor time of all threads. An iteration includes its own sample and its folding; "
        f"a request adds the two lines below it. {rounds_text(options.rounds)} of {options.count}, "
        "median (smallest-largest)."
    )
    return "\n\n".join([how, markdown(("what", "ns"), [[meaning[name], spread(each)] for name, each in costs.items()])])


def idle_part(bench: Bench) -> str:
    """The plugin in a suite without load tests."""
    pairs_wanted = bench.options.pairs
    print(f"idle: {pairs_wanted} pairs", file=sys.stderr)
    pairs = run_pairs(pairs_wanted, bench.cores.client, bench.folder, bench.options.python)
    rows = [
        [
            "without (`-p no:ipload`)",
            spread([p.without.cpu_ms for p in pairs]),
            spread([p.without.wall_ms for p in pairs]),
        ],
        ["with", spread([p.with_plugin.cpu_ms for p in pairs]), spread([p.with_plugin.wall_ms for p in pairs])],
        ["median difference in a pair", *(f"{value:+.1f}" for value in differences(pairs))],
    ]
    where = "the development install" if bench.options.python is None else "an environment with the wheel"
    how = (
        f"### A suite without load tests\n\n`pytest` in {where}, with {TESTS} empty tests, {pairs_wanted} pairs of "
        "runs in changing order, median (smallest-largest)."
    )
    return "\n\n".join([how, markdown(("plugin", "CPU, ms", "by the clock, ms"), rows)])


PARTS: dict[str, Callable[[Bench], str]] = {
    "users": users_part,
    "growth": growth_part,
    "costs": costs_part,
    "idle": idle_part,
}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__, rounds=3, seconds=1, what="how long users wait before the memory is read")
    add_only(made, ("pytest-ipload", "requests"))
    made.add_argument(
        "--parts", type=names(PARTS), default=tuple(PARTS), metavar="NAME,NAME", help=f"default: {','.join(PARTS)}"
    )
    made.add_argument(
        "--users", type=counts, default=(50, 100, 500, 1000, 2000), metavar="N,N", help="default: 50,100,500,1000,2000"
    )
    made.add_argument("--minutes", type=amount, default=1, help="length of the load of `growth` (default: %(default)s)")
    made.add_argument("--count", type=count, default=100_000, help="iterations and samples of `costs` (%(default)s)")
    made.add_argument("--pairs", type=count, default=15, help="pairs of runs of `idle` (default: %(default)s)")
    made.add_argument(
        "--python",
        metavar="PATH",
        help="for `idle`: the interpreter of an environment with the wheel; default: this one",
    )
    return made.parse_args(words)


def main() -> int:
    """Measure the parts and print them; 1 if one failed."""
    options, cores = parse(), prepare()
    parts = [describe(cores, ("nginx",))]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        with running_nginx(cores.server, folder) as nginx:
            bench = Bench(options, cores, folder, nginx)
            for part in options.parts:
                try:
                    parts.append(PARTS[part](bench))
                except ToolFailed as error:
                    bench.fail(part, error)
    failures = ["\n".join(["### Failed", "", *bench.failures])] if bench.failures else []
    print(block("footprint", [*parts, *failures]))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(interruptible(main))
