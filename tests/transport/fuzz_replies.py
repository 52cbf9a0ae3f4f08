"""Compare a load session with a stock session for a while, on replies that nobody thought of.

    PYTHONPATH=tests python tests/transport/fuzz_replies.py --seconds 60 --seed 1

On a difference it prints the smallest conversation that shows it, with the seed that finds it again, and exits with 1.
It takes at most a minute more for making smaller what it has found.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from support.conversations import Conversation, conversations
from support.differential import explained

_BATCH = 50
"""Conversations for one seed; the next seed is the next number."""
_SHRINKING = 60
"""Seconds for making smaller what was found."""


class _Difference(Exception):
    """What tells hypothesis that a conversation shows a difference."""


class _Enough(BaseException):
    """What stops hypothesis; it catches exceptions of the usual kind."""


class Search:
    """Compares batches of conversations; ``smallest`` is the shortest one with a difference."""

    def __init__(self) -> None:
        self.count = 0
        self.smallest: Conversation | None = None
        self.found: dict[str, tuple[str | None, str | None]] = {}
        self._ends = 0.0

    def check(self, conversation: Conversation) -> None:
        """Compare one. Raises _Difference, and _Enough when it was made smaller for long enough."""
        self.count += 1
        if self.smallest is not None and time.monotonic() > self._ends:
            raise _Enough
        found = conversation.differences()
        if not found:
            return
        if self.smallest is None:
            print("a difference was found; making it smaller", flush=True)
            self._ends = time.monotonic() + _SHRINKING
        if self.smallest is None or len(repr(conversation)) < len(repr(self.smallest)):
            self.smallest, self.found = conversation, found
        raise _Difference

    def run(self, number: int) -> bool:
        """Compare the batch of that seed; the result says whether there was no difference."""
        batch = settings(
            max_examples=_BATCH,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        with contextlib.suppress(_Difference, _Enough):
            seed(number)(batch(given(conversations())(self.check)))()
        return self.smallest is None


def report(number: int, conversation: Conversation, found: dict[str, tuple[str | None, str | None]]) -> None:
    """Print what is needed to see the difference again."""
    print(f"DIFFERENCE, found again with --seed {number}: {conversation.contender}, {conversation.manner}")
    for exchange in conversation.exchanges:
        flags = f"stream={exchange.stream} allow_redirects={exchange.follow}"
        print(f"  {exchange.method} {exchange.path} {flags}, and the reply, segment by segment:")
        for step in exchange.reply:
            print(f"    {step!r}")
    print(explained(found))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long to look (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.strftime("%Y%m%d00")), help="default: from the date")
    options = parser.parse_args()
    ends = time.monotonic() + options.seconds
    number, search = options.seed, Search()
    print(f"comparing conversations for {options.seconds:g} s, beginning with seed {number}", flush=True)
    while time.monotonic() < ends:
        if not search.run(number):
            assert search.smallest is not None
            report(number, search.smallest, search.found)
            return 1
        number += 1
    print(f"{search.count} conversations, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
