"""What the system tells of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_ipload.distributed.protocol.liveness import can_run


@pytest.mark.parametrize(
    ("stat", "expected"),
    [
        ("7 (python) R 1 2 3", True),
        ("7 (python) S 1 2 3", True),
        ("7 (python) D 1 2 3", True),
        ("7 (python) T 1 2 3", False),
        ("7 (python) t 1 2 3", False),
        ("7 (python) Z 1 2 3", False),
        ("7 (T) R) S 1 2 3", True),
        ("", None),
        (None, False),
    ],
)
def test_the_state_is_read(tmp_path: Path, stat: str | None, expected: bool | None) -> None:
    (tmp_path / "self").mkdir()
    if stat is not None:
        (tmp_path / "7").mkdir()
        (tmp_path / "7" / "stat").write_text(stat)
    assert can_run(7, tmp_path) is expected


def test_elsewhere_it_is_unknown(tmp_path: Path) -> None:
    assert (can_run(7, tmp_path), can_run(None)) == (None, None)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_stopped() -> None:
    assert can_run(os.getpid()) is True
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while can_run(process.pid) is not False and time.monotonic() < deadline:
            time.sleep(0.01)
        assert can_run(process.pid) is False
        process.kill()
