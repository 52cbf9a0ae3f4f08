"""Actions of a user: made and initialised once, measured, released."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import pytest_ipload
from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.stats.sample import FAILED, OK, REQUEST, Sample


class Greeting:
    """An action that notes what is done with it."""

    def __init__(self, *, fails_in: str = "") -> None:
        self.events: list[str] = []
        self.fails_in = fails_in

    def _note(self, event: str, user: VirtualUser) -> None:
        self.events.append(f"{event} {user.index}")
        if event == self.fails_in:
            raise ConnectionError(f"{event} failed")

    def init(self, user: VirtualUser) -> None:
        self._note("init", user)

    def do(self, user: VirtualUser, *, whom: str = "world") -> Mapping[str, Any] | None:
        self._note("do", user)
        return {"text": f"hello {whom}"} if whom else None

    def release(self, user: VirtualUser) -> None:
        self._note("release", user)


@pytest.fixture
def samples() -> list[Sample]:
    return []


@pytest.fixture
def new_user(samples: list[Sample]) -> Callable[..., VirtualUser]:
    def make(index: int = 0) -> VirtualUser:
        user = VirtualUser(index, seed=1, source_addresses=(), record=samples.append)
        user.begin_iteration(0, 0)
        return user

    return make


def test_an_object_is_initialised_and_released_once_for_each_user(
    new_user: Callable[..., VirtualUser], samples: list[Sample]
) -> None:
    action: pytest_ipload.Action = Greeting()
    assert isinstance(action, Greeting)
    users = [new_user(0), new_user(1)]
    for user in users:
        assert user.act(action, whom="you") == {"text": "hello you"}
        assert user.act(action, "GREET", whom="") is None
    for user in users:
        user.release_actions()
        user.release_actions()
    each = [["init", "do", "do"], ["release"]]
    assert action.events == [f"{event} {index}" for events in each for index in (0, 1) for event in events]
    assert [(sample.kind, sample.name, sample.outcome) for sample in samples] == [
        (REQUEST, name, OK) for _ in users for name in ("Greeting", "GREET")
    ]


def test_an_exception_is_the_failed_outcome(new_user: Callable[..., VirtualUser], samples: list[Sample]) -> None:
    user = new_user()
    with pytest.raises(ConnectionError, match="do failed"):
        user.act(Greeting(fails_in="do"))
    [sample] = samples
    assert (sample.name, sample.outcome) == ("Greeting", FAILED)
    assert sample.problem is not None
    assert (sample.problem.type, sample.problem.message) == ("ConnectionError", "do failed")


def test_one_that_cannot_be_initialised_is_not_measured_nor_released(
    new_user: Callable[..., VirtualUser], samples: list[Sample]
) -> None:
    user, action = new_user(), Greeting(fails_in="init")
    with pytest.raises(ConnectionError, match="init failed"):
        user.act(action)
    user.release_actions()
    assert (samples, action.events) == ([], ["init 0"])


def test_all_are_released_the_last_one_first_though_one_fails(new_user: Callable[..., VirtualUser]) -> None:
    user, actions = new_user(), [Greeting(), Greeting(fails_in="release"), Greeting()]
    for action in actions:
        user.act(action)
    with pytest.raises(ConnectionError, match="release failed"):
        user.release_actions()
    assert [action.events[-1] for action in actions] == ["release 0"] * 3


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            Greeting,
            "act(): the class Greeting is not a valid action; an action is an object with the methods init(user)",
        ),
        (7, "act(): 7 is not a valid action"),
        (len, "act(): <built-in function len> is not a valid action"),
    ],
)
def test_what_is_no_action_is_an_error(new_user: Callable[..., VirtualUser], given: Any, text: str) -> None:
    with pytest.raises(SettingError) as raised:
        new_user().act(given)
    assert str(raised.value).startswith(text)


def test_coroutines_are_refused_rather_than_never_run(new_user: Callable[..., VirtualUser]) -> None:
    class Later(Greeting):
        async def init(self, user: VirtualUser) -> None:  # type: ignore[override]  # the mistake
            raise AssertionError

    with pytest.raises(SettingError, match=r"init\(\) of .* is a coroutine function; actions are blocking"):
        new_user().act(Later())  # type: ignore[arg-type]  # the mistake


def test_outputs_have_names(new_user: Callable[..., VirtualUser], samples: list[Sample]) -> None:
    class Wrong(Greeting):
        def do(self, user: VirtualUser, **inputs: Any) -> Any:
            return [1]

    with pytest.raises(SettingError, match=r"action 'Wrong': do\(\) returned \[1\]; return a mapping of outputs"):
        new_user().act(Wrong())
    assert [sample.outcome for sample in samples] == [FAILED]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Installs packages that offer actions."""

    def install(name: str, entry_points: str, code: str = "") -> None:
        folder = tmp_path / name
        (folder / f"{name}-1.dist-info").mkdir(parents=True)
        (folder / f"{name}-1.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (folder / f"{name}-1.dist-info" / "entry_points.txt").write_text(
            f"[pytest_ipload.actions]\n{dedent(entry_points)}"
        )
        (folder / f"{name}.py").write_text(dedent(code))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return install


