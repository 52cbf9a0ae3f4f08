"""Samples the stacks of a load's target, by half-seconds of the load's own clock, in a thread of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from pytest_ipload.base import real_time
from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.explain.local_target import TargetNotFound, working_folder
from pytest_ipload.explain.processor_time import runnable, used_s
from pytest_ipload.explain.py_spy import CAN_STOP, Slice
from pytest_ipload.stats.stacks import WINDOW_NS, Place, StackSamples, packed, place_of, relative, stacks_of

_LOOK_S = 0.05
_LAST_S = 0.5
"""How long the samples of the last half-second may take to be written."""
_LEAD_S, _LONGEST_LEAD_S = 0.05, 2.0
"""A slice is started this much before its time: py-spy first has to find the interpreter in the target's memory.

If it has not begun when it is to end, the next ones are started twice as early.
"""
_SHORTEST_STRIDE = 1 if CAN_STOP else 2
_MOST_FAILURES = 6
"""Slices without any result, one after the other, after which sampling is given up."""
_LOOK_AGAIN_WINDOWS = 20
"""How often the processes are looked for again: a server may start and end workers."""
_LARGEST_SHARE = 0.1
"""Of a processor core: where sampling takes more, only some of the half-seconds are sampled."""
_LARGEST_SOURCE = 2_000_000
_MOST_SOURCES = 200
_WINDOW_S = WINDOW_NS / NS_PER_S


class Sampler:
    """Takes samples from the start of the judged part of a load until it is closed."""

    def __init__(
        self,
        program: str,
        find_pids: Callable[[], list[int]],
        judged_from_ns: Callable[[], int],
        cpus: Collection[int] = (),
        root: str = "",
    ) -> None:
        """``program`` is py-spy. ``find_pids`` gives the processes, or raises TargetNotFound.

        ``judged_from_ns`` is when the judged part begins, 0 as long as that is not known. ``cpus`` are those that the
        sampler may use: not the one that the load is pinned to. ``root`` is pytest's root directory.
        """
        self._program = program
        self._find_pids = find_pids
        self._judged_from_ns = judged_from_ns
        self._cpus = cpus
        self._root = root
        self._over = threading.Event()
        self._running: list[Slice] = []
        self._windows: dict[int, Counter[Place]] = {}
        self._began: dict[int, tuple[int, float, list[int]]] = {}
        """Of half-seconds that are being sampled: since when, the target's processor time then, and how many of its
        threads wanted a processor, at several moments."""
        self._processor: list[tuple[int, float, float]] = []
        self._paths: dict[str, str] = {}
        """Of the files of places: where they are."""
        self._folders: dict[int, str] = {}
        self._pids: list[int] = []
        self._looked_at = -_LOOK_AGAIN_WINDOWS
        self._lead_s = _LEAD_S
        self._failed: Counter[int] = Counter()
        """How often each process could not be read."""
        self._problem = ""
        self._cpu_s = self._own_cpu_s = 0.0
        self._sampled = 0
        """The number of half-seconds that were."""
        self._waiting = self._failed_reads = self._failures = 0
        self._folder = Path(tempfile.mkdtemp(prefix="ipload-explain-"))
        self._thread = threading.Thread(target=self._run, name="ipload-explain", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def close(self, *, hurry: bool = False) -> StackSamples:
        """End; no process is left. Returns the samples of all half-seconds.

        py-spy gets a moment to write those of the last one, unless in a ``hurry``.
        """
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if not hurry:
            self._finish_last()
        for each in self._running:
            each.kill()
        self._running = []
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._windows:
            self._problem = ""
        problem = "" if self._windows else self._problem or "the load was over before the first half-second was sampled"
        return packed(
            self._windows,
            sources=self._sources(),
            pids=sorted(self._folders),
            cpu_share=round(self._cpu_share, 3) if self._sampled else None,
            failed_reads=self._failed_reads,
            waiting=self._waiting,
            processor=self._processor,
            problem=printable(masked(f"not explained: {problem}")) if problem else "",
        )

    def _finish_last(self) -> None:
        until = real_time.monotonic() + _LAST_S
        self._stop_all()
        while self._running and real_time.monotonic() < until:
            threading.Event().wait(_LOOK_S / 5)
            self._collect()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # not every system has it; a container may forbid it
            if self._cpus:
                os.sched_setaffinity(0, self._cpus)
        window, wait_s = 0, _LOOK_S
        while not self._over.wait(wait_s):
            began = self._judged_from_ns()
            if not began:
                continue
            now = _since(began)
            if now >= window * _WINDOW_S - self._lead_s and self._failures < _MOST_FAILURES:
                window = max(window, int((now + self._lead_s) / _WINDOW_S))
                self._start(window)
                window += self._stride()
            self._stop_all(before=int(now / _WINDOW_S))
            self._collect()
            if self._began:
                list(self._began.values())[-1][2].append(runnable(self._pids))
            self._own_cpu_s = real_time.thread_time()
            wait_s = self._until_next(window, _since(began))

    def _until_next(self, window: int, now: float) -> float:
        """How long there is nothing to do: at the end of a half-second its slices are ended, before one it is begun."""
        if self._failures >= _MOST_FAILURES:
            return _LOOK_S
        return max(0.001, min(_LOOK_S, _WINDOW_S - now % _WINDOW_S, window * _WINDOW_S - self._lead_s - now))

    def _stride(self) -> int:
        """Every half-second, or one of several where sampling is expensive."""
        return max(_SHORTEST_STRIDE, -(-round(self._cpu_share * 100) // round(_LARGEST_SHARE * 100)))

    @property
    def _cpu_share(self) -> float:
        """Of a processor core, while a half-second is sampled: that of py-spy and of this thread."""
        return (self._cpu_s + self._own_cpu_s) / (self._sampled * _WINDOW_S) if self._sampled else 0.0

    def _stop_all(self, before: int | None = None) -> None:
        """End the slices of half-seconds that are over."""
        for each in self._running:
            if before is None or each.window < before:
                each.stop()
        for window in [window for window in self._began if before is None or window < before]:
            began_ns, used_before_s, counts = self._began.pop(window)
            used = (used_s(self._pids) - used_before_s) / ((real_time.perf_counter_ns() - began_ns) / NS_PER_S)
            if used_before_s and counts:
                waited = max(0.0, sum(counts) / len(counts) - used)
                self._processor.append((window, round(max(0.0, used), 3), round(waited, 3)))

    def _start(self, window: int) -> None:
        if window >= self._looked_at + _LOOK_AGAIN_WINDOWS or not self._pids:
            try:
                self._pids, self._looked_at = self._find_pids(), window
            except Exception as error:  # nothing that goes wrong here may end the load
                self._pids = []
                self._fail(str(error) if isinstance(error, TargetNotFound) else f"{type(error).__name__}: {error}")
                return
        for pid in self._pids:
            if self._failed[pid] >= _MOST_FAILURES:
                continue  # one of several that does not run Python
            self._folders.setdefault(pid, working_folder(pid))
            each = Slice(self._program, pid, window, self._folder)
            each.start()
            self._running.append(each)
        self._began[window] = real_time.perf_counter_ns(), used_s(self._pids), []
        self._sampled += 1

    def _collect(self) -> None:
        """Take what has ended."""
        over = [each for each in self._running if each.is_over()]
        self._running = [each for each in self._running if each not in over]
        for each in over:
            text = each.take()
            self._cpu_s += each.cpu_s
            self._failed_reads += each.failed_reads
            if each.problem:
                self._failed[each.pid] += 1
                self._fail(each.problem)
            elif each.was_late and not self._over.is_set():
                self._lead_s = min(2 * self._lead_s, _LONGEST_LEAD_S)
                self._problem = f"py-spy takes too long to begin with process {each.pid}"
            elif not each.was_late:
                self._failures = 0
                self._count(each.window, self._folders.get(each.pid, ""), text)

    def _fail(self, problem: str) -> None:
        self._problem = problem
        self._failures += 1

    def _count(self, window: int, folder: str, text: str) -> None:
        found = self._windows.setdefault(window, Counter())
        folders = [folder, self._root]
        for frames, count in stacks_of(text):
            place = place_of(frames, folders)
            if place is None:
                self._waiting += count
            else:
                found[place] += count
                if place.line and place.file not in self._paths:
                    self._paths[place.file] = next(
                        (frame.file for frame in frames if relative(frame.file, folders) == place.file), place.file
                    )

    def _sources(self) -> dict[str, str]:
        """The text of the lines in which samples were most often."""
        total: Counter[tuple[str, int]] = Counter()
        for found in self._windows.values():
            for place, count in found.items():
                if place.line:
                    total[place.file, place.line] += count
        wanted: dict[str, list[int]] = {}
        for (file, line), _ in total.most_common(_MOST_SOURCES):
            wanted.setdefault(file, []).append(line)
        texts: dict[str, str] = {}
        for file, lines in wanted.items():
            content = _lines_of(self._paths[file])
            texts |= {f"{file}:{line}": masked(content[line - 1].strip()) for line in lines if line <= len(content)}
        return {place: printable(text) for place, text in texts.items() if text}


def _lines_of(path: str) -> list[str]:
    """The lines of a source file; none where it cannot be read."""
    with suppress(OSError):
        if os.path.isfile(path) and os.path.getsize(path) <= _LARGEST_SOURCE:
            return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _since(began_ns: int) -> float:
    """Seconds since a moment of the load's clock."""
    return (real_time.perf_counter_ns() - began_ns) / NS_PER_S
