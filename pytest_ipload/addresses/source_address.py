"""A source address as a lease hands it down to the socket that is bound to it. Pure."""

from __future__ import annotations

from typing import NamedTuple

FREEBIND_PREFIX = "freebind:"
"""In the text of an address that is bound with the free-bind option; see ``host.bind_source``."""


class SourceAddress(NamedTuple):
    """An address, and whether a socket is bound to it with the free-bind option."""

    address: str
    freebind: bool = False

    @classmethod
    def parse(cls, text: str) -> SourceAddress:
        """From its text, which has ``freebind:`` in front if it needs that option."""
        address = text.removeprefix(FREEBIND_PREFIX)
        return cls(address, address != text)
