"""The bins of a histogram as one text: a part of a load has a hundred thousand, too many to be numbers of their own.

The text is base64 of: the width of a count in bytes (1, 2, 4 or 8) in one byte, the indexes of the bins in ascending
order in two bytes each, and their counts; numbers are unsigned, their low byte comes first.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Mapping
from itertools import islice
from operator import lt

_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Of ``struct``, by the width of a count."""
_INDEX_BYTES = 2


def text_of_bins(bins: Mapping[int, int]) -> str:
    """The counts by index as text."""
    indexes = sorted(bins)
    bits = max(bins.values(), default=0).bit_length()
    width = next(width for width in _CODES if bits <= 8 * width)
    counts = map(bins.__getitem__, indexes)
    packed = struct.pack(f"<B{len(bins)}H{len(bins)}{_CODES[width]}", width, *indexes, *counts)
    return binascii.b2a_base64(packed, newline=False).decode("ascii")


def bins_of_text(text: object, what: str, *, last: int, most: int) -> dict[int, int]:
    """Counts from 1 to ``most`` by indexes up to ``last``; ``ValueError`` if the text is anything else."""
    if type(text) is not str:
        raise ValueError(f"{what}: expected a string, got {type(text).__name__}")
    try:
        packed = binascii.a2b_base64(text)
    except ValueError as error:  # binascii.Error is one, and so is what letters outside of ASCII raise
        raise ValueError(f"{what}: not base64: {error}") from None
    code = _CODES.get(packed[0]) if packed else None
    if code is None:
        raise ValueError(f"{what}: expected the width of its counts (1, 2, 4 or 8) first")
    number, rest = divmod(len(packed) - 1, _INDEX_BYTES + packed[0])
    if rest or number > last + 1:
        raise ValueError(f"{what}: {len(packed)} bytes are not pairs of bin and count, or are too many")
    numbers = struct.unpack_from(f"<{number}H{number}{code}", packed, 1)
    indexes, counts = numbers[:number], numbers[number:]
    if not all(map(lt, indexes, islice(indexes, 1, None))) or (number and indexes[-1] > last):
        raise ValueError(f"{what}: the indexes must ascend, up to {last}")
    if 0 in counts or (most < 1 << 8 * packed[0] and max(counts, default=0) > most):
        raise ValueError(f"{what}: expected counts from 1 up to {most}")
    return dict(zip(indexes, counts, strict=True))
