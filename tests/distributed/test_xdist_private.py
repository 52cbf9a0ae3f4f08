"""The names of other packages that are not promised to stay."""

from __future__ import annotations

import pytest

from pytest_ipload.distributed import xdist_private


@pytest.mark.usefixtures("xdist")
def test_all_names_are_there() -> None:
    gone = xdist_private.missing()
    assert not gone, f"changed in pytest, pytest-xdist or execnet; workers cannot share loads: {', '.join(gone)}"


@pytest.mark.parametrize("name", [("json", "no_such"), ("json", "JSONDecoder.no_such"), ("no_such_module", "x")])
def test_a_missing_name_is_found(name: tuple[str, str]) -> None:
    assert xdist_private.missing([("json", "loads"), name]) == [".".join(name)]
