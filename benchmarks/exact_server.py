"""The server of ``exact_server.c``: it answers an exact time after a request, and tells how exact it was."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from child import Child, running
from machine import program

INSTALL = "apt-get install gcc libc6-dev libssl-dev"
_SOURCE = Path(__file__).with_suffix(".c")
_END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Lateness:
    """How late the server's replies were, in microseconds."""

    replies: int
    real_time: bool
    """Whether it had real-time priority."""
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0


def parse_report(output: str) -> Lateness:
    """Read what the server prints at its end. ValueError if there is no such line."""
    match = re.search(r"^\{.*\}$", output, re.MULTILINE)
    if match is None:
        raise ValueError(f"the server did not report: {output!r:.200}")
    report = json.loads(match[0])
    late = {f"{name}_us": float(value) for name, value in report.get("late_us", {}).items()}
    return Lateness(report["replies"], report["fifo"], **late)


def compile_server(folder: Path, *, tls: bool = False) -> Path:
    """The path of the server, compiled into ``folder``. Exits with a message without a C compiler.

    With ``tls`` it speaks TLS, for which OpenSSL's headers have to be there.
    """
    compiler = program("cc")
    if compiler is None:
        raise SystemExit(f"cc is missing; install it with '{INSTALL}'")
    binary = folder / f"{_SOURCE.stem}{'_tls' if tls else ''}"
    more = ["-DTLS", "-lssl", "-lcrypto"] if tls else []
    try:
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(binary), str(_SOURCE), *more], check=True)
    except subprocess.CalledProcessError:
        raise SystemExit(f"the exact server could not be compiled; install what it needs with '{INSTALL}'") from None
    return binary


class ExactServer:
    """A running server."""

    def __init__(self, child: Child, scheme: str) -> None:
        self._child = child
        child.wait_until(lambda: "\n" in child.output(), "it listened")
        self.url = f"{scheme}://127.0.0.1:{int(child.output().split()[1])}"

    def end(self) -> Lateness:
        """End it; how late its replies were."""
        self._child.close_stdin()
        self._child.wait(_END_LIMIT_S)
        try:
            return parse_report(self._child.output())
        except ValueError as error:
            raise self._child.failure(str(error)) from None


@contextmanager
def running_server(
    binary: Path,
    core: int,
    folder: Path,
    delay_ms: float,
    stall: tuple[float, float] | None = None,
    certificate: Path | None = None,
) -> Iterator[ExactServer]:
    """A server on one core that answers after ``delay_ms``; ``stall`` is (every so many seconds, for so many).

    One that was compiled for TLS needs a ``certificate``: a file that has the key too.
    """
    words = [str(binary), str(round(delay_ms * 1000)), *(f"{seconds:g}" for seconds in stall or ())]
    environment = {} if certificate is None else {"CERTIFICATE": str(certificate)}
    with running("the exact server", words, core, folder, environment) as child:
        yield ExactServer(child, "http" if certificate is None else "https")
