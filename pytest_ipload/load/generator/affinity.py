"""Keeping a load on one CPU.

Python's threads hand the interpreter's lock to each other for each request. Within one CPU that is cheap; from one CPU
to another it costs more than the request itself, and no two threads run Python at the same time anyway.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

_THREADS = "/proc/self/task"


def allowed_cpus() -> frozenset[int]:
    """The CPUs that the calling thread may use; none where the system has no such choice (macOS, Windows)."""
    ask = getattr(os, "sched_getaffinity", None)
    return frozenset() if ask is None else frozenset(ask(0))


def usable_cpus() -> int:
    """How many CPUs the calling thread may use."""
    return len(allowed_cpus()) or os.cpu_count() or 1


def choose_cpu(allowed: Collection[int], number: int) -> int | None:
    """The CPU for the ``number``-th (from 0) of the processes that load from this machine; None if none is allowed.

    From the highest CPU down: interrupts and the target often live on the first one. Processes have a CPU each as long
    as there are enough of them.
    """
    downwards = sorted(allowed, reverse=True)
    return downwards[number % len(downwards)] if downwards else None


def automatic_cpu(number: int) -> int | None:
    """The CPU that is best for the ``number``-th process; None where its threads do better without one.

    That is where the system has no such choice, and on free-threaded Python, whose threads can use all CPUs.
    """
    # Documented in spite of its name, and there from Python 3.13 on.
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)
    return choose_cpu(allowed_cpus(), number) if has_lock() else None


@contextmanager
def pinned(cpu: int | None) -> Iterator[str | None]:
    """Keep the calling thread, and all that it starts, on this CPU; None leaves them alone.

    Threads that are there already stay where they are. Gives None, or why it could not be done. At the end the calling
    thread gets its CPUs back, and so does each thread that was started meanwhile and still runs.
    """
    before = allowed_cpus()
    if cpu is None:
        yield None
        return
    with _unhurried():
        if before == {cpu}:
            yield None
        else:
            with _moved(cpu, before) as problem:
                yield problem


@contextmanager
def _moved(cpu: int, before: Collection[int]) -> Iterator[str | None]:
    others = _threads()
    problem = None
    try:
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError as error:  # the CPU went offline, or a container forbids it
            problem = f"the load was not pinned to CPU {cpu}: {error.strerror}"
        yield problem
    finally:
        if problem is None:
            os.sched_setaffinity(0, before)
            _give_back(_threads() - others, cpu, before)


@contextmanager
def _unhurried() -> Iterator[None]:
    """Let no thread of the load take the CPU from another one just because it woke up (Linux' SCHED_BATCH).

    A thread that sends first gives the interpreter's lock to whoever waits for it. On one CPU that one, waking up,
    would run before the request has left, and a body that computes for milliseconds would delay it by as many.
    """
    batch, usual = getattr(os, "SCHED_BATCH", None), getattr(os, "SCHED_OTHER", None)
    if batch is None or usual is None or os.sched_getscheduler(0) != usual:
        yield
        return
    others = _threads()
    with suppress(OSError):  # a container may forbid it
        os.sched_setscheduler(0, batch, os.sched_param(0))
    try:
        yield
    finally:
        for thread in {0, *_threads()} - others:
            with suppress(OSError):  # it has ended
                if os.sched_getscheduler(thread) == batch:
                    os.sched_setscheduler(thread, usual, os.sched_param(0))


def _give_back(threads: Collection[int], cpu: int, cpus: Collection[int]) -> None:
    """Let the threads use all these CPUs, unless they chose others by themselves."""
    for thread in threads:
        with suppress(OSError):  # it has ended
            if os.sched_getaffinity(thread) == {cpu}:
                os.sched_setaffinity(thread, cpus)


def _threads() -> set[int]:
    """The system's numbers of all threads of this process; none without /proc."""
    try:
        return {int(name) for name in os.listdir(_THREADS)}
    except OSError:
        return set()
