"""Values that no setting of a load has; those are in test_options.py."""

from __future__ import annotations

import pytest

from pytest_ipload.settings.parsing import as_loopback_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("9123", ("127.0.0.1", 9123)),
        ("0", ("127.0.0.1", 0)),
        (" 65535 ", ("127.0.0.1", 65535)),
        ("127.0.0.1:9123", ("127.0.0.1", 9123)),
        ("127.8.9.1:9123", ("127.8.9.1", 9123)),
        ("localhost:9123", ("127.0.0.1", 9123)),
        ("[::1]:9123", ("::1", 9123)),
        ("[127.0.0.1]:9123", ("127.0.0.1", 9123)),
    ],
)
def test_an_endpoint_is_a_port_perhaps_with_a_loopback_address(text: str, endpoint: tuple[str, int]) -> None:
    assert as_loopback_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "is not a valid port") for text in ("", "x", "-1", "65536", "99999999", "9123.5", ":9123")),
        *((text, "is not a valid port") for text in ("127.0.0.1", "127.0.0.1:", "::1:9123", "[::1]", "[]:9123")),
        *(
            (text, "is not a loopback address")
            for text in ("0.0.0.0:9123", "10.0.0.1:0", "[::]:9123", "shop.test:9123")
        ),
    ],
)
def test_any_other_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"{why}.*; give a port .*9123, 127.0.0.1:9123 or "):
        as_loopback_endpoint(text)
