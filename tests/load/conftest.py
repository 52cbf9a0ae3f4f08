from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def no_user_thread_is_left() -> Iterator[None]:
    """After the test."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ipload-user")] == []
