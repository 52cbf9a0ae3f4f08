"""Ctrl-C while results are being kept or written: it waits until they are safe."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Deferral:
    """Whether Ctrl-C was pressed meanwhile."""

    def __init__(self) -> None:
        self.was_pressed = False

    def note(self, *_: object) -> None:
        """Called instead of Python's own handler. The second call takes effect at once."""
        if self.was_pressed:
            raise KeyboardInterrupt
        self.was_pressed = True


@contextmanager
def interrupts_deferred() -> Iterator[Deferral]:
    """Remember a Ctrl-C that comes meanwhile, in place of raising KeyboardInterrupt for it.

    Only where Python's own handler is in force, and in the main thread, which alone may exchange handlers.
    """
    deferral = Deferral()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield deferral
        return
    signal.signal(signal.SIGINT, deferral.note)
    try:
        yield deferral
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
