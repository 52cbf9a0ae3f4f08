"""Load tests of Schemathesis as pytest's other items are: with node ids of their own, and with their markers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_ipload.plugin.items.markers import is_load_test


def complete(items: Iterable[pytest.Item]) -> None:
    """Give load tests of Schemathesis what they have lost on the way from the function to the item."""
    for item in items:
        if hasattr(item, "operation_label") and item.parent is not None:
            _add_markers(item)
            if is_load_test(item):
                _tell_apart(item, item.parent)


def _add_markers(item: pytest.Item) -> None:
    """Add the markers of a method: the item has a partial function in its place, which has none."""
    marks = getattr(getattr(item, "test_function", None), "pytestmark", ())
    for mark in marks:
        if mark.name.startswith("ipload") and mark not in item.own_markers:
            item.own_markers.append(mark)
            item.keywords[mark.name] = mark


def _tell_apart(item: pytest.Item, parent: pytest.Collector) -> None:
    """Give the item the node id of its name: results, workers and reports know a test by its node id.

    Since 9.2 pytest makes an item's node id of its function and parameters, and Schemathesis names the operation in
    neither, so that the tests of all operations have one.
    """
    node_id = f"{parent.nodeid}::{item.name}"
    if item.nodeid != node_id and (current := getattr(item, "_id", None)) is not None:
        item._id = type(current).parse(node_id)  # there is no public way
