"""The outcome of a load test: all that its processes need to pass or fail it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_ipload.stats.evidence.evidence import Evidence
from pytest_ipload.verdict.failure_text import failure_message
from pytest_ipload.verdict.result import ERROR, LoadResult, UnmeasuredResult
from pytest_ipload.verdict.result_properties import properties_of

_FIELDS = ("verdict", "message", "by_comparison", "properties", "is_final", "following")


@dataclass(frozen=True)
class Conclusion:
    """The verdict on a load test, with its results in plain values where they are reported."""

    verdict: str
    message: str = ""
    """The failure message."""
    by_comparison: bool = False
    """Whether only comparisons with a baseline fail it."""
    properties: Mapping[str, str | int | float] = field(default_factory=dict)
    """The main numbers, for JUnit and other plugins."""
    results: Sequence[dict[str, Any]] = ()
    """For the reports; empty for a worker, whose controller has them."""
    is_final: bool = True
    """False if another round follows and will bring the verdict."""
    following: str | None = None
    """Which one that is, in a capacity search."""

    @classmethod
    def of(cls, result: LoadResult, more: Mapping[str, Any] = MappingProxyType({})) -> Conclusion:
        """From a judged result; ``more`` is added to its plain values."""
        return cls(
            result.verdict,
            failure_message(result),
            result.fails_by_comparison,
            properties_of(result),
            [{**result.as_dict(), **more}],
        )

    @classmethod
    def of_error(
        cls,
        nodeid: str,
        reason: str,
        profile: Mapping[str, Any] | None = None,
        segment: str | None = None,
        together: str | None = None,
        evidence: Sequence[Evidence] = (),
    ) -> Conclusion:
        """For a load test that measured nothing, and why; ``evidence`` is of its users' set-ups."""
        result = UnmeasuredResult(
            nodeid=nodeid, reason=reason, profile=profile, together=together, evidence=evidence or None
        ).as_dict()
        if segment is not None:
            result["segment"] = segment
        return cls(ERROR, reason, properties={"ipload_verdict": ERROR}, results=[result])

    def to_plain(self) -> dict[str, Any]:
        """As plain values for another process, without the results."""
        return {**{name: getattr(self, name) for name in _FIELDS}, "properties": dict(self.properties)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Conclusion:
        """The reverse."""
        return cls(**{name: plain[name] for name in _FIELDS})
