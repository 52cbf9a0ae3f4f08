"""The limits of this process that a load needs: open files, checked before anything is sent; the users' stacks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_ipload.base.errors import GeneratorLimitError

try:
    import resource
except ImportError:  # Windows has no such limit to raise
    resource = None  # type: ignore[assignment]

_SPARE_FILES = 100
"""For the test itself, its reports and the servers that it may run in this process."""
_STACK = 8 << 20
"""Bytes of a user's stack.

CPython's limits of recursion are made for it. Below their limit, bodies that recurse to it die of a segmentation fault
instead of a RecursionError: measured, json.loads of a deep document takes 1.3 MiB on CPython 3.13, repr of one 2.1, a
sort whose key sorts 5.1. It is address space, not memory: the system gives a stack the pages that it touches.
"""


def files_needed(files: int) -> int:
    """Open files for a load: those of its users, and what the process has and needs beside them."""
    return files + _SPARE_FILES


def ensure_open_files(files: int, given: str) -> None:
    """Make sure that users can open these files, raising the soft limit to the hard one if needed.

    ``given`` names the setting in the error, as in ``--ipload-users=1200``. Raises GeneratorLimitError.
    """
    if resource is None:
        return
    needed = files_needed(files)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return
    raise GeneratorLimitError(
        f"{given} needs about {needed} open files, the limit is {soft} (hard {hard}); "
        f"run 'ulimit -n {_round_up(needed)}' or use fewer users"
    )


def _round_up(number: int) -> int:
    """The next power of two: what people write after ``ulimit -n``."""
    return 1 << (number - 1).bit_length()


@contextmanager
def users_stack() -> Iterator[None]:
    """Threads that are started inside have a stack on which any body may recurse to Python's limit.

    On Linux the default is the soft limit of the main thread's stack (``ulimit -s``; 2 MiB if there is none), and 128
    KiB with musl. Elsewhere CPython has its own, and a size chosen before is kept. The size belongs to the
    whole process: a thread that other code starts in the same moment gets it too, which does it no harm.
    """
    if sys.platform != "linux":
        yield
        return
    before = threading.stack_size(_STACK)  # the only way to read it: without a value it goes back to the default
    try:
        if before:
            threading.stack_size(before)
        yield
    finally:
        threading.stack_size(before)
