"""Source addresses as text: plain, or with a mark where the address is this host's by a route only. Pure."""

from __future__ import annotations

FREEBIND_PREFIX = "freebind:"
"""In front of an address that is bound with the free-bind option; see ``host.bind_source``."""


def marked(address: str, freebind: bool) -> str:
    """The address, with the mark if it needs it."""
    return f"{FREEBIND_PREFIX}{address}" if freebind else address


def unmarked(text: str) -> tuple[str, bool]:
    """The address without its mark, and whether it had one."""
    address = text.removeprefix(FREEBIND_PREFIX)
    return address, address != text
