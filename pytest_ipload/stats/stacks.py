"""Stacks of a Python process, folded to the places of the project's own code that they were in. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pytest_ipload.base.units import NS_PER_S

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+):(?P<line>\d+)\)\Z")
_PACKAGES = re.compile(r".*[/\\](?:site|dist)-packages[/\\]")
_STANDARD_LIBRARY = re.compile(r"(?i).*[/\\](?:lib(?:64)?[/\\]python\d[\w.]*|python[\d.]+[/\\]lib)[/\\]")
_THREAD_STARTS = frozenset({"threading", "concurrent"})
"""Modules of the standard library whose frames begin a thread."""
_WAITING = re.compile(
    r"(?:accept|acquire|get|join|poll|read|readinto|readline|recv|recv_into|recvfrom|select|wait|sigwait|control"
    r"|_wait_for_tstate_lock|_recv_bytes|_recv|_worker|sleep|run|run_until_complete)\Z"
)
"""Functions in which a thread of a server waits for work, without their class."""
WINDOW_NS = NS_PER_S // 2
"""Samples are counted by windows of this length, and requests are slow or not by the same windows."""
MOST_PLACES = 500
"""Places of one load; the samples of others count as time elsewhere."""


class Frame(NamedTuple):
    """One function call of a stack."""

    function: str
    file: str
    line: int


class Place(NamedTuple):
    """Where a thread was: the deepest line of the project's own code, and the library call that it waited for."""

    file: str
    """Relative to the target's working directory, or to pytest's root directory.

    Of code without any of the project's own: the name of the package.
    """
    line: int
    """0 where the code is a library's, without any of the project's own."""
    function: str
    called_by: str
    """The line of the project's code that called the function, as ``file:line function``; empty if there is none."""
    library: str
    """The function of a library that the line called; empty for none, and for a function in C."""


@dataclass(frozen=True)
class StackSamples:
    """The stacks of a load's target. Immutable once made; windows count from the start of the judged part."""

    places: list[Place] = field(default_factory=list)
    counts: list[tuple[int, list[tuple[int, int]]]] = field(default_factory=list)
    """For each sampled window: its number, and pairs of a place's number and how many samples were there."""
    sources: dict[str, str] = field(default_factory=dict)
    """The text of lines, by ``file:line``."""
    pids: list[int] = field(default_factory=list)
    cpu_share: float | None = None
    """Of a processor core, that sampling took."""
    failed_reads: int = 0
    """Stacks that changed while they were read, and count nowhere."""
    waiting: int = 0
    """Samples of threads that waited for work, and count nowhere else."""
    processor: list[tuple[int, float, float]] = field(default_factory=list)
    """For each sampled window: its number, and how many processor cores the target's threads used and waited for.

    Empty where the system does not tell.
    """
    problem: str = ""
    """Why there are no samples, or none from some moment on; empty if there are."""

    def __post_init__(self) -> None:
        """ValueError for numbers of places that do not exist, and for negative counts: it may come from a file."""
        for _, pairs in self.counts:
            if any(not 0 <= number < len(self.places) or count < 0 for number, count in pairs):
                raise ValueError("stack samples: a place that does not exist, or a negative count")

    def by_window(self) -> Iterator[tuple[int, Counter[Place]]]:
        """The samples of each window."""
        for window, pairs in self.counts:
            found: Counter[Place] = Counter()
            for number, count in pairs:
                found[self.places[number]] += count
            yield window, found

    def merged(self, other: StackSamples) -> StackSamples:
        """With those of another part of the same load, from another host or process."""
        windows: dict[int, Counter[Place]] = {}
        for window, found in (*self.by_window(), *other.by_window()):
            windows[window] = windows.get(window, Counter()) + found
        processor: dict[int, tuple[float, float]] = {}
        for window, used, waited in (*self.processor, *other.processor):
            before = processor.get(window, (0.0, 0.0))
            processor[window] = before[0] + used, before[1] + waited
        shares = [each.cpu_share for each in (self, other) if each.cpu_share is not None]
        return packed(
            windows,
            sources={**self.sources, **other.sources},
            pids=[*dict.fromkeys((*self.pids, *other.pids))],
            cpu_share=sum(shares) if shares else None,
            failed_reads=self.failed_reads + other.failed_reads,
            waiting=self.waiting + other.waiting,
            processor=[(window, *times) for window, times in sorted(processor.items())],
            problem="" if windows else self.problem or other.problem,
        )


