"""The sampler, with py-spy and with programs that behave badly in its place."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.explained import require_readable_stacks, running_python_target, stand_in

from pytest_ipload.explain import py_spy, sampler
from pytest_ipload.explain.local_target import TargetNotFound
from pytest_ipload.explain.py_spy import find_program
from pytest_ipload.explain.sampler import Sampler
from pytest_ipload.stats.stacks import StackSamples

STACK = "<module> (/srv/app.py:3);serve (/usr/lib/python3.11/x.py:1);f (/srv/app.py:10) 7"
OK = f"""
open(output, 'w').write({STACK!r})
print('Samples: 7 Errors: 2')
"""


def sampled(
    program: str,
    until: Callable[[], object],
    pids: Callable[[], list[int]] = lambda: [4242],
    *,
    hurry: bool = False,
) -> StackSamples:
    """What a sampler has when the condition holds."""
    began = time.perf_counter_ns()
    running = Sampler(program, pids, lambda: began)
    running.start()
    try:
        deadline = time.monotonic() + 30
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        samples = running.close(hurry=hurry)
    assert running._running == []
    return samples


def test_each_half_second_is_sampled_by_a_process_of_its_own(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program = stand_in(tmp_path, f"{OK}\nopen({str(seen)!r}, 'a').write('x')\ntime.sleep(0.1)")
    samples = sampled(program, lambda: seen.exists() and seen.stat().st_size >= 3)
    windows = [window for window, _ in samples.by_window()]
    assert len(windows) >= 2
    assert windows == sorted(set(windows))
    assert {place.function for place in samples.places} == {"f"}
    assert (samples.pids, samples.problem) == ([4242], "")
    assert samples.failed_reads >= 4


def test_a_slice_is_ended_by_the_load_s_clock_and_writes_what_it_has(tmp_path: Path) -> None:
    """py-spy itself takes between half a second and a second and a half for what it calls a second."""
    ended = tmp_path / "ended"
    program = stand_in(
        tmp_path,
        f"""
        import signal
        def end(*_):
            open(output, 'w').write({STACK!r})
            open({str(ended)!r}, 'a').write('x')
            sys.exit(0)
        signal.signal(signal.SIGINT, end)
        time.sleep(100)
        """,
    )
    samples = sampled(program, lambda: ended.exists() and ended.stat().st_size >= 2)
    assert sum(found.total() for _, found in samples.by_window()) >= 14


def test_one_that_begins_too_late_is_started_earlier_the_next_time(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    program = stand_in(tmp_path, f"open({str(begun)!r}, 'a').write('x')\ntime.sleep(100)")
    began = time.perf_counter_ns()
    running = Sampler(program, lambda: [4242], lambda: began)
    running.start()
    try:
        deadline = time.monotonic() + 30
        while running._lead_s < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        samples = running.close()
    assert samples.problem == "not explained: py-spy takes too long to begin with process 4242"


def test_one_that_hangs_is_killed_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_spy, "_LONGEST_S", 0.2)
    pid = tmp_path / "pid"
    program = stand_in(tmp_path, f"open({str(pid)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(100)")
    samples = sampled(program, lambda: pid.exists() and len(pid.read_text().split()) >= 2)
    assert samples.problem == "not explained: py-spy did not answer"
    for each in pid.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(each), 0)


@pytest.mark.parametrize("hurry", [True, False])
def test_the_end_of_a_load_ends_what_still_runs(tmp_path: Path, hurry: bool) -> None:
    pid = tmp_path / "pid"
    program = stand_in(tmp_path, f"open({str(pid)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(100)")
    samples = sampled(program, lambda: pid.exists() and pid.read_text().endswith("\n"), hurry=hurry)
    assert samples.problem == "not explained: the load was over before the first half-second was sampled"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text().split()[0]), 0)


def test_a_target_that_cannot_be_found_is_looked_for_a_few_times_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_LEAD_S", 10.0)
    monkeypatch.setattr(sampler, "_LOOK_S", 0.001)
    tries = []

    def nowhere() -> list[int]:
        tries.append(1)
        raise TargetNotFound("there is none: http://joe:hunter2@shop.test")

    samples = sampled("py-spy", lambda: len(tries) >= 1, nowhere)
    assert samples.problem == "not explained: there is none: http://joe:***@shop.test"
    assert list(samples.by_window()) == []


def test_one_that_has_been_given_up_does_not_keep_a_processor_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler_of_nothing = Sampler("py-spy", list, lambda: 1)
    assert sampler_of_nothing._until_next(3, 1.5) == 0.001  # it is late
    assert sampler_of_nothing._until_next(4, 1.6) == pytest.approx(0.05)
    assert sampler_of_nothing._until_next(4, 1.93) == pytest.approx(0.02)
    monkeypatch.setattr(sampler_of_nothing, "_failures", sampler._MOST_FAILURES)
    assert sampler_of_nothing._until_next(3, 1.5) == sampler._LOOK_S
    sampler_of_nothing.close(hurry=True)


def test_a_program_that_cannot_be_started_is_a_problem_and_no_error(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    found: list[int] = []
    samples = sampled(missing, lambda: found, lambda: found.append(1) or [1])  # type: ignore[func-returns-value]
    assert "py-spy cannot be started" in samples.problem or "over before" in samples.problem


def test_py_spy_reads_a_target_without_stopping_it(tmp_path: Path) -> None:
    with running_python_target(tmp_path) as (_, pid):
        require_readable_stacks(pid)
        began = time.monotonic()
        tracers = set()

        def look() -> bool:
            status = Path(f"/proc/{pid}/status").read_text()
            tracers.add(status.partition("TracerPid:")[2].split()[0])
            tracers.add(status.partition("State:")[2].split()[0])
            return time.monotonic() > began + 1.8

        program = find_program()
        assert program is not None
        samples = sampled(program, look, lambda: [pid])
        os.kill(pid, signal.SIGCONT)
    assert samples.problem == ""
    assert samples.waiting > 0  # the only thread waits for connections
    assert all(0 <= used <= 4 and 0 <= waited <= 1 for _, used, waited in samples.processor)
    assert len(samples.processor) >= 2
    assert tracers <= {"0", "S", "R"}
