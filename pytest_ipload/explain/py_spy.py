"""py-spy's program: where it is, and one slice of samples of a process. The only place that starts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_ipload.base import real_time
from pytest_ipload.base.text import first_line

RATE = 25
"""Samples of each thread in a second."""
_DURATION_S = 3
"""After which a slice ends by itself, if this process should be gone: py-spy knows whole seconds only."""
_LONGEST_S = 6.0
"""What has not ended after this long hangs."""
CAN_STOP = os.name == "posix"
"""Whether py-spy can be interrupted and then writes what it has; where not, a slice lasts a second, more or less."""
_DENIED = ("permission denied", "operation not permitted", "eperm", "task_for_pid")
_NOT_PYTHON = ("failed to find python version", "not a python process", "failed to find interpreter")


def find_program() -> str | None:
    """The path of py-spy; None if it is not installed."""
    beside = Path(sysconfig.get_path("scripts"))
    return shutil.which("py-spy", path=os.pathsep.join([str(beside), str(Path(sys.executable).parent)])) or (
        shutil.which("py-spy")
    )


@dataclass
class Slice:
    """Half a second of samples of one process, while py-spy takes them and writes them to a file.

    py-spy samples at random times, so what it calls a second may last half of one: it is stopped by the clock.

    The target is not stopped for a sample (``--nonblocking``): a stack that changes while it is read is left out, and a
    sampler that is killed leaves no process stopped behind.
    """

    program: str
    pid: int
    window: int
    """Which half-second of the load."""
    folder: Path
    _process: subprocess.Popen[bytes] | None = None
    _began: float = field(default_factory=real_time.monotonic)
    cpu_s: float = 0.0
    problem: str = ""
    """Why there is no result; empty if there is."""
    failed_reads: int = 0
    is_stopped: bool = False
    """Whether it was to end and write what it has."""
    was_late: bool = False
    """Whether it had not begun to sample by then. That is not a problem of the target."""

    def start(self) -> None:
        """Start it; a problem is kept in ``problem``."""
        duration = str(_DURATION_S if CAN_STOP else 1)
        command = [self.program, "record", "--pid", str(self.pid), "--duration", duration, "--rate", str(RATE)]
        command += ["--idle", "--nonblocking", "--full-filenames", "--format", "raw", "--output", str(self._output)]
        environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
                )
        except OSError as error:
            self.problem = f"py-spy cannot be started: {error.strerror or error}"

    def stop(self) -> None:
        """Let it write what it has; to be called once its time is over."""
        process = self._process
        if CAN_STOP and not self.is_stopped and process is not None and process.returncode is None:
            self.is_stopped = True
            with suppress(OSError):
                os.kill(process.pid, signal.SIGINT)

    def is_over(self) -> bool:
        """Whether it has ended; one that hangs is killed."""
        if self._process is None:
            return True
        if self._process.returncode is None and not self._reap(os.WNOHANG):
            if real_time.monotonic() - self._began > _LONGEST_S:
                self.kill()
                self.problem = "py-spy did not answer"
                return True
            return False
        return True

    def kill(self) -> None:
        """End it at once, without a result."""
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(OSError):
                process.kill()
            self._reap(0)

    def take(self) -> str:
        """The samples as py-spy writes them; empty if there are none. Its files are removed."""
        text = log = ""
        with suppress(OSError):
            text = self._output.read_text(errors="replace")
        with suppress(OSError):
            log = self._log.read_text(errors="replace")
        for path in (self._output, self._log):
            with suppress(OSError):
                path.unlink()
        code = None if self._process is None else self._process.returncode
        self.was_late = self.is_stopped and code == -signal.SIGINT
        if code and not self.was_late:
            self.problem = self.problem or explained(log, self.pid)
        words = log.split()
        if "Errors:" in words[:-1]:
            number = words[words.index("Errors:") + 1]
            self.failed_reads = int(number) if number.isdecimal() else 0
        return text

    def _reap(self, how: int) -> bool:
        """Whether it has ended; its processor time is known then."""
        process = self._process
        assert process is not None
        if not hasattr(os, "wait4"):  # Windows
            return (process.poll() if how else process.wait()) is not None
        try:
            pid, status, usage = os.wait4(process.pid, how)
        except ChildProcessError:  # something else has waited for all children
            process.returncode = 0
            return True
        if pid == 0:
            return False
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        return True

    @property
    def _output(self) -> Path:
        return self.folder / f"{self.window}-{self.pid}.raw"

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.window}-{self.pid}.log"


def explained(log: str, pid: int) -> str:
    """What py-spy's complaint means, in one line."""
    lowered = log.lower()
    if any(words in lowered for words in _DENIED):
        return (
            f"no right to read process {pid}: run as root or as the parent of the target, allow it with "
            "'sysctl kernel.yama.ptrace_scope=0', or give the container the capability SYS_PTRACE"
        )
    if any(words in lowered for words in _NOT_PYTHON):
        return f"process {pid} does not run Python (or py-spy does not know its version)"
    lines = [line for line in log.splitlines() if line.strip()]
    return f"py-spy could not read process {pid}: {first_line(lines[0]) if lines else 'it gave no reason'}"
