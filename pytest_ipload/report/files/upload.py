"""Report files that are written to a URL, by PUT."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.distributed.store.digest import with_digest
from pytest_ipload.distributed.store.place import StoreError
from pytest_ipload.distributed.store.places import open_place


class Upload:
    """Where a report goes, in place of a path."""

    def __init__(self, url: str, writer: Callable[[Path, Any], None], *, has_digest: bool) -> None:
        """``writer`` writes the file. A JSON object may have a digest. Raises ValueError if the URL cannot be used."""
        try:
            self._place = open_place(url, real_time.time)
        except StoreError as error:
            raise ValueError(str(error)) from None
        self._writer = writer
        self._has_digest = has_digest
        self.shown = self._place.shown
        """The URL without secrets."""

    def write(self, _: Path, report: Any) -> None:
        """Write it. Raises OSError if it could not be sent."""
        with tempfile.TemporaryDirectory(prefix="ipload-") as folder:
            path = Path(folder, "report")
            self._writer(path, report)
            content = path.read_bytes()
        try:
            self._place.put("", with_digest(content) if self._has_digest else content)
        except StoreError as error:
            raise OSError(str(error)) from None