COUNTING = """
    class Counting:
        made = 0

        def __init__(self):
            Counting.made += 1

        def init(self, user):
            self.runs = 0

        def do(self, user, **inputs):
            self.runs += 1
            return {"runs": self.runs, "made": self.made, **inputs}

        def release(self, user):
            Counting.made -= 1

    def broken():
        raise OSError("no device")
"""


def test_an_entry_point_is_made_once_for_each_user(
    new_user: Callable[..., VirtualUser], samples: list[Sample], package: Callable[..., None]
) -> None:
    package("count_actions", "count = count_actions:Counting", COUNTING)
    first, second = new_user(), new_user()
    assert first.act("count", step=3) == {"runs": 1, "made": 1, "step": 3}
    assert first.act("count") == {"runs": 2, "made": 1}
    assert second.act("count", "COUNT") == {"runs": 1, "made": 2}
    first.release_actions()
    assert second.act("count") == {"runs": 2, "made": 1}
    assert [sample.name for sample in samples] == ["count", "count", "COUNT", "count"]


def test_an_unknown_name_is_an_error_that_names_the_known_ones(
    new_user: Callable[..., VirtualUser], package: Callable[..., None]
) -> None:
    with pytest.raises(SettingError, match=r"unknown action 'count'; no installed package offers one \(entry points"):
        new_user().act("count")
    package("count_actions", "count = count_actions:Counting\nmail = count_actions:Mail", COUNTING)
    with pytest.raises(SettingError, match=r"unknown action 'coumt' \(did you mean 'count'\?\); known: count, mail"):
        new_user().act("coumt")


def test_one_that_cannot_be_made_or_is_offered_twice_is_an_error(
    new_user: Callable[..., VirtualUser], package: Callable[..., None]
) -> None:
    offered = "broken = count_actions:broken\nmissing = count_actions:nothing\nwrong = count_actions:dict"
    package("count_actions", offered, COUNTING + "\n    dict = dict\n")
    package("other_actions", "broken2 = other_actions:broken\ntwice = other_actions:Counting", COUNTING)
    package("third_actions", "twice = third_actions:Counting", COUNTING)
    for name, text in {
        "broken": r"action 'broken' \(count_actions:broken\) cannot be made: OSError: no device",
        "missing": r"action 'missing' \(count_actions:nothing\) cannot be made: AttributeError",
        "wrong": r"action 'wrong': \{\} is not a valid action",
        "twice": r"several packages offer an action 'twice': .*; uninstall all but one",
    }.items():
        with pytest.raises(SettingError, match=text):
            new_user().act(name)


def test_an_action_can_be_initialised_before_it_runs(
    new_user: Callable[..., VirtualUser], samples: list[Sample]
) -> None:
    action, user = Greeting(), new_user()
    user.prepare(action)
    user.prepare(action)
    assert (action.events, samples) == (["init 0"], [])
    user.act(action)
    user.release_actions()
    assert action.events == ["init 0", "do 0", "release 0"]
