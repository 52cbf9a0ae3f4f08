"""Rows of test data, by a rule that knows nothing of time.

Of N rows, user i of U gets as its j-th (all counted from 0)

- ``sequential``: row (i + j * U) mod N,
- ``unique``: row i + j * U as long as there is one, so that no row is handed out twice,
- ``random``: a row drawn by the load's seed, i and the source, with replacement.

So the same user has the same rows in each run, whoever is faster, and in each part of a divided load.
"""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from pytest_ipload.base.errors import FeedError, FeedExhausted, SettingError
from pytest_ipload.load.test_data.feed_files import read_rows
from pytest_ipload.settings.parsing import listed

SEQUENTIAL, RANDOM, UNIQUE = ORDERS = ("sequential", "random", "unique")

Source = str | os.PathLike[str] | Iterable[Any]
"""A path of a file, or the rows themselves."""

_MOST_ROWS = 10_000_000
"""Of an iterable: one without end must not fill the memory."""
_MOST_ITERABLES = 10_000
"""That a load remembers."""
_NO_ROWS = (bytes, bytearray, Mapping, Set)
"""Iterables that cannot be rows: a set's order differs from one process to the next."""


class Table:
    """The rows of one source. They are stored once per load and copied when they are handed out."""

    def __init__(self, name: str, kept: Sequence[Any], make: Callable[[Any], Any], digest: int | None = None) -> None:
        """``name`` is for errors; ``make`` makes a row of what is kept of it; ``digest`` identifies a file."""
        self.name = name
        self.digest = digest
        self._kept = kept
        self._make = make

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._kept)

    def row(self, number: int) -> Any:
        """A row of the caller's own."""
        return self._make(self._kept[number])

    def has_the_rows(self, rows: Sequence[Any]) -> bool:
        """Whether these are the same rows."""
        try:
            return len(rows) == len(self._kept) and all(
                ours is theirs or (type(ours) is type(theirs) and bool(ours == theirs))
                for ours, theirs in zip(self._kept, rows, strict=True)
            )
        except Exception:  # rows of any type may come, arrays too, of whose equality Python knows no truth
            return False


class Rows:
    """One user's rows of a source: an iterator that continues where the user stopped. For the user's own thread."""

    def __init__(self, table: Table, order: str, user: int, users: int, random: Random | None) -> None:
        """``user`` is one of ``users``; ``random`` draws the rows of the random order."""
        self._table = table
        self._order = order
        self._user = user
        self._users = users
        self._random = random
        self._had = 0

    def __iter__(self) -> Iterator[Any]:
        """Itself. It has no end: after the last row it starts over or, if rows are unique, raises FeedExhausted."""
        return self

    def __len__(self) -> int:
        """The number of rows in the source."""
        return len(self._table)

    def __next__(self) -> Any:
        """The user's next row. Raises FeedExhausted."""
        __tracebackhide__ = True
        size = len(self._table)
        if self._random is not None:
            return self._table.row(self._random.randrange(size))
        number = self._user + self._had * self._users
        if number >= size and self._order == UNIQUE:
            raise FeedExhausted(
                f"{self._table.name}: no unique row is left for user {self._user}, which has had "
                f"{self._had} of the {size} rows ({self._users} users take turns); give more rows, use fewer users or "
                f"iterations, or set order={SEQUENTIAL!r}, which starts over"
            )
        self._had += 1
        return self._table.row(number % size)

    def __repr__(self) -> str:
        return f"<Rows of {self._table.name}, {self._order}, for user {self._user}>"


