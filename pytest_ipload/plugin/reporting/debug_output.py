"""``--ipload-debug``: requests and replies in the terminal, as they are made, past pytest's capture."""

from __future__ import annotations

import threading

import pytest

from pytest_ipload.plugin.reporting.screen import Screen
from pytest_ipload.plugin.session_state import state_of
from pytest_ipload.report.evidence_lines import evidence_lines
from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.stats.summary import plain

_MOST_LINES = 400


def show_requests(config: pytest.Config) -> None:
    """Show the requests of all users of this session."""
    screen = Screen.open(config)
    if screen is None:
        return
    config.add_cleanup(screen.close)
    lock = threading.Lock()  # a body may have threads of its own

    def show(evidence: Evidence) -> None:
        shown = plain(evidence)
        shown.pop("kind")
        shown["t_s"] = -1.0  # it is printed when it is made
        lines = evidence_lines(shown, _MOST_LINES)
        with lock:
            screen.write_all("\n" + "\n".join(lines) + "\n")

    state_of(config).show_request = show
