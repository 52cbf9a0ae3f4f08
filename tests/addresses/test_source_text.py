from __future__ import annotations

import pytest

from pytest_ipload.addresses.source_text import marked, unmarked


@pytest.mark.parametrize(("address", "freebind"), [("10.0.0.1", False), ("2001:db8::1", True)])
def test_the_mark_of_free_bind_addresses_goes_both_ways(address: str, freebind: bool) -> None:
    assert unmarked(marked(address, freebind)) == (address, freebind)


def test_the_mark_is_what_pools_have_too() -> None:
    assert marked("::1", True) == "freebind:::1"
