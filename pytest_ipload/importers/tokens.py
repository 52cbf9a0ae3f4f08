"""What a value looks like: an id, a random token, a word; and the names of things."""

from __future__ import annotations

import keyword
import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}")
_LONG_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_CHANGE = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ID_NAMES = re.compile(
    r"(?i)(?:^|[_.\-]|(?<=[a-z]))(?:ids?|uuid|guid|number|nr|no|key|code|ref|reference|slug|pk|version|revision|rev|etag)$"
)
WORD = re.compile(r"[\w-]+")


def is_random(text: str) -> bool:
    """Whether a piece of it mixes letters and digits as only generated values do."""
    return any(len(piece) >= 10 and len(_CHANGE.findall(piece)) >= 3 for piece in re.split(r"[-_.~]", text))


def is_id(text: str) -> bool:
    """Whether a segment of a path is an id: a number, a UUID, hexadecimal or random."""
    if not text.isascii():
        return False
    known = text.isdigit() or _UUID.fullmatch(text) or _HEX.fullmatch(text)
    return bool(known) or is_random(text) or is_token(text)


def is_token(text: str) -> bool:
    """Whether it may be a secret by its looks alone: long and random, and not a UUID, which most often is an id."""
    if _UUID.fullmatch(text):
        return False
    return bool(_JWT.search(text) or _LONG_HEX.fullmatch(text)) or (len(text) >= 20 and is_random(text))


def is_strong(text: str) -> bool:
    """Whether it is improbable that a reply has the value by chance."""
    if len(text) < 8 or re.search(r"\s", text):
        return False
    return text.isdigit() or bool(re.search(r"\d", text) and re.search("[A-Za-z]", text)) or is_random(text)


def is_id_name(name: str) -> bool:
    """Whether a key is one of an id, as in ``product_id``, ``orderId`` and ``key``."""
    return bool(_ID_NAMES.search(name))


def singular(word: str) -> str:
    """``orders`` is ``order``, ``categories`` is ``category``; good enough for names."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def identifier(text: str, default: str) -> str:
    """A valid Python identifier in lower case, of ASCII letters, that is not a keyword."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:40].strip("_")
    if not name:
        name = default
    if name[0].isdigit():
        name = f"{default}_{name}"
    return f"{name}_" if keyword.iskeyword(name) or keyword.issoftkeyword(name) else name


class Names:
    """Hands out names, each one once."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def unique(self, name: str) -> str:
        """The name, with a number if it is taken."""
        number, chosen = 1, name
        while chosen in self._taken:
            number += 1
            chosen = f"{name.rstrip('_')}_{number}"
        self._taken.add(chosen)
        return chosen
