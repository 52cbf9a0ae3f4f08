"""A process and its children, in a /proc made by hand and in the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ipload.base.errors import SettingError, TargetLost
from pytest_ipload.load.target import process_reader
from pytest_ipload.load.target.proc_tree import ProcTree, has_proc
from pytest_ipload.load.target.process_reader import NO_FILES, ProcessReader, tree_of
from pytest_ipload.load.target.psutil_tree import PsutilTree

linux = pytest.mark.skipif(not has_proc(), reason="needs /proc")


class Proc:
    """A /proc."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(self, pid: int, parent: int, *, started: int = 100, state: str = "S", pages: int = 10) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        fields = [state, parent, *[0] * 9, 7, 3, 0, 0, 20, 0, 2, 0, started, 0, pages]
        (folder / "stat").write_text(f"{pid} (python -c (x)) {' '.join(map(str, fields))} 0 0\n")
        (folder / "fd").mkdir(exist_ok=True)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    proc = Proc(tmp_path)
    (tmp_path / "uptime").touch()
    for pid, parent in ((1, 0), (10, 1), (11, 10), (12, 11), (20, 1)):
        proc.start(pid, parent)
    return proc


def pids(tree: ProcTree) -> set[int]:
    return {process.pid for process in tree.read()}


@linux
class TestTree:
    def test_it_has_the_children_of_children_and_no_others(self, proc: Proc) -> None:
        assert pids(ProcTree(10, root=str(proc.root))) == {10, 11, 12}

    def test_children_come_and_go(self, proc: Proc) -> None:
        tree = ProcTree(10, root=str(proc.root))
        tree.read()
        proc.end(12)
        proc.start(14, 13)  # a number that is lower than that of its parent is as good as any
        proc.start(13, 10)
        proc.start(21, 20)
        assert pids(tree) == {10, 11, 13, 14}

    def test_a_child_that_outlives_its_parent_stays(self, proc: Proc) -> None:
        tree = ProcTree(10, root=str(proc.root))
        tree.read()
        proc.end(11)
        proc.start(12, 1)
        assert pids(tree) == {10, 12}

    def test_another_process_with_the_number_of_a_child_is_none(self, proc: Proc) -> None:
        tree = ProcTree(10, root=str(proc.root))
        tree.read()
        proc.start(12, 20, started=999)
        assert pids(tree) == {10, 11}
        assert pids(tree) == {10, 11}

    @pytest.mark.parametrize("change", [{"started": 999}, {"state": "Z"}])
    def test_the_target_has_ended_if_its_number_is_anothers_or_nobody_waits_for_it(
        self, proc: Proc, change: dict[str, object]
    ) -> None:
        tree = ProcTree(10, root=str(proc.root))
        assert pids(tree)
        proc.start(10, 1, **change)  # type: ignore[arg-type]
        assert pids(tree) == set()

    def test_it_may_be_another_one_already_when_a_load_begins(self, proc: Proc) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        assert pids(ProcTree(10, 100 / ticks, root=str(proc.root)))
        assert not pids(ProcTree(10, 99 / ticks, root=str(proc.root)))

    def test_the_numbers_of_a_reader_are_sums(self, proc: Proc) -> None:
        reader = ProcessReader(ProcTree(10, root=str(proc.root)), 10)
        gauges, cpu_s = reader.read()
        assert gauges["rss"] == 30 * os.sysconf("SC_PAGE_SIZE")
        assert gauges["threads"] == 6
        assert cpu_s == 0

    def test_open_files_that_may_not_be_counted_are_absent_and_said_once(self, proc: Proc) -> None:
        shutil.rmtree(proc.root / "11" / "fd")
        reader = ProcessReader(ProcTree(10, root=str(proc.root)), 10)
        for _ in range(2):
            gauges, _ = reader.read()
            assert set(gauges) == {"rss", "threads"}
        assert reader.notes == [NO_FILES]

    def test_a_process_that_ended_is_lost(self, proc: Proc) -> None:
        reader = ProcessReader(ProcTree(10, root=str(proc.root)), 10)
        reader.read()
        proc.end(10)
        with pytest.raises(TargetLost, match="process 10 has ended"):
            reader.read()


CHILD = """
import subprocess, sys, threading
child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"], stdin=subprocess.PIPE)
threading.Thread(target=input, daemon=True).start()
child.wait()
"""


@pytest.mark.parametrize("kind", ["proc", "psutil"])
def test_a_real_process_with_a_child(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "psutil":
        pytest.importorskip("psutil")
        monkeypatch.setattr(process_reader, "has_proc", lambda: False)
    elif not has_proc():
        pytest.skip("needs /proc")
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == b"up"
            tree = tree_of(process.pid)
            assert isinstance(tree, PsutilTree if kind == "psutil" else ProcTree)
            reader = ProcessReader(tree, process.pid)
            first, _ = reader.read()
            gauges, cpu_s = reader.read()
            assert first["rss"] > 5e6
            assert gauges["threads"] >= 3
            assert gauges["files"] >= 6
            assert cpu_s is not None
            assert 0 <= cpu_s < 1
        finally:
            assert process.stdin is not None
            for child in [each.pid for each in tree.read()]:
                os.kill(child, 9)
    with pytest.raises(TargetLost):
        reader.read()


def test_without_proc_and_psutil_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_reader, "has_proc", lambda: False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(SettingError, match=r"no /proc.*pip install psutil.*prometheus=URL"):
        tree_of(1)


@linux
def test_the_generator_itself_may_be_measured_and_that_is_said() -> None:
    reader = ProcessReader(tree_of(os.getpid()), os.getpid())
    assert reader.read()[0]["threads"] >= 1
    assert "those of the generator" in reader.notes[0]
