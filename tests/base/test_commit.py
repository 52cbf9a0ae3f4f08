from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conftest import require_program
from pytest_ipload.base import commit
from pytest_ipload.base.commit import Commit, current_commit

ID = "1f0c2d3e4b5a69788796a5b4c3d2e1f001234567"


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@y.test", "-c", "init.defaultBranch=main")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    require_program("git", "apt-get install git")
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (f"# branch.oid {ID}\n# branch.head main\n", Commit(ID, "main", dirty=False)),
        (
            f"# branch.oid {ID}\n# branch.head a/b\n# branch.upstream o/x\n# branch.ab +1 -0\n1 .M N... file\n",
            Commit(ID, "a/b", dirty=True),
        ),
        (f"# branch.oid {ID}\n# branch.head (detached)\n", Commit(ID, None, dirty=False)),
        ("# branch.oid (initial)\n# branch.head main\n", None),
        ("", None),
    ],
)
def test_it_is_what_git_says(status: str, expected: Commit | None) -> None:
    assert commit._parse(status) == expected


def test_of_a_repository(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert current_commit(repository) == Commit(head, "main", dirty=False)
    (repository / "new").write_text("untracked")
    (repository / "below").mkdir()
    assert current_commit(repository / "below") == Commit(head, "main", dirty=False)
    (repository / "file").write_text("2")
    git(repository, "checkout", "--detach")
    assert current_commit(repository) == Commit(head, None, dirty=True)


def test_without_a_repository_or_without_git_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert current_commit(tmp_path) is None
    assert current_commit(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert current_commit(tmp_path) is None


def test_a_git_that_takes_too_long_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(commit, "_TIMEOUT_S", 0.1)
    assert current_commit(tmp_path) is None
