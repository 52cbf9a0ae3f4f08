"""What is large, as bytes: execnet takes ten times as long for the same values as objects of its own.

The bytes are compressed JSON, so nothing is ever evaluated or unpickled. Large ones are sent in pieces.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

PIECE_BYTES = 1 << 16
"""The maximum length of a piece. Each acts as a heartbeat, so it must not take long on any connection."""
MOST_BYTES = 1 << 30
"""Of one value, packed or not."""


def pack(plain: Any) -> bytes:
    """Plain values (None, booleans, numbers, texts, lists, dicts with texts as keys) as bytes. TypeError for others."""
    text = json.dumps(plain, separators=(",", ":"))  # escaped, so that half a surrogate pair passes too
    return zlib.compress(text.encode("ascii"), 1)


def unpack(packed: bytes) -> Any:
    """What ``pack`` made bytes of; ``ValueError`` if it is anything else, or larger than a gibibyte."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"it cannot be unpacked: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it cannot be unpacked: it is truncated, too large, or has trailing data")
    return json.loads(text)


def pieces(packed: bytes) -> Iterator[bytes]:
    """The bytes in pieces, one at least."""
    for start in range(0, max(1, len(packed)), PIECE_BYTES):
        yield packed[start : start + PIECE_BYTES]
