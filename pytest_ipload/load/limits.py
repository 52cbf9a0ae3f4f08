"""The limits of this process that a load needs: open files now, checked before anything is sent."""

from __future__ import annotations

from pytest_ipload.errors import GeneratorLimitError

try:
    import resource
except ImportError:  # Windows has no such limit to raise
    resource = None  # type: ignore[assignment]

_SPARE_FILES = 100
"""For the test itself, its reports and the servers that it may run in this process."""


def files_needed(users: int) -> int:
    """Open files for a load: a connection for each user, and what the process has and needs beside them."""
    return users + _SPARE_FILES


def ensure_open_files(users: int, given: str) -> None:
    """Make sure that ``users`` can open their connections, raising the soft limit to the hard one if needed.

    ``given`` names the setting in the error, as in ``--ipload-users=1200``. Raises GeneratorLimitError.
    """
    if resource is None:
        return
    needed = files_needed(users)
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
