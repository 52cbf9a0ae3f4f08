"""Load tests that run together: which they are, and their order in the session."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_ipload.plugin.items.markers import is_load_test, together_name

MOST_MEMBERS = 64
"""Of a group: the protocol of each test runs within that of the one before it."""


class TestGroup:  # not a dataclass: every session imports this
    """Load tests that run together, at least two, in the order in which they are set up."""

    __test__ = False  # not a class of tests

    def __init__(self, name: str, items: Sequence[pytest.Item]) -> None:
        self.name = name
        self.items = items


_GROUP = pytest.StashKey[TestGroup]()


def group_of(item: pytest.Item) -> TestGroup | None:
    """The group that an item is in; None where it runs alone."""
    return item.stash.get(_GROUP, None)


def arrange(items: list[pytest.Item]) -> list[TestGroup]:
    """Find the groups among the selected tests, and bring the tests of each together, in place.

    They come where the first of them is. Within a group, those of one module or class follow each other: what they
    share is set up once.
    """
    named: dict[str, list[pytest.Item]] = {}
    for item in items:
        if (name := together_name(item)) is not None and is_load_test(item):
            named.setdefault(name, []).append(item)
    groups = [TestGroup(name, _by_collectors(members)) for name, members in named.items() if len(members) > 1]
    for group in groups:
        for item in group.items:
            item.stash[_GROUP] = group
    if groups:
        items[:] = [each for item in items for each in _in_its_place(item, named)]
    return groups


def _in_its_place(item: pytest.Item, named: dict[str, list[pytest.Item]]) -> Sequence[pytest.Item]:
    """The whole group for the first of it, nothing for the others."""
    group = group_of(item)
    if group is None:
        return [item]
    return group.items if item is named[group.name][0] else []


def _by_collectors(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items in their order, but those below one collector together."""
    seen: dict[object, int] = {}
    places = {}
    for item in items:
        places[item] = [seen.setdefault(node, len(seen)) for node in item.listchain()]
    return sorted(items, key=places.__getitem__)


def number_of(item: pytest.Item) -> int:
    """The index, from 0, of a load test's start among those that the session has: a group is one start."""
    starts: dict[object, int] = {}
    for other in filter(is_load_test, item.session.items):
        starts.setdefault(group_of(other) or other, len(starts))
    return starts[group_of(item) or item]
