"""Users who wait for each other, on threads; every wait of a test is bounded and for something that can be seen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from pytest_ipload.base.errors import IploadError, RendezvousEnded, RendezvousTimeout, SettingError
from pytest_ipload.load.interruption import IterationInterrupted
from pytest_ipload.load.partition import Partition
from pytest_ipload.load.rendezvous import RendezvousPoints
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.stats.recorder import Recorder

TIMEOUT_S = 30


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(50) as made:
        yield made


def waiting(book: RendezvousPoints, name: str = "x") -> int:
    group = book._groups.get(name)
    return 0 if group is None else len(group.waiters)


def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; a bounded loop."""
    pause = threading.Event()
    for _ in range(TIMEOUT_S * 1000):
        if condition():
            return
        pause.wait(0.001)
    pytest.fail("it never came")


def arrive(
    threads: ThreadPoolExecutor,
    book: RendezvousPoints,
    user: int,
    n: int,
    *,
    name: str = "x",
    timeout: float = TIMEOUT_S,
) -> Future[None]:
    return threads.submit(book.arrive, user, name, n, timeout)


class TestMeeting:
    def test_nobody_goes_on_before_the_last_one_comes_and_then_all_do(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(10)
        first = [arrive(threads, book, user, 10) for user in range(9)]
        until(lambda: waiting(book) == 9)
        assert not any(future.done() for future in first)
        arrive(threads, book, 9, 10).result(TIMEOUT_S)
        assert {future.result(TIMEOUT_S) for future in first} == {None}
        assert book._groups == {}  # names may be made up without end

    def test_one_waits_for_nobody(self) -> None:
        RendezvousPoints(1).arrive(0, "x", 1, 0)

    def test_the_next_ones_meet_anew(self, threads: ThreadPoolExecutor) -> None:
        users, rounds = 8, 50
        book, lock = RendezvousPoints(users), threading.Lock()
        log: list[tuple[int, str]] = []

        def live(user: int) -> None:
            for number in range(rounds):
                with lock:
                    log.append((number, "came"))
                book.arrive(user, "x", users, TIMEOUT_S)
                with lock:
                    log.append((number, "went"))

        for future in [threads.submit(live, user) for user in range(users)]:
            future.result(TIMEOUT_S)
        for number in range(rounds):
            events = [event for event in log if event[0] == number]
            assert events == [(number, "came")] * users + [(number, "went")] * users

    def test_groups_of_n_meet_and_the_rest_waits(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(20)
        futures = [arrive(threads, book, user, 3) for user in range(20)]
        until(lambda: sum(future.done() for future in futures) == 18 and waiting(book) == 2)
        book.close()
        ended = [future for future in futures if future.exception(TIMEOUT_S) is not None]
        assert len(ended) == 2

    def test_names_are_places_of_their_own(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(4)
        first = [arrive(threads, book, user, 2, name=name) for user, name in enumerate("ab")]
        until(lambda: waiting(book, "a") == waiting(book, "b") == 1)
        assert not any(future.done() for future in first)
        second = [arrive(threads, book, user, 2, name=name) for user, name in enumerate("ab", start=2)]
        assert len(wait(first + second, TIMEOUT_S).done) == 4

    def test_each_share_waits_for_its_part_of_n(self, threads: ThreadPoolExecutor) -> None:
        for share, here in ((Partition(0, 2), 3), (Partition(1, 2), 2)):
            book = RendezvousPoints(5, share=share)
            first = [arrive(threads, book, user, 5) for user in range(here - 1)]
            until(lambda book=book, here=here: waiting(book) == here - 1)  # type: ignore[misc]  # its defaults
            book.arrive(9, "x", 5, TIMEOUT_S)
            assert len(wait(first, TIMEOUT_S).done) == here - 1
        RendezvousPoints(5, share=Partition(3, 4)).arrive(0, "x", 2, TIMEOUT_S)

    def test_in_a_functional_test_nobody_waits(self) -> None:
        book = RendezvousPoints(1, is_functional=True)
        book.arrive(0, "x", 50, 0)
        with pytest.raises(SettingError, match="n=0 is not a valid number of users"):
            book.arrive(0, "x", 0, 0)


class TestTimeout:
    def test_it_says_how_many_came_and_who_gives_up_is_not_counted_any_more(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(5)
        patient = arrive(threads, book, 0, 3)
        until(lambda: waiting(book) == 1)
        for timeout, shown in ((0.01, "10.0 ms"), ("10ms", "10.0 ms"), (0, "0 ms")):
            with pytest.raises(RendezvousTimeout) as caught:
                book.arrive(1, "x", 3, timeout)
            assert str(caught.value) == (
                f"rendezvous 'x': 2 of 3 users arrived within {shown}; wait for fewer users, give a longer timeout, or "
                "make the number of iterations that reach it a multiple of n"
            )
        assert isinstance(caught.value, TimeoutError)
        assert waiting(book) == 1
        others = [arrive(threads, book, user, 3) for user in (1, 2)]
        assert len(wait([patient, *others], TIMEOUT_S).done) == 3

    def test_the_last_one_to_give_up_leaves_nothing_behind(self) -> None:
        book = RendezvousPoints(5)
        for n in (2, 3):  # another n is welcome when nobody waits
            with pytest.raises(RendezvousTimeout, match=f"1 of {n} users"):
                book.arrive(0, "x", n, 0)
        assert book._groups == {}

    def test_nobody_is_lost_between_a_timeout_and_a_meeting(self, threads: ThreadPoolExecutor) -> None:
        users = 6
        book = RendezvousPoints(users)
        outcomes: Counter[str] = Counter()
        lock = threading.Lock()

        def live(user: int) -> None:
            for number in range(60):
                try:
                    book.arrive(user, "x", 2, 0.0001 * (number % 3))
                    outcome = "met"
                except RendezvousTimeout:
                    outcome = "gave up"
                with lock:
                    outcomes[outcome] += 1

        for future in [threads.submit(live, user) for user in range(users)]:
            future.result(TIMEOUT_S)
        assert outcomes.total() == users * 60
        assert outcomes["met"] % 2 == 0  # nobody met alone
        assert book._groups == {}


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "n", "timeout", "problem"),
        [
            ("x", 0, 1, "rendezvous 'x': n=0 is not a valid number of users; give a whole number of 1 or more"),
            ("x", -1, 1, "rendezvous 'x': n=-1 is not a valid number of users"),
            ("x", True, 1, "rendezvous 'x': n=True is not a valid number of users"),
            ("x", 2.0, 1, "rendezvous 'x': n=2.0 is not a valid number of users"),
            ("x", "2", 1, "rendezvous 'x': n='2' is not a valid number of users"),
            (
                "x", 6, 1,
                "rendezvous 'x' waits for 6 users, but the load never has more than 5 at once; wait for at most 5, or "
                "give the load more users",
            ),
            ("x", 2, "5", "rendezvous 'x': timeout: '5' is not a duration; a duration has a number and a unit"),
            ("x", 2, -1, "rendezvous 'x': timeout: -1 is not a duration"),
            ("x", 2, None, "rendezvous 'x': timeout: None is not a duration"),
            ("", 2, 1, "the name of a rendezvous must be a non-empty string, not ''"),
            (None, 2, 1, "the name of a rendezvous must be a non-empty string, not None"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense(self, name: Any, n: Any, timeout: Any, problem: str) -> None:
        with pytest.raises(SettingError) as caught:
            RendezvousPoints(5).arrive(0, name, n, timeout)
        assert str(caught.value).startswith(problem)

    def test_another_n_than_those_who_wait(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(5)
        first = arrive(threads, book, 0, 2)
        until(lambda: waiting(book) == 1)
        with pytest.raises(SettingError) as caught:
            book.arrive(1, "x", 3, 1)
        assert str(caught.value) == (
            "rendezvous 'x': user 1 waits for 3 users, but others wait there for 2; all must give the same n"
        )
        assert waiting(book) == 1
        book.arrive(1, "x", 2, TIMEOUT_S)
        first.result(TIMEOUT_S)


class TestEnd:
    def test_all_who_wait_come_back_and_nobody_waits_any_more(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(9)
        futures = [arrive(threads, book, user, 5, name="ab"[user % 2]) for user in range(8)]
        until(lambda: waiting(book, "a") == waiting(book, "b") == 4)
        book.close()
        book.close()
        for future in futures:
            with pytest.raises(RendezvousEnded, match=r"rendezvous '[ab]': the load has ended"):
                future.result(TIMEOUT_S)
        for n in (1, 2):
            with pytest.raises(RendezvousEnded):
                book.arrive(8, "a", n, TIMEOUT_S)
        assert book._groups == {}

    def test_an_interrupted_user_comes_back_and_the_others_wait_on(self, threads: ThreadPoolExecutor) -> None:
        book = RendezvousPoints(3)
        first, second = (arrive(threads, book, user, 3) for user in (0, 1))
        until(lambda: waiting(book) == 2)
        book.interrupt(0)
        assert isinstance(first.exception(TIMEOUT_S), RendezvousEnded)
        assert (waiting(book), second.done()) == (1, False)
        with pytest.raises(RendezvousEnded):  # an interruption may come just before the user does
            book.arrive(0, "x", 3, TIMEOUT_S)
        assert waiting(book) == 1
        others = [arrive(threads, book, user, 3) for user in (2, 3)]
        assert len(wait([second, *others], TIMEOUT_S).done) == 3

    def test_an_interruption_by_the_executor_reaches_a_user_who_waits(self) -> None:
        book = RendezvousPoints(2)
        user = VirtualUser(7, seed=0, source_addresses=(), record=lambda sample: None, meetings=book)
        user_thread = UserThread(UserSlot(7, 0.0, 0.0, None), user, Recorder())
        caught: list[BaseException] = []

        def live(user_thread: UserThread) -> None:
            try:
                user_thread.expose()
                user.rendezvous("x", 2, timeout="1h")
            except (IterationInterrupted, IploadError) as error:
                caught.append(error)
            user_thread.cover()

        user_thread.start(live)
        until(lambda: waiting(book) == 1)
        user_thread.interrupt(1)
        assert user_thread.thread is not None
        user_thread.thread.join(TIMEOUT_S)
        assert not user_thread.thread.is_alive()
        assert [type(error) for error in caught] in ([IterationInterrupted], [RendezvousEnded])
        assert book._groups == {}
