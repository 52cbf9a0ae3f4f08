"""Series that nothing tells apart, as one: for what is kept or sent only to be selected from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_ipload.stats.sample import SETUP
from pytest_ipload.stats.series import SeriesKey
from pytest_ipload.stats.series_table import OTHER_NAMES
from pytest_ipload.stats.spans import Selection

_MOST_KEYS = 4096
"""Maximum number of cached keys: the number of names is unbounded."""


class Folding:
    """Maps the keys of series so that each of the selections chooses the same samples as before.

    Series that fit the same selections, and differ in names, addresses or states only, become one. Whatever is
    selected is then the same histogram; what no selection is about is left out.
    """

    def __init__(self, selections: Iterable[Selection]) -> None:
        self._selections = list(dict.fromkeys(each._replace(time="outcome") for each in selections))
        self._tells_states = any(each.status is not None for each in self._selections)
        self._known: dict[Any, SeriesKey | None] = {}
        self._first: dict[Any, SeriesKey] = {}

    def key(self, key: tuple[Any, ...]) -> SeriesKey | None:
        """What series of this key are kept under; None if they are not kept."""
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= _MOST_KEYS:
                self._known.clear()
            folded = self._known[key] = self._folded(SeriesKey(*key))
            return folded

    def _folded(self, key: SeriesKey) -> SeriesKey | None:
        is_other = key.name == OTHER_NAMES  # which may hide any name: kept, so that this is known
        fitting = tuple(
            number
            for number, each in enumerate(self._selections)
            if (each._replace(name=None) if is_other else each).fits(key)
        )
        if not fitting or key.kind == SETUP:
            return None
        chosen = [self._selections[number] for number in fitting]
        name, source = key.name, key.source_address
        if not is_other and all(each.name is None for each in chosen):
            name = ""
        if all(each.source_address is None for each in chosen):
            source = None
        status = key.status if self._tells_states else 0
        # A name that only a pattern chooses stands for all that the same patterns choose.
        group = (key.kind, key.outcome, status, source, fitting, name in ("", OTHER_NAMES) and name)
        return self._first.setdefault(group, SeriesKey(key.kind, name, source, status, key.outcome))
