"""The executor with lives that are plain functions: what runs, what stops, what is left."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.scripted_load import Script, ScriptedCrew, make, run

from pytest_ipload.load import deadlines as patience_module
from pytest_ipload.load import executor as executor_module
from pytest_ipload.load.executor import Executor
from pytest_ipload.load.generator.monitor import LOOK_NS, GeneratorReadings
from pytest_ipload.load.set_up_phase import UserSetUpError
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.settings.parsing import as_stages
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.sample import FAILED, ITERATION, REQUEST, Sample

pytestmark = pytest.mark.usefixtures("no_user_thread_is_left")


def test_each_user_runs_its_iterations_on_a_thread_of_its_own_and_leaves() -> None:
    threads: set[tuple[int, str]] = set()
    script = Script(body=lambda it: threads.add((it.user.index, threading.current_thread().name)))
    executor = run(script, users=5, iterations=3)
    assert threads == {(index, f"ipload-user-{index}") for index in range(5)}
    assert (script.count("set_up"), script.count("iterate"), script.count("tear_down")) == (5, 15, 5)
    assert sorted(script.left) == list(range(5))
    assert executor.measurements.count(ITERATION) == 15
    assert executor.record.users_started == 5
    assert len(executor.record.lifetimes) == 5


def test_iterations_are_numbered_per_user_and_the_user_knows_the_running_one() -> None:
    seen: list[tuple[int, int, int]] = []
    run(Script(body=lambda it: seen.append((it.user.index, it.number, it.user.iteration))), users=2, iterations=3)
    assert sorted(seen) == [(user, number, number) for user in range(2) for number in range(3)]


def test_total_iterations_are_shared_by_all_users() -> None:
    script = Script()
    run(script, users=4, total_iterations=10)
    assert script.count("iterate") == 10


def test_no_user_iterates_before_all_of_the_first_ones_are_set_up() -> None:
    script = Script()
    run(script, users=6, iterations=1)
    events = [event for event, _ in script.log if event != "admitted"]
    assert events.index("iterate") >= 6
    assert events[:6] == ["set_up"] * 6


def test_a_duration_ends_the_iterations_and_think_time_is_cut_short() -> None:
    script = Script()
    executor = run(script, users=3, duration=0.2, think_time=(30.0, 30.0))
    assert script.count("iterate") == 3
    assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 5


def test_users_of_the_ramp_up_are_set_up_when_they_come() -> None:
    script = Script()
    executor = run(script, users=4, ramp_up=0.2, iterations=1)
    assert script.count("set_up") == script.count("tear_down") == 4
    begins = [begin for begin, _ in sorted(executor.record.lifetimes)]
    planned = [executor.record.origin_ns + round(k * 0.05e9) for k in range(4)]
    assert all(begin >= plan for begin, plan in zip(begins, planned, strict=True))


def test_samples_of_the_warm_up_are_not_judged() -> None:
    gate = threading.Event()

    def body(iteration: Iteration) -> None:
        iteration.user.record(Sample(REQUEST, "GET /", executor._clock(), 1000))
        if iteration.number == 0:
            gate.wait(0.6)  # the next iteration starts after the warm-up of 0.4 s

    script = Script(body=body)
    executor = make(script, users=1, iterations=2, warmup=0.4)
    executor.set_up()
    executor.run()
    measured = executor.measurements
    assert (measured.warmup_iterations, measured.warmup_requests) == (1, 1)
    assert (measured.count(ITERATION), measured.count(REQUEST)) == (1, 1)


def test_with_pacing_a_slow_iteration_makes_the_next_one_late() -> None:
    slow = threading.Event()
    script = Script(body=lambda it: slow.wait(0.1) if it.number == 0 else None)
    executor = run(script, users=1, iterations=3, pacing=(0.02, 0.02))
    latency, response = (
        executor.measurements.latency(ITERATION),
        executor.measurements.response(ITERATION),
    )
    assert latency.count == response.count == 3
    # Planned at 20 and 40 ms, started after 100 ms.
    assert response.total_ns - latency.total_ns >= (80 + 60 - 1) * 1_000_000


def test_a_raising_body_is_a_failed_iteration_and_the_user_goes_on() -> None:
    def body(iteration: Iteration) -> None:
        if iteration.number == 1:
            raise ValueError("on the second")

    script = Script(body=body)
    executor = run(script, users=2, iterations=3)
    assert script.count("iterate") == 6
    assert executor.measurements.count(ITERATION, outcome=FAILED) == 2
    (group,) = executor.failures.groups()
    assert (group.type, group.count, group.iteration) == ("ValueError", 2, 1)


class TestEnds:
    def test_what_ends_the_load_is_raised_from_run(self) -> None:
        def body(iteration: Iteration) -> None:
            if iteration.number == 3:
                raise SystemError("enough")

        script = Script(body=body)
        executor = make(
            script, users=3, duration=60.0, ends_load=lambda error, number, untried: isinstance(error, SystemError)
        )
        executor.set_up()
        with pytest.raises(SystemError, match="enough"):
            executor.run()
        assert script.count("tear_down") == 3
        assert executor.failures.groups() == []

    def test_a_keyboard_interrupt_of_a_body_ends_the_load_without_patience_for_the_others(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inside, broken_off = threading.Event(), threading.Event()

        def body(iteration: Iteration) -> None:
            if iteration.user.index == 0:
                inside.wait(30)
                raise KeyboardInterrupt
            inside.set()
            broken_off.wait(60)  # what blocks on a session's socket comes back when the user is interrupted

        script = Script(body=body)
        executor = make(script, users=2, duration=60.0)
        executor.set_up()
        monkeypatch.setattr(script.users[1], "interrupt", broken_off.set)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert broken_off.is_set()

    def test_the_policy_is_told_the_number_and_whether_any_iteration_completed(self) -> None:
        asked: list[tuple[int, bool]] = []

        def body(iteration: Iteration) -> None:
            raise ValueError

        def policy(error: BaseException, number: int, untried: bool) -> bool:
            asked.append((number, untried))
            return False

        executor = make(Script(body=body), users=1, iterations=2, ends_load=policy)
        executor.set_up()
        executor.run()
        assert asked == [(0, True), (1, False)]

    def test_an_exception_in_the_calling_thread_stops_the_load_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script = Script()
        executor = make(script, users=3, duration=60.0, think_time=(0.01, 0.01))
        executor.set_up()
        turn = executor._turn

        def interrupted_turn() -> None:
            turn()
            if script.count("iterate") > 5 and not executor._deadlines.is_over:
                raise KeyboardInterrupt

        monkeypatch.setattr(executor, "_turn", interrupted_turn)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert script.count("tear_down") == 3
        assert executor.measurements.count(ITERATION) == script.count("iterate") > 5
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 10


class TestAbort:
    @pytest.fixture(autouse=True)
    def short_ticks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(executor_module, "_TICK", 0.02)

    @staticmethod
    def aborting(script: Script, after: int, **settings: Any) -> tuple[Executor, list[tuple[int, float]]]:
        """Run a load that is broken off after so many looks; returns it and what was seen at each look."""
        seen: list[tuple[int, float]] = []

        def look(measured: Measurements, elapsed_s: float) -> str | None:
            seen.append((measured.count(ITERATION), elapsed_s))
            return "it is hopeless" if len(seen) == after else None

        return run(script, factory=ScriptedCrew(script, abort=look), **settings), seen

    def test_a_load_is_aborted_for_the_reason_that_the_factory_gives(self) -> None:
        executor, seen = self.aborting(Script(), 3, users=2, duration=60.0)
        assert executor.record.aborted == "it is hopeless"
        assert len(seen) == 3  # it is not asked again
        assert [elapsed for _, elapsed in seen] == sorted(elapsed for _, elapsed in seen)
        assert seen[-1][0] > 0  # what was measured until then was there to look at
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 30

    def test_as_long_as_there_is_none_it_goes_on(self) -> None:
        executor, seen = self.aborting(Script(), 0, users=1, duration=0.2)
        assert executor.record.aborted is None
        assert seen

    def test_after_its_planned_end_a_load_is_not_broken_off(self) -> None:
        pause = threading.Event()
        _, seen = self.aborting(Script(body=lambda it: pause.wait(0.4)), 0, users=1, duration=0.1)
        assert max(elapsed for _, elapsed in seen) < 0.3

    @pytest.mark.untraced
    def test_a_running_iteration_gets_a_second_at_most_and_then_it_is_interrupted_and_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience_module, "_ABORT_GRACE", 0.1)
        never = threading.Event()

        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption, which this test is about
                never.wait(0.01)

        executor, _ = self.aborting(Script(body=spin), 2, users=2, duration=60.0, graceful_stop=20.0)
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 < 15
        assert executor.record.interrupted == 2
        assert executor.measurements.count(ITERATION, outcome=FAILED) == 2

    @pytest.mark.untraced
    def test_a_shorter_graceful_stop_stays_one(self) -> None:
        never = threading.Event()

        def spin(iteration: Iteration) -> None:
            while True:  # bounded by the interruption
                never.wait(0.01)

        executor, seen = self.aborting(Script(body=spin), 2, users=1, duration=60.0, graceful_stop=0.0)
        assert executor.record.interrupted == 1
        assert (executor.record.ended_ns - executor.record.origin_ns) / 1e9 - seen[-1][1] < 0.9

    def test_a_tear_down_has_the_whole_graceful_stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patience_module, "_ABORT_GRACE", 0.01)
        pause = threading.Event()
        script = Script(body=lambda it: pause.wait(0.001), tear_down=lambda user: pause.wait(0.3))
        executor, _ = self.aborting(script, 2, users=1, duration=60.0)
        assert executor.record.teardown_errors == []


def calls_of(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each call of one of the owner's methods, from now on."""
    calls: list[tuple[Any, ...]] = []
    method = getattr(owner, name)

    def noted(*args: Any) -> Any:
        calls.append(args)
        return method(*args)

    monkeypatch.setattr(owner, name, noted)
    return calls


