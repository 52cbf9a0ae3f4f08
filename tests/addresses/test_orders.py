from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_ipload.addresses.orders import ORDERS, LeastUsed, Order, Positions, RoundRobin, SeededRandom


def taken(count: int, *positions: int) -> Positions:
    made = Positions(count)
    for position in positions:
        made.take(position)
    return made


def next_of(order: Order, positions: Positions, user: int = 0, *, rotation: bool = True, exclusive: bool = True) -> int:
    position = order.choose(user, rotation, exclusive)
    positions.take(position)
    return position


def give_back(order: Order, positions: Positions, position: int) -> None:
    positions.give_back(position)
    order.returned(position)


# Positions


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_free_positions_are_found_as_by_looking_through_all(count: int, data: st.DataObject) -> None:
    positions, leases = Positions(count), [0] * count
    for _ in range(data.draw(st.integers(0, 25))):
        position = data.draw(st.integers(0, count - 1))
        if leases[position] and data.draw(st.booleans()):
            positions.give_back(position)
            leases[position] -= 1
        else:
            positions.take(position)
            leases[position] += 1
    free = [position for position in range(count) if not leases[position]]
    assert positions.free == len(free)
    assert [positions.is_free(position) for position in range(count)] == [not number for number in leases]
    assert [positions.nth_free(n) for n in range(len(free))] == free
    for start in range(count) if free else ():
        assert positions.first_free(start) == next((place for place in free if place >= start), free[0])


def test_a_huge_network_has_positions_without_a_list() -> None:
    positions = taken(2**64, 0, 1, 2**64 - 1)
    assert positions.free == 2**64 - 3
    assert positions.first_free(2**64 - 1) == 2
    assert positions.nth_free(2**64 - 4) == 2**64 - 2


# Round-robin


def test_round_robin_gives_each_user_its_own_position() -> None:
    order = RoundRobin(Positions(3), 0)
    assert [order.choose(user, False, False) for user in (0, 1, 2, 3, 1, 1)] == [0, 1, 2, 0, 1, 1]


