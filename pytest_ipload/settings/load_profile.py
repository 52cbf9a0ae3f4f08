"""What a load test is asked to do: the frozen result of all settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.base.units import format_setting
from pytest_ipload.settings.parsing import as_positive_seconds, as_seconds, as_span
from pytest_ipload.settings.stages import Stages
from pytest_ipload.settings.table import SETTINGS

Span = tuple[float, float]
"""Seconds from low to high; a value is drawn evenly between them."""


@dataclass(frozen=True)
class LoadProfile:
    """The settings of one load test. Times are seconds; ``origins`` says where each value came from."""

    users: int = 1
    iterations: int | None = None
    """Iterations per user; None means as many as fit into the duration."""
    total_iterations: int | None = None
    """Iterations shared by all users. With ``iterations`` or ``duration`` too, what ends first ends the load."""
    duration: float | None = None
    """Time at full load, after the ramp-up."""
    ramp_up: float = 0.0
    ramp_down: float = 0.0
    stages: Stages | None = None
    """Linear segments of users, or of arrivals per second in the open model, in the place of the three above."""
    arrival_rate: float | None = None
    """The open model: iterations that start in each second (at most, with stages or ramps)."""
    arrivals: str = "constant"
    """``constant`` or ``poisson``."""
    max_users: int | None = None
    """Maximum number of users that the open model may start."""
    max_rate: float | None = None
    """Requests per second, over all users, that are not exceeded."""
    think_time: Span = (0.0, 0.0)
    pacing: Span = (0.0, 0.0)
    """Minimum time from one iteration's planned start to the next one's."""
    warmup: float = 0.0
    """Samples that start in this time, counted from the start of the load, are not judged."""
    start_after: float | None = None
    """Of a load that runs together with others: how long after their common start it begins."""
    set_up: str = "before"
    """``before``: users are set up before the clock starts; ``on-arrival``: each when its time comes."""
    graceful_stop: float = 30.0
    pool: str | None = None
    base_url: str | None = None
    timeout: float | None = 30.0
    seed: int = 0
    fast: bool = True
    """Whether plain calls may take the fast path."""
    http: str = "1.1"
    """The version of HTTP: ``1.1``, ``2`` or ``3``."""
    tls_resumption: bool = False
    """Whether a user's new connections resume its TLS sessions."""
    ip_binding: str = "user"
    bind_sockets: str = "all"
    """``all``: every Python socket of a user leaves from its address; ``session``: only those of its session."""
    ip_order: str = "round-robin"
    ip_exclusive: bool = False
    on_exhaustion: str = "share"
    ip_wait: float | None = None
    fallback_pool: str | None = None
    suppress_health_check: tuple[str, ...] = ()
    """Names of checks in ``base.health_catalogue`` that are neither judged nor shown."""
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other, naming both."""
        if self.is_open:
            self._check_open_model()
        elif self.arrivals != "constant" or self.max_users is not None:
            name = "max_users" if self.max_users is not None else f"arrivals={self.arrivals!r}"
            raise SettingError(f"{name} requires the open model; set arrival_rate too, or remove it")
        if self.ramp_down and self.duration is None:
            raise SettingError("ramp_down needs a duration to end before; set duration, or remove ramp_down")
        if self.full_until is not None and self.warmup and self.warmup >= self.full_until:
            raise SettingError(
                f"warmup={format_setting(self.warmup)} leaves nothing to judge: the load is at full level until "
                f"{format_setting(self.full_until)} after its start; give a shorter warmup"
            )
        if self.tls_resumption and self.http != "1.1":
            raise SettingError(f"tls_resumption needs HTTP/1.1; leave out http={self.http!r}, or tls_resumption")
        self._check_addresses()

    def _check_open_model(self) -> None:
        """Refuse what makes no sense where iterations start by the clock."""
        if self.duration is None and self.stages is None and self.total_iterations is None:
            raise SettingError("arrival_rate needs an end; set duration, stages or total_iterations")
        closed_only = {
            "iterations": (self.iterations is not None, "set total_iterations, which all users share"),
            "pacing": (self.pacing[1] > 0, "the arrival rate decides when iterations start"),
            "think_time": (self.think_time[1] > 0, "the arrival rate decides when iterations start"),
        }
        for name, (given, advice) in closed_only.items():
            if given:
                raise SettingError(
                    f"{name} ({self.origins.get(name, 'given')}) and arrival_rate contradict each other: {advice}; "
                    "remove one of them"
                )

    def _check_addresses(self) -> None:
        """Refuse settings of addresses that say nothing without another one."""
        exclusive_only = {
            f"on_exhaustion={self.on_exhaustion!r}": self.on_exhaustion != "share",
            "fallback_pool": self.fallback_pool is not None,
            "ip_wait": self.ip_wait is not None,
        }
        for name, given in exclusive_only.items():
            if given and not self.ip_exclusive:
                raise SettingError(f"{name} requires ip_exclusive=True; set it too, or remove {name}")
        if self.ip_exclusive and self.pool is None:
            raise SettingError("ip_exclusive needs an address pool; set pool or --ipload-pool")
        if self.ip_wait is not None and self.on_exhaustion != "wait":
            raise SettingError("ip_wait needs on_exhaustion='wait'")
        if self.fallback_pool is not None and self.on_exhaustion not in ("share", "fallback"):
            raise SettingError(f"fallback_pool and on_exhaustion={self.on_exhaustion!r} contradict each other")
        if self.on_exhaustion == "fallback" and self.fallback_pool is None:
            raise SettingError("on_exhaustion='fallback' needs a fallback_pool")

    @property
    def is_open(self) -> bool:
        """Whether iterations start by the clock (the open model), not when a user is ready for the next one."""
        return self.arrival_rate is not None

    @property
    def sets_up_before(self) -> bool:
        """Whether users of ramps and stages are set up before the clock starts, too."""
        return self.set_up == "before"

    @property
    def most_users(self) -> int:
        """The maximum number of concurrent users."""
        return max(self.users, self.max_users or 0)

    @property
    def full_until(self) -> float | None:
        """When the load is at full level for the last time, in seconds after its start; None if that is unknown."""
        if self.stages is not None:
            return self.stages.seconds
        return None if self.duration is None else self.ramp_up + self.duration

    @property
    def ends_at(self) -> float | None:
        """When no iteration starts any more, in seconds after its start; None where only iterations end the load."""
        return None if self.full_until is None else self.full_until + self.ramp_down

    @property
    def judged_seconds(self) -> float | None:
        """How long the judged part is by the plan: all but the warm-up. None where only iterations end the load."""
        return None if self.ends_at is None else round(self.ends_at - self.warmup, 9)

    @property
    def iterations_per_user(self) -> int | None:
        """Iterations per user; one by default if nothing else ends the load; None means unlimited."""
        if self.iterations is None and self.total_iterations is None and self.ends_at is None:
            return 1
        return self.iterations

    @property
    def iterations_of_all(self) -> int | None:
        """The number of iterations that ends the load; None if its time may end it first."""
        if self.ends_at is not None:
            return None
        own = self.iterations_per_user
        limits = [self.total_iterations, None if own is None else own * self.users]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def planned(self) -> bool:
        """Whether iterations have planned starts, against which they can be late."""
        return self.pacing[1] > 0 or self.is_open

    @property
    def is_functional(self) -> bool:
        """Whether the body runs exactly once: a functional test."""
        return not self.is_open and self.users == 1 and 1 in (self.iterations_per_user, self.total_iterations)

    def masked(self) -> LoadProfile:
        """The same for whoever does not send requests by it: without the secrets in its base URL."""
        return self if self.base_url is None else replace(self, base_url=masked(self.base_url))

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain values for a report: seconds end in ``_s``, what was not set is absent."""
        plain: dict[str, Any] = {}
        shown = self.masked()
        for item in fields(self):
            value = getattr(shown, item.name)
            if item.name == "origins" or value is None:
                continue
            if item.name == "stages":
                plain["stages"] = [list(segment) for segment in value.segments]
            else:
                plain[name_in_profile(item.name)] = list(value) if item.name in _SPANS else value
        plain["origins"] = dict(self.origins)
        return plain


def name_in_profile(key: str) -> str:
    """The name of a setting in reports: those in seconds end in ``_s``."""
    return f"{key}_s" if key in _SPANS or key in _SECONDS else key


_SPANS = frozenset(setting.key for setting in SETTINGS if setting.parse is as_span)
_SECONDS = frozenset(setting.key for setting in SETTINGS if setting.parse in (as_seconds, as_positive_seconds))
