"""A server or tool as a child process, pinned to a core, that never outlives the block that it was started in."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from machine import on_cores, program

_MISLEADING = re.compile(
    r"(pytest_|locust_).*|(http|https|all|no)_proxy|(requests|curl)_ca_bundle|ssl_cert_(file|dir)|pythonwarnings", re.I
)
"""Variables that would change what a tool does or send its requests elsewhere."""


class ToolFailed(Exception):
    """A tool or server did not do its part: a summary, and what it printed last."""

    def __init__(self, summary: str, output: str) -> None:
        super().__init__(f"{summary}:\n{output}" if output else summary)
        self.summary = summary


class Child:
    """A running child process."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log = log

    def output(self) -> str:
        """What it has printed so far, stdout and stderr together."""
        return os.pread(self._log.fileno(), 1 << 22, 0).decode("utf-8", "replace")

    def failure(self, what: str) -> ToolFailed:
        """The exception for a fault of this child."""
        tail = "\n".join(self.output().strip().splitlines()[-15:])
        return ToolFailed(f"{self.name} {what}", tail)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, limit: float) -> int:
        """Wait for its end; returns the exit code. Raises ToolFailed after ``limit`` seconds.

        It returns at the very end: ``Popen.wait`` with a timeout only looks every 50 ms, and runs are timed with this.
        """
        if self.is_running:
            ending = os.pidfd_open(self.pid)
            try:
                ended, _, _ = select.select([ending], [], [], limit)
            finally:
                os.close(ending)
            if not ended:
                raise self.failure(f"did not end within {limit:g} s")
        return self._process.wait()

    def wait_until(self, condition: Callable[[], bool], what: str, limit: float = 60.0, poll: float = 0.02) -> None:
        """Wait until ``condition`` holds. Raises ToolFailed if the child ends before, or after ``limit`` seconds."""
        deadline = time.perf_counter() + limit
        while not condition():
            if not self.is_running:
                raise self.failure(f"ended with exit code {self._process.returncode} before {what}")
            if time.perf_counter() > deadline:
                raise self.failure(f"did not get so far within {limit:g} s: {what}")
            time.sleep(poll)

    def close_stdin(self) -> None:
        """Tell a child that waits for it that there is nothing more to do."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self, limit: float = 5.0) -> None:
        """Ask it to end, and wait so long: a server with workers of its own can wait for them."""
        if self.is_running:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(limit)

    def kill(self) -> None:
        """End it at once, and what it started."""
        if self.is_running:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self.close_stdin()


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    cores: int | Collection[int],
    folder: Path,
    environment: dict[str, str] | None = None,
) -> Iterator[Child]:
    """Run a command in ``folder`` on one core or some, in a session of its own, so that Ctrl-C is not for it."""
    with tempfile.TemporaryFile() as log:
        with on_cores({cores} if isinstance(cores, int) else cores):
            process = subprocess.Popen(
                [*_dies_with_parent(), *command],
                cwd=folder,
                env=plain_environment(os.environ) | (environment or {}),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, process, log)
        try:
            yield child
        finally:
            child.kill()


def _dies_with_parent() -> list[str]:
    """What stands before a command so that it does not even outlive a parent that is killed, where there is setpriv.

    The signal is one that a server can pass on to its workers: they do not inherit this.
    """
    setpriv = program("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def plain_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without proxies, certificate files and options meant for other runs of the tools."""
    return {name: value for name, value in environment.items() if not _MISLEADING.fullmatch(name)}
