"""The table of all settings of a load: the source of the options, the ini keys, the marker's keys and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_ipload.settings.parsing import (
    as_bool,
    as_count,
    as_http_version,
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


STRICT, SKIP, OFF = POOL_CHECKS = ("strict", "skip", "off")
AUTO = "auto"
LOG = "log"
EVIDENCE = 3
"""How many requests of each name and kind are kept by default."""
KEPT = object()
"""With ``--ipload-disable``, the setting stays what it is."""


class Setting:  # neither a dataclass nor a NamedTuple: every pytest run makes it, and this takes a tenth of the time
    """One setting, wherever it can be given. ``key`` is the marker's key and the field of ``LoadProfile``."""

    __slots__ = ("adds_up", "help", "ini", "is_compared", "key", "metavar", "off", "option", "parse")

    def __init__(
        self,
        key: str,
        parse: Parser,
        help: str,
        metavar: str = "T",
        *,
        option: bool = False,
        ini: bool = False,
        off: Any = KEPT,
        is_compared: bool = False,
        adds_up: bool = False,
    ) -> None:
        self.key = key
        self.parse = parse
        self.help = help
        """For the option and the ini key; it ends with the default, where that is not obvious."""
        self.metavar = metavar
        self.option = option
        self.ini = ini
        self.off = off
        """The value with ``--ipload-disable``."""
        self.is_compared = is_compared
        """Whether runs are compared with each other only if they have the same value."""
        self.adds_up = adds_up
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
        raise ValueError(f"{value!r} is not a list of health check names; allowed: {listed(HEALTH_CHECKS)}")
    for name in names:
        if not isinstance(name, str) or name not in HEALTH_CHECKS:
            hint = did_you_mean(name, HEALTH_CHECKS) if isinstance(name, str) else ""
            raise ValueError(f"{name!r} is an unknown health check{hint}; allowed: {listed(HEALTH_CHECKS)}")
    return tuple(names)


SETTINGS = (
    Setting("users", as_count, "Virtual users. Default: 1", "N", option=True, ini=True, off=1, is_compared=True),
    Setting(
        "iterations",
        as_count,
        "Iterations per user. Default: 1 if no duration is set",
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
        "Time over which the users start, evenly spaced. Default: 0s",
        option=True,
        ini=True,
        off=0.0,
        is_compared=True,
    ),
    Setting(
        "ramp_down",
        as_seconds,
        "Time over which the users leave, evenly spaced, after the duration",
        off=0.0,
        is_compared=True,
    ),
    Setting(
        "stages",
        as_stages,
        "Linear ramps to a number of users, or to a rate: 10s:50,30s:50,5s:0 or 10s:100/s,30s:100/s",
        "STAGES",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "arrival_rate",
        as_rate_or_true,
        "Open model: iterations start at this rate, as in 100/s, however slow the target is",
        "RATE",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "arrivals",
        one_of("constant", "poisson"),
        "Distribution of iteration starts in the open model",
        "HOW",
        off="constant",
        is_compared=True,
    ),
    Setting(
        "max_users", as_count, "Maximum number of users that the open model may start", "N", off=None, is_compared=True
    ),
    Setting(
        "max_rate",
        as_rate,
        "Limit on requests per second of all users together, as in 500/s",
        "RATE",
        option=True,
        off=None,
        is_compared=True,
    ),
    Setting(
        "think_time",
        as_span,
        "Pause between a user's iterations, as in 1s or 100ms-300ms",
        off=(0.0, 0.0),
        is_compared=True,
    ),
    Setting(
        "pacing",
        as_span,
        "Minimum time from one start of a user's iterations to the next, as in 1s or 900ms-1100ms",
        off=(0.0, 0.0),
        is_compared=True,
    ),
    Setting(
        "warmup",
        as_seconds,
        "Time from the start of the load whose samples are not judged. Default: 0s",
        option=True,
        ini=True,
        off=0.0,
        is_compared=True,
    ),
    Setting(
        "start_after",
        as_seconds,
        "Time from the start of the loads that run together to that of this one",
        off=None,
        is_compared=True,
    ),
    Setting(
        "set_up",
        one_of("before", "on-arrival"),
        "When users are set up: before (the load starts) or on-arrival (when each is due). Default: before",
        "WHEN",
    ),
    Setting(
        "graceful_stop",
        as_seconds,
        "Time that running iterations get to finish before they are interrupted. Default: 30s",
        option=True,
    ),
    Setting(
        "pool",
        as_text,
        "Source addresses, comma-separated: address, first-last, CIDR, interface, @file. Default: chosen by the OS",
        "SPEC",
        option=True,
        ini=True,
    ),
    Setting("ip_binding", one_of("user", "iteration", "request"), "When a lease changes", "WHEN", is_compared=True),
    Setting(
        "bind_sockets",
        one_of("all", "session"),
        "Which sockets of a user leave from its address: all, or only those of its session",
        "WHICH",
    ),
    Setting(
        "ip_order",
        one_of("round-robin", "random", "least-used"),
        "Order of leasing addresses: round-robin, random (seeded) or least-used. Default: round-robin",
        "ORDER",
        option=True,
    ),
    Setting("ip_exclusive", as_bool, "One user per address", "BOOL"),
    Setting("on_exhaustion", one_of("share", "wait", "fail", "fallback"), "What to do when no address is free", "WHAT"),
    Setting("ip_wait", as_seconds, "How long a user may wait for a free address"),
    Setting("fallback_pool", as_text, "Pool to lease from when no address is free", "SPEC"),
    Setting("base_url", as_url, "URL against which relative URLs are resolved", "URL", option=True, ini=True),
    Setting("timeout", as_positive_seconds, "Default timeout of a request. Default: 30s", option=True, ini=True),
    Setting(
        "seed", as_whole_number, "Seed of the users' random streams. Default: from the test's node id", "N", option=True
    ),
    Setting(
        "fast", as_switch, "Whether plain calls may take the fast path: on or off. Default: on", "on|off", option=True
    ),
    Setting(
        "http",
        as_http_version,
        "Version of HTTP: 1.1, 2 or 3; the last two need the extra 'http2'. Default: 1.1",
        "1.1|2|3",
        option=True,
        is_compared=True,
    ),
    Setting(
        "tls_resumption",
        as_switch,
        "Whether a user's new connections resume its TLS sessions: on or off. Default: off",
        "on|off",
        option=True,
        ini=True,
        is_compared=True,
    ),
    Setting(
        "suppress_health_check",
        as_check_names,
        "Generator health checks that are neither judged nor shown, one name per line",
        "NAMES",
        ini=True,
        adds_up=True,
    ),
)
BY_KEY: Mapping[str, Setting] = {setting.key: setting for setting in SETTINGS}
