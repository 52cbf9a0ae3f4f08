from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any
from unittest.mock import Mock, call

import pytest

from pytest_ipload.addresses.source_address import SourceAddress
from pytest_ipload.base.errors import IploadError, RendezvousEnded, SettingError
from pytest_ipload.load.rendezvous import RendezvousPoints
from pytest_ipload.load.test_data.data_feeds import DataFeeds
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.stats.sample import FAILED, FAULT, GAP, ITERATION, OK, REQUEST, SETUP, STEP, Problem, Sample


def user_with_samples(index: int = 0, **options: Any) -> tuple[VirtualUser, list[Sample]]:
    samples: list[Sample] = []
    options = {"seed": 1, "source_addresses": ("127.0.0.9",), **options}
    return VirtualUser(index, record=samples.append, **options), samples


def test_the_same_user_of_the_same_seed_draws_the_same_values() -> None:
    first, second, other = (user_with_samples(index)[0] for index in (3, 3, 4))
    draws = [[user.random.random() for _ in range(5)] for user in (first, second, other)]
    assert draws[0] == draws[1] != draws[2]


def test_an_iteration_fails_if_one_of_its_requests_failed_though_the_body_went_on() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, lateness_ns=0)
    user.record(Sample(REQUEST, "GET /", 10, 5))
    problem = Problem("HTTP 503", "GET /x answered 503", "test.py:3")
    user.record(Sample(REQUEST, "GET /x", 20, 5, FAILED, 503, problem=problem))
    assert user.end_iteration(5, 30, None) == problem
    assert [(sample.kind, sample.outcome) for sample in samples] == [
        (REQUEST, OK),
        (REQUEST, FAILED),
        (ITERATION, FAILED),
    ]
    user.begin_iteration(1, lateness_ns=0)
    assert user.end_iteration(40, 50, None) is None
    assert samples[-1].outcome == OK


def test_a_fault_of_the_generator_fails_the_iteration_too() -> None:
    user, _ = user_with_samples()
    user.begin_iteration(0, 0)
    user.record(Sample(REQUEST, "GET /", 1, 1, FAULT, fault="ports-exhausted"))
    problem = user.end_iteration(0, 2, None)
    assert problem is not None
    assert problem.type == "ports-exhausted"


def test_events_of_streams_are_those_of_iterations_and_not_late() -> None:
    user, samples = user_with_samples()
    key = (GAP, "chat", None, 200, OK)
    user.tally_event(key, 1, 1)
    user.begin_iteration(0, lateness_ns=7)
    user.tally_event(key, 2, 1)
    user.end_iteration(2, 4, None)
    user.tally_event(key, 5, 1)
    assert [(sample.kind, sample.started_ns, sample.lateness_ns) for sample in samples] == [
        (GAP, 2, 0),
        (ITERATION, 2, 7),
    ]


class OutOfPorts(OSError):
    fault = "ports-exhausted"


def test_a_fault_of_a_plain_socket_is_counted_once_inside_and_outside_of_measure() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with pytest.raises(OutOfPorts) as caught, user.measure("PING"):
        raise OutOfPorts("none left")
    user.end_iteration(0, 2, caught.value)
    assert [(sample.kind, sample.outcome, sample.fault) for sample in samples] == [
        (REQUEST, FAULT, "ports-exhausted"),
        (ITERATION, FAILED, None),
    ]
    user.begin_iteration(1, 0)
    user.end_iteration(0, 2, OutOfPorts("none left"))
    assert [sample.fault for sample in samples[2:]] == ["ports-exhausted", None]


class RecordingSession:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def rebind(self, *arguments: Any) -> None:
        self.calls.append(("rebind", *arguments))

    def create_connection(self, *arguments: Any) -> None:
        self.calls.append(("stream", *arguments))

    def create_datagram_socket(self, *arguments: Any) -> None:
        self.calls.append(("datagram", *arguments))


