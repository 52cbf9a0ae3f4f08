"""Sequences of addresses that are never expanded: runs of numbers, indexed as one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Set
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import accumulate
from math import gcd
from typing import NamedTuple

from pytest_ipload.addresses.spec import AddressBlock, address_text


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in a text, in any notation; None if it is not an address."""
    try:
        return ip_address(text)
    except ValueError:
        return None


class Run(NamedTuple):
    """Evenly spaced addresses of one block, as numbers; never empty."""

    block: AddressBlock
    numbers: range

    @property
    def version(self) -> int:
        """4 or 6."""
        return self.block.version

    @property
    def freebind(self) -> bool:
        """As in the block."""
        return self.block.freebind

    @property
    def size(self) -> int:
        """As ``len(self.numbers)``, also where that overflows."""
        return (self.numbers[-1] - self.numbers[0]) // self.numbers.step + 1

    def without(self, removed: Iterable[int]) -> Iterator[Run]:
        """What is left of the run; ``removed`` are some of its numbers, in their order."""
        start = 0
        for number in removed:
            index = (number - self.numbers[0]) // self.numbers.step
            if index > start:
                yield Run(self.block, self.numbers[start:index])
            start = index + 1
        if start < self.size:
            yield Run(self.block, self.numbers[start:])


class AddressSequence:
    """Runs, indexed as one sequence of addresses without making them."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = tuple(runs)
        self._ends = tuple(accumulate(run.size for run in self.runs))
        self.count = self._ends[-1] if self._ends else 0

    def find(self, index: int) -> tuple[Run, int]:
        """The run and the number of the address at an index from 0 to ``count - 1``."""
        position = bisect_right(self._ends, index)
        run = self.runs[position]
        return run, run.numbers[index - self._ends[position]]  # counted from the run's end

    def __getitem__(self, index: int) -> str:
        if not -self.count <= index < self.count:
            raise IndexError(f"index {index} is out of range for an ip pool of {self.count} addresses")
        run, number = self.find(index % self.count)
        return address_text(number, run.version)

    def __iter__(self) -> Iterator[str]:
        return (address_text(number, run.version) for run in self.runs for number in run.numbers)

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        return self.run_of(address) is not None

    def run_of(self, address: IPv4Address | IPv6Address) -> Run | None:
        """The run that has the address."""
        number = int(address)
        return next((run for run in self.runs if run.version == address.version and number in run.numbers), None)

    def of_family(self, version: int) -> AddressSequence:
        """Only the addresses of one family, in the same order."""
        return AddressSequence(run for run in self.runs if run.version == version)

    def every(self, step: int, *, start: int) -> AddressSequence:
        """As the slice ``[start::step]``."""
        runs = []
        for run, end in zip(self.runs, self._ends, strict=True):
            begin = end - run.size
            numbers = run.numbers[(start - begin) % step :: step]
            if numbers:
                runs.append(Run(run.block, numbers))
        return AddressSequence(runs)

    def without(self, removed: Mapping[int, Set[int]]) -> AddressSequence:
        """The others, in the same order; ``removed`` has the numbers of each family."""
        ordered = {version: sorted(numbers) for version, numbers in removed.items()}
        runs: list[Run] = []
        for run in self.runs:
            candidates = ordered[run.version]
            low, high = bisect_left(candidates, run.numbers[0]), bisect_right(candidates, run.numbers[-1])
            runs += run.without(number for number in candidates[low:high] if number in run.numbers)
        return AddressSequence(runs)


def first_common(one: AddressSequence, other: AddressSequence) -> str | None:
    """An address that both sequences have; None if there is none. Neither is expanded."""
    for version in (4, 6):
        left = sorted((run.numbers for run in one.runs if run.version == version), key=lambda numbers: numbers[0])
        right = sorted((run.numbers for run in other.runs if run.version == version), key=lambda numbers: numbers[0])
        # The runs of a sequence do not reach into each other, so of these two the one that starts
        # last meets no other.
        while left and right:
            if (number := _first_common_number(left[-1], right[-1])) is not None:
                return address_text(number, version)
            (left if left[-1][0] >= right[-1][0] else right).pop()
    return None


def _first_common_number(one: range, other: range) -> int | None:
    """The least number that two ranges share: their congruences solved by the Chinese remainder theorem."""
    divisor = gcd(one.step, other.step)
    distance, rest = divmod(other[0] - one[0], divisor)
    if rest:
        return None
    modulus = other.step // divisor
    common = one[0] + one.step * (distance * pow(one.step // divisor, -1, modulus) % modulus)
    period = one.step * modulus
    low = max(one[0], other[0])
    common += -((common - low) // period) * period if common < low else 0
    return common if common <= min(one[-1], other[-1]) else None
