"""A worker's part in a load, without processes."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.live import live_numbers
from support.parts import part_of

from pytest_ipload.base.packing import PIECE_BYTES, pack
from pytest_ipload.distributed.protocol.outbox import Outbox
from pytest_ipload.distributed.worker.link import Link, Pulse, Watch
from pytest_ipload.distributed.worker.membership import WorkerShard
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.verdict.conclusion import Conclusion
from pytest_ipload.verdict.shard_group import LoadAborted, SingleProcess
from pytest_ipload.verdict.shard_result import as_shard

CONCLUSION = Conclusion("failed", "p95 312 ms, limit < 200 ms", properties={"ipload_requests": 3})
PART = part_of([])
NODEID = "test_a.py::test_a"
WAIT = 20
"""Seconds that a test waits at most for another thread; it takes milliseconds."""


class FakeChannel:
    """The worker's end of a channel: what was sent, and a way to receive."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.is_closed = False
        self.has_sent = threading.Event()

    def setcallback(self, callback: Callable[[object], None], endmarker: object) -> None:
        self.receive = callback
        self._endmarker = endmarker

    def send(self, message: tuple[str, dict[str, Any]]) -> None:
        if self.is_closed:
            raise OSError("cannot send to a closed channel")
        self.sent.append(message)
        self.has_sent.set()

    def say(self, kind: str, **fields: Any) -> None:
        self.receive((kind, fields))

    def close(self) -> None:
        self.receive(self._endmarker)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


