"""Processor time of pytest-ipload's own machinery without HTTP, as JSON. ``footprint.py`` runs it on a core."""

from __future__ import annotations

import argparse
import json
import time

from options import count

from pytest_ipload.load.executor import Executor
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import OK, REQUEST, Sample


class IdleLife:
    """A life whose body does nothing."""

    def set_up(self) -> None:
        """Nothing to set up."""

    def iterate(self, iteration: Iteration) -> None:
        """The empty body."""

    def tear_down(self) -> None:
        """Nothing to undo."""


class IdleCrew:
    """Users without addresses and sessions."""

    tap = None

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        """A user that only counts its iterations."""
        return VirtualUser(index, seed=0, source_addresses=(), record=recorder.record, tally=recorder.tally)

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        """At once."""
        return True

    users_at_rendezvous = 0

    def admit_if_free(self, user: VirtualUser) -> bool:
        """At once."""
        return True

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        """Nobody looks on."""

    def make_scenario(self, user: VirtualUser) -> IdleLife:
        """An idle one."""
        return IdleLife()

    def user_left(self, user: VirtualUser) -> None:
        """It had nothing to give back."""

    def stopping(self) -> None:
        """Nobody waits."""

    def ends_load(self, error: BaseException, number: int, untried: bool) -> bool:
        """No body raises."""
        return False

    def began(self, origin_ns: int) -> None:
        """Nothing else begins with it."""

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        """Nobody looks on."""

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        """Nothing is judged."""
        return None


def iteration_ns(users: int, iterations: int) -> float:
    """Processor time per iteration of all threads, with the iteration's sample and its folding into histograms."""
    profile = LoadProfile(users=users, iterations=max(1, iterations // users))
    executor = Executor(profile, user_slots(profile), IdleCrew())
    executor.set_up()
    started = time.process_time_ns()
    executor.run()
    spent = time.process_time_ns() - started
    done = executor.measurements.count()
    if done != users * max(1, iterations // users):
        raise RuntimeError(f"{done} iterations were measured, not {iterations}")
    return spent / done


def record_ns(samples: int) -> float:
    """Processor time to make one request's sample and to record it."""
    recorder = Recorder()
    record = recorder.record
    started = time.process_time_ns()
    for number in range(samples):
        record(Sample(REQUEST, "GET /small", number * 1000, 300_000 + number % 1000, OK, 200, "127.0.0.1"))
    return (time.process_time_ns() - started) / samples


def fold_ns(samples: int) -> float:
    """Processor time to fold one recorded sample into the histograms."""
    recorder = Recorder()
    for number in range(samples):
        recorder.record(Sample(REQUEST, "GET /small", number * 1000, 300_000 + number % 1000, OK, 200, "127.0.0.1"))
    recorder.flush()
    drained = recorder.drain()
    measurements = Measurements(origin_ns=0, judged_from_ns=0, planned=False)
    started = time.process_time_ns()
    for chunk in drained:
        measurements.add_chunk(chunk)
    spent = time.process_time_ns() - started
    if measurements.count() != samples:
        raise RuntimeError(f"{measurements.count()} samples were folded, not {samples}")
    return spent / samples


def main() -> None:
    """Print the costs in nanoseconds, each as a list over the rounds."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--count", type=count, default=100_000, help="iterations or samples per round")
    made.add_argument("--rounds", type=count, default=5)
    options = made.parse_args()
    costs: dict[str, list[float]] = {
        name: [] for name in ("iteration, 1 user", "iteration, 50 users", "record", "fold")
    }
    for _ in range(options.rounds):
        costs["iteration, 1 user"].append(iteration_ns(1, options.count))
        costs["iteration, 50 users"].append(iteration_ns(50, options.count))
        costs["record"].append(record_ns(options.count))
        costs["fold"].append(fold_ns(options.count))
    print(json.dumps(costs))


if __name__ == "__main__":
    main()
