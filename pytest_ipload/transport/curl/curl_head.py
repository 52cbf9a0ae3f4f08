"""The head of a reply, from the lines that libcurl calls back with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_ipload.transport.message.reply_head import Head

_STATUS_LINE = re.compile(rb"HTTP/([0-9])(?:\.([0-9]))? ([1-9][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_END = (b"\r\n", b"\n")


class CurlHead(Head):
    """The head of a reply whose body libcurl delimits."""

    __slots__ = ()

    @staticmethod
    def _body_length(status: int, fields: dict[str, str]) -> int | None:
        return None


def head_lines(lines: Sequence[bytes]) -> Sequence[bytes]:
    """The lines of the final head without the empty one; none as long as it is not complete.

    Interim replies come before it, and trailers after it.
    """
    if lines and lines[-1] in _END and lines[0][7:8] != b"1" and not any(map(_END.__contains__, lines[:-1])):
        return lines[:-1]  # nearly always
    start = next((number for number in reversed(range(len(lines))) if lines[number].startswith(b"HTTP/")), None)
    if start is None or (match := _STATUS_LINE.match(lines[start])) is None or match[3].startswith(b"1"):
        return ()
    end = next((number for number in range(start, len(lines)) if lines[number] in _END), None)
    return () if end is None else lines[start:end]


def status_of(line: bytes) -> tuple[int, int, str]:
    """Version (as urllib3 writes it: 20), status and reason. Raises ValueError."""
    match = _STATUS_LINE.match(line)
    if match is None:
        raise ValueError(f"not a status line: {line!r}")
    major, minor, status, reason = match.groups()
    return int(major) * 10 + int(minor or 0), int(status), (reason or b"").decode("latin-1").rstrip(" ")


def fields_of(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The header fields."""
    pairs = (line.decode("latin-1").rstrip("\r\n").partition(":") for line in lines)
    return tuple((name, value.strip(" \t")) for name, _, value in pairs)
