"""Samples as lines of k6's JSON output: https://grafana.com/docs/k6/latest/results-output/real-time/json/

A line of the type ``Metric`` describes a metric, before the first line of the type ``Point`` with a value of it.
Metrics that k6 does not have get a name that begins with ``ipload_``.
"""

from __future__ import annotations

import json
import re
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import compress
from operator import add
from typing import Any

from pytest_ipload.base.units import NS_PER_MS, NS_PER_S
from pytest_ipload.report.files.k6_own_metrics import OWN_KINDS, own_points
from pytest_ipload.stats.sample import FAULT, FIRST_EVENT, GAP, ITERATION, LATENESS, OK, REQUEST, SETUP, STEP
from pytest_ipload.stats.spool.session_spools import SpoolFacts
from pytest_ipload.stats.spool.spool_format import UNKNOWN, Batch, Opening, SpoolKey

METRICS: Mapping[str, tuple[str, str]] = {
    # Its type and what it contains.
    "http_reqs": ("counter", "default"),
    "http_req_duration": ("trend", "time"),
    "http_req_failed": ("rate", "default"),
    "http_req_blocked": ("trend", "time"),
    "http_req_connecting": ("trend", "time"),
    "http_req_tls_handshaking": ("trend", "time"),
    "http_req_waiting": ("trend", "time"),
    "http_req_receiving": ("trend", "time"),
    "iterations": ("counter", "default"),
    "iteration_duration": ("trend", "time"),
    "group_duration": ("trend", "time"),
    "vus": ("gauge", "default"),
    "dropped_iterations": ("counter", "default"),
    "ipload_response_time": ("trend", "time"),
    "ipload_generator_lateness": ("trend", "time"),
    "ipload_ttfe": ("trend", "time"),
    "ipload_gap": ("trend", "time"),
    "ipload_faults": ("counter", "default"),
}
_LABEL = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) /")
"""The form of a request's default name."""

Values = str | Sequence[str]
"""Of a metric's points: the same one for all, or one for each."""


class _Seconds(dict[int, str]):
    """Unix seconds as the beginning of an RFC 3339 time; each is formatted once."""

    def __init__(self, since: int) -> None:
        self.since = since

    def __missing__(self, second: int) -> str:
        text = self[second] = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(self.since + second))
        return text


class K6Lines:
    """Makes the lines of one file."""

    def __init__(self) -> None:
        self._declared: set[str] = set()

    def of_batch(self, facts: SpoolFacts, batch: Batch) -> Iterator[str]:
        """The lines of samples, several in each text."""
        key = batch.key
        if key.kind in OWN_KINDS:
            yield from self._of_own(facts, batch)
        elif key.kind == SETUP:
            yield from self._of_phase(facts, batch, {"phase": "setup"})
        elif min(batch.starts) >= facts.judged_from_ns:
            yield from self._of_phase(facts, batch, {})
        else:
            is_judged = [start >= facts.judged_from_ns for start in batch.starts]
            yield from self._of_phase(facts, _some(batch, [not each for each in is_judged]), {"phase": "warmup"})
            if any(is_judged):
                yield from self._of_phase(facts, _some(batch, is_judged), {})

    def of_result(self, result: Mapping[str, Any]) -> Iterator[str]:
        """The lines that need the whole load, from its entry in the JSON report."""
        began = datetime.fromisoformat(result["started_at"])
        tags = _json({"scenario": result["nodeid"], **_round_of(result)})
        points = result["timeline"]
        if points:
            times = [_moment(began + timedelta(seconds=point["t_s"])) for point in points]
            yield from self._points("vus", tags, times, [str(point["users"]) for point in points])
        if "dropped_iterations" in result:
            ended = _moment(began + timedelta(seconds=result["duration_s"]))
            yield from self._points("dropped_iterations", tags, [ended], str(result["dropped_iterations"]))

    def _of_own(self, facts: SpoolFacts, batch: Batch) -> Iterator[str]:
        """The lines of a test's own check or metric."""
        scenario = {"scenario": facts.nodeid, **_round(facts.round)}
        for own in own_points(batch, facts.judged_from_ns, METRICS):
            if own.metric not in self._declared:
                self._declared.add(own.metric)
                yield _declared(own.metric, *own.declaration)
            times = _moments(facts, own.moments_ns)
            tags = _json({**own.tags, **scenario}) + _metadata(batch.key)
            yield from self._points(own.metric, tags, times, own.values)

    def _of_phase(self, facts: SpoolFacts, batch: Batch, phase: Mapping[str, str]) -> Iterator[str]:
        times = _times(facts, batch)
        tags = {**_tags(batch.key), **phase, "scenario": facts.nodeid, **_round(facts.round)}
        if batch.key.source_address is not None:
            tags["source_address"] = batch.key.source_address
        text = _json(tags) + _metadata(batch.key)
        for metric, values in _metrics(facts, batch):
            yield from self._points(metric, text, times, values)
        for metric, known, phases in _phases(batch):
            yield from self._points(metric, text, list(compress(times, known)), phases)

    def _points(self, metric: str, tags: str, times: Sequence[str], values: Values) -> Iterator[str]:
        """The points of one metric with the same tags. Runs for all samples: what they share is formatted once."""
        if metric not in self._declared:
            self._declared.add(metric)
            yield _declaration(metric)
        head = f'{{"metric":"{metric}","type":"Point","data":{{"time":"'
        tail = f',"tags":{tags}}}}}\n'
        if isinstance(values, str):
            tail = f'","value":{values}{tail}'
            yield "".join([f"{head}{moment}{tail}" for moment in times])
        else:
            pairs = zip(times, values, strict=True)
            yield "".join([f'{head}{moment}","value":{value}{tail}' for moment, value in pairs])


