"""Runs of pytest in a terminal: a pseudo-terminal, and a model of what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyte

_DRAWN = b"\x1b8"
"""What our line ends with; nothing else that pytest writes has it."""
_LIMIT_S = 60.0
_MISLEADING = ("COLUMNS", "CI", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "PYTHONUNBUFFERED")
"""Variables that change how pytest writes."""
# The terminal becomes that of the process, so that Ctrl-C is for it and its children.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


Press = Callable[[bytes], object]
"""Types keys."""


class Screen:
    """What stands on a screen of so many columns and rows, and above it."""

    def __init__(self, columns: int = 100, rows: int = 24) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self._screen)

    def feed(self, output: bytes) -> None:
        """Show some output."""
        self._stream.feed(output)

    @property
    def lines(self) -> list[str]:
        """All lines, those that were scrolled away included, without the empty ones at the end."""
        above = [[row[place].data for place in range(self._screen.columns)] for row in self._screen.history.top]
        lines = [*("".join(row).rstrip() for row in above), *(line.rstrip() for line in self._screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0 on."""
        return self._screen.cursor.y, self._screen.cursor.x

    @property
    def bold(self) -> str:
        """The characters on the screen that are bold."""
        rows = [self._screen.buffer[row] for row in range(self._screen.lines)]
        return "".join(row[place].data for row in rows for place in range(self._screen.columns) if row[place].bold)


@dataclass
class TerminalRun:
    """What came out of a run."""

    code: int = 0
    frames: list[list[str]] = field(default_factory=list)
    """The lines of the screen, each time after ours was drawn."""
    lines: list[str] = field(default_factory=list)
    """Those at the end."""
    output: bytes = b""

    def line(self, part: str) -> str:
        """The only line at the end that has this text."""
        (line,) = [line for line in self.lines if part in line]
        return line


def set_size(terminal: int, columns: int, rows: int) -> None:
    """Make a terminal this large."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def run_in_terminal(
    folder: Path,
    *options: str,
    columns: int = 100,
    rows: int = 24,
    variables: dict[str, str] | None = None,
    drawn: Callable[[Press], object] = lambda press: None,
) -> TerminalRun:
    """Run pytest in ``folder``. ``drawn(press)`` is called when our line is there first; ``press(keys)`` types."""
    primary, secondary = os.openpty()
    set_size(primary, columns, rows)
    command = [sys.executable, "-c", _IN_TERMINAL, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    environment.update({"TERM": "xterm", **(variables or {})})
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=secondary,
            stdout=secondary,
            stderr=secondary,
            start_new_session=True,
        )
    finally:
        os.close(secondary)
    try:
        return _watch(process, primary, Screen(columns, rows), lambda: drawn(lambda keys: os.write(primary, keys)))
    finally:
        process.kill()
        process.wait()
        os.close(primary)


def _watch(
    process: subprocess.Popen[bytes], primary: int, screen: Screen, first_drawn: Callable[[], object]
) -> TerminalRun:
    run = TerminalRun()
    for output in _outputs(primary):
        run.output += output
        *drawn, rest = output.split(_DRAWN)
        for each in drawn:
            screen.feed(each + _DRAWN)
            run.frames.append(screen.lines)
            if len(run.frames) == 1:
                first_drawn()
        screen.feed(rest)
    run.lines = screen.lines
    run.code = process.wait(_LIMIT_S)
    return run


def _outputs(primary: int) -> Iterator[bytes]:
    """What the process writes, until it and its children have closed the terminal."""
    give_up = time.monotonic() + _LIMIT_S
    while time.monotonic() < give_up:
        ready, _, _ = select.select([primary], [], [], 1.0)
        try:
            output = os.read(primary, 65536) if ready else b""
        except OSError:  # Linux says so when nobody has the other end any more
            return
        if ready and not output:
            return
        yield output
    raise AssertionError(f"pytest did not end within {_LIMIT_S:g} s")