def test_a_new_lease_binds_the_session_anew_and_sockets_are_the_sessions() -> None:
    session = RecordingSession()
    user, _ = user_with_samples(make_session=lambda user: session)
    user.bind((SourceAddress("127.0.0.7"),))
    assert session.calls == []  # there is none yet; it will be made with the new lease
    user.create_connection(("127.0.0.1", 80), 3.0)
    user.create_datagram_socket(4)
    user.bind((SourceAddress("127.0.0.8"), SourceAddress("::1")))
    assert user.source_address == "127.0.0.8"
    assert session.calls == [
        ("stream", ("127.0.0.1", 80), 3.0),
        ("datagram", 4),
        ("rebind", (SourceAddress("127.0.0.8"), SourceAddress("::1"))),
    ]


def test_a_lease_of_an_iteration_is_changed_before_it_begins() -> None:
    user, _ = user_with_samples()
    seen: list[int] = []
    user.before_iteration = lambda user: seen.append(user.iteration)
    user.begin_iteration(0, 0)
    user.begin_iteration(1, 0)
    assert seen == [0, 1]


def test_lateness_of_the_iteration_is_on_all_its_samples() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, lateness_ns=77)
    user.record(Sample(REQUEST, "GET /", 10, 5))
    user.end_iteration(5, 30, None)
    assert [sample.lateness_ns for sample in samples] == [77, 77]


def test_lateness_of_an_iteration_ends_with_it() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, lateness_ns=77)
    user.end_iteration(5, 30, None)
    user.record(Sample(REQUEST, "POST /logout", 40, 5))
    user.begin_iteration(1, lateness_ns=0)
    user.end_iteration(50, 60, None)
    assert [sample.lateness_ns for sample in samples] == [77, 0, 0]


def test_an_iteration_whose_lease_could_not_be_changed_fails_and_the_next_one_is_whole() -> None:
    def refuse(user: VirtualUser) -> None:
        raise OutOfPorts("no lease")

    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with pytest.raises(OutOfPorts) as caught, user.measure("PING"):
        raise OutOfPorts("none left")
    user.end_iteration(0, 1, caught.value)
    user.before_iteration = refuse
    with pytest.raises(OutOfPorts) as caught:
        user.begin_iteration(1, 0)
    assert user.end_iteration(2, 3, caught.value) is None
    user.before_iteration = None
    user.begin_iteration(2, 0)
    user.end_iteration(4, 5, None)
    assert [(sample.kind, sample.outcome) for sample in samples[2:]] == [
        (SETUP, FAULT),
        (ITERATION, FAILED),
        (ITERATION, OK),
    ]


def test_the_sample_of_an_iteration() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    user.end_iteration(5, 30, None)
    user.bind(())
    user.begin_iteration(1, 3)
    user.end_iteration(40, 42, ValueError())
    assert samples == [
        Sample(ITERATION, "", 5, 25, OK, source_address="127.0.0.9"),
        Sample(ITERATION, "", 40, 2, FAILED, lateness_ns=3),
    ]


def test_addresses_are_told_without_the_mark_of_how_they_are_bound() -> None:
    user, _ = user_with_samples(source_addresses=("freebind:10.0.0.1", "::1"))
    assert (user.sources, user.source_addresses) == (
        (SourceAddress("10.0.0.1", freebind=True), SourceAddress("::1")),
        ("10.0.0.1", "::1"),
    )
    assert user.source_address == "10.0.0.1"
    user.bind((SourceAddress("::2"),))
    assert (user.sources, user.source_addresses, user.source_address) == ((SourceAddress("::2"),), ("::2",), "::2")


def test_an_iteration_shows_its_number_and_is_a_key() -> None:
    user, _ = user_with_samples()
    assert repr(Iteration(3, user)) == "Iteration(number=3)"
    assert len({Iteration(3, user), Iteration(3, user), Iteration(4, user)}) == 2


def test_requests_outside_an_iteration_belong_to_set_up_and_tear_down() -> None:
    user, samples = user_with_samples()
    user.record(Sample(REQUEST, "POST /login", 1, 1))
    with user.step("login"):
        pass
    user.begin_iteration(0, 0)
    user.record(Sample(REQUEST, "GET /", 2, 1))
    user.end_iteration(0, 3, None)
    user.record(Sample(REQUEST, "POST /logout", 4, 1))
    assert [sample.kind for sample in samples] == [SETUP, REQUEST, ITERATION, SETUP]


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise SystemExit


