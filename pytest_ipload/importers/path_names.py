"""Names of requests by URL template: ids in a path become placeholders, so that all orders are one row of a report."""

from __future__ import annotations

from urllib.parse import unquote

from pytest_ipload.importers.recording import Step
from pytest_ipload.importers.tokens import is_id


def default_label(step: Step) -> str | None:
    """The name that a request has by itself, method and path; None if its path varies."""
    if any(segment.references for segment in step.path):
        return None
    return f"{step.method} /{'/'.join(segment.literal or '' for segment in step.path)}"


def label_of(step: Step) -> str:
    """The name of a request, as in ``GET /orders/{id}/items``."""
    if step.label is not None:
        return step.label
    names = []
    for segment in step.path:
        literal = segment.literal
        if literal is None:
            names.append("".join(part if isinstance(part, str) else "{id}" for part in segment.parts))
        elif is_id(unquote(literal)):
            names.append("{id}")
        else:
            stem, dot, ending = literal.partition(".")
            names.append(f"{{id}}.{ending}" if dot and stem.isdigit() and ending.isalpha() else literal)
    return f"{step.method} /{'/'.join(names)}"
