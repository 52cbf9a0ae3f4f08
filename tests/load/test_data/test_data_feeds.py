"""Which user gets which rows of test data."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.base.errors import FeedError, FeedExhausted, SettingError
from pytest_ipload.load.test_data import data_feeds as feed_module
from pytest_ipload.load.test_data.data_feeds import ORDERS, DataFeeds, Rows, UserFeeds
from pytest_ipload.load.test_data.feed_files import read_rows


def feeds_of(users: int, *, seed: int = 1, folders: Iterable[Path] = ()) -> list[UserFeeds]:
    """The feeds of all users of one load."""
    book = DataFeeds(users, seed, list(folders))
    return [UserFeeds(book, user) for user in range(users)]


def draws(feeds: UserFeeds, source: Any, order: str, count: int) -> list[Any]:
    return [next(feeds.rows(source, order)) for _ in range(count)]


# Who has drawn when: the indexes of users, each below the number of users.
LOADS = st.integers(1, 12).flatmap(
    lambda users: st.tuples(st.just(users), st.lists(st.integers(0, users - 1), max_size=80))
)


class TestOrders:
    @given(load=LOADS, size=st.integers(1, 50))
    def test_sequential_rows_go_round_by_user_and_number(self, load: tuple[int, list[int]], size: int) -> None:
        users, turns = load
        source, feeds, had = list(range(size)), feeds_of(users), [0] * users
        for user in turns:
            assert next(feeds[user].rows(source, "sequential")) == (user + had[user] * users) % size
            had[user] += 1

    @given(load=LOADS, size=st.integers(1, 50))
    def test_unique_rows_are_never_handed_out_twice_and_all_are(self, load: tuple[int, list[int]], size: int) -> None:
        users, turns = load
        source, feeds = list(range(size)), feeds_of(users)
        seen: list[int] = []
        everybody_to_the_end = [user for user in range(users) for _ in range(size // users + 2)]
        for user in turns + everybody_to_the_end:
            try:
                seen.append(next(feeds[user].rows(source, "unique")))
            except FeedExhausted:
                assert user + sum(row % users == user for row in seen) * users >= size
        assert sorted(seen) == source

    @pytest.mark.parametrize("order", ORDERS)
    @given(load=LOADS, size=st.integers(1, 50), seed=st.integers())
    def test_a_user_has_the_same_rows_whoever_draws_in_between(
        self, order: str, load: tuple[int, list[int]], size: int, seed: int
    ) -> None:
        users, turns = load
        source = list(range(size))
        mixed: dict[int, list[Any]] = {user: [] for user in range(users)}
        together = feeds_of(users, seed=seed)
        for user in turns:
            if order != "unique" or user + len(mixed[user]) * users < size:
                mixed[user].append(next(together[user].rows(source, order)))
        alone = feeds_of(users, seed=seed)  # one user after the other, as in parts of a divided load
        for user in reversed(range(users)):
            assert draws(alone[user], source, order, len(mixed[user])) == mixed[user]

    def test_random_rows_depend_on_seed_user_and_source(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_text("n\n" + "".join(f"{name}{number}\n" for number in range(100)))

        def numbers(seed: int, user: int, name: str) -> list[str]:
            rows = draws(feeds_of(5, seed=seed, folders=[tmp_path])[user], name, "random", 20)
            return [row["n"].removeprefix(name) for row in rows]

        first = numbers(1, 0, "a.csv")
        assert first == numbers(1, 0, "a.csv")
        different = [numbers(2, 0, "a.csv"), numbers(1, 1, "a.csv"), numbers(1, 0, "b.csv")]
        assert len({tuple(each) for each in [first, *different]}) == 4
        assert len(set(draws(feeds_of(1)[0], range(3), "random", 50))) == 3  # with replacement

    def test_random_rows_of_two_lists_do_not_go_together(self) -> None:
        (feeds,) = feeds_of(1)
        names, cities = [f"n{k}" for k in range(50)], [f"c{k}" for k in range(50)]
        pairs = [(next(feeds.rows(names, "random"))[1:], next(feeds.rows(cities, "random"))[1:]) for _ in range(20)]
        assert any(name != city for name, city in pairs)

    def test_a_file_draws_the_same_wherever_it_lies_and_whatever_ends_its_lines(self, tmp_path: Path) -> None:
        seen = []
        for folder, end in (("here", b"\n"), ("there", b"\r\n")):
            (tmp_path / folder).mkdir()
            path = tmp_path / folder / "numbers.jsonl"
            path.write_bytes(b"".join(b"%d%s" % (number, end) for number in range(100)))
            seen.append(draws(feeds_of(1)[0], path, "random", 20))
        assert seen[0] == seen[1]

    @pytest.mark.parametrize("order", ["Sequential", "", None, ["unique"]])
    def test_an_unknown_order_is_refused(self, order: Any) -> None:
        with pytest.raises(SettingError, match=r"order .* is unknown; allowed: 'sequential', 'random', 'unique'"):
            feeds_of(1)[0].rows([1], order)


class TestExhaustion:
    def test_it_says_source_rows_user_and_what_to_do_and_goes_on_saying_it(self) -> None:
        feeds = feeds_of(3)
        rows = feeds[1].rows(["a", "b", "c", "d"], "unique")
        assert next(rows) == "b"
        for _ in range(2):
            with pytest.raises(FeedExhausted) as caught:
                next(rows)
            assert str(caught.value) == (
                "test data of type list: no unique row is left for user 1, which has had 1 of the 4 rows (3 users take "
                "turns); give more rows, use fewer users or iterations, or set order='sequential', which starts over"
            )
        assert next(feeds[0].rows(["a", "b", "c", "d"], "unique")) == "a"  # the others have theirs


class TestRows:
    def test_both_idioms_go_on_where_the_user_stopped(self) -> None:
        feeds, source = feeds_of(2), list(range(10))
        rows = feeds[0].rows(source)
        assert [next(rows), next(feeds[0].rows(source)), next(rows)] == [0, 2, 4]
        assert next(feeds[0].rows(source, "unique")) == 0  # another order is another place
        assert next(feeds[1].rows(source)) == 1

    def test_they_are_an_iterator_with_the_length_of_the_source(self) -> None:
        rows = feeds_of(2)[1].rows(list("abc"))
        assert (len(rows), iter(rows) is rows, repr(rows)) == (
            3,
            True,
            "<Rows of test data of type list, sequential, for user 1>",
        )
        assert [row for row, _ in zip(rows, range(4), strict=False)] == ["b", "a", "c", "b"]

    def test_a_user_cannot_disturb_the_rows_of_another(self, tmp_path: Path) -> None:
        (tmp_path / "users.csv").write_text("name\nada\n")
        (tmp_path / "users.jsonl").write_text('{"name": "ada", "tags": []}\n')
        source = [{"name": "ada"}]
        for data in (source, "users.csv", "users.jsonl"):
            first, second = feeds_of(2, folders=[tmp_path])
            row = next(first.rows(data))
            row["name"] = "eve"
            row.get("tags", []).append("spoiled")
            assert next(second.rows(data))["name"] == next(first.rows(data))["name"] == "ada"
            assert next(second.rows(data)).get("tags", []) == []
        assert source == [{"name": "ada"}]

    def test_what_is_done_to_a_list_during_the_load_changes_no_row(self) -> None:
        source = [1, 2]
        feeds = feeds_of(1)[0]
        rows = feeds.rows(source)
        source.append(3)
        assert [next(feeds.rows(source)) for _ in range(3)] == [1, 2, 1]
        assert len(rows) == 2


class TestIterables:
    def test_a_generator_is_run_once_for_all_users(self) -> None:
        runs: list[int] = []

        def generate() -> Iterator[int]:
            runs.append(1)
            yield from range(6)

        feeds, source = feeds_of(3), generate()
        assert [draws(each, source, "unique", 2) for each in feeds] == [[0, 3], [1, 4], [2, 5]]
        assert runs == [1]

    @pytest.mark.parametrize("make", [list, iter, lambda rows: map(int, rows), lambda rows: (row for row in rows)])
    def test_an_equal_source_made_in_each_iteration_is_the_same(self, make: Callable[[Any], Any]) -> None:
        first, second = feeds_of(2)
        assert [next(first.rows(make(range(8)), "unique")) for _ in range(4)] == [0, 2, 4, 6]
        assert next(second.rows(make(range(8)), "unique")) == 1
        with pytest.raises(FeedExhausted):
            next(first.rows(make(range(8)), "unique"))

    @pytest.mark.parametrize("lazy", [lambda rows: map(int, rows), lambda rows: (row for row in rows)])
    def test_an_iterator_with_known_rows_is_known_when_it_comes_again(self, lazy: Callable[[Any], Any]) -> None:
        first, second = feeds_of(2)
        first.rows(list(range(4)), "unique")
        source = lazy(range(4))
        assert [next(first.rows(source, "unique")), next(second.rows(source, "unique"))] == [0, 1]

    @pytest.mark.parametrize(
        ("one", "other"),
        [([1, 2], [1, 3]), ([1, 2], [1, 2, 3]), ([1], [True]), ([{"a": 1}], [{"a": 2}]), ([float("nan")], [0.0])],
    )
    def test_different_rows_are_different_sources(self, one: list[Any], other: list[Any]) -> None:
        (feeds,) = feeds_of(1)
        assert next(feeds.rows(one)) is one[0] or next(feeds.rows(one)) == one[0]
        row = next(feeds.rows(other))
        assert (row, type(row)) == (other[0], type(other[0]))

    def test_rows_that_cannot_be_compared_are_different(self) -> None:
        class Odd:
            def __eq__(self, other: object) -> bool:
                raise ValueError("neither true nor false")

            __hash__ = None  # type: ignore[assignment]

        (feeds,) = feeds_of(1)
        one, other = [Odd(), Odd()], [Odd(), Odd()]
        assert [next(feeds.rows(rows)) is rows[0] for rows in (one, other)] == [True, True]

    def test_sources_made_in_each_iteration_are_forgotten_or_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "_MOST_ITERABLES", 3)
        book = DataFeeds(1, 1, [])
        feeds = UserFeeds(book, 0)
        for _ in range(10):
            feeds.rows([1, 2])
            feeds.rows(row for row in (1, 2))
        gc.collect()
        assert len(book._of_iterables) == len(book._kept) == 1
        feeds.rows([2])
        feeds.rows([3])
        with pytest.raises(FeedError, match=r"this load has 3 sources already; make the rows once"):
            feeds.rows([4])

    @pytest.mark.parametrize(
        ("source", "kind"),
        [({"name": "ada"}, "dict"), ({1, 2}, "set"), (b"users.csv", "bytes"), (7, "int"), (None, "NoneType")],
    )
    def test_what_has_no_rows_in_an_order_is_refused(self, source: Any, kind: str) -> None:
        with pytest.raises(
            SettingError, match=f"test data of type {kind}: give the path of a file, or rows in a fixed"
        ):
            feeds_of(1)[0].rows(source)

    def test_rows_are_no_source(self) -> None:
        (feeds,) = feeds_of(1)
        with pytest.raises(SettingError, match="test data of type Rows"):
            feeds.rows(feeds.rows([1]))

    def test_empty_and_endless_ones_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feed_module, "_MOST_ROWS", 1000)
        (feeds,) = feeds_of(1)
        spent = iter([1])
        next(spent)
        for empty in (list[int](), spent):
            with pytest.raises(FeedError, match="it has no rows; a generator that was already used has none"):
                feeds.rows(empty)
        with pytest.raises(FeedError, match="it is endless, or has more than 1000 rows"):
            feeds.rows(iter(int, 1))
        assert len(feeds.rows(range(1000))) == 1000

    def test_rows_may_come_from_another_source(self) -> None:
        (feeds,) = feeds_of(1)
        nested = (row * 2 for row, _ in zip(feeds.rows([1, 2, 3]), range(3), strict=False))
        assert next(feeds.rows(nested)) == 2


class TestFiles:
    def test_the_folder_of_the_test_comes_before_the_rootdir(self, tmp_path: Path) -> None:
        test, root = tmp_path / "test", tmp_path
        (test / "data").mkdir(parents=True)
        (root / "users.csv").write_text("name\nroot\n")
        assert next(feeds_of(1, folders=[test, root])[0].rows("users.csv")) == {"name": "root"}
        (test / "users.csv").write_text("name\ntest\n")
        (test / "data" / "users.csv").write_text("name\ndeep\n")
        (feeds,) = feeds_of(1, folders=[test, root])
        assert next(feeds.rows("users.csv")) == {"name": "test"}
        assert next(feeds.rows(Path("data", "users.csv"))) == {"name": "deep"}
        assert next(feeds.rows(root / "users.csv")) == {"name": "root"}

    def test_one_file_by_several_names_is_one_source(self, tmp_path: Path) -> None:
        (tmp_path / "users.csv").write_text("n\n1\n2\n3\n")
        (feeds,) = feeds_of(1, folders=[tmp_path])
        names: list[str | Path] = ["users.csv", str(tmp_path / "users.csv"), tmp_path / "sub" / ".." / "users.csv"]
        (tmp_path / "sub").mkdir()
        assert [next(feeds.rows(name, "unique")) for name in names] == [{"n": "1"}, {"n": "2"}, {"n": "3"}]

    def test_a_missing_one_names_the_places(self, tmp_path: Path) -> None:
        (feeds,) = feeds_of(1, folders=[tmp_path / "a", tmp_path])
        with pytest.raises(FeedError) as caught:
            feeds.rows("users.csv")
        assert str(caught.value).startswith(
            f"test data 'users.csv': there is no file {tmp_path}/a/users.csv nor {tmp_path}/users.csv; give an "
        )
        (feeds,) = feeds_of(1, folders=[tmp_path, tmp_path])
        with pytest.raises(FeedError, match=f"there is no file {tmp_path}/users.csv; give an absolute path"):
            feeds.rows("users.csv")

    def test_a_file_is_read_once_and_a_bad_one_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []

        def counted(path: Path) -> Any:
            read.append(path.name)
            return read_rows(path)

        monkeypatch.setattr(feed_module, "read_rows", counted)
        (tmp_path / "good.csv").write_text("n\n1\n")
        (tmp_path / "bad.csv").write_text("n\n1,2\n")
        for feeds in feeds_of(5, folders=[tmp_path]):
            feeds.rows("good.csv")
            for _ in range(2):
                with pytest.raises(FeedError, match=r"bad.csv, line 2: a row of 2,"):
                    feeds.rows("bad.csv")
        assert sorted(read) == ["bad.csv", "good.csv"]


def test_users_who_come_at_once_share_the_rows_that_the_first_one_reads() -> None:
    runs: list[int] = []

    def generate() -> Iterator[int]:
        runs.append(1)
        threading.Event().wait(0.02)  # the others come meanwhile
        yield from range(1000)

    users, source = 20, generate()
    together, feeds = threading.Barrier(users), feeds_of(users)
    seen: list[Any] = [None] * users

    def live(user: int) -> None:
        together.wait(30)
        seen[user] = draws(feeds[user], source, "unique", 50)

    threads = [threading.Thread(target=live, args=(user,)) for user in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [list(range(user, 1000, users)) for user in range(users)]
    assert runs == [1]


def test_users_keep_no_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("n\n" + "1\n" * 1000)
    given = [feeds.rows("users.csv") for feeds in feeds_of(3, folders=[tmp_path])]
    assert len({id(rows._table) for rows in given}) == 1
    assert all(isinstance(rows, Rows) for rows in given)


def test_rows_leave_the_users_other_random_numbers_alone() -> None:
    random.seed(3)
    expected = random.random()
    random.seed(3)
    draws(feeds_of(1)[0], [1, 2, 3], "random", 10)
    assert random.random() == expected
