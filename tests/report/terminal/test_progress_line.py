from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.live import histogram, live_numbers

from pytest_ipload.base.text import width_of
from pytest_ipload.report.terminal.progress_line import fitted_line, full_line

NODEID = "tests/test_shop.py::TestCart::test_checkout"


def text_of(nodeid: str = NODEID, columns: int = 120, **fields: Any) -> str:
    return "".join(piece.text for piece in fitted_line(nodeid, live_numbers(**fields), columns))


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        ({"users": 1}, "1 user  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        ({"set_up": (1200, 5000), "elapsed_s": 7.2}, "setting up users: 1 200 of 5 000  0:07"),
        ({"set_up": (1, 2), "round": (2, 4), "elapsed_s": 7.2}, "round 2 of 4  setting up users: 1 of 2  0:07"),
        ({"requests_per_s": 2.5}, "50 users  2.5 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        ({"requests_per_s": None}, "50 users  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        ({"recent": histogram()}, "50 users  12 340 req/s  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        ({"failed_iterations": 0}, "50 users  12 340 req/s  p95 23.1 ms  errors 0 %  0:12 of 1:30 (1:18 left)"),
        (
            {"iterations": 0, "failed_iterations": 0},
            "50 users  12 340 req/s  p95 23.1 ms  0:12 of 1:30 (1:18 left)",
        ),
        (
            {"elapsed_s": 3661.0, "planned_s": 7200.0},
            "50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  1:01:01 of 2:00:00 (58:59 left)",
        ),
        (
            {"elapsed_s": 90.2},
            "50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  1:30 of 1:30 (ending)",
        ),
        (
            {"round": (2, 10), "recent": histogram()},
            "round 2 of 10  50 users  12 340 req/s  errors 0.1 %  0:12 of 1:30 (1:18 left)",
        ),
        ({"planned_s": None}, "50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12"),
        (
            {"planned_s": None, "planned_iterations": 60_000, "warmup_iterations": 7},
            "50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12  50 007 of 60 000 iterations",
        ),
    ],
)
def test_what_is_not_known_is_left_out(fields: dict[str, Any], line: str) -> None:
    assert full_line(NODEID, live_numbers(**fields)) == f"{NODEID}  {line}"
    assert text_of(**fields) == f"test_checkout  {line}"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (93, "test_checkout  50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        (89, "test_chec...  50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30 (1:18 left)"),
        (79, "test_checkout  50 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:12 of 1:30"),
        (60, "test_chec...  50 users  12 340 req/s  p95 23.1 ms  errors..."),
        (20, "test_chec...  50 ..."),
        (5, "te..."),
        (1, "."),
        (0, ""),
        (-1, ""),
    ],
)
def test_a_narrow_terminal_has_less(columns: int, line: str) -> None:
    assert text_of(columns=columns) == line


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("test_a.py::test_a", "test_a"),
        ("test_a.py::TestA::test_a[x::y]", "test_a[x::y]"),
        ("a.py::test_a[\x1b[31m]", r"test_a[\x1b[31m]"),
        ("a.py::test_価格", "test_価格"),
        ("test_a", "test_a"),
    ],
)
def test_the_name_is_that_of_the_function(nodeid: str, name: str) -> None:
    assert text_of(nodeid).startswith(f"{name}  50 users")


@given(st.text(), st.integers(-2, 200))
def test_the_line_fits(nodeid: str, columns: int) -> None:
    line = text_of(nodeid, columns)
    assert width_of(line) <= max(0, columns)
    assert line.isprintable()


def test_a_log_shows_no_control_characters() -> None:
    assert full_line("a.py::test_a[\x1b[31m\n]", live_numbers()).isprintable()


def test_only_errors_are_red() -> None:
    pieces = fitted_line(NODEID, live_numbers(), 120)
    assert [(piece.text.strip(), piece.colour) for piece in pieces if piece.colour] == [
        ("test_checkout", "bold"),
        ("errors 0.1 %", "red"),
    ]
    assert not [piece for piece in fitted_line(NODEID, live_numbers(failed_iterations=0), 120) if piece.colour == "red"]
