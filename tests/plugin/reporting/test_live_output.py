"""The viewers by themselves; whole runs are in tests/test_live_numbers.py."""

from __future__ import annotations

from typing import Any, cast

import pytest
from support.live import live_numbers
from support.terminal import Screen as Model

from pytest_ipload.plugin.reporting.live_output import LOG_EVERY_S, LiveLine, LiveLog
from pytest_ipload.plugin.reporting.screen import Screen

TEST = "test_shop.py::test_checkout"


class FakeWriter:
    """pytest's terminal writer, with colours on."""

    width_of_current_line = 0

    def __init__(self) -> None:
        self.flushed = 0

    def markup(self, text: str, **markup: bool) -> str:
        return f"\x1b[1m{text}\x1b[0m" if "bold" in markup else text

    def flush(self) -> None:
        self.flushed += 1


class FakeConfig:
    """Of a session with a terminal writer, and perhaps xdist's session."""

    def __init__(self, *, is_controller: bool = False) -> None:
        self.writer = FakeWriter()
        self.stash = pytest.Stash()
        self.pluginmanager = self
        self._is_controller = is_controller

    def get_terminal_writer(self) -> FakeWriter:
        return self.writer

    def hasplugin(self, name: str) -> bool:
        return self._is_controller and name == "dsession"


class FakeScreen:
    """A terminal, by its model; it can be stopped."""

    def __init__(self, columns: int = 100, rows: int = 10) -> None:
        self.columns = columns
        self.model = Model(columns, rows)
        self.written = ""
        self.is_stopped = False

    def write(self, text: str) -> bool:
        if self.is_stopped:
            return False
        self.written += text
        self.model.feed(text.replace("\n", "\r\n").encode())
        return True


def line_on(screen: FakeScreen) -> LiveLine:
    return LiveLine(cast(Any, FakeConfig()), cast(Screen, screen))


class TestLiveLine:
    def test_it_stands_below_what_pytest_is_writing(self) -> None:
        screen = FakeScreen()
        screen.write("collected 1 item\n\ntest_shop.py ..")
        line = line_on(screen)
        line.show(TEST, live_numbers())
        line.show(TEST, live_numbers(users=7, elapsed_s=13.4))
        assert screen.model.lines == [
            "collected 1 item",
            "",
            "test_shop.py ..",
            "test_checkout  7 users  12 340 req/s  p95 23.1 ms  errors 0.1 %  0:13 of 1:30 (1:17 left)",
        ]
        assert screen.model.bold == "test_checkout"
        assert screen.model.cursor == (2, len("test_shop.py .."))
        line.end(TEST, None)
        assert screen.model.lines[2:] == ["test_shop.py .."]
        screen.write(". [100%]\n\n=== done ===\n")
        assert screen.model.lines[2:] == ["test_shop.py ... [100%]", "", "=== done ==="]

    def test_loads_that_run_together_share_the_line(self) -> None:
        screen = FakeScreen(columns=106)
        line = line_on(screen)
        line.show("test_shop.py::test_browse", live_numbers())
        line.show("test_shop.py::test_buy", live_numbers(users=7))
        assert screen.model.lines[1:] == [
            "test_browse  50 users  12 340 req/s  p95 23.1 ms... | test_buy  7 users  12 340 req/s  p95 23.1 ms  er..."
        ]
        line.end("test_shop.py::test_browse", None)
        assert screen.model.lines[1].startswith("test_buy  7 users")
        line.end("test_shop.py::test_buy", None)
        assert screen.model.lines == []

    def test_at_the_bottom_the_screen_scrolls_once(self) -> None:
        screen = FakeScreen(rows=4)
        screen.write("one\ntwo\nthree\ntest_shop.py ")
        line = line_on(screen)
        for _ in range(5):
            line.show(TEST, live_numbers())
        assert screen.model.lines[:4] == ["one", "two", "three", "test_shop.py"]
        assert len(screen.model.lines) == 5
        line.erase()
        screen.write(".\n")
        assert screen.model.lines == ["one", "two", "three", "test_shop.py ."]

    def test_what_others_wrote_stays(self) -> None:
        screen = FakeScreen()
        screen.write("test_shop.py ")
        line = line_on(screen)
        line.show(TEST, live_numbers())
        screen.write("a body prints\n")
        line.show(TEST, live_numbers())
        screen.write("and again\n")
        line.end(TEST, None)
        kept = screen.model.lines
        assert kept[0] == "test_shop.py a body prints"
        assert kept[1].startswith("and again")
        assert len(kept) == 2

    def test_a_line_as_wide_as_the_terminal_takes_one_row(self) -> None:
        screen = FakeScreen(columns=40, rows=4)
        line_on(screen).show(TEST, live_numbers())
        assert screen.model.lines == ["", "test_chec...  50 users  12 340 req/s..."]

    def test_ctrl_c_just_after_the_line_was_written(self) -> None:
        class InterruptedScreen(FakeScreen):
            def write(self, text: str) -> bool:
                super().write(text)
                if "test_checkout" in text:
                    raise KeyboardInterrupt
                return True

        screen = InterruptedScreen()
        screen.write("test_shop.py .")
        line = line_on(screen)
        with pytest.raises(KeyboardInterrupt):
            line.show(TEST, live_numbers())
        line.erase()
        assert screen.model.lines == ["test_shop.py ."]

    def test_nothing_is_erased_that_was_not_drawn(self) -> None:
        screen = FakeScreen()
        line = line_on(screen)
        line.erase()
        line.show(TEST, live_numbers())
        line.erase()
        written = screen.written
        line.end(TEST, None)
        assert (written.count("\x1b[J"), screen.written) == (2, written)

    def test_what_could_not_be_erased_is_erased_later(self) -> None:
        screen = FakeScreen()
        line = line_on(screen)
        line.show(TEST, live_numbers())
        screen.is_stopped = True
        line.end(TEST, None)
        assert screen.model.lines
        screen.is_stopped = False
        line.erase()
        assert not screen.model.lines