def _declaration(metric: str) -> str:
    return _declared(metric, *METRICS[metric])


def _declared(metric: str, kind: str, contains: str) -> str:
    data: dict[str, Any] = {"name": metric, "type": kind, "contains": contains, "thresholds": [], "submetrics": None}
    return _json({"metric": metric, "type": "Metric", "data": data}) + "\n"


def _json(value: Mapping[str, Any]) -> str:
    """Compact, and ASCII only: a name may contain any character."""
    return json.dumps(value, separators=(",", ":"))


def _metrics(facts: SpoolFacts, batch: Batch) -> Iterator[tuple[str, Values]]:
    """Which metrics samples are points of, with their values."""
    kind, outcome = batch.key.kind, batch.key.outcome
    if outcome == FAULT:
        yield "ipload_faults", "1"
    elif kind in (REQUEST, SETUP):
        yield "http_reqs", "1"
        yield "http_req_duration", _milliseconds(_durations(batch))
        yield "http_req_failed", "0" if outcome == OK else "1"
        if facts.is_planned and kind == REQUEST:
            late = batch.latenesses or [0] * len(batch.latencies)
            sums = [latency + lateness for latency, lateness in zip(batch.latencies, late, strict=True)]
            yield "ipload_response_time", _milliseconds(sums)
    elif kind == ITERATION:
        yield "iterations", "1"
        yield "iteration_duration", _milliseconds(batch.latencies)
    elif kind == LATENESS:
        yield "ipload_generator_lateness", _milliseconds(batch.latencies)
    elif kind in (FIRST_EVENT, GAP):
        yield f"ipload_{kind}", _milliseconds(batch.latencies)
    else:
        yield "group_duration", _milliseconds(batch.latencies)


def _durations(batch: Batch) -> Sequence[int]:
    """As k6 has them: without connecting and TLS, where these are known."""
    if batch.opening is None:
        return batch.latencies
    opening = zip(batch.opening.connecting, batch.opening.handshaking, strict=True)
    spent = [connecting + handshaking if connecting != UNKNOWN else 0 for connecting, handshaking in opening]
    return [latency - before for latency, before in zip(batch.latencies, spent, strict=True)]


