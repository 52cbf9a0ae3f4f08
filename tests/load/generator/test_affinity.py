"""Which CPU a load is kept on, and that everything is as before when it is over."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.generator import affinity
from pytest_ipload.load.generator.affinity import allowed_cpus, automatic_cpu, choose_cpu, pinned, usable_cpus

needs_two_cpus = pytest.mark.skipif(
    len(allowed_cpus()) < 2, reason="with one CPU, or no choice among them, there is nothing to pin"
)


class TestNumber:
    @pytest.mark.parametrize(
        ("allowed", "there", "usable"), [({0, 3}, 8, 2), ((), 8, 8), ((), None, 1)], ids=["choice", "none", "unknown"]
    )
    def test_of_usable_cpus(
        self, monkeypatch: pytest.MonkeyPatch, allowed: set[int], there: int | None, usable: int
    ) -> None:
        monkeypatch.setattr(affinity, "allowed_cpus", lambda: frozenset(allowed))
        monkeypatch.setattr(os, "cpu_count", lambda: there)
        assert usable_cpus() == usable


class TestChoice:
    @pytest.mark.parametrize(
        ("allowed", "number", "chosen"),
        [
            ({0, 1}, 0, 1),
            ({0, 1}, 1, 0),
            ({0, 1}, 2, 1),
            ({0}, 0, 0),
            ({5}, 3, 5),
            ({2, 11, 7}, 0, 11),
            ({2, 11, 7}, 1, 7),
            ({2, 11, 7}, 5, 2),
            (range(64), 3, 60),
            ((), 0, None),
        ],
    )
    def test_counts_from_the_highest_cpu_down_and_begins_again(
        self, allowed: set[int], number: int, chosen: int | None
    ) -> None:
        assert choose_cpu(allowed, number) == chosen

    @given(st.sets(st.integers(0, 300), min_size=1), st.integers(1, 40))
    def test_processes_have_a_cpu_each_while_there_are_enough_and_share_evenly_then(
        self, allowed: set[int], count: int
    ) -> None:
        chosen = [choose_cpu(allowed, number) for number in range(count)]
        shares = [chosen.count(cpu) for cpu in allowed]
        assert sum(shares) == count
        assert max(shares) - min(shares) <= 1

    @given(st.sets(st.integers(0, 300), min_size=2), st.data())
    def test_the_first_cpu_is_taken_last(self, allowed: set[int], data: st.DataObject) -> None:
        number = data.draw(st.integers(0, len(allowed) - 2))
        assert choose_cpu(allowed, number) != min(allowed)


class TestAutomatic:
    @pytest.fixture(autouse=True)
    def locked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)

    @pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no such choice")
    def test_is_one_that_the_process_may_use(self) -> None:
        assert automatic_cpu(0) == max(os.sched_getaffinity(0))

    def test_is_none_on_free_threaded_python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
        assert automatic_cpu(0) is None

    def test_is_the_usual_one_on_a_python_that_cannot_be_free_threaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(sys, "_is_gil_enabled")
        assert automatic_cpu(0) == choose_cpu(allowed_cpus(), 0)

    def test_is_none_where_the_system_has_no_such_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        monkeypatch.delattr(os, "sched_setaffinity", raising=False)
        assert allowed_cpus() == frozenset()
        assert automatic_cpu(0) is None
        with pinned(automatic_cpu(0)) as problem:
            assert problem is None


class Worker:
    """A thread that lives until it is released."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.thread = threading.Thread(target=self.go.wait, args=(30,))
        self.thread.start()

    @property
    def number(self) -> int:
        assert self.thread.native_id is not None
        return self.thread.native_id

    @property
    def cpus(self) -> set[int]:
        return os.sched_getaffinity(self.number)

    def end(self) -> None:
        self.go.set()
        self.thread.join(30)