def test_a_step_in_which_a_request_failed_is_a_failed_one_and_the_next_is_not() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with user.step("outer"):
        with user.step("good"):
            user.record(Sample(REQUEST, "GET /", 10, 5))
        with user.step("bad"):
            user.record(Sample(REQUEST, "GET /", 10, 5, FAILED, 503))
        with user.step("after"):
            pass
    user.end_iteration(5, 30, None)
    steps = {sample.name: sample.outcome for sample in samples if sample.kind == STEP}
    assert steps == {"good": OK, "bad": FAILED, "after": OK, "outer": FAILED}


@pytest.mark.parametrize("way", ["step", "measure"])
@pytest.mark.parametrize("name", [5, b"x", ["x"], "", None, Unhashable("x")], ids=repr)
def test_a_name_that_is_no_text_is_refused(way: str, name: object) -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with (
        pytest.raises(ValueError, match=r"the name of a (step|request) must be a non-empty string, not "),
        getattr(user, way)(name),
    ):
        pass
    assert samples == []


@pytest.mark.parametrize("bite", [SystemExit(), KeyboardInterrupt()], ids=repr)
def test_what_a_measured_call_raises_goes_on_whatever_its_text_does(bite: BaseException) -> None:
    class Evil(Exception):
        def __str__(self) -> str:
            raise bite

    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with pytest.raises(Evil), user.measure("call"):
        raise Evil
    [sample] = samples
    assert sample.problem is not None
    assert sample.problem.message == f"<its message cannot be shown: {type(bite).__name__}>"


def test_steps_and_measured_calls_are_timed_and_a_failing_one_goes_on() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    with user.step("think"):
        pass
    with pytest.raises(ZeroDivisionError), user.measure("PING"):
        _ = 1 // 0
    step, ping = samples
    assert (step.kind, step.name, step.outcome, step.source_address) == (STEP, "think", OK, "127.0.0.9")
    assert (ping.kind, ping.name, ping.outcome) == (REQUEST, "PING", FAILED)
    assert ping.problem is not None
    assert ping.problem.type == "ZeroDivisionError"
    assert "test_user.py" in ping.problem.location
    assert ping.latency_ns > 0


def test_async_with_and_decorators_time_what_with_does() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)

    @user.step("function")
    def function() -> int:
        return 1

    @user.measure("coroutine")
    async def coroutine() -> int:
        await asyncio.sleep(0)
        return 2

    async def body() -> None:
        async with user.step("outer"), user.measure("GET /"):
            assert (function(), await coroutine()) == (1, 2)
        with pytest.raises(KeyError):
            async with user.measure("GET /x"):
                raise KeyError

    asyncio.run(body())
    assert [(sample.kind, sample.name, sample.outcome) for sample in samples] == [
        (STEP, "function", OK),
        (REQUEST, "coroutine", OK),
        (REQUEST, "GET /", OK),
        (STEP, "outer", OK),
        (REQUEST, "GET /x", FAILED),
    ]


def test_a_block_can_be_timed_again_but_not_twice_at_once() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    block = user.measure("GET /")
    for _ in range(2):
        with block:
            pass
    with pytest.raises(RuntimeError, match="request 'GET /' is being timed already; make a new one"), block, block:
        pass
    assert [sample.outcome for sample in samples] == [OK, OK, FAILED]


@pytest.mark.parametrize("name", ["", None, 3])
def test_a_step_needs_a_name(name: Any) -> None:
    user, _ = user_with_samples()
    with pytest.raises(ValueError, match="must be a non-empty string"), user.step(name):
        pass


class FakeSession:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def close(self) -> None:
        self.calls.append("close")


