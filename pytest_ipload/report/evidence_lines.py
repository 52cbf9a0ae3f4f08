"""A request with its reply as lines of text, for the terminal, JUnit and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_ipload.base.text import counted, printable, printable_lines
from pytest_ipload.base.units import MS_PER_S, format_duration
from pytest_ipload.stats.evidence.evidence import BODY_BYTES, FAILED_REQUEST
from pytest_ipload.stats.summary import PlainResult

_PHASES = (("connect_ms", "connect"), ("tls_ms", "TLS"), ("first_byte_ms", "first byte"))
_MOST_LINES = 40
"""Of one message in a terminal."""


def is_red(result: PlainResult) -> bool:
    """Whether the test did not pass."""
    return result["verdict"] not in ("passed", "undecided") or bool(result.get("test_errors"))


def telling(result: PlainResult) -> Mapping[str, Any] | None:
    """The evidence that says most about a red test: its first failed request, else its slowest one."""
    found: Sequence[Mapping[str, Any]] = result.get("evidence", ())
    failed = [each for each in found if each["kind"] == FAILED_REQUEST]
    if failed:
        return min(failed, key=lambda each: ("iteration" not in each, each["t_s"]))
    return max(found, key=lambda each: float(each["latency_ms"]), default=None)


def title_of(evidence: Mapping[str, Any]) -> str:
    """``failed: POST /cart, 503, 31 ms, user 3, iteration 7, 2.4 s into the load``."""
    kind = f"{evidence['kind']}: " if "kind" in evidence else ""
    return ", ".join([f"{kind}{printable(evidence['name'])}", *map(printable, _facts(evidence))])


def _facts(evidence: Mapping[str, Any]) -> Iterator[str]:
    if "status" in evidence:
        yield str(evidence["status"])
    elif "request" in evidence:
        yield "no reply"
    yield format_duration(evidence["latency_ms"] / MS_PER_S)
    yield f"user {evidence['user']}"
    yield f"iteration {evidence['iteration']}" if "iteration" in evidence else "outside of iterations"
    if "source_address" in evidence:
        yield f"from {evidence['source_address']}"
    if evidence["t_s"] >= 0:
        yield f"{format_duration(evidence['t_s'])} into the load"


def notes_of(evidence: Mapping[str, Any]) -> list[str]:
    """When it was, its phases, its redirects, its trace, and its error."""
    phases = [
        f"{word} {format_duration(evidence[name] / MS_PER_S)}"
        for name, word in _PHASES
        if evidence.get(name) is not None
    ]
    notes = [f"at {evidence['at']}", *([", ".join(phases)] if phases else [])]
    if "redirects" in evidence:
        came_from = f" from {evidence['redirected_from']}" if "redirected_from" in evidence else ""
        notes.append(f"after {counted(evidence['redirects'], 'redirect')}{came_from}")
    if "trace_id" in evidence:
        notes.append(f"trace {evidence['trace_id']}")
    if "error" in evidence:
        notes.append(f"error: {evidence['error']}")
    return [printable(note) for note in notes]


def message_lines(message: Mapping[str, Any], *, is_brief: bool = False) -> list[str]:
    """A request or a reply: first line, header, empty line, body; if it ``is_brief``, without the header."""
    lines = [message["line"], *([] if is_brief else message["headers"])]
    body, length = message.get("body"), message.get("body_bytes")
    if body:
        lines += ["", *printable_lines(body.replace("\r\n", "\n").expandtabs().rstrip("\n")).split("\n")]
    if length and body and length > BODY_BYTES and not body.startswith("("):
        lines.append(f"({counted(length, 'byte')} in all)")
    elif body is None:
        lines += ["", "(the body was not read)"]
    return [printable(line) for line in lines]


def evidence_lines(evidence: Mapping[str, Any], most: int = _MOST_LINES, *, is_brief: bool = False) -> list[str]:
    """All of it, at most ``most`` lines of each message; if it ``is_brief``, without headers."""
    lines = [title_of(evidence), *(f"  {note}" for note in notes_of(evidence))]
    for sign, part in ((">", "request"), ("<", "reply")):
        if part in evidence:
            shown = message_lines(evidence[part], is_brief=is_brief)
            left = len(shown) - most
            lines += [f"  {sign} {line}".rstrip() for line in shown[:most]]
            lines += [f"  {sign} ... {counted(left, 'more line')}"] if left > 0 else []
    return lines
