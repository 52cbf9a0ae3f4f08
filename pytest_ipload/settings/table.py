"""The table of all settings of a load: the source of the options, the ini keys, the marker's keys and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_ipload.settings.parsing import (
    as_bool,
    as_count,
    as_positive_seconds,
    as_rate,
    as_rate_or_true,
    as_seconds,
    as_span,
    as_stages,
    as_switch,
    as_text,
    as_url,
    as_whole_number,
    did_you_mean,
    listed,
    one_of,
)

Parser = Callable[[Any], Any]


KEPT = object()
"""With ``--ipload-disable``, the setting stays what it is."""


class Setting(NamedTuple):  # not a dataclass: every pytest run makes them, and this costs less
    """One setting, wherever it can be given. ``key`` is the marker's key and the field of ``LoadProfile``."""

    key: str
    parse: Parser
    help: str
    """For the option and the ini key; it ends with the default, where that is not obvious."""
    metavar: str = "T"
    option: bool = False
    ini: bool = False
    off: Any = KEPT
    """The value with ``--ipload-disable``."""
    is_compared: bool = False
    """Whether runs are compared with each other only if they have the same value."""
    adds_up: bool = False
    """Whether marker and ini are joined instead of the marker replacing the ini key: nothing takes a name away."""

    @property
    def flag(self) -> str:
        """The option: ``--ipload-ramp-up``."""
        return "--ipload-" + self.key.replace("_", "-")

    @property
    def dest(self) -> str:
        """The ini key and the option's attribute: ``ipload_ramp_up``."""
        return f"ipload_{self.key}"


def as_check_names(value: Any) -> tuple[str, ...]:
    """Names of health checks of the generator: a list of them, or a single one."""
    from pytest_ipload.base.health_catalogue import HEALTH_CHECKS

    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise ValueError(f"{value!r} is no list of names of health checks; known: {listed(HEALTH_CHECKS)}")
    for name in names:
        if not isinstance(name, str) or name not in HEALTH_CHECKS:
            hint = did_you_mean(name, HEALTH_CHECKS) if isinstance(name, str) else ""
            raise ValueError(f"{name!r} is no health check{hint}; known: {listed(HEALTH_CHECKS)}")
    return tuple(names)


SETTINGS = (
    Setting("users", as_count, "Virtual users. Default: 1", "N", option=True, ini=True, off=1, is_compared=True),
    Setting(
        "iterations",
        as_count,
        "Iterations of each user. Default: 1 where no duration is set",
        "N",
        option=True,
        ini=True,
        off=1,
        is_compared=True,
    ),
    Setting("total_iterations", as_count, "Iterations shared by all users", "N", off=None, is_compared=True),
    Setting(
        "duration",
        as_positive_seconds,
        "Time at full load, after the ramp-up, as in 30s or 1m30s",
        option=True,
        ini=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "ramp_up",
        as_seconds,
        "Users start evenly over this time. Default: 0s",
        option=True,
        ini=True,
        off=0.0,
        is_compared=True,
    ),
    Setting(
        "ramp_down", as_seconds, "Users leave evenly over this time, after the duration", off=0.0, is_compared=True
    ),
    Setting(
        "stages",
        as_stages,
        "Linear segments to a number of users, or to a rate: 10s:50,30s:50,5s:0 or 10s:100/s,30s:100/s",
        "STAGES",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "arrival_rate",
        as_rate_or_true,
        "Open model: iterations start at this rate, as in 100/s, whatever the target does",
        "RATE",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "arrivals",
        one_of("constant", "poisson"),
        "How iterations are spread in the open model",
        "HOW",
        off="constant",
        is_compared=True,
    ),
    Setting("max_users", as_count, "Most users that the open model may start", "N", off=None, is_compared=True),
    Setting(
        "max_rate",
        as_rate,
        "Cap on requests per second over all users, as in 500/s",
        "RATE",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "think_time",
        as_span,
        "Pause between the iterations of a user, as in 1s or 100ms-300ms",
        off=(0.0, 0.0),
        is_compared=True,
    ),
    Setting(
        "pacing",
        as_span,
        "Minimum cycle of the iterations of a user, as in 1s or 900ms-1100ms",
        off=(0.0, 0.0),
        is_compared=True,
    ),
    Setting(
        "warmup",
        as_seconds,
        "Samples in this time, from the start of the load, are not judged. Default: 0s",
        option=True,
        ini=True,
        off=0.0,
        is_compared=True,
    ),
    Setting(
        "set_up",
        one_of("before", "on-arrival"),
        "When users are set up: before (the clock starts) or on-arrival (when each one's time comes). Default: before",
        "WHEN",
    ),
    Setting(
        "graceful_stop",
        as_seconds,
        "How long a running iteration may finish; then it is interrupted. Default: 30s",
        option=True,
    ),
    Setting(
        "pool",
        as_text,
        "Source addresses: comma list of address, first-last, CIDR, interface name, @file. Default: the system chooses",
        "SPEC",
        option=True,
        ini=True,
    ),
    Setting(
        "ip_binding", one_of("user", "iteration", "request"), "How often a lease changes", "WHEN", is_compared=True
    ),
    Setting(
        "ip_order",
        one_of("round-robin", "random", "least-used"),
        "Order in which addresses are leased: round-robin, random (seeded) or least-used. Default: round-robin",
        "ORDER",
        option=True,
    ),
    Setting("ip_exclusive", as_bool, "One user per address", "BOOL"),
    Setting("on_exhaustion", one_of("share", "wait", "fail", "fallback"), "What to do when no address is free", "WHAT"),
    Setting("ip_wait", as_seconds, "How long a user may wait for a free address"),
    Setting("fallback_pool", as_text, "Pool to lease from when no address is free", "SPEC"),
    Setting("base_url", as_url, "Relative URLs resolve against it", "URL", option=True, ini=True),
    Setting("timeout", as_positive_seconds, "Default timeout of a request. Default: 30s", option=True, ini=True),
    Setting(
        "seed", as_whole_number, "Seed of the users' random streams. Default: from the test's node id", "N", option=True
    ),
    Setting(
        "fast", as_switch, "Whether plain calls may take the fast path: on or off. Default: on", "on|off", option=True
    ),
    Setting(
        "suppress_health_check",
        as_check_names,
        "Health checks of the generator that are neither judged nor shown, one name per line",
        "NAMES",
        ini=True,
        adds_up=True,
    ),
)
BY_KEY: Mapping[str, Setting] = {setting.key: setting for setting in SETTINGS}
