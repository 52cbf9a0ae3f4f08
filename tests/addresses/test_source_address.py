from __future__ import annotations

import pytest

from pytest_ipload.addresses.source_address import SourceAddress


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("10.0.0.1", SourceAddress("10.0.0.1")),
        ("::1", SourceAddress("::1", False)),
        ("freebind:::1", SourceAddress("::1", True)),
    ],
)
def test_the_mark_is_what_pools_have_too(text: str, source: SourceAddress) -> None:
    assert SourceAddress.parse(text) == source
