"""Results of load tests that ended in an error, and errors of pytest's that a verdict does not cover.

Where a load has begun, its result has the numbers measured until then (``LoadResult``); else there is only the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_ipload.base.masking import masked
from pytest_ipload.report.exception_text import LONGEST_REASON, described, shortened, text_of, type_name
from pytest_ipload.verdict.result import CALL, PASSED, UNDECIDED


def reason_of(error: BaseException, what: str) -> str:
    """Why a load test ended in an error: ``what`` failed, and with which exception."""
    if isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
        return f"{what}: {': '.join(filter(None, [type_name(error), text_of(error)]))}"
    if isinstance(error, pytest.FixtureLookupError):  # its text is a whole listing
        return f"{what}: {error.msg or f'fixture {error.argname!r} not found'}"
    if isinstance(error, pytest.fail.Exception):  # its text is complete, and its place is often in a plugin
        return f"{what}: {shortened(text_of(error), LONGEST_REASON)}"
    return f"{what}: {described(error)}"


def reported_reason(report: Any) -> str:
    """The exception of a phase that failed, as in pytest's report of it, masked and bounded."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(getattr(crash, "message", None) or report.longrepr or report.outcome).strip()
    return shortened(masked(text.removeprefix("Failed: ")), LONGEST_REASON)


def add_test_error(results: Sequence[dict[str, Any]], phase: str, reason: str) -> None:
    """Note in the results of a test that pytest reports an error of this phase.

    Where the call failed because of a verdict, the verdict says so.
    """
    if phase == CALL and any(result["verdict"] not in (PASSED, UNDECIDED) for result in results):
        return
    for result in results:
        result.setdefault("test_errors", []).append({"phase": phase, "reason": reason})
