"""Files from untrusted sources: read with a size limit and checked."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

CONTENT_ERRORS = (ValueError, ArithmeticError, RecursionError, MemoryError, struct.error)
"""What numbers and texts can cause that are of the right type, and too large, too small or too many all the same."""
_CHUNK = 1 << 20


def read_object(path: Path, most_bytes: int, what: str) -> str:
    """The text of a JSON object in a file: ``what`` it should be, in the plural. At most ``most_bytes`` are read.

    The size that the system reports does not count: devices and pipes have none. Raises OSError, ValueError and
    MemoryError.
    """
    content = bytearray()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > most_bytes:
                raise ValueError(f"it is larger than {_size(most_bytes)}, the maximum size of {what}")
            if content[:_CHUNK].lstrip()[:1] not in (bytearray(b"{"), bytearray()):
                raise ValueError("not valid JSON: it does not begin with '{'")
            if len(content) == len(chunk) and len(chunk) == _CHUNK and not content.strip():
                raise ValueError("not valid JSON: it begins with more than 1 MiB of whitespace")
    return content.decode()


def read_bytes(path: Path | None, most_bytes: int, what: str) -> bytes:
    """The content of a file, or of the standard input: ``what`` it should be, in the plural.

    At most ``most_bytes`` are read. Raises OSError, ValueError and MemoryError.
    """
    content = bytearray()
    with sys.stdin.buffer if path is None else path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > most_bytes:
                raise ValueError(f"it is larger than {_size(most_bytes)}, the maximum size of {what}")
    return bytes(content)


def refuse_constant(name: str) -> float:
    """For ``json``: the constants NaN and Infinity, which it would accept, are not valid JSON."""
    raise ValueError(f"{name} is not a number")


def _size(number: int) -> str:
    return f"{number >> 30} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"
