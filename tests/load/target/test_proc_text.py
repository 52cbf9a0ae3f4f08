"""Texts of /proc/PID/stat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ipload.load.target.proc_text import ProcessReading, parse_stat

NGINX = (
    "1177 (nginx) S 1 1177 1177 0 -1 4194624 1043 52 0 0 312 88 7 3 20 0 5 0 51234 71720960 1536 18446744073709551615 "
    "94 94 140 0 0 0 0 1073746048 402745863 0 0 0 17 1 0 0 0 0 0 94 94 94 140 140 140 140 0\n"
)


def test_the_fields_of_a_real_process() -> None:
    assert parse_stat(NGINX, 100, 4096) == ProcessReading(
        pid=1177, parent=1, started=512.34, has_ended=False, own_s=4.0, waited_s=0.1, threads=5, rss=1536 * 4096
    )


@pytest.mark.parametrize(("state", "has_ended"), [("R", False), ("D", False), ("T", False), ("Z", True), ("X", True)])
def test_a_process_that_is_not_yet_waited_for_has_ended(state: str, has_ended: bool) -> None:
    assert parse_stat(NGINX.replace(") S ", f") {state} "), 100, 4096).has_ended is has_ended


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=15))
def test_the_name_of_the_program_may_be_anything(name: str) -> None:
    assert parse_stat(NGINX.replace("nginx", name), 100, 4096) == parse_stat(NGINX, 100, 4096)


@pytest.mark.parametrize("text", ["", "1177 (nginx) S 1", "nginx", "x (y) " + "1 " * 40])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"status of a process|invalid literal"):
        parse_stat(text, 100, 4096)
