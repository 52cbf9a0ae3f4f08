"""Loads of users whose lives are plain functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_ipload.load.executor import Executor
from pytest_ipload.load.schedule import user_slots
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.collector import SampleSink
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder
from pytest_ipload.stats.sample import ITERATION


@dataclass
class Script:
    """What users do, and what they did."""

    body: Callable[[Iteration], object] = lambda iteration: None
    set_up: Callable[[VirtualUser], object] = lambda user: None
    tear_down: Callable[[VirtualUser], object] = lambda user: None
    log: list[tuple[str, int]] = field(default_factory=list)
    users: list[VirtualUser] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, index: int) -> None:
        with self.lock:
            self.log.append((what, index))

    def count(self, what: str) -> int:
        return sum(1 for event, _ in self.log if event == what)


class ScriptedLife:
    def __init__(self, script: Script, user: VirtualUser) -> None:
        self.script, self.user = script, user

    def set_up(self) -> None:
        self.script.note("set_up", self.user.index)
        self.script.set_up(self.user)

    def iterate(self, iteration: Iteration) -> None:
        self.script.note("iterate", self.user.index)
        self.script.body(iteration)

    def tear_down(self) -> None:
        self.script.note("tear_down", self.user.index)
        self.script.tear_down(self.user)


@dataclass
class ScriptedCrew:
    script: Script
    ends_load: Callable[[BaseException, int, bool], bool] = lambda error, number, untried: False
    abort: Callable[[Measurements, float], str | None] = lambda measured, elapsed_s: None
    refuse: frozenset[int] = frozenset()
    """Users that have to wait until ``free`` is set."""
    tap: SampleSink | None = None
    free: threading.Event = field(default_factory=threading.Event)
    is_stopping: bool = False
    seen: list[tuple[float, int]] = field(default_factory=list)
    """Each second: how long the load has run, and how many iterations were measured."""
    set_ups: list[tuple[int, int, float]] = field(default_factory=list)
    """Each second of the set-up: how many users are set up, of how many, and how long it has taken."""
    users_at_rendezvous: int = 0
    not_free: frozenset[int] = frozenset()
    """Users for whom nothing is free before their time."""

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        user = VirtualUser(index, seed=0, source_addresses=(), record=recorder.record)
        self.script.users.append(user)
        return user

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        if user.index in self.refuse:
            if not block:
                return False
            assert self.free.wait(30)
            if self.is_stopping:
                raise OSError("the load is over")
        self.script.note("admitted", user.index)
        return True

    def admit_if_free(self, user: VirtualUser) -> bool:
        return user.index not in self.not_free and self.admit(user, block=False)

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        self.set_ups.append((done, users, elapsed_s))

    def make_scenario(self, user: VirtualUser) -> ScriptedLife:
        return ScriptedLife(self.script, user)

    def user_left(self, user: VirtualUser) -> None:
        self.script.left.append(user.index)

    def stopping(self) -> None:
        self.is_stopping = True
        self.free.set()

    def began(self, origin_ns: int) -> None:
        """Nothing else begins with it."""

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        self.seen.append((elapsed_s, measured.count(ITERATION)))

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        return self.abort(measured, elapsed_s)


def make(
    script: Script,
    *,
    factory: ScriptedCrew | None = None,
    ends_load: Any = None,
    cpu: int | None = None,
    **settings: Any,
) -> Executor:
    profile = LoadProfile(**settings)
    factory = factory or ScriptedCrew(script)
    if ends_load is not None:
        factory.ends_load = ends_load
    return Executor(profile, user_slots(profile), factory, cpu=cpu)


def run(script: Script, **settings: Any) -> Executor:
    executor = make(script, **settings)
    executor.set_up()
    executor.run()
    return executor
