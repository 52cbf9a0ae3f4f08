"""The options of segments: which part of each load a session runs, and how it meets the other parts.

Imported only where one of them is given; they are registered in ``command_line``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from pytest_ipload.settings.parsing import as_moment, as_seconds

Option = Callable[[pytest.Config, str, Callable[[str], Any]], Any]
"""The value of an option of this name, checked by the function; None where it is not given."""


def read_segment_settings(config: pytest.Config, option: Option) -> dict[str, Any]:
    """Read and check them. Raises ``pytest.UsageError``."""
    segment = option(config, "segment", _segment)
    weights: tuple[int, ...] = option(config, "weights", _weights) or ()
    store = option(config, "store", _store)
    wait_s = option(config, "store_wait", as_seconds)
    _check_needs(config, segment)
    if segment is not None:
        config.option.ipload_segment = segment  # workers on other hosts do not have the variables
        _check_segment(config, segment, weights)
        _name_files(config, segment.partition("/")[0], store)
    return {
        "segment": segment,
        "weights": weights,
        "store": store,
        **({} if wait_s is None else {"store_wait": wait_s}),
        "start_at": option(config, "start_at", as_moment),
        "start_every": option(config, "start_every", as_seconds),
    }


def _check_needs(config: pytest.Config, segment: str | None) -> None:
    """Options that need others."""
    if config.getoption("ipload_start_every") and not config.getoption("ipload_start_at"):
        raise pytest.UsageError("--ipload-start-every: give the start of the first load, too (--ipload-start-at)")
    for name, why in (("store", "the segments of a load meet in it"), ("weights", "they are those of segments")):
        if config.getoption(f"ipload_{name}") and segment is None:
            raise pytest.UsageError(f"--ipload-{name}: {why}; give the segment, too (--ipload-segment)")
    if config.getoption("ipload_store_wait") and not config.getoption("ipload_store"):
        raise pytest.UsageError("--ipload-store-wait: there is nothing to wait for; give --ipload-store, too")
    if config.getoption("ipload_store") and config.getoption("ipload_start_at"):
        raise pytest.UsageError(
            "--ipload-store and --ipload-start-at contradict each other: the segments agree on the start in the store; "
            "remove one of them"
        )


def _check_segment(config: pytest.Config, segment: str, weights: tuple[int, ...]) -> None:
    count = int(segment.partition("/")[2])
    if weights and len(weights) != count:
        raise pytest.UsageError(
            f"--ipload-weights: {len(weights)} weights for {count} segments; give one whole number for each segment"
        )
    if config.getoption("ipload_rounds") or config.getoption("ipload_against"):
        raise pytest.UsageError(
            "--ipload-segment: a segment is a part of one load; remove --ipload-rounds and --ipload-against"
        )
    others = ("ipload_json", "ipload_store", "collectonly", "ipload_disable", "ipload_debug")
    if not any(config.getoption(name) for name in others):
        raise pytest.UsageError(
            "--ipload-segment: a segment judges nothing, so without a file its result would be lost; give one with "
            "--ipload-json and have 'python -m pytest_ipload merge' judge the files of all segments"
        )


def _name_files(config: pytest.Config, number: str, store: str | None) -> None:
    """Put the number into the names of files; the results go into the store, where no file is given for them."""
    for name in ("json", "html", "summary", "hlog", "openmetrics", "jsonl"):
        if (given := getattr(config.option, f"ipload_{name}")) is not None:
            setattr(config.option, f"ipload_{name}", given.replace("{segment}", number))
    is_functional = config.getoption("ipload_disable") or config.getoption("ipload_debug")
    if store is not None and config.option.ipload_json is None and not is_functional:
        from pytest_ipload.distributed.store.place import is_url, joined

        place = joined(store, f"segment-{number}.json")
        config.option.ipload_json = place if is_url(place) else f"file://{place}"


def _segment(text: str) -> str:
    from pytest_ipload.load.partition import parse_segment
    from pytest_ipload.load.segment_variables import AUTO, segment_of

    share = segment_of(os.environ) if text.strip() == AUTO else parse_segment(text)
    return f"{share.index}/{share.count}"


def _weights(text: str) -> tuple[int, ...]:
    from pytest_ipload.load.partition import parse_weights

    return parse_weights(text)


def _store(text: str) -> str:
    from pytest_ipload.distributed.store.place import check_place, is_url

    place = check_place(text)
    return place if is_url(place) else os.path.abspath(place)
