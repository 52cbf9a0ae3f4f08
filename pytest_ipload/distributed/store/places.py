"""Places that segments share: a folder that all machines see, or a URL that takes GET and PUT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_ipload.distributed.store.folder_place import FolderPlace
from pytest_ipload.distributed.store.place import Place, is_url


def open_place(text: str, clock: Callable[[], float], *, is_quick: bool = False) -> Place:
    """The place itself; nothing is read or written yet. A quick one gives up at the first failure.

    Raises StoreError for a URL that cannot be used.
    """
    if is_url(text):
        from pytest_ipload.distributed.store.http_place import HttpPlace

        return HttpPlace(text, clock, is_quick=is_quick)
    return FolderPlace(Path(text), clock)
