"""A session that runs a segment meets the others in a store: before each load, and when one has to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.base.errors import GeneratorLimitError, SettingError
from pytest_ipload.base.text import counted
from pytest_ipload.base.units import NS_PER_S, format_duration
from pytest_ipload.distributed.store.meeting import ALL_LOADS, Meeting, NoMeeting, Participant, Stop, put_stop
from pytest_ipload.distributed.store.place import StoreError
from pytest_ipload.distributed.store.places import open_place
from pytest_ipload.load.partition import Partition
from pytest_ipload.plugin.items.groups import number_of
from pytest_ipload.plugin.items.markers import is_load_test
from pytest_ipload.plugin.session_state import SessionState
from pytest_ipload.report.error_results import reported_reason
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.origin import ClockOffset
from pytest_ipload.verdict.shard_group import LoadAborted, Shard

_LOOK_S = 1.0


@dataclass
class Met:
    """What came of meeting the other segments before a load."""

    start_at_ns: int
    """Of ``perf_counter_ns``."""
    clock: ClockOffset
    stop: Stop | None = None
    """What another segment stopped the load by."""

    @property
    def broken_off(self) -> str | None:
        """Why what was measured does not count."""
        stop = self.stop
        return None if stop is None or stop.is_planned else f"stopped by segment {stop.segment}: {stop.reason}"


class SegmentMeetings:
    """The meetings of a session's segment; registered as a plugin in each process that runs tests."""

    def __init__(self, state: SessionState, place: str) -> None:
        """Raises StoreError for a place that cannot be used."""
        self._share, self._wait_s = state.share, state.settings.store_wait
        self._place = open_place(place, real_time.time)
        self._quick = open_place(place, real_time.time, is_quick=True)
        self._met: dict[int, Met] = {}

    @property
    def header(self) -> str:
        """For pytest's header."""
        return (
            f"ipload: segment {self._share.index}/{self._share.count} meets the others in {self._place.shown}, and "
            f"waits up to {format_duration(self._wait_s)} for them before each load"
        )

    def of(self, item: pytest.Item) -> Met | None:
        """The meeting before this test's load; None if there was none."""
        return self._met.get(number_of(item)) if self._met else None

    @contextmanager
    def running(
        self, item: pytest.Item, shard: Shard, stop: Callable[[str], object], aborted: Callable[[], str | None]
    ) -> Iterator[int]:
        """Agree on the start of a load, and stop it by ``stop`` when another segment does.

        ``shard`` is this process's side of the segment. What ``aborted`` returns at the end, a threshold that aborted
        the load, stops the other segments. Yields the start. Raises GeneratorLimitError if they could not agree, and
        LoadAborted if the session ends meanwhile.
        """
        number = number_of(item)
        if number in self._met:  # a group has one start
            yield self._met[number].start_at_ns
            return
        who = Participant(self._share.index, self._share.count, shard.share.index, shard.share.count)
        pace: dict[str, Any] = {
            "test": item.nodeid,
            "clock": real_time.time,
            "nap": partial(_nap, shard),
            "wait_s": self._wait_s,
        }
        try:
            start = Meeting(self._place, number, who, **pace).agree()
        except NoMeeting as error:
            raise GeneratorLimitError(str(error)) from None
        at_ns = real_time.perf_counter_ns() + round((start.at - real_time.time()) * NS_PER_S)
        met = self._met[number] = Met(at_ns, start.clock)
        meeting, over = Meeting(self._quick, number, who, **pace), threading.Event()
        arguments = (meeting, met, stop, over)
        watch = threading.Thread(target=_watch, args=arguments, name="ipload-store-watch", daemon=True)
        watch.start()
        try:
            yield at_ns
        except (KeyboardInterrupt, pytest.exit.Exception) as error:  # there will be no report
            self._stop(f"load-{number}/", f"interrupted by {type(error).__name__}")
            raise
        finally:
            over.set()
            watch.join()
        if met.stop is None and (reason := aborted()) is not None:
            with suppress(StoreError):  # the others go on, and their measurements are judged by the same threshold
                meeting.stop(reason, is_planned=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A load test that fails or is skipped here: the others need not wait for it, nor go on."""
        report = yield
        if report.when != "teardown" and (report.failed or report.skipped) and is_load_test(item):
            self._stop(f"load-{number_of(item)}/", f"{item.nodeid} {report.outcome}: {reported_reason(report)}")
        return report

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """No further load can begin: this segment would be missing."""
        self._stop(ALL_LOADS, f"its session ended (exit code {int(exitstatus)})")

    def _stop(self, prefix: str, reason: str) -> None:
        with suppress(StoreError):  # the session's own result says why it failed
            put_stop(self._quick, prefix, self._share.index, reason)


def _nap(shard: Shard, seconds: float) -> None:
    real_time.sleep(seconds)
    if shard.stop_reason is not None:  # by the controller of this segment's workers
        raise LoadAborted(shard.stop_reason)


def _watch(meeting: Meeting, met: Met, stop: Callable[[str], object], over: threading.Event) -> None:
    """Look once a second whether another segment has stopped the load. A place that does not answer stops nothing."""
    while not over.wait(_LOOK_S):
        with suppress(StoreError):
            if (found := meeting.stopped()) is not None:
                met.stop = found
                stop(f"segment {found.segment}: {found.reason}")
                return


def segment_share(state: SessionState, profile: LoadProfile, inner: Partition) -> Partition:
    """This process's share of a load. Raises SettingError if there are too few users for all segments."""
    share, users = state.share, profile.most_users
    if users < share.least_total:
        weights = f" with the weights {','.join(map(str, share.weights))}" if share.weights else ""
        enough = share.least_total if weights else "as many users as segments"
        raise SettingError(
            f"--ipload-segment={state.settings.segment}: {counted(users, 'user')} cannot be divided into "
            f"{share.count} segments{weights}; give at least {enough}"
        )
    return share.divided(inner)


def register(config: pytest.Config, state: SessionState) -> None:
    """Have the session meet the others. Raises UsageError for a store that cannot be used."""
    store = state.settings.store
    if store is None or state.settings.disabled or config.option.collectonly:
        return
    try:
        state.meetings = SegmentMeetings(state, store)
    except StoreError as error:
        raise pytest.UsageError(f"--ipload-store: {error}") from None
    is_controller = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    if not is_controller:
        config.pluginmanager.register(state.meetings, "ipload-segment-meetings")
