"""What command line and ini say for the whole session.

Loaded by every pytest run: annotations are not postponed, because ``NamedTuple`` would compile each of them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from pytest_ipload.settings.table import AUTO, EVIDENCE, STRICT

STORE_WAIT_S = 300.0


class BaselineSettings(NamedTuple):
    """What the session saves, and what it compares with."""

    save: str | None = None
    """The name for this run, if it is to be saved under one."""
    autosave: bool = False
    """It is to be saved under a name made up for it."""
    compare: str | None = None
    """Which saved runs to compare with: a name, a number or a path, or the empty text for all; None for none."""
    limits: tuple[str, ...] = ()
    """Changes beyond which a test fails: from the saved runs, or from the rounds of another target."""
    capacity_limits: tuple[str, ...] = ()
    """The same for the results of capacity searches."""

    @property
    def saves(self) -> bool:
        """Whether this run is to be saved."""
        return self.save is not None or self.autosave


class SessionSettings(NamedTuple):  # not a dataclass: every pytest run makes it, and this costs less
    """What command line and ini say for the whole session."""

    command_line: Mapping[str, Any]
    ini: Mapping[str, Any]
    thresholds: tuple[str, ...]
    allowed_hosts: tuple[str, ...]
    disabled: bool
    pool_check: str = STRICT
    named_pools: tuple[str, ...] = ()
    """The lines of the ini key, ``name = SPEC``."""
    pin: int | str = AUTO
    """The CPU for loads, ``auto`` or ``off``."""
    segment: str | None = None
    """``i/n``, checked."""
    weights: tuple[int, ...] = ()
    """How large the segments are compared with each other; empty where they are equal."""
    store: str | None = None
    """The URL or the folder in which segments meet."""
    store_wait: float = STORE_WAIT_S
    """Seconds for which a segment waits for the others before a load."""
    start_at: float | None = None
    """Unix seconds before which no load begins."""
    start_every: float | None = None
    """Seconds from the start of one load to that of the next."""
    strict: bool = False
    """An undecided threshold, or comparison with a baseline, fails."""
    shards: int | None = None
    """How many of xdist's workers share a load at most; None is all."""
    rounds: int | None = None
    """How many rounds of each load; None where it is not said."""
    against: str | None = None
    """The base URL to compare with."""
    concurrent: bool = False
    """Each load test runs whole on one of xdist's workers, beside other tests."""
    progress: str = AUTO
    """How the numbers of a load are shown while it runs: ``auto``, ``log`` or ``off``."""
    prometheus: tuple[str, int] | None = None
    """The loopback address and the port at which they are served."""
    otlp: str | None = None
    """The URL of the receiver that metrics are pushed to."""
    baselines: BaselineSettings = BaselineSettings()
    profile_name: str | None = None
    """The profile that the command line chooses."""
    profile: Mapping[str, Any] = MappingProxyType({})
    """The settings in it."""
    masks: tuple[str, ...] = ()
    """Names of headers, parameters and fields that are secrets, besides the usual ones."""
    evidence: int = EVIDENCE
    """How many of the slowest and of the failed requests of each name are kept."""
    debug: bool = False
    """Print the requests and replies of a functional run."""
    trace: bool = False
    """Give each request of a user a ``traceparent``."""
    names: tuple[str, ...] = ()
    """Templates of URLs that name requests, checked."""
    explain: tuple[int, ...] | None = None
    """The processes whose stacks are sampled; empty for those that serve the target, None for no sampling."""

    @property
    def need_preflight(self) -> bool:
        """Whether they ask for something of this machine, which can be checked before anything is collected."""
        return bool(self.named_pools) or any(self.value(key) is not None for key in ("pool", "users", "http"))

    def value(self, key: str) -> Any:
        """A setting of the session, from command line, profile or ini file; None where none of them gives it."""
        return self.command_line.get(key, self.profile.get(key, self.ini.get(key)))
