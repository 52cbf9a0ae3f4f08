"""The options to save runs and to compare with them, read and checked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_ipload.settings.session_settings import BaselineSettings


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
