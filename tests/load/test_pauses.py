"""Pauses: seeded, not part of an iteration's time, and over when the user is interrupted."""

from __future__ import annotations

import threading
import time
from random import Random
from typing import Any
from unittest.mock import Mock, patch

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import IploadError, RendezvousEnded, SettingError
from pytest_ipload.load.iteration_log import IterationLog
from pytest_ipload.load.pauses import Pauses, seconds_of
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.sample import ITERATION, STEP, Sample

MS = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Time passes only in pauses: they take what they should."""
    now = [0]

    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        now[0] += round((timeout or 0) * 1000) * MS
        return self.is_set()

    monkeypatch.setattr(threading.Event, "wait", wait)
    monkeypatch.setattr(real_time, "perf_counter_ns", lambda: now[0])
    return now


def user_with_samples(**options: Any) -> tuple[VirtualUser, list[Sample]]:
    samples: list[Sample] = []
    return VirtualUser(0, seed=1, source_addresses=(), record=samples.append, **options), samples


def test_a_pause_is_no_part_of_the_time_of_iteration_and_step(clock: list[int]) -> None:
    user, samples = user_with_samples()
    for number in range(2):
        user.begin_iteration(number, 0)
        started = clock[0]
        with user.step("read"):
            user.pause("200ms")
            clock[0] += 5 * MS
        user.pause(0.1)
        user.end_iteration(started, clock[0] + 2 * MS, None)
    assert [(s.kind, s.latency_ns // MS) for s in samples] == [(STEP, 5), (ITERATION, 7)] * 2
    assert clock[0] == 2 * 305 * MS


def test_a_span_is_drawn_by_the_users_seed() -> None:
    draws = [
        [seconds_of("1s-3s", random) for _ in range(5)] for random in (Random("1:0"), Random("1:0"), Random("1:1"))
    ]
    assert draws[0] == draws[1] != draws[2]
    assert all(1 <= each <= 3 for each in draws[0])


@pytest.mark.parametrize("span", ["soon", "3s-1s", "5", -1, True])
def test_what_is_no_span_is_a_setting_error(span: float | str) -> None:
    user, _ = user_with_samples()
    with pytest.raises(SettingError, match="pause: "):
        user.pause(span)


def test_a_user_wakes_up_when_all_its_sockets_are_closed() -> None:
    """Woken earlier, it would use them in its teardown."""
    session, sockets = Mock(), Mock()
    user, _ = user_with_samples(make_session=lambda user: session, sockets=sockets)
    assert user.session is session
    events: list[str] = []
    session.interrupt.side_effect = lambda: events.append("session")
    sockets.interrupt.side_effect = lambda: events.append("sockets")
    with patch.object(Pauses, "interrupt", lambda self: events.append("pauses")):
        user.interrupt()
    assert events == ["session", "sockets", "pauses"]


def test_an_interrupted_pause_drops_the_iteration_at_once() -> None:
    log = IterationLog(running=True)
    pauses = Pauses(log)
    began = time.monotonic()
    timer = threading.Timer(0.05, pauses.interrupt)
    timer.start()
    with pytest.raises(RendezvousEnded, match="the load ended during a pause"):
        pauses.wait("30s", Random(1))
    timer.join()
    assert time.monotonic() - began < 20
    with pytest.raises(RendezvousEnded):  # the interruption may also come before the pause
        pauses.wait("30s", Random(1))
    log.running = False
    with pytest.raises(IploadError, match="a pause was interrupted"):
        pauses.wait("30s", Random(1))
    pauses.resume()
    pauses.wait("1ms", Random(1))
