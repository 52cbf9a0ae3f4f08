"""The machine that a result was measured on: its cores, and the versions of what ran."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("pytest-ipload", "pytest", "requests", "urllib3", "locust")
_SBIN = ":/usr/sbin:/sbin"
"""Where servers are installed, which is not on every user's PATH."""

NOTED_FOREIGN_SHARE = 0.05
"""A share of the tools' core that others used, from which on a result says so."""


@dataclass(frozen=True)
class Cores:
    """The core of the server and the core of the tools."""

    server: int
    client: int
    all: frozenset[int] = frozenset()
    """Every core that was allowed before the script chose."""

    @property
    def shared(self) -> bool:
        """Whether server and tools have to share one core."""
        return self.server == self.client

    def as_text(self) -> str:
        """For the head of a result."""
        if self.shared:
            return (
                f"**server and tools share core {self.server}**, because only one is allowed: "
                "neither the figures nor the ratios mean much"
            )
        return f"server on core {self.server}, tools on core {self.client}"


def choose_cores(allowed: Collection[int]) -> Cores:
    """The first two allowed cores; the same one twice if there is no other."""
    first, *others = sorted(allowed)
    return Cores(first, others[0] if others else first, frozenset(allowed))


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Processes that are started in this block run on these cores: they inherit the affinity of this thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def prepare() -> Cores:
    """What each script does first: look for Linux, choose the cores, clean up also when it is terminated.

    The script itself stays on the server's core from now on, out of the tools' way.
    """
    if not sys.platform.startswith("linux"):
        sys.exit("the benchmarks need Linux: they pin processes to cores and read /proc")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    cores = choose_cores(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores.server})
    return cores


def interruptible(main: Callable[[], int]) -> int:
    """Run ``main``; its exit code, or that of a program ended by Ctrl-C. What it started has been ended then."""
    try:
        return main()
    except KeyboardInterrupt:
        print("interrupted; nothing was measured to its end", file=sys.stderr)
        return 128 + signal.SIGINT


def program(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + _SBIN)


def describe(cores: Cores, programs: Sequence[str] = ()) -> str:
    """The machine, its state and the versions, as lines of Markdown."""
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    packages = (f"{name} {version}" for name in _PACKAGES if (version := package_version(name)))
    versions = (_program_version(name) for name in programs if program(name))
    lines = (
        f"{cpu_model(Path('/proc/cpuinfo').read_text())}, {os.cpu_count()} cores; {cores.as_text()}",
        f"{platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}",
        ", ".join([*packages, *versions]),
        f"measured {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC{_commit()}; load average {load} before, "
        f"{len(os.environ)} environment variables",
    )
    return "\n".join(f"- {line}" for line in lines)


def cpu_model(cpuinfo: str) -> str:
    """The processor's name in ``/proc/cpuinfo``; the architecture where it has none (ARM)."""
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def package_version(name: str) -> str | None:
    """The version of an installed Python package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _program_version(name: str) -> str:
    """``nginx 1.22.1``; the name alone for a program that does not tell."""
    if name == "hey":
        return name
    flag = {"nginx": "-v", "wrk": "-v"}.get(name, "--version")
    done = subprocess.run([program(name) or name, flag], capture_output=True, text=True, check=False)
    match = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return f"{name} {match[0]}" if match else name


def _commit() -> str:
    git = program("git")
    if git is None:
        return ""
    done = subprocess.run(
        [git, "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return f", commit {done.stdout.strip()}" if done.returncode == 0 else ""
