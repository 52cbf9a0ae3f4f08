"""Node ids of load tests that would share one: results, workers and reports know a test by its node id."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pytest_ipload.plugin.items.markers import is_load_test


def tell_apart(items: Iterable[pytest.Item]) -> None:
    """Give load tests of Schemathesis the node ids of their names.

    Since 9.2 pytest makes an item's node id of its function and parameters, and Schemathesis names the operation in
    neither, so that the tests of all operations have one.
    """
    for item in items:
        if not hasattr(item, "operation_label") or item.parent is None or not is_load_test(item):
            continue
        node_id = f"{item.parent.nodeid}::{item.name}"
        if item.nodeid != node_id and (current := getattr(item, "_id", None)) is not None:
            item._id = type(current).parse(node_id)  # there is no public way
