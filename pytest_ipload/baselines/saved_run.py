"""A saved run: what is kept of a session's results, as JSON.

A file may have been written by anyone. The fields that are used later are checked here; the rest is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_ipload.base.commit import Commit
from pytest_ipload.base.machine import Machine
from pytest_ipload.baselines import comparability
from pytest_ipload.stats.histogram import Histogram, plain_int, plain_list, shown
from pytest_ipload.stats.own_summary import TIME
from pytest_ipload.verdict.codec import decode, encode
from pytest_ipload.verdict.threshold.expression import STREAM_FAMILIES
from pytest_ipload.verdict.threshold.target_metric import COMPARABLE

SCHEMA = 1
_KIND = "saved run of pytest-ipload"
_NUMBERS = ("duration_s", "error_rate", "request_error_rate", "rps", "iterations_per_second")
_COUNTS = ("users", "iterations", "failed_iterations", "requests", "failed_requests")
_OF_TIMES = ("min_ms", "mean_ms", "max_ms")
_OF_CAPACITY = ("by", "rate", "low", "high")
_SHARES = frozenset({"error_rate", "request_error_rate"})

Test = Mapping[str, Any]
"""The saved part of a result: fields of a test in the JSON report, by the same names, and ``load``."""
Key = tuple[str, int]
"""The test's node id and which of its loads it is, from 0: a test that uses the fixture ``ipload`` may run several."""


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """The loads of one session that are worth comparing with."""

    name: str
    saved_at: str
    """ISO 8601, UTC."""
    machine: Machine
    commit: Commit | None
    tests: Mapping[Key, Test] = field(repr=False)

    def to_text(self) -> str:
        """The content of its file."""
        head = {"kind": _KIND, "schema": SCHEMA, "name": self.name, "saved_at": self.saved_at}
        about = {"machine": encode(self.machine), "commit": encode(self.commit), "tests": list(self.tests.values())}
        return json.dumps({**head, **about}, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> SavedRun:
        """Read the content of a file. ``ValueError`` says what is wrong with it."""
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON: {error}") from None
        if not isinstance(plain, dict) or plain.get("kind") != _KIND:
            raise ValueError("not a saved run; saved runs are written with --ipload-save or --ipload-autosave")
        if plain.get("schema") != SCHEMA:
            raise ValueError(f"it has schema {shown(plain.get('schema'))}, this version reads {SCHEMA}; save it again")
        tests = [_test(test, f"tests[{place}]") for place, test in enumerate(plain_list(plain.get("tests"), "tests"))]
        return cls(
            name=_text(plain.get("name"), "name"),
            saved_at=_text(plain.get("saved_at"), "saved_at"),
            machine=decode(Machine, plain.get("machine"), "machine"),
            commit=None if plain.get("commit") is None else decode(Commit, plain["commit"], "commit"),
            tests={(test["nodeid"], test["load"]): test for test in tests},
        )


def of_result(result: Mapping[str, Any], load: int) -> Test:
    """What is saved of a result in plain values."""
    kept = (
        "nodeid",
        "started_at",
        *_NUMBERS,
        *_COUNTS,
        "latency",
        "response_time",
        *STREAM_FAMILIES,
        "by_name",
        "steps",
        "checks",
        "metrics",
    )
    saved = {name: result[name] for name in kept if name in result}
    if "targets" in result:
        saved["targets"] = [_of_target(target) for target in result["targets"]]
    if "capacity" in result:
        saved["capacity"] = {
            key: result["capacity"][key] for key in (*_OF_CAPACITY, "expressions") if key in result["capacity"]
        }
    return {**saved, "load": load, "profile": comparability.of_result(result)}


def _of_target(target: Mapping[str, Any]) -> Test:
    """What is saved of a target: its name and the statistics that can be compared."""
    metrics = {name: {key: stats[key] for key in COMPARABLE} for name, stats in target["metrics"].items()}
    return {"name": target["name"], "metrics": metrics}


def is_too_small(result: Mapping[str, Any]) -> bool:
    """Whether the load is too small to be saved or compared: a functional test. A search has many rounds."""
    return bool(result["iterations"] <= 1) and "capacity" not in result


def _test(value: object, where: str) -> Test:
    test = _object(value, where)
    checked: dict[str, Any] = {"nodeid": _text(test.get("nodeid"), f"{where}.nodeid")}
    checked["load"] = plain_int(test.get("load"), f"{where}.load")
    checked["profile"] = comparability.only_counted(_object(test.get("profile"), f"{where}.profile"))
    checked.update((name, plain_int(test.get(name), f"{where}.{name}")) for name in _COUNTS)
    for name in _NUMBERS:
        if name in test or name not in _SHARES:
            checked[name] = _number(test.get(name), f"{where}.{name}")
    checked["latency"] = _distribution(test.get("latency"), f"{where}.latency")
    checked.update(_optional(test, ("response_time", *STREAM_FAMILIES), where))
    checked["by_name"] = _rows(test, "by_name", ("requests", "failed_requests"), ("rps",), where)
    checked["steps"] = _rows(test, "steps", ("count", "failed"), (), where)
    checked.update(_own(test, where))
    if "targets" in test:
        checked["targets"] = _targets(test, where)
    if "capacity" in test:
        checked["capacity"] = _capacity(test["capacity"], f"{where}.capacity")
    return checked


def _own(test: Test, where: str) -> Test:
    """The test's own checks, and the times that it observed; its counts and gauges are not compared."""
    found: dict[str, Any] = {}
    for key in ("checks", "metrics"):
        rows = []
        for place, value in enumerate(plain_list(test.get(key, []), f"{where}.{key}")):
            here = f"{where}.{key}[{place}]"
            row = _object(value, here)
            name = {"name": _text(row.get("name"), f"{here}.name")}
            if key == "checks":
                rows.append(name | {each: plain_int(row.get(each), f"{here}.{each}") for each in ("passed", "failed")})
            elif _text(row.get("kind"), f"{here}.kind") == TIME:
                rows.append({**name, "kind": TIME, **_distribution(row, here)})
        if rows:
            found[key] = rows
    return found


def _rows(test: Test, key: str, counts: Sequence[str], numbers: Sequence[str], where: str) -> list[Test]:
    rows: list[Test] = []
    for place, value in enumerate(plain_list(test.get(key), f"{where}.{key}")):
        here = f"{where}.{key}[{place}]"
        row = _object(value, here)
        checked: dict[str, Any] = {"name": _text(row.get("name"), f"{here}.name")}
        checked.update((name, plain_int(row.get(name), f"{here}.{name}")) for name in counts)
        checked.update((name, _number(row.get(name), f"{here}.{name}")) for name in numbers)
        checked.update(_optional(row, STREAM_FAMILIES, here))
        rows.append({**checked, "latency": _distribution(row.get("latency"), f"{here}.latency")})
    return rows


def _targets(test: Test, where: str) -> list[Test]:
    rows: list[Test] = []
    for place, value in enumerate(plain_list(test["targets"], f"{where}.targets")):
        here = f"{where}.targets[{place}]"
        row = _object(value, here)
        metrics = {
            name: {key: _real(_object(stats, here).get(key), f"{here}.{name}.{key}") for key in COMPARABLE}
            for name, stats in _object(row.get("metrics"), f"{here}.metrics").items()
        }
        rows.append({"name": _text(row.get("name"), f"{here}.name"), "metrics": metrics})
    return rows


def _capacity(value: object, where: str) -> Test:
    """What a capacity search found; its numbers are absent where they are unknown."""
    given = _object(value, where)
    by, *numbers = _OF_CAPACITY
    found = {key: _number(given[key], f"{where}.{key}") for key in numbers if key in given}
    expressions = [_text(each, f"{where}.expressions") for each in plain_list(given.get("expressions", []), where)]
    return {by: _text(given.get(by), f"{where}.{by}"), "expressions": expressions, **found}


def _optional(row: Test, names: Sequence[str], where: str) -> Test:
    """The distributions of these names that it has."""
    return {name: _distribution(row[name], f"{where}.{name}") for name in names if name in row}


def _distribution(value: object, where: str) -> Test:
    """Its count, and what it has where that is not 0."""
    given = _object(value, where)
    count = plain_int(given.get("count"), f"{where}.count")
    if not count:
        return {"count": 0}
    checked: dict[str, Any] = {name: _number(given.get(name), f"{where}.{name}") for name in _OF_TIMES}
    checked["histogram"] = _text(given.get("histogram"), f"{where}.histogram")
    if Histogram.decode(checked["histogram"]).count != count:
        raise ValueError(f"{where}: its count and its histogram contradict each other")
    return {"count": count, **checked}


def _object(value: object, where: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"{where}: expected an object, got {shown(value)}")
    return value


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise ValueError(f"{where}: expected a text, got {shown(value)}")
    return value


def _number(value: object, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:  # type: ignore[operator]
        raise ValueError(f"{where}: expected a number from 0 on, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _real(value: object, where: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError(f"{where}: expected a number, got {shown(value)}")
    return float(value)  # type: ignore[arg-type]
