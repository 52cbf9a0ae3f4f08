"""Shows loads while they run: in the terminal, in a log, or over HTTP, to Prometheus or a receiver of OTLP.

Every run of pytest imports this module, so slow modules are imported when there is a load to show.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_ipload.plugin.reporting.otlp_output import pusher_of
from pytest_ipload.plugin.reporting.reporter import REPORT_KEY
from pytest_ipload.plugin.session_state import state_of
from pytest_ipload.settings.table import LOG, OFF

if TYPE_CHECKING:
    from pytest_ipload.plugin.reporting.screen import Screen
    from pytest_ipload.report.files.prometheus import Exporter
    from pytest_ipload.report.files.session_metrics import SessionMetrics
    from pytest_ipload.stats.live import LiveNumbers

LOG_EVERY_S = pytest.StashKey[float]()
"""In ``config.stash``: seconds between two lines of a log, if not the default."""
_LOG_EVERY_S = 10.0
_SHORT_SET_UP_S = 1.0

# The line is drawn below the one that pytest is writing, and the cursor goes back to that one: whatever happens then,
# pytest goes on where it was, and overwrites this line.
_ERASE = "\x1b[J"  # from the cursor to the end of the screen
_MAKE_ROOM = "\x1bD\x1bM"  # one line down and up again, in the same column: at the bottom this scrolls
_SAVE, _RESTORE = "\x1b7", "\x1b8"


class Viewer(Protocol):
    """A way to show live numbers."""

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """The live numbers of a load."""

    def erase(self) -> None:
        """Something else is about to be written."""

    def end(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """The load is over; its last live numbers, if known."""


class LiveLine:
    """A line at the bottom of a terminal, redrawn each time. Loads that run together share it."""

    def __init__(self, config: pytest.Config, screen: Screen) -> None:
        self._writer = config.get_terminal_writer()
        self._screen = screen
        self._is_drawn = False
        self._loads: dict[str, LiveNumbers] = {}

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """Draw the line."""
        self._loads[nodeid] = numbers
        self._draw()

    def _draw(self) -> None:
        from pytest_ipload.report.terminal.progress_line import shared_line

        pieces = shared_line(self._loads, self._screen.columns - 1)  # a full line would wrap
        line = "".join(
            self._writer.markup(piece.text, **{piece.colour: True}) if piece.colour else piece.text for piece in pieces
        )
        self._is_drawn = True  # set before: Ctrl-C may come as soon as it is drawn
        self._screen.write(f"{_ERASE}{_MAKE_ROOM}{_SAVE}\r\n{line}{_RESTORE}")

    def erase(self) -> None:
        """Erase the line."""
        if self._is_drawn:
            self._is_drawn = not self._screen.write(_ERASE)

    def end(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """Erase the line, or what it says of this load."""
        self._loads.pop(nodeid, None)
        if self._loads:
            self._draw()
        else:
            self.erase()


class _Logged:
    """What was logged of a running load."""

    lines = 0
    """Lines written, or skipped."""
    has_begun = False
    """Whether there is a line."""
    sets_up = False


class LiveLog:
    """A line now and then, for an output that is read later."""

    def __init__(self, config: pytest.Config, screen: Screen) -> None:
        self._writer = config.get_terminal_writer()
        self._screen = screen
        self._is_controller = config.pluginmanager.hasplugin("dsession")
        self._every_s = config.stash.get(LOG_EVERY_S, _LOG_EVERY_S)
        self._loads: dict[str, _Logged] = {}

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """Write a line if it is time."""
        from pytest_ipload.report.terminal.progress_line import full_line

        load = self._loads.setdefault(nodeid, _Logged())
        if load.sets_up != (numbers.set_up is not None):
            load.sets_up, load.lines = not load.sets_up, 0  # the clock starts again with the load
        due = int(numbers.elapsed_s / self._every_s)
        if due <= load.lines:
            return
        if self._is_controller:
            self._writer.flush()  # in a process that runs tests itself, pytest has flushed it, and captures now
        # pytest has begun a line with the test's name.
        is_first = not any(each.has_begun for each in self._loads.values())
        start = "\n" if is_first and self._writer.width_of_current_line else ""
        self._screen.write(f"{start}{full_line(nodeid, numbers)}\n")
        load.lines, load.has_begun = due, True

    def erase(self) -> None:
        """Written lines stay."""

    def end(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """The next line is about another load."""
        self._loads.pop(nodeid, None)


class Live:
    """Registered as a plugin in the process that reports; the ``stats.live.LiveListener`` of its loads."""

    def __init__(self, config: pytest.Config) -> None:
        """Raises UsageError if the requested port cannot be used, or a library is missing."""
        self._config = config
        self._settings = state_of(config).settings
        self._screen: Screen | None = None
        self._exporter = _exporter(self._settings.prometheus)
        pusher = pusher_of(config)
        self._metrics: list[SessionMetrics] = [each for each in (self._exporter, pusher) if each is not None]
        self.wants_names = bool(self._metrics)
        self._viewers: list[Viewer] = [*self._metrics]
        self._lock = threading.Lock()
        """Under pytest-xdist, numbers are shown in another thread than the one in which pytest writes."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Output is not captured, and everything so far has been written."""
        self.open()

    def open(self) -> None:
        """Find out where live numbers can be shown, when the session has begun."""
        if _may_show(self._config) and (viewer := self._screen_viewer()) is not None:
            self._viewers.append(viewer)
        if self._viewers:
            state_of(self._config).audience = self

    def _screen_viewer(self) -> Viewer | None:
        """The terminal writer of pytest's output; None if that cannot show live numbers."""
        from pytest_ipload.plugin.reporting.screen import Screen

        self._screen = Screen.open(self._config)
        if self._screen is None:
            return None
        if self._settings.progress == LOG:
            return LiveLog(self._config, self._screen)
        return LiveLine(self._config, self._screen) if self._screen.is_terminal and _obeys() else None

    def pytest_report_header(self) -> str | None:
        """Say where the metrics are: the port may have been chosen by the system."""
        return None if self._exporter is None else f"ipload: live metrics at {self._exporter.url}"

    def show(self, nodeid: str, numbers: LiveNumbers) -> None:
        """See ``LiveListener``."""
        if numbers.set_up is not None and numbers.elapsed_s < _SHORT_SET_UP_S:
            return  # most are over before they could be read
        with self._lock:
            for viewer in self._viewers:
                viewer.show(nodeid, numbers)

    def load_ended(self, nodeid: str, numbers: LiveNumbers | None) -> None:
        """See ``LiveListener``."""
        with self._lock:
            for viewer in self._viewers:
                viewer.end(nodeid, numbers)

    def _erase(self) -> None:
        with self._lock:
            for viewer in self._viewers:
                viewer.erase()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """pytest is about to write."""
        self._erase()

    def pytest_runtest_logreport(self, report: Any) -> None:
        """The results of a test replace its live numbers."""
        results = getattr(report, REPORT_KEY, None)
        if not results:
            return
        for each in self._metrics:
            each.finish(report.nodeid, getattr(report, "worker_id", ""), results)

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """pytest-xdist is about to write."""
        self._erase()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Nothing is shown any more."""
        self._erase()
        with self._lock:
            self._viewers = []

    def pytest_unconfigure(self) -> None:
        """Close what was opened."""
        if self._screen is not None:
            self._screen.close()
        if self._exporter is not None:
            self._exporter.close()


def _may_show(config: pytest.Config) -> bool:
    """Whether the session wants progress to be shown at all."""
    return (
        state_of(config).settings.progress != OFF
        and config.pluginmanager.hasplugin("terminalreporter")
        and config.get_verbosity() >= 0
    )


def _obeys() -> bool:
    """Whether a terminal understands cursor escape sequences."""
    return os.name != "nt" and os.environ.get("TERM", "dumb") != "dumb"


def _exporter(endpoint: tuple[str, int] | None) -> Exporter | None:
    if endpoint is None:
        return None
    host, port = endpoint
    try:
        from pytest_ipload.report.files.prometheus import Exporter

        return Exporter(host, port)
    except ImportError as error:
        reason = f"{error}; install it with: pip install 'pytest-ipload[prometheus]'"
    except OSError as error:
        reason = f"cannot listen on {host}:{port}: {error.strerror}; give another port, or 0 for any"
    raise pytest.UsageError(f"--ipload-prometheus: {reason}")


def listen(config: pytest.Config, *, has_begun: bool) -> None:
    """Have the session's loads shown, as its settings say; it may have begun already."""
    settings = state_of(config).settings
    is_wanted = settings.progress != OFF or settings.prometheus is not None or settings.otlp is not None
    if is_wanted and not config.option.collectonly:
        live = Live(config)
        config.pluginmanager.register(live, "ipload-live")
        if has_begun:
            live.open()
