"""Texts of others (request names, exceptions) made fit for a line of a report."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.units import format_count

_GAP = "..."


def printable(text: str) -> str:
    """The text in one line, with everything escaped that a terminal would obey instead of showing."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def first_line(text: str) -> str:
    """The first line of a text."""
    return text.partition("\n")[0]


def printable_lines(text: str) -> str:
    """The same for a text of several lines, which stay what they are."""
    return "\n".join(map(printable, text.split("\n")))


def width_of(text: str) -> int:
    """How many columns of a terminal the text takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width: int = wcswidth(text)
    return width if width >= 0 else len(text)  # negative: the width is unknown


def shorten(text: str, width: int) -> str:
    """The text in at most ``width`` columns (at least five); both ends are kept, as they distinguish paths."""
    if width_of(text) <= width:
        return text
    kept = width - len(_GAP)
    head, tail = text[: kept - kept // 2], text[len(text) - kept // 2 :]
    while width_of(short := head + _GAP + tail) > width:
        head, tail = (head[:-1], tail) if width_of(head) >= width_of(tail) else (head, tail[1:])
    return short


def with_message(what: str, message: str) -> str:
    """``ValueError: not a number``; without a message only what it would be about."""
    return f"{what}: {message}" if message.strip() else what


def counted(number: int, word: str) -> str:
    """``1 user``, ``1 200 users``, ``3 addresses``."""
    if number != 1:
        word += "es" if word.endswith("s") else "s"
    return f"{format_count(number)} {word}"


def whose_failure(user: int, iteration: int | None, source: str, users: Sequence[int] | None) -> str:
    """``(first: user 3, iteration 0)``; of set-ups ``(users 3, 7, 9)``. ``source`` is the first one's address."""
    if iteration is None:
        return f"({'user' if len(users or [user]) == 1 else 'users'} {', '.join(map(str, users or [user]))})"
    return f"(first: user {user}, iteration {iteration}{source})"


def cut(text: str, width: int) -> str:
    """The beginning of the text that fits into ``width`` columns; an ellipsis replaces the rest."""
    if width_of(text) <= width:
        return text
    kept = text[: max(0, width - len(_GAP))]
    while kept and width_of(kept) + len(_GAP) > width:
        kept = kept[:-1]
    return (kept + _GAP)[: max(0, width)]
