"""Saved runs made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.results import load_result
from support.samples import iteration, request, step

from pytest_ipload.base.machine import Machine, this_machine
from pytest_ipload.baselines.saved_run import SavedRun, Test, of_result
from pytest_ipload.baselines.store import Store
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.sample import Sample

NODEID = "test_it.py::test_it"
OTHER = Machine(
    system="Linux",
    architecture="riscv64",
    processor="Another One",
    processors=64,
    implementation="CPython",
    python="3.99",
)


def result(
    latency_ms: float = 10,
    *,
    nodeid: str = NODEID,
    samples: Sequence[Sample] | None = None,
    verdict: str = "passed",
    **profile: Any,
) -> dict[str, Any]:
    """A result in plain values: a hundred requests that took as long, by two users of five iterations."""
    taken = [request("GET /", latency_ms), step("checkout", latency_ms), iteration(latency_ms)] * 100
    made = load_result(taken if samples is None else samples, nodeid=nodeid, verdict=verdict).as_dict()
    return {**made, "profile": LoadProfile(**{"users": 2, "iterations": 5, **profile}).as_dict()}


def saved_test(latency_ms: float = 10, *, load: int = 0, **more: Any) -> Test:
    """What is saved of such a result."""
    return of_result(result(latency_ms, **more), load)


def saved_run(*tests: Test, name: str = "main", machine: Machine | None = None, **differing: Any) -> SavedRun:
    """A run with these tests; fields of this machine may differ."""
    return SavedRun(
        name=name,
        saved_at="2026-01-31T12:00:00+00:00",
        machine=replace(machine or this_machine(), **differing),
        commit=None,
        tests={(test["nodeid"], test["load"]): test for test in tests},
    )


def write_runs(root: Path, *runs: SavedRun) -> list[Path]:
    """Save the runs for this machine, whatever machine they are of."""
    return [Store(root).save(run) for run in runs]
