"""Exceptions as texts that are safe to report.

An exception comes from the code under test: its ``str`` may raise anything, be megabytes long, contain a password, or
have thousands of causes. Nothing here raises, and the work is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_ipload.base.code_location import place_of_traceback
from pytest_ipload.base.masking import masked
from pytest_ipload.stats.fault_text import fault_text

LONGEST_TEXT = 65_536
"""Characters of a failure, with its traceback, in any report."""
LONGEST_REASON = 2_000
"""Characters of the message in a reason."""
_OUTER_CAUSES = _INNER_CAUSES = 10
"""For a long chain of causes: how many are kept at each of its ends."""
_MOST_CAUSES = 1_000_000
_NOTE = 80
"""The maximum number of characters in the note of what is missing."""


def type_name(error: BaseException) -> str:
    """The name of its class."""
    name: str = type.__dict__["__name__"].__get__(type(error))  # whatever its metaclass says
    return plain_text(name)


def plain_text(text: str) -> str:
    """The same text as a plain ``str``: a subclass could still do anything when it is read."""
    return str.__str__(text)


def text_of(error: BaseException) -> str:
    """What failed in a connection, in plain words; else ``str(error)``, masked, or a note that it raises."""
    try:
        return masked(plain_text(fault_text(error) or str(error)).strip())
    except BaseException as broken:  # SystemExit and KeyboardInterrupt would end the thread
        return f"<its message cannot be shown: {type_name(broken)}>"


def described(error: BaseException) -> str:
    """Type, message and place, masked and bounded: ``ConnectionError: refused (conftest.py:24)``."""
    message = shortened(text_of(error), LONGEST_REASON)
    first, _, rest = message.partition("\n")
    place = place_of_traceback(error.__traceback__)
    head = f"{type_name(error)}: {first}" if first else type_name(error)
    return "\n".join(filter(None, [f"{head} ({place})" if place else head, rest]))


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, or its beginning and its end with a note of how much is missing between them.

    With a ``longest`` of 100 or more the result is no longer than that, so that nothing is cut twice.
    """
    if len(text) <= longest:
        return text
    half = max(1, (longest - _NOTE) // 2)
    return f"{text[:half]} [... {len(text) - 2 * half} of {len(text)} characters left out ...] {text[-half:]}"


class CausesLeftOut(Exception):
    """Stands in a chain of causes for those in its middle."""


def cut_causes(error: BaseException) -> None:
    """Take out the middle of a long chain of causes: each of them would be shown with a traceback of its own."""
    chain = list(_chain(error))
    left_out = len(chain) - _OUTER_CAUSES - _INNER_CAUSES
    if left_out <= 0:
        return
    gap = CausesLeftOut(f"{left_out} of {len(chain)} exceptions, each the cause of the one before, are omitted here")
    gap.__cause__ = chain[-_INNER_CAUSES]
    chain[_OUTER_CAUSES - 1].__cause__ = gap


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes, as a traceback shows them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < _MOST_CAUSES:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
