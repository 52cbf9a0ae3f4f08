from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from freezegun import freeze_time

from pytest_ipload.base import real_time


@pytest.mark.parametrize("name", ["perf_counter_ns", "time_ns", "monotonic", "time"])
def test_a_clock_is_that_of_the_time_module(name: str) -> None:
    stock: Callable[[], Any] = getattr(time, name)
    before = stock()
    between = getattr(real_time, name)()
    assert before <= between <= stock()


def test_a_clock_goes_on_while_the_time_is_frozen() -> None:
    began = real_time.perf_counter_ns(), real_time.time_ns()
    with freeze_time("2020-01-01"):
        assert real_time.perf_counter_ns() > began[0]
        assert real_time.time_ns() > began[1]


def test_a_clock_is_the_systems_when_it_is_imported_while_the_time_is_frozen() -> None:
    script = (
        "import time; from freezegun import freeze_time\n"
        "with freeze_time('2020-01-01'):\n"
        "    from pytest_ipload.base import real_time\n"
        "    assert real_time.time() > 1.7e9, real_time.time()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
