"""``--ipload-otlp``: metrics are pushed while loads run, and a last time when the session is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.base.interrupts import interrupts_deferred
from pytest_ipload.plugin.session_state import state_of

if TYPE_CHECKING:
    from pytest_ipload.report.files.otlp import Pusher

FLAG = "--ipload-otlp"
PUSH_EVERY_S = pytest.StashKey[float]()
"""In ``config.stash``: seconds between two pushes, if not the default."""


class _Pushing:
    """Registered as a plugin in the process that reports: the beginning and the end of a session's pushes."""

    def __init__(self, config: pytest.Config, pusher: Pusher) -> None:
        self._config = config
        self._pusher = pusher

    def pytest_sessionstart(self) -> None:
        """Before the first load: whatever a load starts is bound to its CPU."""
        self._pusher.start()

    def pytest_report_header(self) -> str:
        """Say where the metrics go."""
        return f"ipload: metrics are pushed to {self._pusher.url}"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Push the results, when all files are written."""
        with interrupts_deferred() as deferral:
            self._pusher.finish_session(state_of(self._config).results)
        if deferral.was_pressed:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what did not arrive. It does not change the exit code: what was measured is in the reports."""
        if (problem := self._pusher.problem) is not None:
            terminalreporter.write_line(f"{FLAG}: {problem}", yellow=True)

    def pytest_unconfigure(self) -> None:
        """Also where the session did not come to its end."""
        self._pusher.close()


def pusher_of(config: pytest.Config) -> Pusher | None:
    """What pushes the session's metrics; None if none are requested. Raises UsageError if that is not possible."""
    settings = state_of(config).settings
    if settings.otlp is None:
        return None
    try:
        from pytest_ipload.report.files.otlp import EVERY_S, Pusher

        pusher = Pusher(settings.otlp, settings.segment, config.stash.get(PUSH_EVERY_S, EVERY_S))
    except ImportError as error:
        reason = f"{error}; install what it needs with: pip install 'pytest-ipload[otel]'"
        raise pytest.UsageError(f"{FLAG}: {reason}") from None
    except ValueError as error:
        raise pytest.UsageError(f"{FLAG}: {error}") from None
    config.pluginmanager.register(_Pushing(config, pusher), "ipload-otlp")
    return pusher
