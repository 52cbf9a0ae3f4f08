"""Users who are there and wait: what each of them takes of memory, and how long it takes until all have come."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import proc
from child import running
from nginx import Nginx
from tools import pytest_command, requests_command

HOLD_S = 3600.0
"""Each user makes one request and then waits so long; the run is killed long before."""
FILES_BESIDES = 200
"""Open files that a tool needs besides one connection per user."""
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Held:
    """A run with so many users, each with an open connection."""

    users: int
    all_came_s: float
    """From the start of the command until the last user's first request had arrived."""
    resident_kib: int


def kib_per_user(held: Held, alone: Held) -> float:
    """Memory of one more user, from a run with many and a run with one. ValueError where the first has not more."""
    if held.users <= alone.users:
        raise ValueError(f"{held.users} users are not more than {alone.users}")
    return (held.resident_kib - alone.resident_kib) / (held.users - alone.users)


def _plugin(nginx: Nginx, users: int) -> list[str]:
    load = (f"--ipload-users={users}", f"--ipload-duration={2 * HOLD_S:g}s", f"--ipload-base-url={nginx.urls['http']}")
    return pytest_command("held_load_test.py", *load)


def _requests(nginx: Nginx, users: int) -> list[str]:
    return requests_command("get", f"{nginx.urls['http']}/small", users, 2 * HOLD_S, f"--pacing={HOLD_S:g}")


COMMANDS: dict[str, Callable[[Nginx, int], list[str]]] = {"pytest-ipload": _plugin, "requests": _requests}


def hold(tool: str, users: int, nginx: Nginx, core: int, folder: Path, settle: float) -> Held:
    """Start a tool with so many users, wait until each has made its request, and read its memory after ``settle`` s.

    Raises ToolFailed if they do not all come.
    """
    before = nginx.status().requests
    started = time.perf_counter()
    with running(f"{tool} with {users} users", COMMANDS[tool](nginx, users), core, folder) as child:
        child.wait_until(
            lambda: nginx.status().requests >= before + users, "all users had come", limit=_LIMIT_S, poll=0.01
        )
        came = time.perf_counter() - started
        time.sleep(settle)
        if nginx.status().connections < users:
            raise child.failure(f"held only {nginx.status().connections} connections")
        return Held(users, came, proc.resident_kib(child.pid))


def allow_open_files() -> int:
    """Raise this process's limit of open files as far as it may; children inherit it. The limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard
