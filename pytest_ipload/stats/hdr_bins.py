"""The bins that durations are counted in: those of HdrHistogram with 3 significant digits, 1 us to 1 hour.

Below 2048 us each microsecond has its own bin. Above, the bins double in width each time the value doubles: 1024
bins per doubling, so a bin is never wider than 0.1 % of its values.
"""

from __future__ import annotations

HIGHEST_US = 3_600_000_000
"""The highest trackable value: one hour."""
LARGEST_COUNT = 2**53
"""Of what is read: JSON numbers are exact up to here, and a thousand merged ones still fit into 63 bits."""


def bin_index(us: int) -> int:
    """The index of the bin of a value in microseconds."""
    shift = us.bit_length() - 11
    return us if shift <= 0 else (shift << 10) + (us >> shift)


def bin_edges_us(index: int) -> tuple[int, int]:
    """The lowest and the highest value of a bin, in microseconds."""
    shift = (index >> 10) - 1
    if shift <= 0:
        return index, index
    low = ((index & 1023) + 1024) << shift
    return low, low + (1 << shift) - 1


LAST_BIN = bin_index(HIGHEST_US)


def bin_of_ns(ns: int) -> int:
    """The index of the bin that a duration is counted in."""
    return bin_index(min((ns + 500) // 1000, HIGHEST_US))