def _phases(batch: Batch) -> Iterator[tuple[str, Sequence[bool], Values]]:
    """The times that a request is made of, as far as they are known, and of which samples they are.

    A kept connection needed no time to open. Only a request of HTTP that left from one is known to have had it: other
    calls may have opened any number of connections.
    """
    key, opening = batch.key, batch.opening
    if key.kind not in (REQUEST, SETUP) or key.outcome == FAULT:
        return
    if opening is None:
        if key.status and key.source_address is not None:
            for metric in ("http_req_blocked", "http_req_connecting", "http_req_tls_handshaking"):
                yield metric, [True] * len(batch.starts), "0"
        return
    known = [connecting != UNKNOWN for connecting in opening.connecting]
    if any(known):
        connecting, handshaking = (list(compress(each, known)) for each in opening[:2])
        yield "http_req_blocked", known, _milliseconds(list(map(add, connecting, handshaking)))
        yield "http_req_connecting", known, _milliseconds(connecting)
        yield "http_req_tls_handshaking", known, _milliseconds(handshaking)
    whole = [is_known and first != UNKNOWN for is_known, first in zip(known, opening.first_bytes, strict=True)]
    if any(whole):
        columns = (*opening, batch.latencies)
        rows = list(zip(*(compress(column, whole) for column in columns), strict=True))
        yield "http_req_waiting", whole, _milliseconds([first - before - tls for before, tls, first, _ in rows])
        yield "http_req_receiving", whole, _milliseconds([latency - first for *_, first, latency in rows])


def _tags(key: SpoolKey) -> dict[str, str]:
    """The tags of samples, except their phase, test and address."""
    if key.kind == ITERATION:
        return {"outcome": key.outcome}
    if key.kind == LATENESS:
        return {}
    if key.kind == STEP:
        return {"group": f"::{key.name}", "outcome": key.outcome}
    tags = {"name": key.name} if key.name else {}
    if key.status:
        tags["status"] = str(key.status)
    if (label := _LABEL.match(key.name)) is not None:
        tags["method"] = label[1]
    if key.outcome == FAULT:
        return {**tags, "fault": key.detail}
    tags["expected_response"] = "true" if key.outcome == OK else "false"
    return {**tags, "error": key.detail} if key.detail else tags


def _metadata(key: SpoolKey) -> str:
    """What k6 has beside the tags of a sample, for values that differ between all of them."""
    return f',"metadata":{_json({"trace_id": key.trace_id})}' if key.trace_id else ""


def _round(which: Sequence[Any] | None) -> dict[str, str]:
    return {} if which is None else {"round": str(which[0]), "role": str(which[1])}


def _round_of(result: Mapping[str, Any]) -> dict[str, str]:
    """The round that a result belongs to, where it is one of several."""
    rounds = enumerate(result.get("rounds", ()), 1)
    return _round(next(((n, each["role"]) for n, each in rounds if each["started_at"] == result["started_at"]), None))


def _times(facts: SpoolFacts, batch: Batch) -> list[str]:
    """When samples ended, which is the time that k6 reports: to the nanosecond, in UTC."""
    return _moments(facts, list(map(add, batch.starts, batch.latencies)))


def _moments(facts: SpoolFacts, moments_ns: Sequence[int]) -> list[str]:
    since = (moments_ns[0] + facts.unix_offset_ns) // NS_PER_S
    shift = facts.unix_offset_ns - since * NS_PER_S  # small numbers are faster
    seconds = _Seconds(since)
    return [f"{seconds[(ended := moment + shift) // NS_PER_S]}{ended % NS_PER_S:09d}Z" for moment in moments_ns]


def _milliseconds(nanoseconds: Sequence[int]) -> list[str]:
    return [f"{value / NS_PER_MS:.6f}" for value in nanoseconds]


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _some(batch: Batch, chosen: Sequence[bool]) -> Batch:
    """The chosen ones of a batch's samples."""

    def some(column: array[int]) -> array[int]:
        return array("q", compress(column, chosen))

    late, opening = batch.latenesses, batch.opening
    return Batch(
        batch.key,
        some(batch.starts),
        some(batch.latencies),
        None if late is None else some(late),
        None if opening is None else Opening(*map(some, opening)),
    )
