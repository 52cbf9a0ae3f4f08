"""The samples that the loads of a session leave on disk, until they become a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pytest_ipload.stats.recorder import Chunk
from pytest_ipload.stats.spool.sample_traces import SampleTraces
from pytest_ipload.stats.spool.spool_format import SpoolWriter


class SpoolFacts(NamedTuple):
    """What is known of all samples of a spool."""

    nodeid: str
    unix_offset_ns: int
    """Added to a time of a sample, it gives nanoseconds since 1970."""
    judged_from_ns: int
    """What began before belongs to the warm-up."""
    is_planned: bool
    """Whether iterations had times to start at."""
    round: tuple[int, str] | None = None
    """Of several rounds, which one it is, from 1, and its role; see ``verdict.rounds``."""


class Spool:
    """The samples of one load, while it runs. A failure to write does not end the load."""

    def __init__(self, writer: SpoolWriter, give_up: Callable[[OSError], object]) -> None:
        """``give_up`` is called, once, when something cannot be written."""
        self._writer: SpoolWriter | None = writer
        self._on_error = give_up

    def add(self, chunks: Sequence[Chunk]) -> None:
        """Keep the samples."""
        if self._writer is None:
            return
        try:
            for chunk in chunks:
                self._writer.add(chunk)
        except OSError as error:
            self._give_up(self._writer, error)

    def finish(self, facts: SpoolFacts) -> None:
        """The load is over: only now is it one that counts."""
        writer = self._writer
        if writer is None:
            return
        try:
            writer.close()
            unfinished = writer.path.with_suffix(".facts")
            unfinished.write_text(json.dumps(facts), encoding="ascii")
            unfinished.rename(writer.path.with_suffix(".json"))
        except OSError as error:
            self._give_up(writer, error)

    def _give_up(self, writer: SpoolWriter, error: OSError) -> None:
        self._writer = None
        self._on_error(error)
        with suppress(OSError):
            writer.close()


class Spools:
    """The spools of one process, in a folder that processes of one host may share."""

    def __init__(self, folder: Path, process: str) -> None:
        self.folder = folder
        self.problems: list[str] = []
        """Why samples of some loads are not there."""
        self._process = process
        self._paths: dict[str, list[Path]] = {}
        self._opened = 0

    def open(self, nodeid: str, traces: SampleTraces | None = None) -> Spool | None:
        """A spool for a load of a test, with the traces of its samples; None if there can be none."""
        self._opened += 1
        path = self.folder / f"{self._process}-{self._opened:06}.spool"

        def give_up(error: OSError) -> None:
            self.problems.append(f"the samples of {nodeid} could not be stored: {error}")

        try:
            writer = SpoolWriter(path, traces)
        except OSError as error:
            give_up(error)
            return None
        self._paths.setdefault(nodeid, []).append(path)
        return Spool(writer, give_up)

    def forget(self, nodeid: str) -> None:
        """The test runs again: what it measured before does not count."""
        for path in self._paths.pop(nodeid, ()):
            for each in (path.with_suffix(".json"), path):
                each.unlink(missing_ok=True)

    def finished(self) -> list[tuple[SpoolFacts, Path]]:
        """The spools of all processes that use the folder, but for those whose load did not come to its end."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            facts = SpoolFacts(*json.loads(path.read_text(encoding="ascii")))
            found.append((facts, path.with_suffix(".spool")))
        return found
