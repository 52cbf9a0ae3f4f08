"""One process's share of a load: which users, arrivals and iterations are its own. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Partition:
    """Partition ``index`` (from 0) of ``count``. Number g of the whole load belongs to partition g modulo ``count``.

    So ramps stay even in each share, and what a user does depends on its number in the whole load alone.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """ValueError for a share that does not exist."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"partition {self.index} of {self.count} does not exist; partitions are numbered from 0")

    def divided(self, inner: Partition) -> Partition:
        """The ``inner`` share of this share."""
        return Partition(self.index + inner.index * self.count, self.count * inner.count)

    def of(self, whole: Sequence[_Item]) -> Sequence[_Item]:
        """The items of a sequence that are this share's."""
        return whole[self.index :: self.count]

    def size_of(self, total: int) -> int:
        """How many of ``total`` are this share's."""
        return len(range(self.index, total, self.count))

    def number(self, place: int) -> int:
        """The number in the whole load of the share's own number ``place``, both from 0."""
        return self.index + place * self.count


WHOLE = Partition()


def parse_segment(text: str) -> Partition:
    """``i/n``: segment i, counted from 0, of n. ``ValueError`` says what is allowed."""
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a segment; give its number, from 0, and the number of segments, as in 0/4")
    index, count = map(int, match.groups())
    if not count:
        raise ValueError(f"{text!r} does not exist; a load has at least one segment, which is 0/1")
    if index >= count:
        raise ValueError(
            f"{text!r} does not exist; of {count} segments the first is 0/{count} and the last {count - 1}/{count}"
        )
    return Partition(index, count)
