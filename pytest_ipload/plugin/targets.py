"""The targets whose own numbers the session's loads measure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.errors import IploadError, SettingError
from pytest_ipload.base.masking import masked
from pytest_ipload.stats.target_readings import (
    LONGEST_NAME,
    MOST_TARGETS,
    PROCESS,
    PROMETHEUS,
    is_metric_name,
)

if TYPE_CHECKING:
    from pytest_ipload.load.target.target_sampler import TargetReader
    from pytest_ipload.plugin.session_state import SessionState

_USAGE = (
    "as in ipload_target('api', pid=process.pid) or ipload_target('api', prometheus='http://127.0.0.1:8000/metrics')"
)


@dataclass(frozen=True)
class Target:
    """A target that was given by name."""

    name: str
    kind: str
    pid: int | None = None
    url: str | None = None
    """Of an endpoint, without secrets."""
    make_reader: Callable[[], TargetReader] = field(repr=False, compare=False, kw_only=True)
    """Each load has a reader of its own."""


class Targets:
    """The targets of a session, by name. In a worker of xdist, those of the worker."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._loads = 0
        self._by_name: dict[str, Target] = {}

    def add(
        self,
        name: str,
        *,
        pid: int | None = None,
        prometheus: str | None = None,
        queries: Mapping[str, str] | None = None,
    ) -> Target:
        """Measure a target in all loads that begin from now on; another target of the same name takes its place.

        Either ``pid`` is the number of its process, which is measured with all its children, or ``prometheus`` a URL:
        of its own metrics, or with ``queries`` (PromQL by the name of the metric) of a server of Prometheus. Raises
        SettingError for anything else, or if it cannot be read; TargetNotAllowed for a host that is not allowed.
        """
        __tracebackhide__ = True
        _check_name(name)
        if (pid is None) == (prometheus is None):
            given = "both pid and prometheus" if pid is not None else "neither pid nor prometheus"
            raise SettingError(f"ipload_target: {name!r} has {given}; give one of them, {_USAGE}")
        if self._loads:
            raise SettingError(
                f"ipload_target: {name!r} comes too late, while a load is running; call it before, such as in a "
                "fixture of session scope"
            )
        if prometheus is None:
            target = self._process(name, pid, queries)
        else:
            target = self._endpoint(name, prometheus, queries)
        if name not in self._by_name and len(self._by_name) >= MOST_TARGETS:
            raise SettingError(f"ipload_target: {name!r} is one too many: a session has at most {MOST_TARGETS} targets")
        self._by_name[name] = target
        return target

    def all(self) -> Sequence[Target]:
        """In the order in which they came."""
        return list(self._by_name.values())

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A load is running."""
        with self._lock:
            self._loads += 1
        try:
            yield
        finally:
            with self._lock:
                self._loads -= 1

    def _process(self, name: str, pid: Any, queries: object) -> Target:
        from pytest_ipload.load.target.process_reader import ProcessReader, tree_of

        if type(pid) is not int or pid <= 0:
            raise SettingError(f"ipload_target: pid={pid!r} is not the number of a process; write it {_USAGE}")
        if queries is not None:
            raise SettingError("ipload_target: queries belong to prometheus=URL; a process has none")
        found = tree_of(pid).read()
        if not found:
            raise SettingError(
                f"ipload_target: there is no process {pid} for {name!r}; give the number of one that runs on this "
                "machine (in the same container), such as process.pid of subprocess.Popen, and call ipload_target when "
                "it has started"
            )
        started = found[0].started

        def reader() -> TargetReader:
            tree = tree_of(pid, started)
            tree.read()  # the first time takes longest, so not at the start of the load
            return ProcessReader(tree, pid)

        return Target(name, PROCESS, pid=pid, make_reader=reader)

    def _endpoint(self, name: str, url: Any, queries: Any) -> Target:
        from pytest_ipload.transport.allowed_hosts import AllowedHosts
        from pytest_ipload.transport.metrics_endpoint import MetricsEndpoint
        from pytest_ipload.transport.metrics_reader import ExpositionReader, QueryReader

        if not isinstance(url, str):
            raise SettingError(f"ipload_target: prometheus={url!r} is not a URL; write it {_USAGE}")
        _check_queries(queries)
        settings = self._state.settings
        endpoint = MetricsEndpoint(url, AllowedHosts(settings.allowed_hosts, settings.value("base_url")))
        kept = None if queries is None else dict(queries)

        def reader() -> TargetReader:
            own = endpoint.another()
            return ExpositionReader(own) if kept is None else QueryReader(own, kept)

        try:
            reader().read()
        except IploadError:
            raise
        except OSError as error:
            what = "is the target up, and is the URL that of its metrics?"
            if queries is not None:
                what = "is it a server of Prometheus, and are the queries right?"
            raise SettingError(f"ipload_target: {name!r} cannot be read: {error}; {what}") from None
        return Target(name, PROMETHEUS, url=masked(url), make_reader=reader)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > LONGEST_NAME:
        raise SettingError(
            f"ipload_target: {name!r:.120} is not a name; give a text of at most {LONGEST_NAME} characters, as in 'api'"
        )
    if not name.isprintable() or set(name) & set("{}*"):
        raise SettingError(
            f"ipload_target: the name {name!r} has characters that thresholds cannot name; leave out {{, }} and *"
        )


def _check_queries(queries: object) -> None:
    if queries is None:
        return
    if not isinstance(queries, Mapping) or not queries:
        raise SettingError(
            f"ipload_target: queries={queries!r:.120} are no queries by name, as in {{'queue': 'sum(queue_length)'}}"
        )
    for metric, query in queries.items():
        if not isinstance(metric, str) or not is_metric_name(metric):
            raise SettingError(
                f"ipload_target: {metric!r:.120} is not a name for a metric; use letters, digits and underscores"
            )
        if not isinstance(query, str) or not query.strip():
            raise SettingError(f"ipload_target: the query {metric!r} is {query!r:.120}; give PromQL as a text")
