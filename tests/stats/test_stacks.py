"""Stacks as py-spy writes them, folded to places of the project's own code."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_ipload.stats.stacks import Frame, Place, StackSamples, is_own, packed, place_of, stacks_of

LIB = "/usr/lib/python3.11"
SITE = f"{LIB}/site-packages"
THREAD = [Frame("Thread._bootstrap", f"{LIB}/threading.py", 1002), Frame("Thread.run", f"{LIB}/threading.py", 982)]
SERVER = [Frame("Handler.handle", f"{SITE}/werkzeug/serving.py", 400)]
SCRIPT = [Frame("<module>", "/srv/app.py", 90)]
VIEW = [Frame("Flask.wsgi_app", f"{SITE}/flask/app.py", 1500), Frame("cart", "/srv/shop/views.py", 12)]
PRICE = [Frame("price_of", "/srv/shop/cart.py", 30)]
RECEIVING = [Frame("SocketIO.readinto", f"{LIB}/socket.py", 717)]


def test_what_py_spy_writes_is_read() -> None:
    text = (
        'process 7:"python (x) app.py";<module> (/srv/my app.py:3);f (/srv/a.py:10) 12\n'
        "MainThread 3\n\nC<lambda> (/srv/a;b) 2\nf (/srv/a.py:11) x\n"
    )
    assert list(stacks_of(text)) == [([Frame("<module>", "/srv/my app.py", 3), Frame("f", "/srv/a.py", 10)], 12)]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/srv/app.py", True),
        ("/srv/lib/cart.py", True),
        ("C:\\shop\\app.py", True),
        ("C:\\Python311\\Lib\\threading.py", False),
        (f"{LIB}/json/decoder.py", False),
        ("/usr/lib/python3/dist-packages/flask/app.py", False),
        ("<frozen runpy>", False),
    ],
)
def test_whose_code_a_file_is(file: str, expected: bool) -> None:
    assert is_own(file) is expected


def test_a_stack_is_at_the_deepest_line_of_the_projects_own_code() -> None:
    query = [Frame("Cursor.execute", f"{SITE}/pg8000/core.py", 9), *RECEIVING]
    assert place_of([*THREAD, *SERVER, *VIEW, *PRICE, *query], ["/srv"]) == Place(
        "shop/cart.py", 30, "price_of", "shop/views.py:12 cart", "pg8000: Cursor.execute"
    )


@pytest.mark.parametrize(
    "frames",
    [
        [*THREAD, *SERVER, *RECEIVING],  # a kept connection
        [*SCRIPT, Frame("serve_forever", f"{LIB}/socketserver.py", 230), Frame("select", f"{LIB}/selectors.py", 415)],
        [*THREAD, Frame("_worker", f"{LIB}/concurrent/futures/thread.py", 81)],
        [*SCRIPT, Frame("Arbiter.sleep", f"{SITE}/gunicorn/arbiter.py", 400)],
        [*SCRIPT, Frame("Runner.run", f"{LIB}/asyncio/runners.py", 118)],  # uvloop, which is no Python code
        [*THREAD, Frame("consume", "/srv/jobs.py", 5), Frame("Queue.get", f"{LIB}/queue.py", 171)],
    ],
)
def test_a_thread_that_waits_for_work_is_nowhere(frames: list[Frame]) -> None:
    assert place_of(frames) is None


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([*THREAD, *SERVER, *VIEW, *PRICE], ("/srv/shop/cart.py", "price_of")),  # asleep, which is a function in C
        ([*THREAD, *SERVER, *VIEW, Frame("Queue.get", f"{LIB}/queue.py", 171)], ("/srv/shop/views.py", "cart")),
        ([*THREAD, *SERVER], ("werkzeug", "")),
        ([*SCRIPT, *SERVER], ("werkzeug", "")),
        ([Frame("<module>", "/srv/app.py", 9), Frame("main", "/srv/app.py", 7)], ("/srv/app.py", "main")),
    ],
)
def test_a_thread_at_work_is_somewhere(frames: list[Frame], expected: tuple[str, str]) -> None:
    place = place_of(frames)
    assert place is not None
    assert (place.file, place.function) == expected


def place(number: int) -> Place:
    return Place(f"{number}.py", number, "f", "", "")


def test_samples_of_two_processes_are_those_of_their_seconds_together() -> None:
    one = packed({0: Counter({place(1): 2})}, pids=[7], cpu_share=0.01, sources={"1.py:1": "x = 1"})
    other = packed({0: Counter({place(1): 1, place(2): 4}), 3: Counter({place(2): 5})}, pids=[8], waiting=2)
    merged = one.merged(other)
    assert dict(merged.by_window()) == {0: {place(1): 3, place(2): 4}, 3: {place(2): 5}}
    assert (merged.pids, merged.waiting, merged.cpu_share, merged.problem) == ([7, 8], 2, 0.01, "")
    assert one.merged(StackSamples(problem="no right")).problem == ""


def test_the_number_of_places_is_limited_and_no_sample_is_lost() -> None:
    samples = packed({0: Counter({place(number): 1 + (number < 10) for number in range(600)})})
    [(_, found)] = samples.by_window()
    assert len(samples.places) == 501
    assert found.total() == 610
    assert found[Place("elsewhere", 0, "", "", "")] == 100


@pytest.mark.parametrize("pair", [(1, 1), (-1, 1), (0, -1)])
def test_samples_that_contradict_themselves_are_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="stack samples"):
        StackSamples([place(0)], [(0, [pair])])
