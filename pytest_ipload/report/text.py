"""Texts of others (request names, exceptions) made fit for a line of a report."""

from __future__ import annotations

from pytest_ipload.units import format_count

_GAP = "..."


def printable(text: str) -> str:
    """The text in one line, with everything escaped that a terminal would obey instead of showing."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shorten(text: str, width: int) -> str:
    """The text in at most ``width`` characters (at least five); both its ends stay, as they tell paths apart."""
    if len(text) <= width:
        return text
    kept = width - len(_GAP)
    return text[: kept - kept // 2] + _GAP + text[len(text) - kept // 2 :]


def counted(number: int, word: str) -> str:
    """``1 user``, ``1 200 users``, ``3 addresses``."""
    if number != 1:
        word += "es" if word.endswith("s") else "s"
    return f"{format_count(number)} {word}"