def test_users_who_are_some_of_all_use_every_position() -> None:
    order = RoundRobin(Positions(4), 0, lambda user: user // 4)
    assert [order.choose(user, False, False) for user in range(1, 33, 4)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_round_robin_in_rotation_is_one_turn_for_all_users() -> None:
    order = RoundRobin(Positions(3), 0)
    assert [order.choose(user, True, False) for user in (7, 7, 2, 0)] == [0, 1, 2, 0]


def test_round_robin_passes_over_what_is_taken_upwards_and_round() -> None:
    positions = taken(5, 1, 2, 4)
    order = RoundRobin(positions, 0)
    assert [order.choose(user, False, True) for user in (0, 1, 2, 4)] == [0, 3, 3, 0]
    # A turn goes on from what it gave, else the position after a taken one would come twice as often.
    assert [order.choose(0, True, True) for _ in range(5)] == [0, 3, 0, 3, 0]


# Random


def test_random_gives_a_user_the_same_position_in_every_process() -> None:
    chosen = [SeededRandom(Positions(1000), 5).choose(user, False, False) for user in range(4)]
    assert chosen == [random.Random(f"5/{user}").randrange(1000) for user in range(4)]
    order = SeededRandom(Positions(1000), 5)
    assert [order.choose(user, False, False) for user in (3, 2, 1, 0, 3)] == [*reversed(chosen), chosen[3]]
    assert chosen != [SeededRandom(Positions(1000), 6).choose(user, False, False) for user in range(4)]


def test_random_in_rotation_is_a_stream_of_each_user() -> None:
    alone = SeededRandom(Positions(1000), 5)
    stream = [alone.choose(3, True, False) for _ in range(5)]
    assert len(set(stream)) == 5
    mixed = SeededRandom(Positions(1000), 5)
    assert mixed.choose(3, False, False) == stream[0]  # does not count
    found = [(user, mixed.choose(user, True, False)) for user in (3, 4, 3, 3, 4, 3, 3)]
    assert [position for user, position in found if user == 3] == stream


def test_random_takes_a_random_free_position_where_its_own_is_taken() -> None:
    own = SeededRandom(Positions(50), 5).choose(3, False, True)
    found = {SeededRandom(taken(50, own), 5).choose(3, False, True) for _ in range(3)}
    assert len(found) == 1
    assert found != {own}
    only = taken(50, *(position for position in range(50) if position != 41))
    assert SeededRandom(only, 5).choose(3, False, True) == 41
    others = {SeededRandom(taken(50, *range(25)), 5).choose(user, False, True) for user in range(60)}
    assert len(others) > 10  # not always the one above
    assert min(others) >= 25


# Least used


@settings(deadline=None)
@given(count=st.integers(1, 6), steps=st.lists(st.just(-1) | st.integers(0, 40), max_size=100))
def test_least_used_is_the_least_as_by_looking_through_all(count: int, steps: list[int]) -> None:
    positions = Positions(count)
    order = LeastUsed(positions, 0)
    use = [[0, 0] for _ in range(count)]
    held: list[int] = []
    for step in steps:
        if step >= 0 and held:
            position = held.pop(step % len(held))
            give_back(order, positions, position)
            use[position][0] -= 1
        else:
            expected = min(range(count), key=lambda place: (*use[place], place))
            assert next_of(order, positions, exclusive=False) == expected
            use[expected] = [use[expected][0] + 1, use[expected][1] + 1]
            held.append(expected)


def test_least_used_does_not_grow_with_the_number_of_leases() -> None:
    positions = Positions(10)
    order = LeastUsed(positions, 0)
    for _ in range(5000):
        give_back(order, positions, next_of(order, positions))
    assert len(order._heap) <= 2 * 10 + 64


def test_least_used_costs_a_huge_network_nothing() -> None:
    positions = Positions(2**64)
    order = LeastUsed(positions, 0)
    assert [next_of(order, positions) for _ in range(3)] == [0, 1, 2]
    give_back(order, positions, 0)
    assert next_of(order, positions) == 3  # never leased comes before leased once


# All


@settings(deadline=None)
@given(name=st.sampled_from(list(ORDERS)), count=st.integers(1, 9), rotation=st.booleans(), data=st.data())
def test_exclusive_leases_go_to_free_positions_until_none_is_left(
    name: str, count: int, rotation: bool, data: st.DataObject
) -> None:
    positions = Positions(count)
    order = ORDERS[name](positions, 1)
    held: set[int] = set()
    for _ in range(data.draw(st.integers(0, 40))):
        if held and (len(held) == count or data.draw(st.booleans())):
            position = data.draw(st.sampled_from(sorted(held)))
            held.remove(position)
            give_back(order, positions, position)
        else:
            position = next_of(order, positions, data.draw(st.integers(0, 20)), rotation=rotation)
            assert position in set(range(count)) - held
            held.add(position)


@pytest.mark.parametrize("name", list(ORDERS))
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_lease_of_a_large_pool_looks_at_few_positions(
    name: str, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: how often a position is compared with another."""
    looked_at = 0

    class Counted(int):
        def __lt__(self, other: int) -> bool:
            nonlocal looked_at
            looked_at += 1
            return int(self) < other

        def __sub__(self, other: int) -> int:
            nonlocal looked_at
            looked_at += 1
            return int(self) - other

    positions = Positions(65_536)
    order = ORDERS[name](positions, 1)
    held = [next_of(order, positions, user, exclusive=exclusive) for user in range(1000)]
    for step in range(2000):
        give_back(order, positions, held[step % 1000])
        position = Counted(order.choose(step % 1000, True, exclusive))
        positions.take(position)
        held[step % 1000] = position
    assert looked_at / 2000 < 60  # a few times log2(65 536); a scan looks at 1000 or more