def team(wants_names: bool | None = None) -> tuple[FakeChannel, Link, WorkerShard]:
    channel = FakeChannel()
    link = Link(channel, "gw1", wants_names=wants_names)
    channel.say("assign", nodeid=NODEID, index=1, count=3, pool_index=0, pool_count=2)
    return channel, link, link.shards[NODEID]


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Begin a call that blocks; the returned function waits for its result, or raises what it raised."""
    outcome: list[tuple[bool, Any]] = []

    def run() -> None:
        try:
            outcome.append((True, call()))
        except Exception as error:
            outcome.append((False, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(WAIT)
        assert outcome, "the call did not return"
        (succeeded, value) = outcome[0]
        if not succeeded:
            raise value
        return value

    return result


def test_the_order_is_waited_for_and_names_the_shares() -> None:
    channel, link, member = team()
    assert link.wait(NODEID, "assign", "spectate") == "assign"
    assert (member.name, member.share, member.pool_share) == ("gw1", Partition(1, 3), (0, 2))
    assert channel.sent == []


def test_ready_returns_the_common_start() -> None:
    channel, _, member = team()
    result = in_thread(member.ready)
    assert channel.has_sent.wait(WAIT)
    channel.say("start", nodeid=NODEID, at_ns=12345)
    assert result() == 12345
    assert channel.sent == [("ready", {"nodeid": NODEID})]


def test_the_conclusion_comes_back() -> None:
    channel, _, member = team()
    result = in_thread(lambda: member.conclude(PART))
    assert channel.has_sent.wait(WAIT)
    channel.say("conclusion", nodeid=NODEID, conclusion=pack(CONCLUSION.to_plain()))
    assert result() == CONCLUSION
    handed_in = as_shard(PART, index=1, name="gw1")
    assert channel.sent == [("part", {"nodeid": NODEID, "part": pack(handed_in.to_plain()), "ended_by": ""})]


def test_what_is_large_is_sent_in_pieces_between_which_signs_of_life_pass() -> None:
    channel, link, _ = team()
    content = random.Random(0).randbytes(2 * PIECE_BYTES + 5)
    real = channel.send

    def send(message: tuple[str, dict[str, Any]]) -> None:
        real(message)
        if message[0] == "piece":
            link.tell("beat")  # of another thread, as a rule

    channel.send = send  # type: ignore[method-assign]
    link.tell("part", nodeid=NODEID, part=content, ended_by="")
    assert channel.kinds == ["piece", "beat", "piece", "beat", "part"]
    pieces = [fields.get("content", fields.get("part", b"")) for _, fields in channel.sent]
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) == PIECE_BYTES


@pytest.mark.usefixtures("xdist")
def test_what_execnet_refuses_is_sent_spelled_out() -> None:
    from execnet import DumpError

    class Channel(FakeChannel):
        def send(self, message: tuple[str, dict[str, Any]]) -> None:
            if "\ud800" in message[1]["nodeid"]:
                raise DumpError("strings must be utf-8 encodable")
            super().send(message)

    channel = Channel()
    Link(channel, "gw1").tell("entered", nodeid="odd \ud800")
    assert channel.sent == [("entered", {"nodeid": "odd \\ud800"})]


@pytest.mark.parametrize("does", ["abort", "close", "nonsense"])
def test_who_waits_is_told_that_there_will_be_no_verdict(does: str) -> None:
    channel, _, member = team()
    stopped: list[str] = []
    member.on_stop = stopped.append
    result = in_thread(member.ready)
    assert channel.has_sent.wait(WAIT)
    if does == "abort":
        channel.say("abort", nodeid=NODEID, reason="no more")
    elif does == "close":
        channel.close()
    else:
        channel.say("nonsense")
    reason = {
        "abort": "no more",
        "close": "the controller is gone",
        "nonsense": "the controller sent an invalid message",
    }[does]
    with pytest.raises(LoadAborted, match=reason):
        result()
    assert (stopped, member.is_aborted) == ([member.stop_reason], True)
    with pytest.raises(LoadAborted, match=reason):
        member.conclude(PART)
    assert "part" not in channel.kinds


def test_a_message_that_cannot_be_followed_is_raised_where_the_test_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = FakeChannel()
    link = Link(channel, "gw1")

    def fails(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("pytest_ipload.distributed.worker.link.WorkerShard", fails)
    channel.say("assign", nodeid=NODEID, index=1, count=3, pool_index=0, pool_count=2)
    with pytest.raises(
        RuntimeError, match="the controller's message 'assign' could not be processed: OSError: no room"
    ):
        link.wait(NODEID, "assign")
    channel.say("spectate", nodeid="another")
    assert link.wait("another", "spectate") == "spectate"


@pytest.mark.usefixtures("xdist")
def test_a_message_to_a_worker_that_cannot_be_sent_costs_the_worker() -> None:
    class Channel(FakeChannel):
        def send(self, message: tuple[str, dict[str, Any]]) -> None:
            if message[0] == "conclusion":
                raise ValueError("too odd")
            super().send(message)

    channel, failed, has_failed = Channel(), [], threading.Event()

    def fail(name: str, why: str) -> None:
        failed.append((name, why))
        has_failed.set()

    outbox = Outbox(channel, "gw1", fail)
    outbox.put(("conclusion", {}))
    assert has_failed.wait(WAIT)
    assert failed[0][1].startswith("message 'conclusion' cannot be sent to it: ValueError: too odd")
    outbox.put(("beat", {}))
    assert channel.has_sent.wait(WAIT)
    outbox.close()


def test_when_the_session_ends_nobody_waits_for_users() -> None:
    channel, _, member = team()
    stopped: list[str] = []
    member.on_break_off = stopped.append
    channel.say("break_off", nodeid=NODEID, reason="Ctrl-C")
    assert (stopped, member.stop_reason, member.is_aborted) == (["Ctrl-C"], "Ctrl-C", False)


def test_a_stop_ends_the_load_and_leaves_the_verdict() -> None:
    channel, _, member = team()
    stopped: list[str] = []
    member.on_stop = stopped.append
    channel.say("stop", nodeid=NODEID, reason="it cannot hold")
    assert (stopped, member.stop_reason, member.is_aborted) == (["it cannot hold"], "it cannot hold", False)
    channel.say("conclusion", nodeid=NODEID, conclusion=pack(CONCLUSION.to_plain()))
    assert member.conclude(PART) == CONCLUSION


def test_messages_for_another_test_are_not_for_this_one() -> None:
    channel, link, member = team()
    channel.say("abort", nodeid="another", reason="no more")
    assert not member.is_aborted
    channel.say("spectate", nodeid="test_b")
    assert link.wait("test_b", "assign", "spectate") == "spectate"


def test_the_time_is_told_at_once() -> None:
    channel, _, _ = team()
    before = time.perf_counter_ns()
    channel.say("ping", number=7)
    ((kind, fields),) = channel.sent
    assert (kind, fields["number"]) == ("pong", 7)
    assert before <= fields["at_ns"] <= time.perf_counter_ns()


def test_a_controller_that_is_gone_is_no_error_of_who_tells_it_something() -> None:
    channel, link, member = team()
    channel.is_closed = True
    link.tell("entered", nodeid=NODEID)
    assert member.is_aborted
    assert link.wait(NODEID, "assign") in ("assign", "abort")
    assert link.wait(NODEID, "spectate") == "abort"


class TestPulse:
    def sent_by(self, channel: FakeChannel, link: Link) -> list[tuple[str, dict[str, Any]]]:
        """What is sent until all kinds have been."""
        with Pulse(link, beat_s=0.01):
            deadline = time.monotonic() + WAIT
            while len(set(channel.kinds)) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)  # the thread has no event to wait for
        return channel.sent

    def test_all_snapshots_and_the_newest_live_numbers_are_sent_beside_signs_of_life(self) -> None:
        channel, link, member = team(wants_names=False)
        member.show(NODEID, live_numbers(users=1))
        member.show(NODEID, live_numbers(users=2))
        member.progress({"n": 1})
        member.progress({"n": 2})
        assert [message for message in self.sent_by(channel, link) if message[0] != "beat"] == [
            ("progress", {"nodeid": NODEID, "snapshot": pack({"n": 1})}),
            ("progress", {"nodeid": NODEID, "snapshot": pack({"n": 2})}),
            ("live", {"nodeid": NODEID, "numbers": live_numbers(users=2).to_plain()}),
        ]
        assert "beat" in channel.kinds

    def test_signs_of_life_do_not_wait_for_what_is_large(self) -> None:
        channel, link, member = team()
        real, is_through = channel.send, threading.Event()
        beats = threading.Semaphore(0)

        def send(message: tuple[str, dict[str, Any]]) -> None:
            if message[0] == "progress":
                assert is_through.wait(WAIT)
            real(message)
            if message[0] == "beat":
                beats.release()

        channel.send = send  # type: ignore[method-assign]
        member.progress({"n": 1})
        with Pulse(link, beat_s=0.01):
            for _ in range(5):
                assert beats.acquire(timeout=WAIT)
            is_through.set()

    def test_a_controller_that_is_silent_gets_none(self) -> None:
        channel, link, _ = team()
        link.heard_ns = time.perf_counter_ns() - 5 * 1_000_000_000
        with Pulse(link, beat_s=0.01, silence_s=4):
            threading.Event().wait(0.2)
        assert "beat" not in channel.kinds

    def test_news_that_cannot_be_sent_end_the_load(self, monkeypatch: pytest.MonkeyPatch) -> None:
        channel, link, member = team()
        stopped = threading.Event()
        member.on_stop = lambda _: stopped.set()
        real = channel.send

        def send(message: tuple[str, dict[str, Any]]) -> None:
            if message[0] == "progress":
                raise ValueError("too odd")
            real(message)

        monkeypatch.setattr(channel, "send", send)
        member.progress({"n": 1})
        with Pulse(link, beat_s=0.01):
            assert stopped.wait(WAIT)
            assert channel.has_sent.wait(WAIT)  # the signs of life go on
        assert (member.stop_reason or "").startswith("the measurements could not be sent: ValueError: too odd")

    def test_a_silent_controller_ends_the_load(self) -> None:
        _, link, member = team()
        stopped = threading.Event()
        member.on_stop = lambda _: stopped.set()
        with Watch(link, beat_s=0.02, heartbeat_s=0.2):
            assert stopped.wait(WAIT)
        assert member.stop_reason == "no heartbeat from the controller for 0.2 s"

    def test_so_does_one_that_fell_silent_between_two_rounds(self) -> None:
        _, link, member = team()
        member.receive("conclusion", {"conclusion": pack(Conclusion("passed", is_final=False).to_plain())})
        has_looked = threading.Semaphore(0)

        def allowed_s() -> float:
            has_looked.release()
            return 0.05

        with Watch(link, beat_s=0.02, heartbeat_s=0.05, allowed_s=allowed_s):
            for _ in range(2):
                assert has_looked.acquire(timeout=WAIT)
            with pytest.raises(LoadAborted, match="no heartbeat"):
                member.ready()


@pytest.mark.parametrize(
    ("wants_names", "looks_on", "names"), [(None, False, False), (False, True, False), (True, True, True)]
)
def test_the_controller_says_whether_somebody_looks_on(wants_names: bool | None, looks_on: bool, names: bool) -> None:
    _, _, member = team(wants_names)
    assert (member.audience is member, member.wants_names) == (looks_on, names)
    assert looks_on or member.audience is None


def test_the_last_numbers_are_sent_before_the_part() -> None:
    channel, _, member = team(wants_names=False)
    member.show(NODEID, live_numbers(users=2))
    member.load_ended(NODEID, live_numbers(users=0))
    member.hand_in(PART)
    assert channel.kinds == ["live", "part"]
    assert channel.sent[0][1]["numbers"]["users"] == 0


def test_alone() -> None:
    solo = SingleProcess(lambda part: Conclusion("passed", part.nodeid), (1, 4))
    before = time.perf_counter_ns()
    assert before <= solo.ready() <= time.perf_counter_ns()
    solo.progress({})
    assert (solo.share, solo.pool_share, solo.stop_reason) == (WHOLE, (1, 4), None)
    assert solo.conclude(PART) == Conclusion("passed", PART.nodeid)
