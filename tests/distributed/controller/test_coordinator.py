"""The controller's side of a team, by tables: fake workers, a clock that is set by hand, no processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support.live import live_numbers

from pytest_ipload.base.packing import pack, unpack
from pytest_ipload.distributed.controller.coordinator import Coordinator, Judges
from pytest_ipload.distributed.controller.shared_load import SharedLoad, State
from pytest_ipload.distributed.protocol.clocks import PINGS
from pytest_ipload.distributed.protocol.messages import FROM_CONTROLLER, PACKED, BadMessage, Message, checked
from pytest_ipload.distributed.protocol.time_limits import Timing
from pytest_ipload.verdict.conclusion import Conclusion

A, B = "test_a.py::test_a", "test_b.py::test_b"
SECOND = 1_000_000_000
OFFSETS = {"gw0": 0, "gw1": 5_000_000 * SECOND, "gw2": -77 * SECOND, "gw3": 10}
"""How far the workers' clocks are from the controller's."""


class Team:
    """A coordinator with fake workers."""

    def __init__(self, workers: int = 2, users: int = 8, **settings: Any) -> None:
        self.now = 1000 * SECOND
        self.sent: list[tuple[str, Message]] = []
        self.concluded: list[tuple[str, list[dict[str, Any]], list[tuple[str, str]]]] = []
        self.looked: list[tuple[list[list[Any]], float]] = []
        self.stop_reason: str | None = None
        self.fails_to_conclude = False
        self.can_run: dict[str, bool | None] = {}
        judges = Judges(self._look, self._conclude, lambda nodeid, parts, reason: [])
        self.coordinator = Coordinator(
            self._send,
            lambda: self.now,
            judges,
            "1.0",
            timing=Timing(beat=0.5, heartbeat=3, silence=20, set_up=60, last_words=10),
            can_run=lambda name: self.can_run.get(name),
            **settings,
        )
        self.users = users
        for number in range(workers):
            self.join(f"gw{number}", number)

    def join(self, name: str, rank: int, host: str = "h") -> None:
        self.coordinator.attach(name, rank)
        self.say(name, "hello", version="1.0", host=host, tests=[[3, A, self.users], [5, B, self.users]])

    def _send(self, name: str, message: Message) -> None:
        checked(message, FROM_CONTROLLER)  # whatever is sent, the other side understands it
        self.sent.append((name, message))

    def _look(self, nodeid: str, snapshots: list[list[bytes]], elapsed_s: float) -> str | None:
        self.looked.append(([[unpack(each) for each in new] for new in snapshots], elapsed_s))
        return self.stop_reason

    def _conclude(self, nodeid: str, parts: list[bytes], lost: list[tuple[str, str]]) -> Conclusion:
        self.concluded.append((nodeid, [unpack(part) for part in parts], lost))
        if self.fails_to_conclude:
            raise ValueError("parts of different loads")
        return Conclusion("passed")

    def say(self, name: str, kind: str, **fields: Any) -> None:
        """Send a message to the coordinator; what was measured is given as plain values."""
        if kind == "part" and isinstance(fields.get("part"), dict):
            fields["ended_by"] = fields["part"].get("broken_off") or ""
        if (packed := PACKED.get(kind)) in fields:
            fields[str(packed)] = pack(fields[str(packed)])
        self.coordinator.receive(name, (kind, fields))

    def all_say(self, kind: str, names: Sequence[str] = ("gw0", "gw1"), **fields: Any) -> None:
        for name in names:
            self.say(name, kind, **fields)

    def done(self, *names: str, nodeid: str = A, aborted: bool = False) -> None:
        for name in names:
            self.say(name, "done", nodeid=nodeid, reports=[{"of": name}], aborted=aborted)

    def answer_pings(self, delay_ns: int = 1000) -> None:
        """Answer until no more are asked, each after so long."""
        while pings := self.take("ping"):
            self.now += delay_ns
            for name, fields in pings:
                at_ns = self.now - delay_ns // 2 + OFFSETS[name]
                self.say(name, "pong", number=fields["number"], at_ns=at_ns)

    def start(self, nodeid: str = A, names: Sequence[str] = ("gw0", "gw1"), answer_ns: int = 1000) -> None:
        """All come to the test, are ready, and load."""
        self.all_say("entered", names, nodeid=nodeid)
        self.all_say("ready", names, nodeid=nodeid)
        self.answer_pings(answer_ns)

    def take(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """The messages of a kind that were sent since the last call for it, and to whom."""
        found = [(name, fields) for name, (sent, fields) in self.sent if sent == kind]
        self.sent = [(name, message) for name, message in self.sent if message[0] != kind]
        return found

    def told(self, kind: str) -> list[str]:
        """Who was sent such a message."""
        return [name for name, _ in self.take(kind)]

    def tick(self) -> list[str]:
        """Let the coordinator do what is due, and answer its questions; who was cut off."""
        cut = self.coordinator.tick()
        while (question := self.coordinator.question()) is not None:
            try:
                answer: object = question.ask()
            except Exception as error:
                answer = error
            question.answer(answer)
        return cut

    def pass_time(self, seconds: float, alive: Sequence[str] = ()) -> list[str]:
        """Let time pass, tick by tick, with beats of those alive; who was cut off."""
        cut: list[str] = []
        for _ in range(round(seconds / 0.1)):
            self.now += SECOND // 10
            for name in alive:
                self.say(name, "beat")
            cut += self.tick()
        return cut

    @property
    def test(self) -> SharedLoad:
        return self.coordinator.tests[A]

    @property
    def state(self) -> State:
        return self.test.state


def test_the_normal_way() -> None:
    team = Team()
    team.say("gw0", "entered", nodeid=A)
    assert (team.state, team.sent) == (State.WAIT, [])
    team.say("gw1", "entered", nodeid=A)
    shares = [(name, fields["index"], fields["count"]) for name, fields in team.take("assign")]
    assert (team.state, shares) == (State.SET_UP, [("gw0", 0, 2), ("gw1", 1, 2)])
    team.say("gw1", "ready", nodeid=A)
    assert (team.state, team.told("ping")) == (State.SET_UP, [])
    team.say("gw0", "ready", nodeid=A)
    assert (team.state, [name for name, _ in team.sent]) == (State.SYNC, ["gw0", "gw1"])
    team.answer_pings()
    assert (team.state, team.told("start")) == (State.RUN, ["gw0", "gw1"])
    team.say("gw0", "part", nodeid=A, part={"n": 1})
    team.tick()
    assert (team.state, team.concluded) == (State.RUN, [])
    team.say("gw1", "part", nodeid=A, part={"n": 2})
    assert team.state is State.VERDICT
    team.tick()
    assert team.concluded == [(A, [{"n": 1}, {"n": 2}], [])]
    assert team.told("conclusion") == ["gw0", "gw1"]
    team.done("gw0")
    assert team.state is State.VERDICT
    team.done("gw1")
    assert (team.state, team.coordinator.tests_to_report()) == (State.CLOSED, [team.test])


@pytest.mark.parametrize(("answer_ms", "lead_ms"), [(0.5, 60), (5, 100), (40, 250)])
def test_all_start_at_the_same_moment_of_their_own_clocks(answer_ms: float, lead_ms: int) -> None:
    """The order to start has to be there before: the slower the answers, the earlier it is sent."""
    team = Team(4)
    names = ["gw0", "gw1", "gw2", "gw3"]
    team.start(names=names, answer_ns=round(answer_ms * 1e6))
    starts = dict(team.take("start"))
    leads = {name: starts[name]["at_ns"] - OFFSETS[name] - team.now for name in names}
    assert leads == dict.fromkeys(names, lead_ms * 1_000_000)


def test_the_quickest_answer_counts() -> None:
    team = Team(1)
    team.say("gw0", "entered", nodeid=A)
    team.say("gw0", "ready", nodeid=A)
    for number in range(1, PINGS + 1):
        ((_, fields),) = team.take("ping")
        slow = 0 if number == 3 else 40_000_000  # all on the way back
        team.now += 1000 + slow
        team.say("gw0", "pong", number=fields["number"], at_ns=team.now - slow - 500 + 7_000)
    ((_, fields),) = team.take("start")
    assert fields["at_ns"] - team.now - SECOND // 4 == 7_000


def test_a_test_begins_after_the_one_before_was_reported() -> None:
    team = Team()
    team.start()
    team.all_say("part", nodeid=A, part={})
    team.tick()
    team.done("gw0", "gw1")
    team.all_say("entered", nodeid=B)
    assert team.take("assign")[2:] == []
    team.coordinator.reported(A)
    assert team.told("assign") == ["gw0", "gw1"]


@pytest.mark.parametrize(
    ("workers", "users", "shards", "count"),
    [(3, 9, None, 3), (3, 2, None, 2), (3, 9, 1, 1), (3, 9, 7, 3), (1, 5, None, 1)],
)
def test_how_many_take_part(workers: int, users: int, shards: int | None, count: int) -> None:
    team = Team(workers, users, shards=shards)
    names = [f"gw{number}" for number in range(workers)]
    team.all_say("entered", names, nodeid=A)
    assert (team.told("assign"), team.told("spectate")) == (names[:count], names[count:])
    team.all_say("ready", names[:count], nodeid=A)
    team.answer_pings()
    team.all_say("part", names[:count], nodeid=A, part={})
    team.tick()
    assert team.told("finish") == []
    team.done(*names[:count])
    assert (team.state, team.told("finish")) == (State.CLOSED, names[count:])


def test_addresses_are_divided_within_a_host() -> None:
    team = Team(0)
    for number, host in enumerate("abab"):
        team.join(f"gw{number}", number, host)
    team.all_say("entered", ["gw0", "gw1", "gw2", "gw3"], nodeid=A)
    pools = {name: (fields["pool_index"], fields["pool_count"]) for name, fields in team.take("assign")}
    assert pools == {"gw0": (0, 2), "gw1": (0, 2), "gw2": (1, 2), "gw3": (1, 2)}


def test_a_worker_that_replaces_another_has_its_share() -> None:
    team = Team(3)
    team.coordinator.lose("gw1", "dead", hold=True)
    team.all_say("entered", ["gw0", "gw2"], nodeid=A)
    assert team.state is State.WAIT  # xdist may replace it, or end the session
    team.join("gw3", 1)
    team.coordinator.release("gw1")
    assert team.state is State.WAIT
    team.say("gw3", "entered", nodeid=A)
    assert {name: fields["index"] for name, fields in team.take("assign")} == {"gw0": 0, "gw3": 1, "gw2": 2}


@pytest.mark.parametrize("is_late", [False, True])
def test_one_that_is_lost_before_the_load_ends_the_test(is_late: bool) -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    team.say("gw0", "ready", nodeid=A)
    if is_late:
        team.say("gw1", "ready", nodeid=A)
        assert team.state is State.SYNC
    team.coordinator.lose("gw1", "it died", hold=False)
    assert team.told("abort") == ["gw0"]
    assert team.test.aborted == "worker gw1 was lost before the load began: it died"
    team.done("gw0", aborted=True)
    assert (team.state, team.test.lost, team.concluded) == (State.CLOSED, [("gw1", "it died")], [])


def test_one_that_is_lost_during_the_load_stops_it_and_what_was_measured_is_judged() -> None:
    team = Team(3)
    names = ["gw0", "gw1", "gw2"]
    team.start(names=names)
    team.say("gw0", "part", nodeid=A, part={"n": 0})
    team.coordinator.lose("gw1", "it died", hold=False)
    assert team.told("stop") == ["gw2"]
    team.say("gw2", "part", nodeid=A, part={"n": 2})
    team.tick()
    assert team.concluded == [(A, [{"n": 0}, {"n": 2}], [("gw1", "it died")])]
    assert team.told("conclusion") == ["gw0", "gw2"]
    team.done("gw0", "gw2")
    assert team.state is State.CLOSED


def test_a_part_that_was_broken_off_ends_those_of_the_others() -> None:
    team = Team()
    team.start()
    team.say("gw0", "part", nodeid=A, part={"broken_off": None})
    assert team.told("stop") == []
    team.say("gw1", "part", nodeid=A, part={"broken_off": "by ValueError"})
    assert (team.told("stop"), team.test.stopped) == ([], "worker gw1: by ValueError")  # there is nobody left

    team = Team(3)
    team.start(names=["gw0", "gw1", "gw2"])
    team.say("gw1", "part", nodeid=A, part={"broken_off": "by ValueError"})
    assert team.told("stop") == ["gw0", "gw2"]


def test_all_are_lost() -> None:
    team = Team()
    team.start()
    team.coordinator.lose("gw0", "it died", hold=False)
    team.coordinator.lose("gw1", "it died too", hold=False)
    assert (team.state, team.concluded) == (State.CLOSED, [])
    assert [name for name, _ in team.test.lost] == ["gw0", "gw1"]


def test_one_that_is_lost_after_its_part_was_sent() -> None:
    team = Team()
    team.start()
    team.all_say("part", nodeid=A, part={})
    team.coordinator.lose("gw1", "it died", hold=False)
    team.tick()
    team.done("gw0")
    assert (team.state, team.test.lost, team.test.vanished) == (State.CLOSED, [], [("gw1", "it died")])
    assert team.concluded == [(A, [{}, {}], [])]


def test_one_without_a_sign_of_life_is_lost_and_cut_off() -> None:
    team = Team()
    team.start()
    assert team.pass_time(2.9, alive=["gw0", "gw1"]) == []
    assert team.pass_time(2.9, alive=["gw0"]) == []
    assert team.pass_time(0.3, alive=["gw0"]) == ["gw1"]
    assert (team.test.lost, team.told("stop")) == ([("gw1", "no heartbeat for 3 s")], ["gw0"])


def test_nobody_is_missed_during_the_set_up() -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    assert team.pass_time(30) == []


def test_others_are_not_to_blame_when_the_controller_itself_did_not_run() -> None:
    team = Team()
    team.start()
    team.pass_time(1, alive=["gw0", "gw1"])
    team.now += 600 * SECOND
    assert team.tick() == []
    assert team.pass_time(3.2) == ["gw0", "gw1"]


def test_members_get_signs_of_life() -> None:
    team = Team()
    team.pass_time(2)
    assert team.told("beat") == []
    team.start()
    team.pass_time(2, alive=["gw0", "gw1"])
    assert team.told("beat") == ["gw0", "gw1"] * 4


def test_who_is_ready_waits_for_the_set_up_of_others_so_long_and_no_longer() -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    team.pass_time(100)
    team.say("gw0", "ready", nodeid=A)
    team.pass_time(59.9)
    assert team.test.aborted is None
    team.pass_time(0.3)
    assert team.test.aborted == "the users of gw1 were not set up 60 s after those of the first worker"
    assert team.told("abort") == ["gw0", "gw1"]
    team.say("gw1", "ready", nodeid=A)
    assert team.told("abort") == ["gw1"]  # it has not heard of it in its set-up


@pytest.mark.parametrize("how", ["ready", "done", "lost"])
def test_who_hangs_in_the_set_up_is_cut_off_some_time_after_the_others_came_to_its_end(how: str) -> None:
    team = Team(3)
    names = ["gw0", "gw1", "gw2"]
    team.all_say("entered", names, nodeid=A)
    if how == "lost":
        team.coordinator.lose("gw0", "it died", hold=False)
    elif how == "done":
        team.done("gw0")
    else:
        team.say("gw0", "ready", nodeid=A)
    team.say("gw2", "ready", nodeid=A)
    assert team.pass_time(69, alive=names) == []
    assert team.test.aborted is not None
    for name in {"ready": ["gw0", "gw2"], "done": ["gw2"], "lost": ["gw2"]}[how]:
        team.done(name, aborted=True)
    assert team.pass_time(2, alive=names) == ["gw1"]
    assert team.state is State.CLOSED
    assert team.test.lost[-1] == ("gw1", "its set-up did not end 70 s after the others'")


def test_a_process_that_runs_may_be_silent_for_longer() -> None:
    """A call into C may hold its interpreter; that its host is gone is ruled out."""
    team = Team()
    team.can_run = {"gw0": True, "gw1": True}
    team.start()
    assert team.pass_time(19.9, alive=["gw0"]) == []
    assert team.pass_time(0.3, alive=["gw0"]) == ["gw1"]
    assert team.test.lost == [("gw1", "no heartbeat for 20 s")]


@pytest.mark.parametrize("state", ["waiting", "set-up", "load", "verdict"])
def test_one_that_is_stopped_is_lost_soon_whatever_it_is_at(state: str) -> None:
    team = Team()
    if state == "waiting":
        team.say("gw0", "entered", nodeid=A)
    elif state == "set-up":
        team.all_say("entered", nodeid=A)
    else:
        team.start()
    if state == "verdict":
        team.all_say("part", nodeid=A, part={"n": 1})
    team.can_run = {"gw0": True, "gw1": True}
    assert team.pass_time(2, alive=["gw0", "gw1"]) == []
    team.can_run["gw1"] = False
    assert team.pass_time(2.9, alive=["gw0"]) == []
    assert team.pass_time(0.4, alive=["gw0"]) == ["gw1"]
    assert team.coordinator.workers["gw1"].gone == "no heartbeat for 3 s: its process is stopped"


def test_one_that_was_stopped_for_a_moment_is_not_missed() -> None:
    team = Team()
    team.start()
    for can_run in (False, True) * 3:
        team.can_run["gw1"] = can_run
        assert team.pass_time(2.5, alive=["gw0", "gw1"]) == []


def test_one_that_does_not_come_to_the_start_ends_the_test() -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    team.done("gw1")
    assert team.told("abort") == ["gw0"]
    team.done("gw0", aborted=True)
    assert team.state is State.CLOSED


def test_one_that_ends_without_its_part_ends_the_load_of_all() -> None:
    team = Team()
    team.start()
    team.done("gw1")
    assert team.told("abort") == ["gw0"]
    assert "gw1" in str(team.test.aborted)
    team.done("gw0", aborted=True)
    assert (team.state, team.concluded) == (State.CLOSED, [])


def test_once_a_second_the_new_snapshots_are_looked_at() -> None:
    team = Team()
    team.start()
    team.pass_time(0.3, alive=["gw0", "gw1"])
    team.say("gw0", "progress", nodeid=A, snapshot={"n": 1})
    team.pass_time(1.2, alive=["gw0", "gw1"])
    assert [snapshots for snapshots, _ in team.looked] == [[[{"n": 1}], []]]
    team.say("gw1", "progress", nodeid=A, snapshot={"n": 2})
    team.say("gw0", "progress", nodeid=A, snapshot={"n": 3})
    team.say("gw0", "progress", nodeid=A, snapshot={"n": 4})
    team.pass_time(1, alive=["gw0", "gw1"])
    assert [snapshots for snapshots, _ in team.looked[1:]] == [[[{"n": 3}, {"n": 4}], [{"n": 2}]]]
    assert [round(seconds, 3) for _, seconds in team.looked] == [1.04, 2.04]
    team.all_say("progress", nodeid=A, snapshot={"n": 5})
    team.stop_reason = "it cannot hold"
    team.pass_time(1, alive=["gw0", "gw1"])
    assert [fields["reason"] for _, fields in team.take("stop")] == ["it cannot hold"] * 2
    team.all_say("part", nodeid=A, part={})
    team.tick()
    assert len(team.concluded) == 1


def test_what_comes_in_pieces_is_a_sign_of_life_with_each_and_whole_at_the_end() -> None:
    team = Team()
    team.start()
    team.say("gw1", "part", nodeid=A, part={"n": 2})
    packed = pack({"n": list(range(100))})
    for start in range(0, 40, 10):
        team.say("gw0", "piece", content=packed[start : start + 10])
        assert team.pass_time(2.5, alive=["gw1"]) == []
        team.say("gw0", "beat")
    team.coordinator.receive("gw0", ("part", {"nodeid": A, "part": packed[40:], "ended_by": ""}))
    team.tick()
    [(_, parts, _)] = team.concluded
    assert parts == [{"n": list(range(100))}, {"n": 2}]


def test_live_numbers_are_those_of_all_members_as_long_as_the_load_runs() -> None:
    team = Team()
    assert team.coordinator.live() == {}
    team.start()
    team.say("gw0", "live", nodeid=A, numbers=live_numbers(users=4, elapsed_s=1.0).to_plain())
    team.now += 2 * SECOND
    assert team.coordinator.live() == {}  # nobody knows of the other one's users
    team.say("gw1", "live", nodeid=A, numbers=live_numbers(users=3, elapsed_s=1.9).to_plain())
    found = team.coordinator.live()[A]
    assert (found.users, round(found.elapsed_s, 3)) == (7, 1.94)
    assert found.requests == 2 * live_numbers().requests
    team.all_say("part", nodeid=A, part={})
    assert team.coordinator.live() == {}


def test_before_the_load_they_say_how_many_users_of_all_members_are_set_up() -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    set_ups = {"gw0": (20, 50), "gw1": (30, 49)}
    for name, set_up in set_ups.items():
        assert team.coordinator.live() == {}
        team.say(name, "live", nodeid=A, numbers=live_numbers(set_up=set_up, elapsed_s=3.0).to_plain())
    found = team.coordinator.live()[A]
    assert (found.set_up, found.elapsed_s) == ((50, 99), 3.0)
    team.all_say("ready", nodeid=A)
    team.answer_pings()
    assert team.coordinator.live() == {}  # those of the load are still to come


def test_each_round_has_live_numbers_of_its_own() -> None:
    team = Team()
    team.start()
    team.all_say("live", nodeid=A, numbers=live_numbers().to_plain())
    judged(team, more=True)
    team.all_say("ready", nodeid=A)
    team.answer_pings()
    assert team.state is State.RUN
    assert team.coordinator.live() == {}
    team.all_say("live", nodeid=A, numbers=live_numbers(round=(2, 2)).to_plain())
    assert team.coordinator.live()[A].round == (2, 2)


def test_nothing_is_shown_of_a_load_that_was_called_off() -> None:
    team = Team()
    team.start()
    team.all_say("live", nodeid=A, numbers=live_numbers().to_plain())
    team.coordinator.end("-x")
    assert team.coordinator.live() == {}


def test_live_numbers_that_are_none_are_refused() -> None:
    team = Team()
    team.start()
    with pytest.raises(BadMessage, match="live: live numbers: expected a dict with the keys"):
        team.say("gw0", "live", nodeid=A, numbers={"users": 3})
    assert team.test.numbers == {}


def test_parts_that_cannot_be_brought_together_end_the_test() -> None:
    team = Team()
    team.fails_to_conclude = True
    team.start()
    team.all_say("part", nodeid=A, part={})
    team.tick()
    assert team.told("abort") == ["gw0", "gw1"]
    assert team.test.aborted == "the results of the workers could not be merged: ValueError: parts of different loads"
    team.done("gw0", "gw1", aborted=True)
    assert team.state is State.CLOSED


@pytest.mark.parametrize("state", ["waiting", "set-up", "running"])
def test_when_the_session_ends_nothing_begins_or_goes_on(state: str) -> None:
    team = Team()
    team.say("gw0", "entered", nodeid=A)
    if state != "waiting":
        team.say("gw1", "entered", nodeid=A)
    if state == "running":
        team.all_say("ready", nodeid=A)
        team.answer_pings()
    team.coordinator.end("stopping after 1 failures")
    told = [(name, fields["reason"]) for name, fields in team.take("abort")]
    expected = ["gw0"] if state == "waiting" else ["gw0", "gw1"]
    assert told == [(name, "stopping after 1 failures") for name in expected]
    team.say("gw1", "entered", nodeid=B)
    assert team.told("abort") == ["gw1"]
    assert not team.coordinator.has_tests_waiting


def test_one_that_comes_too_late_to_a_test_goes_on_without_it() -> None:
    team = Team()
    team.start()
    team.join("gw2", 2)
    team.say("gw2", "entered", nodeid=A)
    assert team.told("abort") == ["gw2"]
    assert team.coordinator.tests_to_run("gw2") == [5]


def test_a_worker_with_another_version_is_refused() -> None:
    team = Team()
    team.coordinator.attach("gw2", 2)
    team.say("gw2", "hello", version="0.9", host="h", tests=[])
    assert "worker gw2 runs pytest-ipload 0.9, the controller runs 1.0" in str(team.coordinator.refusal)


@pytest.mark.parametrize(
    "message",
    [
        None,
        "beat",
        ("beat",),
        ("beat", {"more": 1}),
        ("shout", {}),
        ("entered", {"nodeid": 1}),
        ("pong", {"number": True, "at_ns": 1}),
        ("done", {"nodeid": A, "reports": (), "aborted": False}),
        ("entered", {"nodeid": "nobody's"}),
        ("hello", {"version": "1.0", "host": "h", "tests": [[0, A]]}),
        ("hello", {"version": "1.0", "host": "h", "tests": [[0, A, "5"]]}),
        ("together", {"group": "shop", "tests": [[A, 0.0], ["nobody's", 0.0]]}),
        ("together", {"group": "shop", "tests": [[A, 1]]}),
        ("together", {"group": "shop", "tests": [[A, -1.0]]}),
        ("together", {"group": "shop", "tests": [[A, float("nan")]]}),
        ("together", {"group": "shop", "tests": [A]}),
    ],
)
def test_a_message_that_nobody_sends_changes_nothing(message: object) -> None:
    team = Team()
    with pytest.raises(BadMessage):
        team.coordinator.receive("gw0", message)
    team.start()
    assert team.state is State.RUN


class TestTurns:
    """``--dist each``."""

    def turns(self, team: Team) -> list[str]:
        return [name for name, (kind, _) in team.sent if kind == "turn"]

    def test_one_after_the_other_when_all_are_there(self) -> None:
        team = Team(3, each=True)
        team.say("gw0", "entered", nodeid=A)
        team.say("gw2", "entered", nodeid=A)
        assert team.sent == []
        team.say("gw1", "entered", nodeid=B)  # each has a plan of its own
        for number, name in enumerate(["gw0", "gw1", "gw2"]):
            assert (self.turns(team)[number:], team.told("finish")) == ([name], [])
            team.say(name, "turn_over", nodeid=A)
        assert sorted(team.told("finish")) == ["gw0", "gw1", "gw2"]
        team.sent.clear()
        team.all_say("entered", ["gw0", "gw1", "gw2"], nodeid=B)
        assert self.turns(team) == ["gw0"]

    def test_who_is_lost_has_had_its_turn(self) -> None:
        team = Team(3, each=True)
        team.all_say("entered", ["gw0", "gw1", "gw2"], nodeid=A)
        team.coordinator.lose("gw1", "dead", hold=False)
        team.coordinator.lose("gw0", "dead", hold=False)
        assert self.turns(team) == ["gw0", "gw2"]

    def test_nobody_waits_for_one_that_is_gone(self) -> None:
        team = Team(2, each=True)
        team.say("gw0", "entered", nodeid=A)
        team.coordinator.lose("gw1", "it has finished", hold=False)
        assert self.turns(team) == ["gw0"]


def test_timing_from_the_environment() -> None:
    assert Timing.from_environment({}) == Timing()
    assert Timing.from_environment({"PYTEST_IPLOAD_TEAM_TIMING": "beat=0.1,heartbeat=2"}) == Timing(0.1, 2.0)


def test_a_load_that_the_end_of_the_session_breaks_off_is_stopped_and_what_was_measured_still_comes() -> None:
    team = Team()
    team.start()
    assert team.coordinator.break_off("Ctrl-C") == [team.test]
    assert team.told("break_off") == ["gw0", "gw1"]
    assert not team.test.has_all_parts
    team.all_say("part", nodeid=A, part={"n": 1})
    assert (team.test.has_all_parts, len(team.test.parts)) == (True, 2)
    team.tick()
    assert (team.concluded, team.told("conclusion")) == ([], []), "nobody waits for a verdict any more"


def test_a_test_whose_load_has_not_begun_is_known_and_has_nothing_to_hand_in() -> None:
    team = Team()
    team.all_say("entered", nodeid=A)
    [test] = team.coordinator.break_off("Ctrl-C")
    # Users that are being set up are interrupted there, and do not keep the session.
    assert (test.nodeid, test.has_begun, team.told("break_off")) == (A, False, ["gw0", "gw1"])


def test_one_that_was_not_begun_is_not() -> None:
    team = Team()
    assert team.coordinator.break_off("Ctrl-C") == []


def test_a_load_that_is_being_stopped_already_is_broken_off_all_the_same() -> None:
    team = Team()
    team.start()
    team.test.stop("hopeless")
    team.say("gw0", "part", nodeid=A, part={"n": 1})
    team.coordinator.break_off("Ctrl-C")
    assert team.told("break_off") == ["gw1"]
    assert team.test.stopped == "hopeless"


def test_a_verdict_that_no_worker_waits_for_still_comes() -> None:
    team = Team()
    team.start()
    team.all_say("part", nodeid=A, part={"broken_off": "by a plugin"})
    team.done("gw0", "gw1")
    assert (team.state, team.coordinator.is_idle) == (State.VERDICT, True)
    team.tick()
    assert (team.state, team.coordinator.is_idle) == (State.CLOSED, False)
    assert team.coordinator.tests_to_report() == [team.test]


class TestThoseWhoFail:
    """A worker says that it cannot do its part, and goes on with the next test."""

    def test_one_that_does_not_wait_for_the_others(self) -> None:
        team = Team(3)
        team.all_say("entered", nodeid=A)
        team.say("gw1", "left", nodeid=A)
        assert (team.state, team.coordinator.tests_to_report()) == (State.CLOSED, [])  # it has reported it
        assert team.told("abort") == ["gw0", "gw1"]
        team.say("gw2", "entered", nodeid=A)
        assert team.told("abort") == ["gw2"]
        team.start(B, ("gw0", "gw1", "gw2"))
        assert team.told("start") == ["gw0", "gw1", "gw2"]

    def test_one_that_leaves_while_it_is_given_its_share(self) -> None:
        team = Team()
        team.all_say("entered", nodeid=A)
        team.say("gw0", "ready", nodeid=A)
        team.say("gw1", "left", nodeid=A)
        assert team.told("abort") == ["gw0"]
        team.done("gw0", aborted=True)
        assert team.coordinator.tests_to_report() == [team.test]

    def test_one_that_leaves_while_others_load_is_no_matter_of_theirs(self) -> None:
        team = Team(users=1)
        team.all_say("entered", nodeid=A)
        team.say("gw1", "left", nodeid=A)
        assert (team.state, team.test.aborted) == (State.SET_UP, None)

    @pytest.mark.parametrize("is_its_turn", [True, False])
    def test_one_that_does_not_wait_for_its_turn(self, is_its_turn: bool) -> None:
        team = Team(each=True)
        team.all_say("entered", nodeid=A)
        team.say("gw0" if is_its_turn else "gw1", "left", nodeid=A)
        team.say("gw1" if is_its_turn else "gw0", "turn_over", nodeid=A)
        assert team.told("finish") == ["gw1" if is_its_turn else "gw0"]

    def test_one_that_cannot_report_its_part(self) -> None:
        team = Team()
        team.start()
        team.all_say("part", nodeid=A, part={})
        team.tick()
        team.say("gw1", "failed", nodeid=A, why="its properties have no text")
        team.done("gw0", "gw1")
        assert (team.state, team.test.failed) == (State.CLOSED, {"gw1": "its properties have no text"})

    def test_the_controller_itself_and_then_the_next_test_runs(self) -> None:
        team = Team()
        team.start()
        team.coordinator.abort("an error in the controller")
        assert team.told("abort") == ["gw0", "gw1"]
        team.done("gw0", "gw1", aborted=True)
        team.coordinator.reported(A)
        team.start(B)
        assert team.told("start")[-2:] == ["gw0", "gw1"]


class TestThoseWhoWait:
    """Workers that are not at a load test, but wait for it."""

    def test_one_that_hangs_before_the_load_is_cut_off(self) -> None:
        team = Team()
        team.say("gw0", "entered", nodeid=A)
        team.say("gw1", "entered", nodeid=B)
        assert team.pass_time(3.5, alive=["gw0"]) == ["gw1"]
        assert team.state is State.WAIT  # until xdist has replaced it, or has not

    def test_one_that_hangs_while_others_load_is_no_matter_of_theirs(self) -> None:
        team = Team(users=1)
        team.all_say("entered", nodeid=A)
        team.say("gw0", "ready", nodeid=A)
        team.answer_pings()
        assert team.pass_time(3.5, alive=["gw0"]) == ["gw1"]
        team.say("gw0", "part", nodeid=A, part={})
        team.tick()
        team.done("gw0")
        assert (team.state, team.test.lost, team.test.aborted) == (State.CLOSED, [], None)

    def test_one_that_is_at_an_ordinary_test_may_take_its_time(self) -> None:
        team = Team()
        team.say("gw0", "entered", nodeid=A)
        assert team.pass_time(60, alive=["gw0"]) == []

    def test_one_that_hangs_before_its_turn_is_cut_off(self) -> None:
        team = Team(each=True)
        team.all_say("entered", nodeid=A)
        assert team.told("turn") == ["gw0"]
        assert team.pass_time(3.5) == ["gw1"]
        team.say("gw0", "turn_over", nodeid=A)
        assert team.told("finish") == ["gw0"]


def test_while_a_verdict_is_being_made_workers_get_signs_of_life_and_nothing_is_asked_twice() -> None:
    team = Team()
    team.start()
    team.all_say("part", nodeid=A, part={"n": 1})
    question = team.coordinator.question()
    assert question is not None
    assert team.coordinator.question() is None
    team.take("beat")
    team.now += SECOND
    team.coordinator.tick()
    assert team.told("beat") == ["gw0", "gw1"]
    question.answer(Conclusion("passed"))
    assert team.told("conclusion") == ["gw0", "gw1"]


def test_a_verdict_that_comes_too_late_is_nobodys() -> None:
    team = Team()
    team.start()
    team.all_say("part", nodeid=A, part={"n": 1})
    question = team.coordinator.question()
    assert question is not None
    team.coordinator.end("Ctrl-C")
    question.answer(Conclusion("passed"))
    assert (team.told("conclusion"), team.test.conclusion) == ([], None)


def judged(team: Team, *, more: bool) -> None:
    """All have loaded, and the verdict is made."""
    team.all_say("part", nodeid=A, part={"n": 1})
    question = team.coordinator.question()
    assert question is not None
    question.ask()
    question.answer(Conclusion("passed", is_final=not more))


def test_with_more_rounds_the_members_set_up_and_start_again() -> None:
    team = Team()
    team.start()
    judged(team, more=True)
    team.take("start")
    for name in ("gw1", "gw0"):
        assert team.told("start") == []
        team.say(name, "ready", nodeid=A)
    assert (team.test.state, team.test.conclusion) == (State.SYNC, None)
    team.answer_pings()
    assert team.told("start") == ["gw0", "gw1"]
    judged(team, more=False)
    assert len(team.concluded) == 2
    team.done("gw0", "gw1")
    assert team.test.state is State.CLOSED


def test_what_stopped_one_round_does_not_stop_the_next() -> None:
    team = Team()
    team.start()
    team.test.stop("hopeless")
    judged(team, more=True)
    team.take("stop")
    team.all_say("ready", nodeid=A)
    team.answer_pings()
    team.test.stop("hopeless again")
    assert team.told("stop") == ["gw0", "gw1"]


@pytest.mark.parametrize("is_before", [True, False])
def test_a_worker_that_is_lost_between_two_rounds_ends_the_test(is_before: bool) -> None:
    team = Team()
    team.start()
    judged(team, more=True)
    if is_before:
        team.coordinator.lose("gw1", "killed", hold=False)
    team.say("gw0", "ready", nodeid=A)
    if not is_before:
        team.coordinator.lose("gw1", "killed", hold=False)
    assert team.take("abort")[0][0] == "gw0"
    assert "gw1 was lost" in (team.test.aborted or "")


@pytest.mark.parametrize("is_before", [True, False])
def test_a_worker_that_fails_between_two_rounds_ends_the_test(is_before: bool) -> None:
    """As when its users cannot be set up again: the others must not wait for it, whoever is the first."""
    team = Team()
    team.start()
    judged(team, more=True)
    if is_before:
        team.done("gw1")
    team.say("gw0", "ready", nodeid=A)
    if not is_before:
        team.done("gw1")
    assert team.take("abort")[0][0] == "gw0"
    assert team.test.aborted == "worker gw1 did not reach the start of the load"
    team.done("gw0")
    assert team.state is State.CLOSED


class TestTogether:
    """A and B run together, B two seconds later."""

    def team(self, workers: int = 2, users: int = 8) -> Team:
        team = Team(workers, users)
        for name in list(team.coordinator.workers):
            team.say(name, "together", group="shop", tests=[[A, 0.0], [B, 2.0]])
        return team

    def states(self, team: Team) -> tuple[State, State]:
        return team.coordinator.tests[A].state, team.coordinator.tests[B].state

    def test_they_begin_as_one_and_start_by_one_clock(self) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        assert [(name, fields["nodeid"]) for name, fields in team.take("assign")] == [
            *(("gw0", A), ("gw1", A), ("gw0", B), ("gw1", B))
        ]
        team.all_say("ready", nodeid=A)
        assert team.take("ping") == []
        team.all_say("ready", nodeid=B)
        team.answer_pings()
        began = team.now + 60_000_000
        assert {(name, fields["nodeid"]): fields["at_ns"] - OFFSETS[name] for name, fields in team.take("start")} == {
            ("gw0", A): began,
            ("gw1", A): began,
            ("gw0", B): began + 2 * SECOND,
            ("gw1", B): began + 2 * SECOND,
        }
        assert self.states(team) == (State.RUN, State.RUN)

    def test_they_are_reported_when_all_are_over(self) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        for nodeid in (A, B):
            team.all_say("ready", nodeid=nodeid)
        team.answer_pings()
        for nodeid in (B, A):
            team.all_say("part", nodeid=nodeid, part={})
            team.tick()
            assert team.coordinator.tests_to_report() == []
        team.done("gw0", "gw1", nodeid=A)
        assert team.coordinator.tests_to_report() == []
        team.done("gw0", "gw1", nodeid=B)
        assert [test.nodeid for test in team.coordinator.tests_to_report()] == [A, B]

    def test_one_that_is_skipped_everywhere_is_left_out(self) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        team.all_say("skipped", nodeid=A)
        team.say("gw0", "ready", nodeid=B)
        assert team.take("ping") == []
        team.say("gw1", "ready", nodeid=B)
        team.answer_pings()
        assert [fields["nodeid"] for _, fields in team.take("start")] == [B, B]
        assert team.coordinator.tests[A].aborted is None

    def test_one_that_is_skipped_on_some_is_an_error_of_all(self) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        team.say("gw0", "skipped", nodeid=A)
        team.all_say("ready", nodeid=B)
        team.say("gw1", "ready", nodeid=A)
        reasons = {fields["nodeid"]: fields["reason"] for _, fields in team.take("abort")}
        assert reasons[A] == "skipped on 1 of 2 workers only"
        assert reasons[B] == f"not run: {A}, which runs together with it: skipped on 1 of 2 workers only"
        assert team.take("start") == []

    @pytest.mark.parametrize("ready_first", [True, False])
    def test_without_one_none_starts(self, ready_first: bool) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        if ready_first:
            team.all_say("ready", nodeid=B)
        team.done("gw0", nodeid=A)
        reasons = {fields["nodeid"]: fields["reason"] for _, fields in team.take("abort")}
        assert "worker gw0 did not reach the start of the load" in reasons[A]
        assert reasons[B].startswith(f"not run: {A}, which runs together with it")
        team.all_say("ready", nodeid=B)
        assert team.take("ping") == []

    def test_the_end_of_the_session_is_no_error_of_another_test(self) -> None:
        team = self.team()
        team.all_say("entered", nodeid=A)
        team.coordinator.end("-x")
        assert {test.aborted for test in team.coordinator.tests.values()} == {"-x"}

    def test_fewer_users_than_workers(self) -> None:
        team = Team(2)
        team.coordinator.tests[B].users = 1
        team.all_say("together", group="shop", tests=[[A, 0.0], [B, 0.0]])
        team.all_say("entered", nodeid=A)
        assert [name for name, fields in team.take("assign") if fields["nodeid"] == B] == ["gw0"]
        assert [(name, fields["nodeid"]) for name, fields in team.take("spectate")] == [("gw1", B)]
        team.all_say("ready", nodeid=A)
        team.say("gw0", "ready", nodeid=B)
        team.answer_pings()
        assert len(team.take("start")) == 3

    def test_one_that_could_not_be_entered_is_over_for_all(self) -> None:
        team = self.team(3)
        team.all_say("entered", nodeid=A)
        team.say("gw1", "left", nodeid=A)
        assert self.states(team) == (State.CLOSED, State.CLOSED)
        assert set(team.told("abort")) == {"gw0", "gw1"}
