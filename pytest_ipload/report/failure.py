"""The text with which a load test fails."""

from __future__ import annotations

from pytest_ipload.report.text import counted, printable, printable_lines
from pytest_ipload.units import format_count
from pytest_ipload.verdict.result import ERROR, INVALID, FailureSummary, LoadResult, failures_of


def failure_message(result: LoadResult) -> str:
    """The measured value first: pytest's short summary shows the beginning."""
    lines = [result.reason] if result.verdict in (INVALID, ERROR) else []
    failed = failures_of(result.thresholds, result.comparisons)
    lines += [message for message in failed if result.verdict not in (INVALID, ERROR) or message not in result.reason]
    lines += result.objections or ()
    if result.failures:
        lines += ["", f"{counted(result.failed_iterations, 'iteration')} failed:"]
        lines += [_group_line(failure) for failure in result.failures]
    if (traceback := result.traceback) is not None:
        lines += ["", f"the first {printable(traceback.type)}:", traceback.text.expandtabs()]
    return printable_lines("\n".join(lines))


def _group_line(failure: FailureSummary) -> str:
    first = failure.first
    source = f" from {first.source_address}" if first.source_address else ""
    place = f" at {failure.location}" if failure.location else ""
    return printable(
        f"  {format_count(failure.count)} x {failure.type}{place}: {failure.message} "
        f"(first: user {first.user}, iteration {first.iteration}{source})"
    )
