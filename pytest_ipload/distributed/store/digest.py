"""Files that say what they have to be: with the SHA-256 of their content, so that a damaged one is noticed."""

from __future__ import annotations

import hashlib
import re

_HEAD = re.compile(rb'\{\s*"sha256":\s*"([0-9a-f]{64})",')


def with_digest(text: bytes) -> bytes:
    """A JSON object with the key ``sha256`` in front: the digest of everything behind it."""
    rest = text.lstrip()[1:]
    return b'{\n "sha256": "%s",%s' % (hashlib.sha256(rest).hexdigest().encode(), rest)


def check_digest(text: bytes) -> None:
    """ValueError for an object whose content is not what its digest says. One without a digest passes."""
    head = _HEAD.match(text)
    if head is not None and hashlib.sha256(text[head.end() :]).hexdigest().encode() != head[1]:
        raise ValueError("it is damaged: its content does not match its SHA-256; fetch or write it again")
