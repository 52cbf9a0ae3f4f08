from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_ipload.distributed.protocol.slots import SLOT_KEY, Slots, slot_of


def config(**attributes: Any) -> pytest.Config:
    return cast(pytest.Config, SimpleNamespace(**attributes))


def test_each_worker_has_a_slot_of_its_own() -> None:
    slots = Slots()
    assert [slots.take(f"gw{number}") for number in range(3)] == [0, 1, 2]


def test_a_replacement_takes_over_the_slot_that_became_free() -> None:
    slots = Slots()
    for worker in ("gw0", "gw1", "gw2"):
        slots.take(worker)
    slots.free("gw1")
    assert [slots.take("gw3"), slots.take("gw4")] == [1, 3]


def test_a_worker_may_be_freed_twice_or_without_a_slot() -> None:
    slots = Slots()
    slots.take("gw0")
    for worker in ("gw0", "gw0", "gw9"):
        slots.free(worker)
    assert slots.take("gw1") == 0


def test_each_host_counts_its_own_workers() -> None:
    slots = Slots()
    assert [slots.take(f"gw{number}", host) for number, host in enumerate("aabb")] == [0, 1, 0, 1]
    slots.free("gw0")
    slots.free("gw3")
    assert [slots.take("gw4", "b"), slots.take("gw5", "a"), slots.take("gw6", "a")] == [1, 0, 2]


@pytest.mark.parametrize(
    ("attributes", "slot"),
    [({}, (0, 1)), ({"workerinput": {SLOT_KEY: [2, 4]}}, (2, 4)), ({"workerinput": {}}, (0, 1))],
)
def test_a_process_knows_its_slot(attributes: dict[str, Any], slot: tuple[int, int]) -> None:
    assert slot_of(config(**attributes)) == slot
