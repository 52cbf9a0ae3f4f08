"""The garbage collector, in a process that holds thousands of tests."""

from __future__ import annotations

import gc
from types import SimpleNamespace

from pytest_ipload.load import executor


def look_only_at_what_comes() -> None:
    """Leave what exists now out of all collections, for good.

    Thousands of collected tests are half a million objects. Each load collects before it begins, which would take a
    third of a second instead of milliseconds. It also freezes what exists for as long as it runs, and then thaws it
    all, ours too: so the loads that run in this process freeze nothing. Those in processes of their own do.
    """
    gc.collect()
    gc.freeze()
    vars(executor)["gc"] = SimpleNamespace(collect=gc.collect, freeze=_nothing, unfreeze=_nothing)


def _nothing() -> None:
    pass
