"""Pushes the metrics of a session to a receiver of OTLP while its loads run, and a last time at its end."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_ipload.base import real_time
from pytest_ipload.base.environment import environment
from pytest_ipload.base.units import format_duration
from pytest_ipload.report.files.metrics import USERS_AT_WORK, Labels, Metric
from pytest_ipload.report.files.otlp_messages import MessageMaker
from pytest_ipload.report.files.otlp_receiver import NotPushed, Receiver, pairs_of
from pytest_ipload.report.files.session_metrics import SessionMetrics

EVERY_S = 10.0
_LAST_PUSH_S = 4.0
"""How long the end of the session waits for the last push, all its attempts together."""
_PAUSES_S = (0.0, 0.3, 0.6)
"""Before each of its attempts."""
_SHORTEST_S = 0.2
_PAUSE_S = 0.0002
"""Time for the users, after as long a time of work for this thread: Python runs one thread at a time."""


class Pusher(SessionMetrics):
    """Pushes the session's metrics in a thread of its own.

    All values are cumulative: a push that fails is made good by the next one, so only the last one is repeated.
    """

    def __init__(self, url: str, segment: str | None = None, every_s: float = EVERY_S) -> None:
        super().__init__()
        self._receiver = Receiver(url)
        self.url = self._receiver.url
        """To be shown: without secrets."""
        self._every_s = every_s
        labels = {} if segment is None else {"segment": segment}
        self._messages = MessageMaker(_resource(segment), labels, real_time.time_ns())
        self._pushed = self._failed = self._seen = 0
        self._reason = ""
        self._is_missing_the_end = False
        self._at_work: list[Labels] = []
        """The loads that users were reported to be at work for."""
        self._is_last = threading.Event()
        self._is_over = threading.Event()
        # Waiting for a reply must not keep the process alive, whatever happens.
        self._thread = threading.Thread(target=self._run, name="ipload-otlp", daemon=True)

    def start(self) -> None:
        """Begin to push. Before the first load, so that this thread is not bound to the load's CPU."""
        self._thread.start()

    def finish_session(self, results: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> None:
        """Push all results. Returns after a few seconds at the latest, whatever the receiver does."""
        self.conclude(results)
        self.close()

    def close(self) -> None:
        """Push what is new and end."""
        self._is_last.set()
        if not self._thread.is_alive():
            return
        self._thread.join(_LAST_PUSH_S)
        if self._thread.is_alive():
            self._is_over.set()
            self._receiver.abort()
            self._thread.join(_SHORTEST_S)
            self._failed, self._is_missing_the_end = self._failed or 1, True
            self._reason = f"no reply within {format_duration(_LAST_PUSH_S)}"

    @property
    def problem(self) -> str | None:
        """What did not reach the receiver, and why; None if everything did."""
        if not self._failed:
            return None
        if not self._is_missing_the_end:
            total = self._failed + self._pushed
            return (
                f"{self._failed} of {total} pushes to {self.url} failed: {self._reason}; a later one brought all totals"
            )
        return f"the last metrics could not be pushed to {self.url}: {self._reason}"

    def _run(self) -> None:
        while not self._is_last.wait(self._every_s):
            self._push(timeout_s=_LAST_PUSH_S)
        ends_at = real_time.monotonic() + _LAST_PUSH_S - _SHORTEST_S
        for pause_s in _PAUSES_S:
            left_s = ends_at - real_time.monotonic() - pause_s
            if self._is_over.wait(pause_s) or left_s < _SHORTEST_S or self._push(timeout_s=left_s):
                return

    def _push(self, timeout_s: float) -> bool:
        """Push what there is, if anything is new; False if it is worth another attempt."""
        changes = self.changes
        if changes == self._seen:
            return True
        try:
            self._receiver.push(self._messages.request(self._told(), real_time.time_ns(), self._pause), timeout_s)
        except Exception as error:  # one that is not expected is a bug here, and must not end the thread either
            failure = error if isinstance(error, NotPushed) else NotPushed(repr(error), may_pass=False)
            self._failed += 1
            self._reason, self._is_missing_the_end = str(failure), True
            return not failure.may_pass
        self._pushed += 1
        self._seen, self._is_missing_the_end = changes, False
        return True

    def _pause(self) -> None:
        """Let the users run; at the end of the session there are none."""
        if not self._is_last.is_set():
            real_time.sleep(_PAUSE_S)

    def _told(self) -> list[Metric]:
        """All there is to tell. Where users have stopped, a 0 says so: the gauge would keep its last value."""
        told = self.families(self._pause)
        now = [sample.labels for family, samples in told if family == USERS_AT_WORK for sample in samples]
        gone = [labels for labels in self._at_work if labels not in now]
        self._at_work = [*now, *gone]
        return [*told, Metric(USERS_AT_WORK, [USERS_AT_WORK.sample(labels, 0) for labels in gone])]


def _resource(segment: str | None) -> dict[str, str]:
    """The attributes of everything that the session pushes; those of the usual variable come first."""
    version = environment()["packages"].get("pytest-ipload", "")
    return {
        **pairs_of(os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")),
        "service.name": "pytest-ipload",
        "service.version": version,
        "service.instance.id": str(uuid.uuid4()),
        **({} if segment is None else {"ipload.segment": segment}),
    }
