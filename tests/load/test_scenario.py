from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from pytest_ipload.base.errors import SettingError
from pytest_ipload.load.scenario import scenario_of
from pytest_ipload.load.user import Iteration, VirtualUser
from pytest_ipload.stats.sample import FAILED, OK, STEP, Sample


def browse(user: VirtualUser) -> None:
    user.state.setdefault("ran", []).append("browse")


def buy(user: VirtualUser) -> None:
    user.state.setdefault("ran", []).append("buy")


def fail(user: VirtualUser) -> None:
    raise KeyError("gone")


def run(body: Any, index: int, iterations: int) -> tuple[VirtualUser, list[Sample]]:
    """What a user did in its first iterations, and the samples of its steps."""
    samples: list[Sample] = []
    user = VirtualUser(index, seed=0, source_addresses=(), record=samples.append)
    scenario = scenario_of(body)
    scenario.set_up()
    for number in range(iterations):
        user.begin_iteration(number, 0)
        error = None
        try:
            scenario.iterate(Iteration(number, user))
        except KeyError as raised:
            error = raised
        user.end_iteration(0, 1, error)
    scenario.tear_down()
    user.coroutines.close_loop()
    return user, [sample for sample in samples if sample.kind == STEP]


def test_one_body_runs_in_each_iteration_and_is_no_step() -> None:
    user, steps = run(browse, 0, 3)
    assert user.state["ran"] == ["browse"] * 3
    assert steps == []


@pytest.mark.parametrize(
    ("index", "ran"),
    [
        (0, ["browse", "browse", "buy", "browse", "browse"]),
        (1, ["browse", "buy", "browse", "browse", "browse"]),
        (6, ["buy", "browse", "browse", "browse", "buy"]),
    ],
)
def test_a_mix_runs_the_body_of_user_and_iteration_as_a_step(index: int, ran: list[str]) -> None:
    user, steps = run({browse: 3, buy: 1}, index, 5)
    assert user.state["ran"] == ran
    assert [(step.name, step.outcome) for step in steps] == [(name, OK) for name in ran]


def test_a_body_of_a_mix_that_raises_is_a_failed_step() -> None:
    _, steps = run({browse: 1, fail: 1}, 0, 2)
    assert [(step.name, step.outcome) for step in steps] == [("browse", OK), ("fail", FAILED)]


class Shopper:
    def look(self, user: VirtualUser) -> None:
        browse(user)

    def __call__(self, user: VirtualUser) -> None:
        buy(user)


def test_steps_have_the_names_of_all_kinds_of_bodies() -> None:
    bodies = [browse, Shopper().look, Shopper(), partial(buy), lambda user: None, lambda user: None, Shopper()]
    _, steps = run(dict.fromkeys(bodies, 1), 0, len(bodies))
    assert [step.name for step in steps] == [
        "browse",
        "look",
        "Shopper",
        "buy",
        "<lambda>",
        "<lambda> (2)",
        "Shopper (2)",
    ]


async def later(user: VirtualUser) -> None:
    await asyncio.sleep(0)
    browse(user)


async def stream(user: VirtualUser) -> AsyncIterator[int]:
    yield 1


def generate(user: VirtualUser) -> Iterator[int]:
    yield 1


class LaterShopper:
    async def __call__(self, user: VirtualUser) -> None:
        await later(user)


@pytest.mark.parametrize(
    "body",
    [later, partial(later), LaterShopper(), lambda user: later(user)],
    ids=["function", "partial", "object", "lambda"],
)
def test_a_body_may_be_a_coroutine_function_alone_and_in_a_mix(body: Any) -> None:
    user, _ = run(body, 0, 2)
    assert user.state["ran"] == ["browse"] * 2
    user, steps = run({body: 1, buy: 1}, 0, 2)
    assert user.state["ran"] == ["browse", "buy"]
    assert [step.outcome for step in steps] == [OK, OK]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (None, "a body must be a function that takes the user, not None"),
        ("browse", "a body must be a function that takes the user, not 'browse'"),
        ([browse, buy], "a body must be a function that takes the user, not [<function browse"),
        (stream, "the body stream is a generator function, which does nothing when called"),
        (generate, "the body generate is a generator function, which does nothing when called"),
        (lambda: None, "the body <lambda> must take exactly one argument, the user: too many positional arguments"),
        (
            lambda user, more: None,
            "the body <lambda> must take exactly one argument, the user: missing a required argument",
        ),
        ({}, "the mix is empty; give each body a weight, as in {browse: 3, buy: 1}"),
        ({"browse": 1}, "a body must be a function that takes the user, not 'browse'"),
        ({browse: 1, stream: 1}, "the body stream is a generator function"),
        ({browse: 3, buy: 0}, "the mix {browse: 3, buy: 0}: weight 0 is not a positive integer"),
        ({browse: 0.5, buy: 0.5}, "the mix {browse: 0.5, buy: 0.5}: weight 0.5 is not a positive integer"),
        (
            {browse: 1000, buy: 1},
            "the mix {browse: 1000, buy: 1}: the weights 1000, 1 repeat only after 1001 iterations",
        ),
    ],
)
def test_what_is_no_body_is_refused(body: Any, problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        scenario_of(body)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("body", [print, lambda user, more=1: None, lambda *users: None, max])
def test_what_may_be_called_with_the_user_is_a_body(body: Any) -> None:
    scenario_of(body)
