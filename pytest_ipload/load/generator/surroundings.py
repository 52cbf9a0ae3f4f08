"""What a load changes in its process for as long as it runs: the CPU of its threads, and the garbage collector.

Both belong to the whole process, so loads that run together change them once, for all of them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from pytest_ipload.load.generator.affinity import pinned


class Surroundings:
    """Those of one load."""

    def pinned(self, cpu: int | None) -> AbstractContextManager[str | None]:
        """Keep the calling thread, and all that it starts, on a CPU; see ``affinity.pinned``."""
        return pinned(cpu)

    def frozen(self) -> AbstractContextManager[None]:
        """Collect garbage now, so that collections during the load need not scan what existed before."""
        return frozen_heap()


class SharedSurroundings(Surroundings):
    """Those of loads that run together; ``frozen`` and ``close`` are called in the thread that sets them up."""

    def __init__(self) -> None:
        self._changes = ExitStack()
        self._problem: str | None = None
        self._is_pinned = False

    def pinned(self, cpu: int | None) -> AbstractContextManager[str | None]:
        """The first call moves the calling thread; the end of a load moves nothing, ``close`` does."""
        if not self._is_pinned:
            self._is_pinned = True
            self._problem = self._changes.enter_context(pinned(cpu))
        return nullcontext(self._problem)

    def frozen(self) -> AbstractContextManager[None]:
        """The heap is frozen by ``freeze``, before the loads begin."""
        return nullcontext()

    def freeze(self) -> None:
        """Collect garbage once for all loads."""
        self._changes.enter_context(frozen_heap())

    def close(self) -> None:
        """All loads are over."""
        self._changes.close()
        self._is_pinned = False


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Collect garbage, and keep what is there out of later collections.

    A project that has frozen its own objects keeps them frozen.
    """
    gc.collect()
    freezes = gc.get_freeze_count() == 0
    if freezes:
        gc.freeze()
    try:
        yield
    finally:
        if freezes:
            gc.unfreeze()
