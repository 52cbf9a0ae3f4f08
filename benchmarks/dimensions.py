"""What a load of a fixed size costs with more names, more sources and more workers.

    python benchmarks/dimensions.py > dimensions.md

Each row is a whole run of pytest: processor time of all its processes, the resident memory of the largest one, and the
size of the JSON report. The numbers take turns, so that a slow minute of the machine is not one row's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from child import Child, ToolFailed, running
from machine import Cores, describe, interruptible, prepare
from nginx import Nginx, running_nginx
from options import count, counts, rounds_text
from proc import cpu_of_ended_children, process_tree, resident_kib
from table import block, markdown, number, spread
from tools import bring_load_tests, pytest_command

_LIMIT_S = 300.0
_LOOK_S = 0.2
_NAMES_OF_WORKERS = 1000
_TEST = "dimensions_load_test.py::test_{}"


@dataclass
class Row:
    """One number of names, sources or workers, and its rounds."""

    what: str
    count: int
    words: tuple[str, ...]
    """The command line behind ``pytest``."""
    names: int = 1
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    report_kib: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        """Its line in the table."""
        measured = (self.cpu_s, self.wall_s, self.resident_mib)
        return [self.what, str(self.count), *(spread(values) for values in measured), number(max(self.report_kib))]


def rows(options: argparse.Namespace, nginx: Nginx) -> list[Row]:
    """All of them, in the order of the table."""
    base = f"--ipload-base-url={nginx.urls['http']}"
    return [
        *(Row("names", names, (_TEST.format("names"),), names) for names in options.names),
        *(Row("sources", sources, _from_sources(sources, base)) for sources in options.sources),
        *(Row("workers", n, (_TEST.format("names"), f"-n{n}"), _NAMES_OF_WORKERS) for n in options.workers),
    ]


def _from_sources(sources: int, base: str) -> tuple[str, ...]:
    """The command line of a load from so many addresses of 127.0.0.0/8."""
    bits = 32 - (sources - 1).bit_length()
    return (_TEST.format("sources"), base, f"--ipload-pool=127.1.0.0/{bits}")


def run(row: Row, cores: Cores, folder: Path) -> None:
    """One round of it. Raises ToolFailed if the load does not pass."""
    report = folder / "dimensions.json"
    command = [word for word in pytest_command(*row.words, f"--ipload-json={report}") if word != "-pno:xdist"]
    before, began = cpu_of_ended_children(), time.perf_counter()
    with running(" ".join(row.words), command, cores.all, folder, {"BENCHMARK_NAMES": str(row.names)}) as child:
        largest = _watch(child)
        if code := child.wait(_LIMIT_S):
            raise child.failure(f"ended with exit code {code}")
    row.cpu_s.append(cpu_of_ended_children() - before)
    row.wall_s.append(time.perf_counter() - began)
    row.resident_mib.append(largest / 1024)
    row.report_kib.append(report.stat().st_size / 1024)


def _watch(child: Child) -> int:
    """The most memory that one of its processes has had, in KiB."""
    largest = 0
    deadline = time.perf_counter() + _LIMIT_S
    while child.is_running and time.perf_counter() < deadline:
        for process in process_tree(child.pid):
            with suppress(OSError):
                largest = max(largest, resident_kib(process.pid))
        time.sleep(_LOOK_S)
    return largest


def as_markdown(everything: Sequence[Row], options: argparse.Namespace) -> str:
    """The table, with what it is about."""
    how = (
        "*Names*: 20 users, 20 000 iterations of 10 samples without requests, in one process. *Sources*: 50 users, "
        "20 000 GETs from that many addresses (rounded up to a power of two). *Workers*: the load of the names with "
        f"{_NAMES_OF_WORKERS} names under `-n`, on {len(os.sched_getaffinity(0))} cores. Start and end of pytest are "
        f"part of it. {rounds_text(options.rounds)}, median (smallest-largest)."
    )
    headers = ("what grows", "number", "CPU of all, s", "wall, s", "largest process, MiB", "JSON report, KiB")
    return "\n\n".join([how, markdown(headers, [row.cells() for row in everything])])


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=count, default=3, metavar="N", help="rounds of each row (default: %(default)s)")
    made.add_argument(
        "--names", type=counts, default=(1, 10, 100, 1000, 10_000), metavar="N,N", help="numbers of names of samples"
    )
    made.add_argument(
        "--sources", type=counts, default=(1, 256, 4096, 65_536), metavar="N,N", help="numbers of source addresses"
    )
    made.add_argument(
        "--workers", type=counts, default=(1, 2, 4, 8, 16), metavar="N,N", help="numbers of workers of pytest-xdist"
    )
    return made.parse_args(words)


def main() -> int:
    """Run it and print the table; 1 if a run failed."""
    options, cores = parse(), prepare()
    head = describe(cores, ("nginx",))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        bring_load_tests(folder)
        with running_nginx(cores.server, folder) as nginx:
            os.sched_setaffinity(0, cores.all)
            everything = rows(options, nginx)
            try:
                for number_of_round in range(1, options.rounds + 1):
                    for row in everything:
                        run(row, cores, folder)
                        print(
                            f"round {number_of_round}: {row.count} {row.what}: {row.cpu_s[-1]:.1f} s", file=sys.stderr
                        )
            except ToolFailed as error:
                print(error, file=sys.stderr)
                return 1
    print(block("dimensions", [head, as_markdown(everything, options)]))
    return 0


if __name__ == "__main__":
    sys.exit(interruptible(main))
