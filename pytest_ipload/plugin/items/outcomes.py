"""The exceptions of a load test that does not pass.

They are pytest outcomes, like ``pytest.fail.Exception``: not subclasses of ``Exception``, so that a body's own
``except Exception`` does not swallow them, and ``xfail(raises=...)`` can name them.
"""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.outcomes import Failed  # a type checker cannot subclass the attribute below
else:
    Failed = pytest.fail.Exception


SKIPS = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)
"""Exceptions by which pytest takes a test as one that did not run, or was known to fail."""


class LoadTestFailed(Failed):
    """A load test did not pass. Raised without a traceback: the message has the measurements."""

    __module__ = "builtins"  # as pytest's own outcomes: the short summary shows the bare class name

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


class ThresholdFailed(LoadTestFailed):
    """A measurement is beyond a threshold: the verdict is *failed*."""

    __module__ = "builtins"


class ComparisonFailed(ThresholdFailed):
    """A measurement is worse than the baseline, or in a strict session may be: the verdict is *failed*."""

    __module__ = "builtins"


class MeasurementInvalid(LoadTestFailed):
    """The measurement is not valid, because of the load generator or its host: *invalid*."""

    __module__ = "builtins"