def test_the_session_is_made_once_and_closed_with_the_user() -> None:
    sessions: list[FakeSession] = []

    def make(user: VirtualUser) -> Any:
        sessions.append(FakeSession())
        return sessions[-1]

    user, _ = user_with_samples(make_session=make)
    user.interrupt()
    assert sessions == []  # nobody asked for it yet
    assert user.session is user.session
    user.interrupt()
    user.close()
    assert [session.calls for session in sessions] == [["interrupt", "close"]]


def test_without_a_lease_there_is_no_source_address() -> None:
    user, _ = user_with_samples(source_addresses=())
    assert user.source_address is None
    assert "any address" in repr(user)


def test_a_user_of_no_load_has_no_test_data_and_nobody_to_meet() -> None:
    user, _ = user_with_samples(5)
    with pytest.raises(IploadError, match="user 5 is not part of a load, so it has no test data"):
        user.feed([1, 2])
    with pytest.raises(IploadError, match="user 5 is not part of a load, so it has no rendezvous"):
        user.rendezvous("sale", 1)


def test_test_data_leave_the_users_random_numbers_alone() -> None:
    user, other = (user_with_samples(3, feed_book=DataFeeds(5, 1, []))[0] for _ in range(2))
    rows = user.feed(range(1000), order="random")
    drawn = [next(rows) for _ in range(5)]
    assert [user.random.random() for _ in range(5)] == [other.random.random() for _ in range(5)]
    assert drawn == [next(other.feed(range(1000), order="random")) for _ in range(5)]
    assert user.feed(range(1000), order="random") is rows


def test_errors_of_test_data_and_rendezvous_end_in_the_users_own_line() -> None:
    user, _ = user_with_samples(feed_book=DataFeeds(1, 1, []), meetings=RendezvousPoints(1))
    for wrong in (lambda: user.feed("nowhere.csv"), lambda: user.feed([]), lambda: user.rendezvous("x", 2)):
        with pytest.raises(IploadError) as caught:
            wrong()
        assert isinstance(caught.value, ValueError)
        shown = caught.traceback.filter(caught)
        assert {str(entry.path) for entry in shown} == {__file__}


def test_a_step_that_the_end_of_the_load_cut_short_is_no_step() -> None:
    meetings = RendezvousPoints(2)
    user, samples = user_with_samples(meetings=meetings)
    user.begin_iteration(0, 7)
    meetings.close()
    with pytest.raises(RendezvousEnded), user.step("wait"):
        user.rendezvous("sale", 2)
    assert user.drop_iteration()
    user.record(Sample(REQUEST, "POST /logout", 1, 1))
    assert [(sample.kind, sample.lateness_ns) for sample in samples] == [(SETUP, 0)]


def test_an_iteration_with_a_failed_request_is_not_dropped() -> None:
    user, samples = user_with_samples()
    user.begin_iteration(0, 0)
    user.record(Sample(REQUEST, "GET /", 1, 1, FAILED))
    assert not user.drop_iteration()
    assert user.end_iteration(0, 3, None) is not None
    assert [(sample.kind, sample.outcome) for sample in samples] == [(REQUEST, FAILED), (ITERATION, FAILED)]


def test_an_interrupted_user_waits_for_nobody() -> None:
    user, _ = user_with_samples(meetings=RendezvousPoints(2))
    user.interrupt()
    with pytest.raises(RendezvousEnded):
        user.rendezvous("sale", 2)
    with pytest.raises(SettingError):
        user.rendezvous("sale", 3)


def test_the_users_sockets_live_with_the_user() -> None:
    sockets = Mock()
    sockets.in_thread.return_value = nullcontext("entered")
    user, _ = user_with_samples(sockets=sockets)
    with user.in_own_thread() as entered:
        assert entered == "entered"
    user.bind((SourceAddress("127.0.0.7"),))
    user.interrupt()
    user.resume()
    user.detach()
    calls = [
        call.in_thread(),
        call.rebind((SourceAddress("127.0.0.7"),)),
        call.interrupt(),
        call.resume(),
        call.leave(),
    ]
    assert sockets.mock_calls == calls
    with user_with_samples()[0].in_own_thread():  # one without any
        pass
