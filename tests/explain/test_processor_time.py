"""The processor time of processes, as the system tells it."""

from __future__ import annotations

from pathlib import Path

from pytest_ipload.explain.processor_time import runnable, used_s


def write(proc: Path, pid: int, thread: int, state: str, times: tuple[int, int] = (0, 0)) -> None:
    """A thread as /proc shows it; the first one of a process stands for all of it."""
    text = f"{thread} (a) R (b)) {state} 1 " + "0 " * 9 + f"{times[0]} {times[1]} 0 0"
    for path in (proc / str(pid) / "stat", proc / str(pid) / "task" / str(thread) / "stat"):
        if thread == pid or "task" in path.parts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def test_threads_that_run_or_could_run_are_counted(tmp_path: Path) -> None:
    for pid, thread, state in ((5, 5, "S"), (5, 6, "R"), (5, 7, "R"), (9, 9, "D")):
        write(tmp_path, pid, thread, state)
    assert runnable([5, 9, 4711], tmp_path) == 2
    assert runnable([], tmp_path) == 0


def test_processor_time_is_that_of_all_threads(tmp_path: Path) -> None:
    write(tmp_path, 5, 5, "S", (300, 200))
    write(tmp_path, 9, 9, "S", (100, 0))
    assert used_s([5, 4711], tmp_path) * 1.2 == used_s([5, 9], tmp_path) > 0
