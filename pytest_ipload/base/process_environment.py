"""The environment of the process as scenario files see it: what they read of it may be a secret, and is not shown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from pytest_ipload.base.masking import HIDDEN, names_secret

_SHORT = 4
"""A value with fewer characters is hidden where it is a word of its own: it is in other words by chance."""


class Environment(Mapping[str, str]):
    """The variables, which remembers what was read. Used by the threads of all users."""

    def __init__(self) -> None:
        self._read: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """The value. Raises KeyError."""
        value = self._read[name] = os.environ[name]
        return value

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(os.environ)

    def __len__(self) -> int:
        """How many there are."""
        return len(os.environ)

    @property
    def forms(self) -> list[str]:
        """Each value that was read, also as JSON and URLs write it; the longest first."""
        return _forms_of(tuple(self._read.values()))

    def hide(self, text: str) -> str:
        """The text with ``***`` in the place of each value that was read."""
        return _without(text, self.forms)

    def hide_secrets(self, text: str) -> str:
        """The same for the values of variables that are named like secrets: a name may well have other values."""
        return _without(text, _forms_of([value for name, value in tuple(self._read.items()) if names_secret(name)]))


def _forms_of(given: Iterable[str]) -> list[str]:
    values = {value for value in given if value.strip()}
    forms = {form for value in values for form in (value, json.dumps(value)[1:-1], quote(value), quote(value, ""))}
    forms |= {json.dumps(value, ensure_ascii=False)[1:-1] for value in values}
    return sorted(forms, key=len, reverse=True)


def _without(text: str, forms: Iterable[str]) -> str:
    for form in forms:
        if len(form) >= _SHORT:
            text = text.replace(form, HIDDEN)
        else:
            text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", HIDDEN, text)
    return text


ENVIRONMENT = Environment()
"""The one of this process."""