def log_of(screen: FakeScreen, config: FakeConfig | None = None) -> LiveLog:
    return LiveLog(cast(Any, config or FakeConfig()), cast(Screen, screen))


class TestLiveLog:
    def test_it_has_a_line_every_ten_seconds(self) -> None:
        screen = FakeScreen()
        log = log_of(screen)
        for tenth in range(0, 350, 9):
            log.show(TEST, live_numbers(elapsed_s=tenth / 10))
        log.erase()
        log.end(TEST, None)
        lines = screen.written.splitlines()
        assert [line.split("  ")[-1] for line in lines] == [
            "0:10 of 1:30 (1:20 left)",
            "0:20 of 1:30 (1:10 left)",
            "0:30 of 1:30 (1:00 left)",
        ]
        assert {line.split("  ")[0] for line in lines} == {TEST}

    def test_a_look_that_came_late_gives_one_line(self) -> None:
        screen = FakeScreen()
        log = log_of(screen)
        log.show(TEST, live_numbers(elapsed_s=45.0))
        log.show(TEST, live_numbers(elapsed_s=46.0))
        assert len(screen.written.splitlines()) == 1

    def test_each_load_begins_anew(self) -> None:
        screen = FakeScreen()
        log = log_of(screen)
        for name in ("test_a", "test_b"):
            log.show(name, live_numbers(elapsed_s=10.0))
            log.end(name, None)
        assert [line.split("  ")[0] for line in screen.written.splitlines()] == ["test_a", "test_b"]

    def test_the_first_line_is_a_line_of_its_own(self) -> None:
        screen, config = FakeScreen(), FakeConfig()
        config.writer.width_of_current_line = len("test_shop.py ")
        log = log_of(screen, config)
        log.show(TEST, live_numbers(elapsed_s=10.0))
        log.show(TEST, live_numbers(elapsed_s=20.0))
        assert [bool(line) for line in screen.written.split("\n")] == [False, True, True, False]

    def test_the_interval_can_be_set_for_tests(self) -> None:
        screen, config = FakeScreen(), FakeConfig()
        config.stash[LOG_EVERY_S] = 0.5
        log = log_of(screen, config)
        for half in range(4):
            log.show(TEST, live_numbers(elapsed_s=half / 2))
        assert len(screen.written.splitlines()) == 3

    @pytest.mark.parametrize("is_controller", [True, False])
    def test_only_in_the_controller_is_pytests_own_text_flushed_first(self, is_controller: bool) -> None:
        config = FakeConfig(is_controller=is_controller)
        log = log_of(FakeScreen(), config)
        log.show(TEST, live_numbers(elapsed_s=10.0))
        assert config.writer.flushed == int(is_controller)
