"""The bins of a histogram as HdrHistogram writes them (http://hdrhistogram.org, the "V2 compressed" encoding).

HdrHistogram's tools read what is written here. What is read may come from anywhere: a decompression bomb is refused.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping

from pytest_ipload.stats.hdr_bins import HIGHEST_US, LARGEST_COUNT, LAST_BIN

_V2_COOKIE = 0x1C849303
_V2_COMPRESSED_COOKIE = 0x1C849304
_COOKIE_WORD_SIZE = 0xF0  # this part of a cookie tells the width of the counters; V2 packs them and sets 0x10
_OUTER = struct.Struct(">iI")  # cookie, length of what follows
_INNER = struct.Struct(">iIiiqqd")  # cookie, length, index offset, digits, lowest and highest value, ratio
_MAX_DECOMPRESSED = 1_000_000  # bytes; a histogram with every bin in use takes less than a quarter of it


def to_text(bins: Mapping[int, int]) -> str:
    """Counts by bin index as the V2 compressed form in base64, in microseconds."""
    return base64.b64encode(compressed(bins)).decode()


def from_text(text: str) -> dict[int, int]:
    """Read what ``to_text`` wrote; ``ValueError`` if it is anything else, or has other digits or units."""
    try:
        return decompressed(base64.b64decode(text, validate=True))
    except (ValueError, zlib.error, struct.error) as error:
        raise ValueError(f"not an HdrHistogram in the V2 compressed format: {error}") from error


def compressed(bins: Mapping[int, int]) -> bytes:
    """Counts by bin index as the V2 compressed form."""
    packed = bytearray()
    next_index = 0
    for index in sorted(bins):
        if index > next_index:
            _pack(next_index - index, packed)  # a run of empty bins is its negated length
        _pack(bins[index], packed)
        next_index = index + 1
    head = _INNER.pack(_V2_COOKIE | 0x10, len(packed), 0, 3, 1, HIGHEST_US, 1.0)
    body = zlib.compress(head + packed)
    return _OUTER.pack(_V2_COMPRESSED_COOKIE | 0x10, len(body)) + body


def decompressed(raw: bytes) -> dict[int, int]:
    """Read what ``compressed`` wrote; ``ValueError``, ``zlib.error`` or ``struct.error`` if it is anything else."""
    return _read_bins(_unwrap(raw))


def _unwrap(raw: bytes) -> bytes:
    """The inner header and packed counts of the compressed form."""
    cookie, length = _OUTER.unpack_from(raw)
    if cookie & ~_COOKIE_WORD_SIZE != _V2_COMPRESSED_COOKIE:
        raise ValueError(f"it starts with {cookie:#x}, which does not mark this format")
    if length != len(raw) - _OUTER.size:
        raise ValueError(f"{length} bytes are announced, but there are {len(raw) - _OUTER.size}")
    inflater = zlib.decompressobj()
    inner = inflater.decompress(raw[_OUTER.size :], _MAX_DECOMPRESSED)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("the compressed part is truncated, too large or has trailing data")
    return inner


def _read_bins(inner: bytes) -> dict[int, int]:
    cookie, length, offset, digits, lowest, _highest, ratio = _INNER.unpack_from(inner)
    if cookie & ~_COOKIE_WORD_SIZE != _V2_COOKIE or length != len(inner) - _INNER.size:
        raise ValueError("the inner header is damaged")
    # The highest trackable value does not change the numbering of the bins, so any will do.
    if (offset, digits, lowest, ratio) != (0, 3, 1, 1.0):
        raise ValueError(
            f"index offset, digits, lowest value and ratio are {(offset, digits, lowest, ratio)}, not (0, 3, 1, 1.0)"
        )
    bins: dict[int, int] = {}
    index, position = 0, _INNER.size
    while position < len(inner):
        value, position = _unpack(inner, position)
        if value > 0:
            bins[index] = value
        index += -value if value < 0 else 1  # a single empty bin may also be a count of 0
        if index > LAST_BIN + 1:
            raise ValueError("it has values above one hour")
    if sum(bins.values()) > LARGEST_COUNT:
        raise ValueError("it has more values than possible")
    return bins


def _pack(value: int, out: bytearray) -> None:
    """Append a signed 64-bit number in ZigZag LEB128: 7 bits per byte, low ones first; a ninth byte has all 8."""
    rest = (value << 1) ^ (value >> 63)
    for _ in range(8):
        if rest < 0x80:
            break
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)


def _unpack(data: bytes, position: int) -> tuple[int, int]:
    """The number at this position and the position behind it."""
    result = 0
    for shift in range(0, 63, 7):
        if position == len(data):
            raise ValueError("the last count is truncated")
        byte = data[position]
        position += 1
        if byte < 0x80 or shift == 56:
            result |= byte << shift
            break
        result |= (byte & 0x7F) << shift
    return (result >> 1) ^ -(result & 1), position