@needs_two_cpus
class TestPinned:
    @pytest.fixture
    def all_cpus(self) -> Iterator[set[int]]:
        before = os.sched_getaffinity(0)
        yield before
        assert os.sched_getaffinity(0) == before

    @pytest.fixture
    def worker(self) -> Iterator[Worker]:
        worker = Worker()
        yield worker
        worker.end()

    def test_the_thread_runs_on_the_cpu_and_then_on_all_again(self, all_cpus: set[int]) -> None:
        for cpu in all_cpus:
            with pinned(cpu) as problem:
                assert os.sched_getaffinity(0) == {cpu}
                assert problem is None
            assert os.sched_getaffinity(0) == all_cpus

    def test_also_after_an_exception(self, all_cpus: set[int]) -> None:
        with pytest.raises(KeyboardInterrupt), pinned(min(all_cpus)):
            raise KeyboardInterrupt

    def test_no_cpu_leaves_the_thread_alone(self, all_cpus: set[int]) -> None:
        with pinned(None) as problem:
            assert os.sched_getaffinity(0) == all_cpus
            assert problem is None

    def test_a_thread_that_is_there_already_stays_where_it_is(self, all_cpus: set[int], worker: Worker) -> None:
        with pinned(min(all_cpus)):
            assert worker.cpus == all_cpus
        assert worker.cpus == all_cpus

    def test_a_thread_that_is_there_already_keeps_even_this_very_cpu(self, all_cpus: set[int], worker: Worker) -> None:
        cpu = min(all_cpus)
        os.sched_setaffinity(worker.number, {cpu})
        with pinned(cpu):
            pass
        assert worker.cpus == {cpu}

    def test_a_thread_that_is_started_inside_inherits_the_cpu_and_is_released_with_the_others(
        self, all_cpus: set[int]
    ) -> None:
        with pinned(min(all_cpus)):
            inherits, moves = Worker(), Worker()
            assert inherits.cpus == {min(all_cpus)}
            os.sched_setaffinity(moves.number, {max(all_cpus)})
        assert inherits.cpus == all_cpus
        assert moves.cpus == {max(all_cpus)}
        inherits.end()
        moves.end()

    def test_without_proc_the_thread_itself_is_released(
        self, all_cpus: set[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(affinity, "_THREADS", "/nonexistent")
        with pinned(min(all_cpus)):
            assert os.sched_getaffinity(0) == {min(all_cpus)}

    def test_a_cpu_that_is_not_there_is_told_and_changes_nothing(self, all_cpus: set[int]) -> None:
        with pinned(100_000) as problem:
            assert os.sched_getaffinity(0) == all_cpus
        assert problem == "the load was not pinned to CPU 100000: Invalid argument"

    def test_the_only_cpu_needs_no_permission(self, all_cpus: set[int], monkeypatch: pytest.MonkeyPatch) -> None:
        cpu = min(all_cpus)
        with pinned(cpu), monkeypatch.context() as patch:
            patch.delattr(os, "sched_setaffinity")
            with pinned(cpu) as problem:
                assert problem is None


needs_batch = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no SCHED_BATCH")


@needs_batch
class TestTurns:
    """While a load runs, a thread that wakes up does not take the CPU from the one that runs."""

    def test_the_thread_and_what_it_starts_are_batch_work_and_then_as_before(self) -> None:
        others = Worker()
        with pinned(max(allowed_cpus())):
            assert os.sched_getscheduler(0) == os.SCHED_BATCH
            inherits = Worker()
            assert os.sched_getscheduler(inherits.number) == os.SCHED_BATCH
            assert os.sched_getscheduler(others.number) == os.SCHED_OTHER
        assert os.sched_getscheduler(0) == os.sched_getscheduler(inherits.number) == os.SCHED_OTHER
        inherits.end()
        others.end()

    def test_a_load_that_is_not_pinned_is_left_alone(self) -> None:
        with pinned(None):
            assert os.sched_getscheduler(0) == os.SCHED_OTHER

    def test_also_after_an_exception(self) -> None:
        with pytest.raises(KeyboardInterrupt), pinned(max(allowed_cpus())):
            raise KeyboardInterrupt
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

    def test_who_chose_a_policy_keeps_it(self) -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        try:
            with pinned(max(allowed_cpus())):
                assert os.sched_getscheduler(0) == os.SCHED_IDLE
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def test_where_it_is_forbidden_the_load_runs_all_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: object) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "sched_setscheduler", refuse)
        with pinned(max(allowed_cpus())) as problem:
            assert problem is None
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
