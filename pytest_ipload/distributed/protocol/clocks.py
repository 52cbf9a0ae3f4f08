"""How far another process's clock is from one's own."""

from __future__ import annotations

PINGS = 7
"""Number of clock readings; the fastest answer counts."""


class ClockOffset:
    """Estimates the offset of another clock from questions and answers.

    The other clock is read somewhere between the question and the answer, so the middle is assumed; the error is at
    most half of the time that the answer took, so the fastest answer is the best one
    (F. Cristian, Probabilistic clock synchronization, 1989). Times are nanoseconds.
    """

    def __init__(self) -> None:
        self._asked_ns = 0
        self._asked = 0
        self._answers: list[tuple[int, int]] = []

    def ask(self, now_ns: int) -> int:
        """The number of the question that is sent now."""
        self._asked_ns = now_ns
        self._asked += 1
        return self._asked

    def answer(self, number: int, at_ns: int, now_ns: int) -> None:
        """The other side's clock read ``at_ns`` when it got the question; answers to older questions are ignored."""
        if number == self._asked and len(self._answers) < number:
            self._answers.append((now_ns - self._asked_ns, at_ns - (self._asked_ns + now_ns) // 2))

    @property
    def is_known(self) -> bool:
        """Whether there have been enough answers."""
        return len(self._answers) >= PINGS

    @property
    def offset_ns(self) -> int:
        """What to add to one's own time to get the other's; 0 before the first answer."""
        return min(self._answers)[1] if self._answers else 0

    @property
    def slowest_ns(self) -> int:
        """The longest time that an answer took; 0 before the first."""
        return max((took_ns for took_ns, _ in self._answers), default=0)