class TestGarbage:
    def test_what_a_project_has_frozen_stays_frozen(self) -> None:
        frozen: list[int] = []
        gc.freeze()
        run(Script(body=lambda iteration: frozen.append(gc.get_freeze_count())))
        assert min(*frozen, gc.get_freeze_count()) > 0

    def test_nothing_is_collected_between_the_order_to_start_and_the_start(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor = make(Script(), users=2, iterations=1)
        executor.set_up()
        collections = calls_of(gc, "collect", monkeypatch)
        executor.run()
        assert collections == []

    def test_what_exists_is_frozen_during_the_load_only(self) -> None:
        frozen: list[int] = []
        gc.unfreeze()
        try:
            run(Script(body=lambda iteration: frozen.append(gc.get_freeze_count())))
            assert (min(frozen) > 0, gc.get_freeze_count()) == (True, 0)
        finally:
            gc.freeze()  # as tests/conftest.py has it


class TestManyUsers:
    """What the executor's thread does must not grow with the square of the users."""

    def test_a_user_that_leaves_does_not_wake_the_executor_unless_it_is_the_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        executor = make(Script(), users=300, iterations=1)
        executor.set_up()
        calls = calls_of(executor._changed, "notify_all", monkeypatch)
        executor.run()
        assert len(calls) == 1

    def test_deadlines_are_not_looked_at_for_each_user_that_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make(Script(), users=100, ramp_up=0.2, iterations=1)
        looks = calls_of(executor._enforcer, "enforce", monkeypatch)
        executor.set_up()
        executor.run()
        seconds = (executor.record.ended_ns - executor.record.origin_ns) / 1e9
        assert 0 < len(looks) <= seconds / 0.05 + 3  # three: the first, and those of the two ends


needs_two_cpus = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="with one CPU, or no choice among them, there is nothing to pin",
)


