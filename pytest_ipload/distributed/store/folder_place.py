"""Objects as files in a folder that all machines see."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import printable
from pytest_ipload.distributed.store.place import Answer, StoreError


class FolderPlace:
    """A folder, such as a volume that is mounted on all machines."""

    is_consistent = False  # NFS caches that a file is not there

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._clock = clock
        self.shown = masked(printable(str(folder)))

    def get(self, name: str) -> Answer:
        """The file's content. Raises StoreError."""
        asked = self._clock()
        try:
            content: bytes | None = (self._folder / name).read_bytes()
        except FileNotFoundError:
            content = None
        except OSError as error:
            raise StoreError(f"{self._folder / name}: cannot be read: {error.strerror}") from None
        return Answer(content, asked, self._clock())

    def put(self, name: str, content: bytes) -> Answer:
        """Write the file, with the folders above it; it appears with all its content. Raises StoreError."""
        path = self._folder / name
        other = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # process ids are alike in containers
        asked = self._clock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with other.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            other.replace(path)
        except OSError as error:
            with suppress(OSError):
                other.unlink()
            raise StoreError(f"{path}: cannot be written: {error.strerror}") from None
        return Answer(None, asked, self._clock())
