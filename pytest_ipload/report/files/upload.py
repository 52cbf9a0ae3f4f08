"""Report files that are written to a URL, by PUT, or whole or not at all into a folder that is a store."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.distributed.store.digest import with_digest
from pytest_ipload.distributed.store.place import StoreError, joined
from pytest_ipload.distributed.store.places import open_place
from pytest_ipload.settings.parsing import as_url

IN_FOLDER = "file://"
"""Before the path of a file that other machines read: it appears with all its content."""


class Upload:
    """Where a report goes, in place of a path."""

    def __init__(self, url: str, writer: Callable[[Path, Any], None], *, has_digest: bool) -> None:
        """``writer`` writes the file. A JSON object may have a digest. Raises ValueError if the URL cannot be used."""
        if url.startswith(IN_FOLDER):
            path = Path(url.removeprefix(IN_FOLDER))
            self._place, self._name = open_place(str(path.parent), real_time.time), path.name
        else:
            try:
                self._place, self._name = open_place(as_url(url), real_time.time), ""
            except StoreError as error:
                raise ValueError(str(error)) from None
        self._writer = writer
        self._has_digest = has_digest
        self.shown = joined(self._place.shown, self._name)
        """The URL without secrets."""

    def write(self, _: Path, report: Any) -> None:
        """Write it. Raises OSError if it could not be sent."""
        with tempfile.TemporaryDirectory(prefix="ipload-") as folder:
            path = Path(folder, "report")
            self._writer(path, report)
            content = path.read_bytes()
        try:
            self._place.put(self._name, with_digest(content) if self._has_digest else content)
        except StoreError as error:
            raise OSError(str(error)) from None