class DataFeeds:
    """The test data of one load, read once for all its users."""

    def __init__(self, users: int, seed: int, folders: Sequence[Path]) -> None:
        """``users`` is the number of users that the whole load may have; ``folders`` is where relative paths lead."""
        self.users = users
        self.seed = seed
        self._folders = tuple(dict.fromkeys(folders))
        self._lock = threading.RLock()  # the rows of a source may come from another one
        self._of_paths: dict[Path, Table] = {}
        self._faults: dict[Path, str] = {}
        """What is wrong with files that were read: they are not read again to find out."""
        self._of_iterables: dict[int, Table] = {}
        """By the id of an iterable that is kept, or that takes itself out of here when it goes."""
        self._kept: dict[int, tuple[Any, Table]] = {}
        """Iterables that live as long as the load, by their ids."""

    def table(self, source: Any) -> Table:
        """The rows of a path or an iterable. Raises FeedError, and SettingError for what is neither."""
        with self._lock:
            return self._of_file(source) if isinstance(source, str) else self._of_iterable(source)

    def keeps(self, source: Any) -> bool:
        """Whether it is a path, or an iterable that lives as long as the load."""
        return isinstance(source, str) or id(source) in self._kept

    def _of_file(self, name: str) -> Table:
        path = self._found(name)
        if path in self._faults:
            raise FeedError(self._faults[path])
        table = self._of_paths.get(path)
        if table is None:
            try:
                kept, make, digest = read_rows(path)
            except FeedError as error:
                self._faults[path] = str(error)
                raise
            table = self._of_paths[path] = Table(f"test data {name}", kept, make, digest)
        return table

    def _found(self, name: str) -> Path:
        """The file; a relative path is looked for in each folder in turn."""
        places = [folder / name for folder in self._folders] or [Path(name)]
        found = next((place for place in places if place.exists()), None)
        if found is None:
            looked_at = " nor ".join(dict.fromkeys(map(str, places)))
            raise FeedError(
                f"test data {name!r}: there is no file {looked_at}; give an absolute path, or one relative to the "
                "test's file or pytest's rootdir"
            )
        return found.resolve()

    def _of_iterable(self, source: Any) -> Table:
        table = self._of_iterables.get(id(source))
        if table is not None:
            return table
        kind = f"test data of type {type(source).__name__}"
        if isinstance(source, (*_NO_ROWS, Rows)) or not isinstance(source, Iterable):
            raise SettingError(f"{kind}: give the path of a file, or rows in a fixed order, such as a list")
        rows = tuple(islice(source, _MOST_ROWS + 1))
        if not rows:
            raise FeedError(f"{kind}: it has no rows; a generator that was already used has none left")
        if len(rows) > _MOST_ROWS:
            raise FeedError(f"{kind}: it is endless, or has more than {_MOST_ROWS} rows")
        # An equal list that is made in each iteration is the same source: the user continues in it.
        table = next((each for _, each in self._kept.values() if each.has_the_rows(rows)), None)
        if table is None:
            table = Table(kind, rows, _own)
            self._keep(source, table)
        elif iter(source) is source:
            self._remember(source, table)
        return table

    def _keep(self, source: Any, table: Table) -> None:
        if len(self._kept) >= _MOST_ITERABLES:
            raise FeedError(
                f"{table.name}: this load has {_MOST_ITERABLES} sources already; make the rows once, in a "
                "shared fixture or in the test's module, and not in each iteration"
            )
        self._kept[id(source)] = source, table
        self._of_iterables[id(source)] = table

    def _remember(self, source: Any, table: Table) -> None:
        """An exhausted iterator: it has no rows left for the next user."""
        try:
            weakref.finalize(source, self._of_iterables.pop, id(source), None).atexit = False
            self._of_iterables[id(source)] = table
        except TypeError:  # nothing can refer to it weakly
            self._keep(source, table)

    def of_user(self, user: int) -> UserFeeds:
        """What one user draws from; made when it first draws, as most users never do."""
        return UserFeeds(self, user)


class UserFeeds:
    """One user's position in its sources. For the user's own thread."""

    def __init__(self, feeds: DataFeeds, user: int) -> None:
        self._feeds = feeds
        self._user = user
        self._begun: dict[tuple[Table, str], Rows] = {}
        self._known: dict[tuple[str | int, str], Rows] = {}
        """The same by what was given: a path, or the id of an iterable that lives as long as the load."""

    def rows(self, source: Source, order: str = SEQUENTIAL) -> Rows:
        """The user's rows of a source: the same object each time. Raises FeedError and SettingError."""
        if order not in ORDERS:
            raise SettingError(f"order {order!r} of test data is unknown; allowed: {listed(ORDERS)}")
        given: Any = os.fspath(source) if isinstance(source, os.PathLike) else source
        key = given if isinstance(given, str) else id(given)
        rows = self._known.get((key, order))
        if rows is None:
            rows = self._rows_of(self._feeds.table(given), order)
            if self._feeds.keeps(given):
                self._known[key, order] = rows
        return rows

    def _rows_of(self, table: Table, order: str) -> Rows:
        rows = self._begun.get((table, order))
        if rows is None:
            draw = self._random(table) if order == RANDOM else None
            rows = self._begun[table, order] = Rows(table, order, self._user, self._feeds.users, draw)
        return rows

    def _random(self, table: Table) -> Random:
        """The user's random numbers for a source: known by its content, or by its order of use if it is not a file."""
        source = len(self._begun) if table.digest is None else f"file:{table.digest}"
        return Random(f"{self._feeds.seed}:{self._user}:feed:{source}")


def _own(row: Any) -> Any:
    """A row that its user may change; what is in it is shared all the same."""
    return copy.copy(row) if isinstance(row, (dict, list)) else row
