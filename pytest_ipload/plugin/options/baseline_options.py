"""The options to save runs and to compare with them.

Imported by every pytest run: slow modules are imported where they are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_ipload.settings.session_settings import BaselineSettings


def add_options(parser: pytest.Parser) -> None:
    """Register them."""
    group = parser.getgroup("ipload-baselines", "baselines of load tests (pytest-ipload)")
    group.addoption("--ipload-save", metavar="NAME", help="Save the results of this run in .ipload, under this name")
    group.addoption(
        "--ipload-autosave",
        action="store_true",
        default=None,
        help="Save the results of this run in .ipload; its name consists of the commit and the time",
    )
    group.addoption(
        "--ipload-compare",
        metavar="REF",
        nargs="?",
        const="",
        help="Compare with saved runs: --ipload-compare=REF names them, by name, number, file or folder. Without REF: "
        "the newest comparable runs on this kind of machine",
    )
    group.addoption(
        "--ipload-compare-fail",
        metavar="LIMIT",
        action="append",
        help="Fail a load test that is worse than what it is compared with by more than this, as in p95:10%% or "
        "p95:10%%,50ms (may be given several times). Implies --ipload-compare, unless --ipload-against is given",
    )


def read_settings(config: pytest.Config) -> BaselineSettings:
    """Read and check them. Raises ``pytest.UsageError``."""
    given = {name: config.getoption(f"ipload_{name}") for name in ("save", "autosave", "compare", "compare_fail")}
    if config.getoption("ipload_segment") is not None:
        for name, value in given.items():
            if value is not None:
                raise pytest.UsageError(
                    f"--ipload-{name.replace('_', '-')} and --ipload-segment contradict each other: a segment is only "
                    "part of a load, and parts are not compared; remove one of them"
                )
    against = config.getoption("ipload_against")
    if against is not None and given["compare"] is not None:
        raise pytest.UsageError(
            "--ipload-compare and --ipload-against contradict each other: a run is compared with saved ones, or with "
            "another target; remove one of them"
        )
    limits, of_capacity = _limits(given["compare_fail"] or ())
    implied = "" if (limits or of_capacity) and against is None else None
    return BaselineSettings(
        save=_name(given["save"]),
        autosave=bool(given["autosave"]),
        compare=implied if given["compare"] is None else given["compare"],
        limits=limits,
        capacity_limits=of_capacity,
    )


def _limits(texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of ordinary values, and those of the capacity."""
    if not texts:
        return (), ()
    from pytest_ipload.capacity.capacity_change import CapacityLimit, is_capacity_limit
    from pytest_ipload.verdict.regression.limit import CompareLimit

    try:
        ordinary = tuple(CompareLimit.parse(text).text for text in texts if not is_capacity_limit(text))
        return ordinary, tuple(CapacityLimit.parse(text).text for text in texts if is_capacity_limit(text))
    except ValueError as error:
        raise pytest.UsageError(f"--ipload-compare-fail: {error}") from None


def _name(text: str | None) -> str | None:
    if text is None:
        return None
    from pytest_ipload.baselines.store import check_name

    try:
        return check_name(text)
    except ValueError as error:
        raise pytest.UsageError(f"--ipload-save: {error}") from None
