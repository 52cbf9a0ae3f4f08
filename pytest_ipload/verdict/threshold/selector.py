"""What a threshold is about: the part of an expression in braces."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_KINDS = ("name", "step", "metric", "source", "status")
_OPEN_PLACEHOLDER = re.compile(r"/[^/{}]*\{[\w:-]+\Z")
_SELECTORS_HELP = "write a request name, step:NAME, source:ADDRESS or status:CODE, or metric:NAME for times observed"


@dataclass(frozen=True)
class Selector:
    """Which samples a threshold is about."""

    kind: str
    """One of ``_KINDS``; ``name`` is for requests."""
    pattern: str
    """A label with ``*`` wildcards, an address in its normal form, or a status code."""

    def __str__(self) -> str:
        if self.kind == "name" and self.pattern.partition(":")[0] not in _KINDS:
            return self.pattern
        return f"{self.kind}:{self.pattern}"


def parse_selector(text: str) -> Selector:
    """Read a selector. ``ValueError`` says what is wrong and what is allowed."""
    kind, colon, pattern = text.strip().partition(":")
    if not colon or kind not in _KINDS:
        kind, pattern = "name", text
    pattern = pattern.strip()
    if not pattern:
        raise ValueError(f"the selector {{{text}}} is empty; {_SELECTORS_HELP}")
    if kind == "source":
        try:
            pattern = str(ipaddress.ip_address(pattern))
        except ValueError:
            raise ValueError(f"{pattern!r} in the selector is not a valid IP address, as in source:10.0.0.5") from None
    if kind == "status" and not re.fullmatch("[1-9][0-9][0-9]", pattern):
        raise ValueError(f"{pattern!r} in the selector is not a valid status code: give three digits, as in status:503")
    return Selector(kind, pattern)


def parse_label(text: str) -> Selector:
    """The selector of a metric that has names only: no other kind is possible."""
    pattern = text.strip().removeprefix("name:").strip()
    if not pattern:
        raise ValueError(f"the selector {{{text}}} is empty; write the name of a check or metric")
    return Selector("name", pattern)


def is_cut_off(selector: str) -> bool:
    """Whether its last brace closed a placeholder of a URL template: ``{GET /items/{id} < 1s``."""
    return selector.count("{") > selector.count("}") and _OPEN_PLACEHOLDER.search(selector) is not None