@needs_two_cpus
class TestPinned:
    @pytest.fixture
    def cpu(self) -> Iterator[int]:
        before = os.sched_getaffinity(0)
        yield min(before)
        assert os.sched_getaffinity(0) == before

    def test_the_whole_life_of_each_user_and_the_executor_run_on_the_cpu(self, cpu: int) -> None:
        seen: dict[str, set[int]] = {}

        def look(where: str) -> None:
            seen.setdefault(where, set()).update(os.sched_getaffinity(0))

        script = Script(
            set_up=lambda user: look("set-up"),
            body=lambda iteration: look("body"),
            tear_down=lambda user: look("tear-down"),
        )
        executor = make(script, users=3, ramp_up=0.03, iterations=2, cpu=cpu)
        executor.set_up()
        look("executor")
        executor.run()
        assert seen == {where: {cpu} for where in ("set-up", "executor", "body", "tear-down")}
        assert (executor.record.pinned_cpu, executor.record.pin_problem) == (cpu, None)

    def test_without_a_cpu_nothing_changes(self, cpu: int) -> None:
        seen: list[set[int]] = []
        executor = run(Script(body=lambda iteration: seen.append(os.sched_getaffinity(0))))
        assert seen == [os.sched_getaffinity(0)]
        assert executor.record.pinned_cpu is None

    def test_after_an_error_in_the_set_up_all_cpus_are_back(self, cpu: int) -> None:
        def fail(user: VirtualUser) -> None:
            raise ValueError("no account")

        with pytest.raises(UserSetUpError):
            make(Script(set_up=fail), users=2, cpu=cpu).set_up()

    def test_after_an_interruption_all_cpus_are_back(self, cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
        executor = make(Script(), users=2, iterations=1, cpu=cpu)
        executor.set_up()
        monkeypatch.setattr(executor, "_turn", self._interrupt)
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        monkeypatch.undo()
        executor.close()

    @staticmethod
    def _interrupt() -> None:
        raise KeyboardInterrupt

    def test_a_load_that_is_closed_without_a_run_gives_all_cpus_back(self, cpu: int) -> None:
        executor = make(Script(), users=2, cpu=cpu)
        executor.set_up()
        executor.close()

    def test_where_it_cannot_be_done_the_load_runs_and_says_so(self, cpu: int, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(thread: int, cpus: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        executor = make(script := Script(), users=2, cpu=cpu)
        executor.set_up()
        executor.run()
        assert script.count("iterate") == 2
        assert executor.record.pinned_cpu is None
        assert executor.record.pin_problem == f"the load was not pinned to CPU {cpu}: Operation not permitted"


DEEP = """
    import copy, json, pickle, re, threading
    from pytest_ipload.load.executor import Executor
    from pytest_ipload.settings.load_profile import LoadProfile
    from pytest_ipload.load.schedule import user_slots
    from pytest_ipload.load.user import VirtualUser

    def nested():
        value = []
        for _ in range(100_000):
            value = {"a": [value]}
        return value

    def to_the_limit():
        to_the_limit()

    def sort_to_the_limit(value):
        return sorted([1, 2], key=sort_to_the_limit)

    class Adds:
        def __add__(self, other):
            return self + other

    class Formats:
        def __format__(self, spec):
            return "{0:{1}}".format(self, spec)

    BODIES = {
        "function": to_the_limit,
        "sort": lambda: sort_to_the_limit(1),
        "operator": lambda: Adds() + 1,
        "format": lambda: format(Formats(), "x"),
        "json.loads": lambda: json.loads('{"a":[' * 100_000),
        "json.dumps": lambda: json.dumps(nested()),
        "json.dumps default": lambda: json.dumps(object(), default=lambda value: [object()]),
        "pickle": lambda: pickle.dumps(nested()),
        "deepcopy": lambda: copy.deepcopy(nested()),
        "repr": lambda: repr(nested()),
        "equality": lambda: nested() == nested(),
        "re": lambda: re.compile("(" * 5000 + ")" * 5000),
        "compile": lambda: compile("+".join(["1"] * 100_000), "sum", "eval"),
    }

    class Scenario:
        def __init__(self, name):
            self.name = name

        def set_up(self):
            pass

        tear_down = set_up

        def iterate(self, iteration):
            try:
                BODIES[self.name]()
            except RecursionError:
                return
            raise AssertionError(self.name)

    class UserFactory:
        tap = None

        def make_user(self, index, recorder):
            return VirtualUser(index, seed=0, source_addresses=(), record=recorder.record)

        def admit(self, user, *, block):
            return True

        def make_scenario(self, user):
            return Scenario(list(BODIES)[user.index])

        def user_left(self, user):
            pass

        def stopping(self):
            pass

        users_at_rendezvous = 0

        def setting_up(self, *_):
            pass

        def ends_load(self, *_):
            return False

        def began(self, *_):
            pass

        def each_second(self, *_):
            pass

        def abort_reason(self, *_):
            return None

    profile = LoadProfile(users=len(BODIES))
    executor = Executor(profile, user_slots(profile), UserFactory())
    executor.set_up()
    executor.run()
    print(len(BODIES), [group.message for group in executor.failures.groups()], threading.stack_size())
"""


class TestStacks:
    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere CPython chooses the size")
    def test_bodies_that_recurse_without_end_get_an_error_and_no_segmentation_fault(self) -> None:
        # With a limit of the main thread's stack that is the default of all others, and too small for such bodies.
        small = ["sh", "-c", 'ulimit -S -s 1024 && exec "$@"', "sh", sys.executable, "-c", textwrap.dedent(DEEP)]
        done = subprocess.run(small, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.strip()) == (0, "13 [] 0"), done.stderr

    def test_a_size_that_was_chosen_before_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []
        start = threading.Thread.start

        def noting_start(thread: threading.Thread) -> None:
            if thread.name.startswith("ipload-user"):
                sizes.append(stack_size())
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", noting_start)
        before = threading.stack_size(16 << 20)
        try:
            run(Script(), users=2)
            assert (sizes, stack_size()) == ([16 << 20] * 2, 16 << 20)
        finally:
            threading.stack_size(before)


def stack_size() -> int:
    """Asking for the size makes it the default: it is put back."""
    size = threading.stack_size()
    threading.stack_size(size)
    return size


def test_a_load_may_begin_at_a_given_time() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    at = time.perf_counter_ns() + 200_000_000
    executor.run(start_at_ns=at)
    assert 0 <= executor.record.origin_ns - at < 2_000_000_000
    assert script.count("iterate") == 2


def test_a_load_that_is_stopped_before_its_time_does_not_begin() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    threading.Timer(0.1, executor.stop).start()
    began = time.perf_counter()
    executor.run(start_at_ns=time.perf_counter_ns() + 60_000_000_000)
    assert time.perf_counter() - began < 20
    assert (script.count("iterate"), script.count("tear_down")) == (0, 2)


def test_another_thread_may_have_the_load_stopped() -> None:
    executor: Executor

    def body(iteration: Iteration) -> None:
        time.sleep(0.01)
        if iteration.number == 5:
            executor.ask_to_stop("the others stopped")

    script = Script(body=body)
    executor = make(script, users=3, duration=60.0)
    executor.set_up()
    began = time.perf_counter()
    executor.run()
    assert time.perf_counter() - began < 20
    assert (executor.record.aborted, script.count("tear_down")) == ("the others stopped", 3)
    assert script.count("iterate") >= 6


def test_a_load_that_another_thread_stops_before_its_time_does_not_begin() -> None:
    script = Script()
    executor = make(script, users=2)
    executor.set_up()
    threading.Timer(0.1, executor.ask_to_stop, ["the others stopped"]).start()
    began = time.perf_counter()
    executor.run(start_at_ns=time.perf_counter_ns() + 60_000_000_000)
    assert time.perf_counter() - began < 20
    assert script.count("tear_down") == 2
    assert script.count("iterate") == 0


@pytest.mark.parametrize("hurries", [1, 2])
def test_another_thread_may_end_a_load_as_ctrl_c_does(hurries: int) -> None:
    """The first time iterations are interrupted, the second time tear-downs too."""
    finished: list[int] = []

    def doze(seconds: float) -> None:
        for _ in range(round(seconds / 0.01)):
            time.sleep(0.01)

    def body(_: Iteration) -> None:
        executor.ask_to_stop("the session ends", hurry=True)
        doze(60)

    def tear_down(user: VirtualUser) -> None:
        if hurries == 2:
            executor.ask_to_stop("the session ends", hurry=True)
        doze(60 if hurries == 2 else 1.5)
        finished.append(user.index)

    script = Script(body=body, tear_down=tear_down)
    executor = make(script, users=1, duration=60.0, graceful_stop=60.0)
    executor.set_up()
    began = time.perf_counter()
    executor.run()
    assert time.perf_counter() - began < 30
    assert (script.count("iterate"), script.count("tear_down")) == (1, 1)
    assert finished == ([0] if hurries == 1 else [])


def test_users_of_stages_come_and_go() -> None:
    stages = as_stages("0s:3,0.2s:3,0s:1,0.2s:1")
    script = Script(body=lambda iteration: time.sleep(0.01))
    executor = run(script, stages=stages, users=3)
    lives = sorted((stop - start) / 1e9 for start, stop in executor.record.lifetimes)
    assert lives == pytest.approx([0.2, 0.2, 0.4], abs=0.15)
    assert lives[2] > lives[1] + 0.1


class TestVitals:
    def test_timer_and_processor_time_are_watched_while_the_load_runs(self) -> None:
        vitals = run(Script(body=lambda iteration: time.sleep(0.01)), users=2, duration=0.4).vitals
        assert vitals.lags.count >= 4  # there is time for seven; one that comes late counts for those that it delayed
        assert 0 < vitals.cpu_ns < 1e9
        assert 0.4e9 <= vitals.watched_ns < 2e9
        assert vitals.seconds == 0

    def test_seconds_are_counted(self) -> None:
        vitals = run(Script(body=lambda iteration: time.sleep(0.01)), users=2, duration=1.2).vitals
        assert (vitals.seconds, vitals.busy_seconds <= 1) == (1, True)

    def test_warm_up_and_tear_down_are_not(self) -> None:
        script = Script(body=lambda iteration: time.sleep(0.01), tear_down=lambda user: time.sleep(0.3))
        vitals = run(script, users=2, duration=0.3, warmup=0.25).vitals
        assert (
            vitals.lags.count <= 3 + vitals.lags.total_ns // LOOK_NS
        )  # a late one counts for several; else there are 12
        assert vitals.watched_ns >= 0.6e9

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps no process on one CPU")
    def test_a_load_that_is_kept_on_one_cpu_has_one_and_else_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        begun: list[float] = []

        class NotedVitals(GeneratorReadings):
            def begin(self, now_ns: int, *, cores: float = 1, **more: Any) -> None:
                begun.append(cores)
                super().begin(now_ns, cores=cores, **more)

        monkeypatch.setattr(executor_module, "GeneratorReadings", NotedVitals)
        monkeypatch.setattr(executor_module, "usable_cpus", lambda: 7)
        run(Script(), users=1, cpu=max(os.sched_getaffinity(0)))
        run(Script(), users=1)
        assert begun == [1, 7]

    def test_a_load_that_is_broken_off_is_over(self) -> None:
        def fail(iteration: Iteration) -> None:
            raise KeyboardInterrupt

        executor = make(Script(body=fail), users=1, iterations=1, ends_load=lambda *_: True)
        executor.set_up()
        with pytest.raises(KeyboardInterrupt):
            executor.run()
        assert executor.vitals.watched_ns > 0
