"""The main numbers of a result, as properties of a test: in JUnit and for other plugins."""

from __future__ import annotations

from pytest_ipload.verdict.result import LoadResult

_OF_RESULT = ("verdict", "requests", "rps", "error_rate")
_OF_LATENCY = ("p50_ms", "p95_ms", "p99_ms")
_OF_CAPACITY = ("rate", "low", "high", "verdict", "limited_by", "at_least")
NAMES = frozenset(
    f"ipload_{name}" for name in (*_OF_RESULT, *_OF_LATENCY, *(f"capacity_{name}" for name in _OF_CAPACITY))
)


def properties_of(result: LoadResult) -> dict[str, str | int | float]:
    """Those that were measured, by their names."""
    values = {f"ipload_{name}": getattr(result, name) for name in _OF_RESULT}
    values.update({f"ipload_{name}": getattr(result.latency, name) for name in _OF_LATENCY})
    values.update({f"ipload_capacity_{name}": (result.capacity or {}).get(name) for name in _OF_CAPACITY})
    return {name: value for name, value in values.items() if value is not None}
