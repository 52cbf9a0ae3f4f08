"""The commit that a run belongs to."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Commit:
    """A commit of git."""

    id: str
    branch: str | None
    """None if none is checked out, as in most CI."""
    dirty: bool
    """Whether a tracked file differs from the commit."""


def current_commit(folder: Path) -> Commit | None:
    """What is checked out there; None without git, without a repository, without a commit, or if git takes too long."""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    # Without optional locks git leaves its index alone: another git may be running.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, env=environment, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return _parse(done.stdout.decode(errors="replace"))


def _parse(status: str) -> Commit | None:
    """What ``git status --porcelain=v2 --branch`` says (git-status, "Branch Headers")."""
    lines = status.splitlines()
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid", ""), headers.get("branch.head", "")
    if not commit or commit == "(initial)":
        return None
    is_dirty = any(not line.startswith("# ") for line in lines)
    return Commit(commit, None if branch in ("", "(detached)") else branch, is_dirty)
