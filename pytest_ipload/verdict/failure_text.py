"""The failure message of a load test."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_ipload.base.health_catalogue import INVALID as FLATTERING
from pytest_ipload.base.masking import masked
from pytest_ipload.base.text import counted, printable, printable_lines, whose_failure, with_message
from pytest_ipload.base.units import format_count
from pytest_ipload.stats.evidence.evidence import FAILED_REQUEST, Evidence
from pytest_ipload.verdict.result import ERROR, FAILED, INVALID, FailureSummary, LoadResult, failures_of

_MOST_EXPLAINED = 3
"""Lines of the target's code."""


def failure_message(result: LoadResult) -> str:
    """The measured value first: pytest's short summary shows the beginning.

    Where all iterations failed in the same way, the first line says how: it explains everything else.
    """
    says_why = result.verdict in (INVALID, ERROR) or result.capacity is not None
    lines = [result.reason] if says_why and result.reason else []
    failed = failures_of([] if result.capacity is not None else result.thresholds, result.comparisons)
    lines += [message for message in failed if not says_why or message not in result.reason]
    if result.verdict == FAILED:
        checks = zip(result.generator.checks, result.generator.notes, strict=True)
        lines += [f"although {note}" for check, note in checks if check.severity == FLATTERING]
    lines += result.objections or ()
    if lines and len(result.failures) == 1 and 0 < result.failed_iterations == result.iterations:
        lines[0] += f": {_group_text(result.failures[0])}"
    lines += _explanation(result)
    if result.failures:
        set_ups = sum(failure.count for failure in result.failures if failure.users)
        what = [counted(result.failed_iterations, "iteration")] if result.failed_iterations or not set_ups else []
        what += [f"the set-up of {counted(set_ups, 'user')}"] if set_ups else []
        lines += ["", f"{' and '.join(what)} failed:"]
        lines += [_group_line(failure, result.evidence or ()) for failure in result.failures]
    if (traceback := result.traceback) is not None:
        lines += ["", f"the first {printable(traceback.type)}:", traceback.text.expandtabs()]
    return printable_lines(masked("\n".join(lines)))


def _explanation(result: LoadResult) -> list[str]:
    """What the stacks of the target say, with the lines that say most."""
    if result.explain is None or not result.explain.note:
        return []
    note, *found = result.explain.texts
    return [f"  target: {note}", *(f"    {text}" for text in found[:_MOST_EXPLAINED])]


def _group_line(failure: FailureSummary, evidence: Sequence[Evidence]) -> str:
    first = failure.first
    source = f" from {first.source_address}" if first.source_address else ""
    return printable(
        f"  {format_count(failure.count)} x {_group_text(failure)} "
        f"{whose_failure(first.user, first.iteration, source + _request_before(failure, evidence), failure.users)}"
    )


def _request_before(failure: FailureSummary, evidence: Sequence[Evidence]) -> str:
    """The request that had failed before the body of the first iteration raised, if it was kept."""
    whose = failure.first.user, failure.first.iteration
    failed = [each for each in evidence if each.kind == FAILED_REQUEST and (each.user, each.iteration) == whose]
    error = min(failed, key=lambda each: each.t_s).error if failed else None
    return f", after {error}" if error and not error.startswith(failure.type) else ""


def _group_text(failure: FailureSummary) -> str:
    place = f" at {failure.location}" if failure.location else ""
    return with_message(f"{failure.type}{place}", failure.message)
