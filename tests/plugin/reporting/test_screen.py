from __future__ import annotations

import io
import os
import termios
from collections.abc import Iterator

import pytest
from support.terminal import set_size

from pytest_ipload.plugin.reporting.screen import Screen


@pytest.fixture
def pipe() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """The end to read from, and a stream to write to."""
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        yield read, stream
    os.close(read)


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """The user's side of a terminal, and a stream to write to."""
    primary, secondary = os.openpty()
    with os.fdopen(secondary, "w", encoding="utf-8") as stream:
        yield primary, stream
    os.close(primary)


def test_it_writes_where_the_stream_did_when_it_was_made(pipe: tuple[int, io.TextIOWrapper]) -> None:
    read, stream = pipe
    screen = Screen(stream)
    assert not screen.is_terminal
    with open(os.devnull, "w") as elsewhere:
        os.dup2(elsewhere.fileno(), stream.fileno())  # as pytest's capture does
    assert screen.write("price: 価格\n")
    screen.close()
    assert os.read(read, 100).decode() == "price: 価格\n"


def test_what_the_encoding_has_not_is_spelled_out(pipe: tuple[int, io.TextIOWrapper]) -> None:
    read, stream = pipe
    stream.reconfigure(encoding="ascii")
    screen = Screen(stream)
    assert screen.write("é\n")
    screen.close()
    assert os.read(read, 100) == rb"\xe9" + b"\n"


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, io.TextIOWrapper]) -> None:
    read, stream = pipe
    screen = Screen(stream)
    written = 0
    while screen.write("x" * 1000):
        written += 1000
    assert written >= 4096
    os.read(read, 65536)
    assert screen.write("y")
    screen.close()


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        screen = Screen(stream)
        os.close(read)
        assert not screen.write("x")
        screen.close()


def test_a_terminal_is_known_as_one_and_has_its_width(
    terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, stream = terminal
    monkeypatch.delenv("COLUMNS", raising=False)
    screen = Screen(stream)
    assert screen.is_terminal
    assert screen.columns == 80, "a terminal without a size"
    set_size(primary, columns=132, rows=24)
    assert screen.columns == 132
    monkeypatch.setenv("COLUMNS", "60")
    assert screen.columns == 60
    monkeypatch.setenv("COLUMNS", "wide")
    assert screen.columns == 132
    screen.close()


def test_a_terminal_that_was_stopped_is_not_waited_for(terminal: tuple[int, io.TextIOWrapper]) -> None:
    primary, stream = terminal
    screen = Screen(stream)
    termios.tcflow(stream.fileno(), termios.TCOOFF)  # Ctrl-S
    assert not screen.write("x")
    termios.tcflow(stream.fileno(), termios.TCOON)
    assert screen.write("y")
    screen.close()
    assert os.read(primary, 100) == b"y"


def test_a_stream_that_is_no_file_is_written_to() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    assert not screen.is_terminal
    assert screen.write("x")
    assert stream.getvalue() == "x"
    screen.close()
    stream.close()
    assert not screen.write("y")


def test_the_copy_is_given_back(pipe: tuple[int, io.TextIOWrapper]) -> None:
    _, stream = pipe
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("no /proc")
    screen = Screen(stream)
    screen.close()
    screen.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("capture", ["--capture=fd", "-pno:capture"])
def test_it_is_past_the_capture_of_a_session(pytester: pytest.Pytester, capture: str) -> None:
    pytester.makeconftest("""
        import pytest
        from pytest_ipload.plugin.reporting.screen import Screen

        screens = []

        def pytest_sessionstart(session):
            screens.append(Screen.open(session.config))

        @pytest.fixture
        def screen():
            return screens[0]

        def pytest_unconfigure():
            screens[0].close()
    """)
    pytester.makepyfile("""
        def test_it(screen):
            print("captured")
            assert screen.write("SHOWN\\n")
    """)
    result = pytester.runpytest_subprocess(capture)
    result.assert_outcomes(passed=1)
    assert "SHOWN" in result.stdout.str()