def merged_stacks(one: StackSamples | None, other: StackSamples | None) -> StackSamples | None:
    """Those of two parts of a load, either of which may have none."""
    return one.merged(other) if one is not None and other is not None else one or other


def packed(windows: dict[int, Counter[Place]], **others: object) -> StackSamples:
    """From the samples of each window; ``others`` are the other fields."""
    total: Counter[Place] = Counter()
    for found in windows.values():
        total.update(found)
    numbers = {place: number for number, (place, _) in enumerate(total.most_common(MOST_PLACES))}
    rest = Place("elsewhere", 0, "", "", "")
    if len(total) > len(numbers):
        numbers.setdefault(rest, len(numbers))
    counts = []
    for window in sorted(windows):
        pairs: Counter[int] = Counter()
        for place, count in windows[window].items():
            pairs[numbers.get(place, numbers.get(rest, 0))] += count
        counts.append((window, sorted(pairs.items())))
    return StackSamples(places=list(numbers), counts=counts, **others)  # type: ignore[arg-type]  # checked by callers


def stacks_of(text: str) -> Iterator[tuple[list[Frame], int]]:
    """The stacks in what ``py-spy record --format raw`` writes, from the root down, and how often each was seen."""
    for row in text.splitlines():
        stack, _, count = row.rpartition(" ")
        if not count.isdecimal():
            continue
        frames = [frame for frame in map(_frame, stack.split(";")) if frame is not None]
        if frames:
            yield frames, int(count)


@lru_cache(maxsize=4096)
def _frame(text: str) -> Frame | None:
    """``function (file:line)``; None for the heading of a process or a thread."""
    found = _FRAME.match(text)
    if found is None or text.startswith("process "):
        return None
    return Frame(found["function"], found["file"], int(found["line"]))


def place_of(frames: Sequence[Frame], folders: Sequence[str] = ()) -> Place | None:
    """Where a stack was; None for a thread that waits for work.

    Paths are relative to the first of the ``folders`` that they are below. A thread waits for work if its deepest frame
    is one that waits, and no code of the project was called by a server: frames of the project at the root of the stack
    started the server.
    """
    own = [number for number, frame in enumerate(frames) if is_own(frame.file)]
    last = frames[-1]
    if not own or own[-1] < _first_served(frames):
        if _waits(last) and not is_own(last.file):
            return None
        if all(frames[number].function == "<module>" for number in own):
            return Place(package_of(last.file), 0, "", "", "")
    deepest = frames[own[-1]]
    caller = frames[own[-2]] if len(own) > 1 else None
    return Place(
        relative(deepest.file, folders),
        deepest.line,
        deepest.function,
        "" if caller is None else f"{relative(caller.file, folders)}:{caller.line} {caller.function}",
        _library_call(frames[own[-1] + 1 :]),
    )


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Whether a file is of the project: neither an installed package nor the standard library."""
    return not file.startswith("<") and not _PACKAGES.match(file) and not _STANDARD_LIBRARY.match(file)


@lru_cache(maxsize=4096)
def package_of(file: str) -> str:
    """The name of the package that a library's file belongs to."""
    found = _PACKAGES.match(file) or _STANDARD_LIBRARY.match(file)
    rest = file[found.end() :] if found else file.strip("<>").rpartition(" ")[2]
    return re.split(r"[/\\]", rest)[0].removesuffix(".py") or "python"


def relative(file: str, folders: Sequence[str]) -> str:
    """The path below the first of the folders that it is below; else as it is."""
    for folder in folders:
        start = folder.rstrip("/\\") + "/"
        if len(start) > 1 and file.startswith(start):
            return file.removeprefix(start)
    return file


def _first_served(frames: Sequence[Frame]) -> int:
    """The number of the first frame that belongs to a server: behind the start of the thread, and the program's own."""
    number = 0
    while (
        number < len(frames) and package_of(frames[number].file) in _THREAD_STARTS and not is_own(frames[number].file)
    ):
        number += 1
    while number < len(frames) and (is_own(frames[number].file) or frames[number].file.startswith("<frozen ")):
        number += 1
    return number


def _starts_thread(file: str) -> bool:
    return not is_own(file) and package_of(file) in _THREAD_STARTS


def _waits(frame: Frame) -> bool:
    return _WAITING.match(frame.function.rpartition(".")[2]) is not None


def _library_call(frames: Iterable[Frame]) -> str:
    """The function of a library that was called: the first one below the project's code."""
    for frame in frames:
        return f"{package_of(frame.file)}: {frame.function}"
    return ""
