"""What merging the files of segments costs: seconds, and the peak of memory.

Run it as ``python benchmarks/merge.py --files 64 --names 1000``. The files are made up, with a seed, so the numbers
differ by machine only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from part_cost import part_of

from pytest_ipload.report.files.json_file import report_of, write
from pytest_ipload.verdict.conclude import conclude
from pytest_ipload.verdict.shard_result import as_shard

_MANY = 64
_SECONDS = 10


class Cost(NamedTuple):
    """What one run of the command took."""

    seconds: float
    cpu_s: float
    """Of all its processes."""
    peak_mb: float
    """Of its largest process."""
    code: int


def make_files(folder: Path, files: int, names: int, seconds: int = _SECONDS, per_second: int = 2000) -> list[Path]:
    """Write the reports of all segments of a load, each with samples of its own."""
    paths = []
    for index in range(files):
        part = replace(part_of(names, seconds, seed=index, per_second=per_second), nodeid="test_a.py::test_a")
        plain = conclude(part).as_dict() | {
            "segment": f"{index}/{files}",
            "part": as_shard(part, index, f"segment {index}/{files}").to_plain(),
        }
        paths.append(folder / f"segment-{index}.json")
        write(paths[-1], report_of([plain], {"index": index, "count": files}))
    return paths


def merge_cost(folder: Path, *options: str) -> Cost:
    """Run the command on a folder of files."""
    command = [sys.executable, "-m", "pytest_ipload", "merge", str(folder), *options]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took_s = time.perf_counter() - began
    return Cost(took_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


def main(arguments: list[str]) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[_MANY])
    parser.add_argument("--names", type=int, nargs="+", default=[1000])
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="of the load")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1])
    options = parser.parse_args(arguments)
    print("files  names  MB of files  jobs  seconds  CPU s  peak MB  exit code")
    for files in options.files:
        for names in options.names:
            with tempfile.TemporaryDirectory() as folder:
                paths = make_files(Path(folder), files, names, options.seconds)
                size_mb = sum(path.stat().st_size for path in paths) / 1e6
                for jobs in options.jobs:
                    cost = merge_cost(Path(folder), *([] if jobs == 1 else [f"--jobs={jobs}"]))
                    print(
                        f"{files:5}  {names:5}  {size_mb:11.0f}  {jobs:4}  {cost.seconds:7.1f}  {cost.cpu_s:5.1f}  "
                        f"{cost.peak_mb:7.0f}  {cost.code:9}",
                        flush=True,
                    )


if __name__ == "__main__":
    main(sys.argv[1:])
