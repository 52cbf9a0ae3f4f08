"""Single requests with their replies, for the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_ipload.report.evidence_lines import message_lines, notes_of, title_of
from pytest_ipload.report.telling import is_red, telling


class MessageBlock(NamedTuple):
    """A request or a reply."""

    name: str
    lines: Sequence[str]


class EvidenceBlock(NamedTuple):
    """One request with its reply, foldable."""

    title: str
    notes: Sequence[str]
    messages: Sequence[MessageBlock]
    is_open: bool


def blocks_of(result: Mapping[str, Any]) -> list[EvidenceBlock]:
    """All evidence of a load test; of a red one, what says most comes unfolded."""
    opened = telling(result) if is_red(result) else None
    return [
        EvidenceBlock(title_of(each), notes_of(each), _messages(each), each is opened)
        for each in result.get("evidence", ())
    ]


def _messages(evidence: Mapping[str, Any]) -> list[MessageBlock]:
    parts = (("Request", "request"), ("Reply", "reply"))
    return [MessageBlock(name, message_lines(evidence[part])) for name, part in parts if part in evidence]
