"""The folder of saved runs: one for each kind of machine and Python, with files ``0001_NAME.json``.

Sessions may save at the same time. Each reserves a number of its own, and a file appears complete or not at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.machine import Machine, this_machine
from pytest_ipload.base.untrusted_files import CONTENT_ERRORS, read_object
from pytest_ipload.baselines.saved_run import SavedRun

FOLDER = ".ipload"
"""In the root directory of pytest."""
MOST_FILES = 100
"""The maximum number of files read from a folder or for a name, the newest first."""
_LARGEST_FILE = 1 << 28
_MOST_SHOWN = 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", re.ASCII)
_FILE = re.compile(r"([0-9]{4,})_(.+)\.json", re.ASCII)


class UnusableRun(ValueError):
    """A file that is not a saved run; the text says which, and why."""


def check_name(name: str) -> str:
    """The name, if it is valid for a saved run; else ``ValueError``."""
    if not _NAME.fullmatch(name) or name.isdecimal():
        raise ValueError(
            f"{name!r} is not a valid name for a saved run; give up to 100 letters, digits, '.', '_', '+' and '-', "
            "but not only digits, as in main or v1.2"
        )
    return name


class Store:
    """Saved runs below one folder."""

    def __init__(self, root: Path, machine: Machine | None = None) -> None:
        """``root`` is the root directory of pytest; ``machine`` is this one unless another is given."""
        machine = machine or this_machine()
        self._root = root
        self.machine = machine
        self.folder = root / FOLDER / machine.folder
        """The subfolder for runs of this kind of machine."""

    def find(self, reference: str) -> list[Path]:
        """The files that a name, a number or a path (of a file or of a folder) means, the newest first.

        The empty text means all of this kind of machine; there may be none. SettingError if nothing matches.
        """
        try:
            known = _files(self.folder)
            if not reference:
                return known[:MOST_FILES]
            found = [path for path in known if _is_meant(path, reference)] or _at_path(reference)
        except OSError as error:
            raise SettingError(f"saved runs cannot be listed: {error}") from None
        if not found:
            raise SettingError(f"{_nothing(reference, self.shown(self.folder), known)}{_hint(reference)}")
        return found[:MOST_FILES]

    def read(self, path: Path) -> SavedRun:
        """Read a file. Raises UnusableRun."""
        try:
            return SavedRun.from_text(read_object(path, _LARGEST_FILE, "saved runs"))
        except (OSError, *CONTENT_ERRORS) as error:  # UnicodeDecodeError is a ValueError
            raise UnusableRun(f"{self.shown(path)}: {str(error) or type(error).__name__}") from None

    def save(self, run: SavedRun) -> Path:
        """Write a run to a file with a new number, and return its path. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _new_number(self.folder) as number:
            path = self.folder / f"{number:04}_{run.name}.json"
            unfinished = path.with_suffix(".json.tmp")
            unfinished.write_text(run.to_text(), encoding="utf-8")
            os.replace(unfinished, path)
        return path

    def shown(self, path: Path) -> str:
        """The path as shown to users."""
        return str(path.relative_to(self._root) if path.is_relative_to(self._root) else path)


def _files(folder: Path) -> list[Path]:
    """The saved runs in a folder, the newest first."""
    if not os.path.isdir(folder):  # unlike Path.is_dir, for any text
        return []
    numbered = [(int(match[1]), path) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))]
    return [path for _, path in sorted(numbered, reverse=True) if path.is_file()]


def _is_meant(path: Path, reference: str) -> bool:
    match = _FILE.fullmatch(path.name)
    assert match is not None
    number, name = match.groups()
    if reference.isascii() and reference.isdecimal():
        return int(reference) == int(number)
    return reference in (name, path.stem)


def _at_path(reference: str) -> list[Path]:
    path = Path(reference)
    return [path] if path.suffix == ".json" and os.path.isfile(path) else _files(path)


def _nothing(reference: str, folder: str, known: Sequence[Path]) -> str:
    if not known:
        return f"{reference!r}: no such file or folder of saved runs, and {folder} has none"
    shown = ", ".join(path.stem for path in known[:_MOST_SHOWN]) + (", ..." if len(known) > _MOST_SHOWN else "")
    return f"{reference!r} is not the name, number or path of a saved run; {folder} has {shown}"


def _hint(reference: str) -> str:
    """For ``--ipload-compare tests/``, which takes what was meant as an argument of pytest."""
    path = reference.partition("::")[0]
    looks_like_test = "::" in reference or path.endswith((".py", "/")) or os.path.isdir(path)
    return (
        f". If {reference} is what to test: write it before --ipload-compare, which takes the word that follows it"
        if looks_like_test
        else ""
    )


@contextmanager
def _new_number(folder: Path) -> Iterator[int]:
    """A number that no file has and no other session can reserve."""
    number = max(_numbers(folder), default=0)
    while True:
        number += 1
        reservation = folder / f".{number:04}.reserved"
        try:
            os.close(os.open(reservation, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue  # reserved by another session, or by one that was killed: that number stays unused
        try:
            if number not in _numbers(folder):
                yield number
                return
        finally:
            reservation.unlink(missing_ok=True)


def _numbers(folder: Path) -> set[int]:
    return {int(match[1]) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))}
