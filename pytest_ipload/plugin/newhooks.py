"""The hooks that other plugins and conftest files may implement. Specifications only; see docs/hooks.md.

A plugin that should also work where pytest-ipload is not installed marks its implementations with
``@pytest.hookimpl(optionalhook=True)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser
    from pytest_ipload.settings.load_profile import LoadProfile
    from pytest_ipload.stats.sample import Sample
    from pytest_ipload.verdict.result import LoadResult


@pytest.hookspec(firstresult=True)
def pytest_ipload_profile(config: pytest.Config, item: pytest.Item, profile: LoadProfile) -> LoadProfile | None:
    """Return another profile for the load of a test, or None to leave it as it is. The first answer counts.

    Called for each load test, and each ``ipload.run`` of a test, before any of its fixtures or users is set up, in
    pytest's main thread; under pytest-xdist in each worker. It is also called for the plan of ``--collect-only -v``, so
    more than once for one load, and has to give the same answer each time, in each worker.

    A setting that differs from ``profile`` counts as set at the nearest place, before the command line: it is checked
    as a marker's is, has the origin ``hook``, and, as ``users`` or ``duration``, scales the load's stages. An invalid
    value, or an exception, is an error in the test's set-up. ::

        import dataclasses
        import os

        def pytest_ipload_profile(config, item, profile):
            if os.environ.get("NIGHTLY"):
                return dataclasses.replace(profile, users=10 * profile.users)
    """


def pytest_ipload_user_start(user: VirtualUser, item: pytest.Item) -> None:
    """Called in each virtual user's own thread, when its fixtures have been set up and before its first iteration.

    Many users start at once, so an implementation is called by several threads at a time. An exception is an error in
    the user's set-up, and so in the test's. Under pytest-xdist each worker calls it for its own users. ::

        def pytest_ipload_user_start(user, item):
            user.state["trace"] = f"{item.name}/{user.index}"  # such as for a header of its requests
    """


def pytest_ipload_user_stop(user: VirtualUser, item: pytest.Item) -> None:
    """Called in the user's own thread, after its last iteration and before its fixtures are torn down.

    It is called for each user for whom ``pytest_ipload_user_start`` was, also when that failed. An exception is an
    error in the user's teardown. As above, several threads call it at a time. ::

        def pytest_ipload_user_stop(user, item):
            print(f"{user.state['trace']} has left")
    """


def pytest_ipload_sample(item: pytest.Item, samples: Sequence[Sample], unix_offset_ns: int) -> None:
    """Called about once a second with all samples since the last call, and once at the end of a load.

    It is called in the thread that runs the load, in the process that measured: under pytest-xdist, each worker has the
    samples of its own users. ``samples`` are those of requests (``kind == "request"``), steps, iterations and of
    the users' set-up and teardown (``"setup"``), including those of the warm-up, in no particular order.
    The load waits for the call, so be quick. An exception ends the load and is the test's failure.

    A sample's ``started_ns`` is a reading of ``time.perf_counter_ns``; with ``unix_offset_ns`` added, it is
    Unix time in nanoseconds. ``latency_ns`` is its duration. ::

        def pytest_ipload_sample(item, samples, unix_offset_ns):
            for sample in samples:
                if sample.kind == "request" and sample.latency_ns > 50_000_000:
                    began = (sample.started_ns + unix_offset_ns) / 1e9
                    print(f"{began:.3f} {sample.name}: {sample.latency_ns / 1e6:.0f} ms, {sample.outcome}")
    """


def pytest_ipload_result(config: pytest.Config, nodeid: str, result: LoadResult) -> str | Sequence[str] | None:
    """Called with the result of a load, after the verdict. May return one or more reasons to fail it.

    With a reason, a result that would have passed is ``failed``, and the test fails with it; one that is ``invalid``
    stays so. A test that calls ``ipload.run`` gets the result and decides itself. An exception is a reason too.

    Called in the process that judges, once for each load. Under pytest-xdist that is the controller, for a load that
    workers share: only plugins and the conftest files of the directories given on the command line are active there,
    and it is called in a separate thread, so do not use pytest from it. It is not called with ``--ipload-disable`` or
    for a segment, as there is no verdict. ::

        def pytest_ipload_result(config, nodeid, result):
            return [
                f"{row.name}: p99 {row.latency.p99_ms:.0f} ms is more than 20 times the median"
                for row in result.by_name
                if row.latency.count and row.latency.p99_ms > 20 * row.latency.p50_ms
            ]
    """
