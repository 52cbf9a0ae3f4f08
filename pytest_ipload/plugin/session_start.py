"""What a session does before its first load test: it reads its settings, and gets the plugins that report.

With settings on the command line or in the ini file, and in the processes of pytest-xdist, that is when pytest is
configured. In all other sessions it is when a load test is found, and in those without one never.
"""

from __future__ import annotations

import pytest

from pytest_ipload.base import real_time
from pytest_ipload.distributed.protocol.slots import slot_of
from pytest_ipload.plugin import workers
from pytest_ipload.plugin.options.session_options import session_settings
from pytest_ipload.plugin.reporting.live_output import listen
from pytest_ipload.plugin.reporting.reporter import Reporter
from pytest_ipload.plugin.session_state import STATE, Pools, SessionState, state_of
from pytest_ipload.settings.session_settings import SessionSettings


def start_session(config: pytest.Config, *, has_begun: bool) -> None:
    """Read the settings and register the plugins; the session may have begun. Raises ``pytest.UsageError``."""
    settings = session_settings(config)
    pools = Pools(config.rootpath, settings, slot_of(config))
    config.stash[STATE] = SessionState(settings, pools)
    if settings.masks:
        from pytest_ipload.base.masking import hide_names

        config.add_cleanup(hide_names(settings.masks))
    workers.set_up_team(config)
    if settings.debug:
        from pytest_ipload.plugin.reporting.debug_output import show_requests

        show_requests(config)
    if not hasattr(config, "workerinput"):
        _check(config, settings)
    if settings.store is not None:
        from pytest_ipload.plugin.run import segment_meetings

        segment_meetings.register(config, config.stash[STATE])
    if config.getoption("ipload_jsonl") is not None:
        from pytest_ipload.plugin.reporting import jsonl_output

        jsonl_output.set_up(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config), "ipload-reporter")
        listen(config, has_begun=has_begun)


def _check(config: pytest.Config, settings: SessionSettings) -> None:
    """Check what can be checked before the first load."""
    state = state_of(config)
    if settings.need_preflight:
        from pytest_ipload.plugin.preflight import check_session

        check_session(state, loads_elsewhere=workers.loads_elsewhere(config))
    if settings.start_at is not None:
        from pytest_ipload.plugin.preflight import check_start

        check_start(settings.start_at, real_time.time())
    if settings.baselines.compare is not None:
        from pytest_ipload.plugin.preflight import check_baselines

        check_baselines(state)


def header(config: pytest.Config) -> list[str]:
    """The lines of pytest's header."""
    lines = [workers.header(config)]
    state = state_of(config)
    if state.meetings is not None:
        lines.append(state.meetings.header)
    start_at = state.settings.start_at
    if start_at is not None:
        from pytest_ipload.plugin.preflight import start_header

        lines.append(start_header(start_at, real_time.time()))
    return [line for line in lines if line is not None]
