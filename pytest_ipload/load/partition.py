"""One process's share of a load: which users, arrivals and iterations are its own. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, cycle
from math import gcd
from typing import TypeVar

_Item = TypeVar("_Item")

_LARGEST_WEIGHT = 1000
_MOST_WEIGHTS = 10_000


@dataclass(frozen=True)
class Partition:
    """Partition ``index`` (from 0) of ``count``. Number g of the whole load belongs to partition g modulo ``count``.

    So ramps stay even in each share, and what a user does depends on its number in the whole load alone. With
    ``weights``, one for each partition, their sizes are in these proportions instead, mixed as evenly as possible.
    """

    index: int = 0
    count: int = 1
    weights: tuple[int, ...] = ()
    """Whole numbers from 1; empty for equal partitions."""
    whole: Partition | None = None
    """The share of the load that this is a share of; None for the whole load."""

    def __post_init__(self) -> None:
        """ValueError for a share that does not exist."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"partition {self.index} of {self.count} does not exist; partitions are numbered from 0")
        if self.weights:
            check_weights(self.weights)
            if len(self.weights) != self.count:
                raise ValueError(f"{len(self.weights)} weights for {self.count} partitions; give one for each")

    @cached_property
    def _places(self) -> tuple[int, ...]:
        """Which numbers of each period of the whole are this share's own."""
        if not self.weights:
            return (self.index,)
        # The k-th of w numbers of a partition is due at (k + 1/2) / w of the period.
        due = sorted(((k + 0.5) / w, whose) for whose, w in enumerate(self._reduced) for k in range(w))
        return tuple(place for place, (_, whose) in enumerate(due) if whose == self.index)

    @cached_property
    def _reduced(self) -> tuple[int, ...]:
        divisor = gcd(*self.weights)
        return tuple(weight // divisor for weight in self.weights)

    @property
    def _period(self) -> int:
        return sum(self._reduced) if self.weights else self.count

    @property
    def fraction(self) -> float:
        """How much of the load is this share's, from 0 to 1."""
        return len(self._places) / self._period * (self.whole.fraction if self.whole else 1)

    def divided(self, inner: Partition) -> Partition:
        """The ``inner`` share of this share."""
        if not (self.weights or self.whole or inner.weights):
            return Partition(self.index + inner.index * self.count, self.count * inner.count)
        return Partition(inner.index, inner.count, inner.weights, self)

    def of(self, whole: Iterable[_Item]) -> Iterator[_Item]:
        """The items of the whole load that are this share's; they may have no end."""
        items = whole if self.whole is None else self.whole.of(whole)
        own = set(self._places)
        return compress(items, cycle([place in own for place in range(self._period)]))

    def size_of(self, total: int) -> int:
        """How many of the first ``total`` are this share's."""
        if self.whole is not None:
            total = self.whole.size_of(total)
        periods, rest = divmod(total, self._period)
        return periods * len(self._places) + bisect_left(self._places, rest)

    def number(self, place: int) -> int:
        """The number in the whole load of the share's own number ``place``, both from 0."""
        periods, rest = divmod(place, len(self._places))
        number = periods * self._period + self._places[rest]
        return number if self.whole is None else self.whole.number(number)

    @property
    def least_total(self) -> int:
        """How large a load has to be for each of the partitions to have some of it."""
        return max(Partition(index, self.count, self.weights).number(0) for index in range(self.count)) + 1


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


def parse_weights(text: str) -> tuple[int, ...]:
    """``4,2,1``: how large the segments are compared with each other. ``ValueError`` says what is allowed."""
    if re.fullmatch(r"\s*[0-9]{1,9}\s*(,\s*[0-9]{1,9}\s*)*", text) is None:
        raise ValueError(f"{text!r:.80} is not a list of weights; give a whole number for each segment, as in 4,2,1")
    weights = tuple(map(int, text.split(",")))
    check_weights(weights)
    return weights


def check_weights(weights: Sequence[int]) -> None:
    """``ValueError`` for weights that no load has."""
    if len(weights) > _MOST_WEIGHTS or not all(1 <= weight <= _LARGEST_WEIGHT for weight in weights):
        raise ValueError(
            f"weights {','.join(map(str, weights))!r:.80}: expected whole numbers from 1 to {_LARGEST_WEIGHT}, "
            f"{_MOST_WEIGHTS} at most"
        )
