"""Names of requests by URL template: ids in a path become placeholders, so that all orders are one row of a report."""

from __future__ import annotations

import re
from urllib.parse import unquote

from pytest_ipload.importers.recording import Reference, Step
from pytest_ipload.importers.tokens import is_id


def default_label(step: Step) -> str | None:
    """The name that a request has by itself, method and path; None if its path varies."""
    path = "/".join(_shown(segment.parts) for segment in step.path)
    return None if "\0" in path.partition("?")[0] else f"{step.method} /{path.partition('?')[0]}"


def _shown(parts: tuple[str | Reference, ...]) -> str:
    """A segment, with a sign that no path has in the place of each reference."""
    return "".join(part if isinstance(part, str) else "\0" for part in parts)


def label_of(step: Step) -> str:
    """The name of a request, as in ``GET /orders/{id}/items``."""
    if step.label is not None:
        return step.label
    names = []
    for segment in step.path:
        # A query that is not made of parameters is at the end of the last one.
        literal, mark, _ = _shown(segment.parts).partition("?")
        if "\0" in literal or is_id(unquote(literal)):
            names.append(re.sub("\0+", "{id}", literal) if "\0" in literal else "{id}")
        else:
            stem, dot, ending = literal.partition(".")
            names.append(f"{{id}}.{ending}" if dot and stem.isdigit() and ending.isalpha() else literal)
        if mark:
            break
    return f"{step.method} /{'/'.join(names)}"
