"""The engine that runs components: one for all users, with the clock that limits their time."""

from __future__ import annotations

import ctypes
import threading
from typing import Any, Protocol

import wasmtime
from wasmtime import _ffi as ffi

from pytest_ipload.components.linear_memory import LinearMemories, MemoryAccount, error_pointer

TICK_S = 0.02
"""Seconds between two looks at a component that computes."""
_CONTINUE = 0
_MAKES_MEMORY = LinearMemories.can_be_made()
_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_ON_EPOCH = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ffi.wasmtime_update_deadline_kind_t),
)


class RunningCall(MemoryAccount, Protocol):
    """A call of a component, in its user's thread."""

    def must_end(self) -> bool:
        """Whether it has to end now."""


class Current(threading.local):
    """The call that runs in a thread."""

    call: Any = None


def settings_of(*, fuel: bool) -> dict[str, int]:
    """How components are compiled and run, as attributes of ``wasmtime.Config``.

    Without signals: a handler that another library installs later, as ``faulthandler`` does, would make each trap of a
    component the end of the process. What is off else is memory that could not be limited.
    """
    return {
        "epoch_interruption": True,
        "consume_fuel": fuel,
        "signals_based_traps": False,
        "wasm_threads": False,
        "shared_memory": False,
        "wasm_memory64": False,
        "wasm_gc": False,
        # Where memory is made here, wasmtime cannot map a file into it; and it is no larger than its limit, in place of
        # 4 GiB that are reserved so that signals can tell where it ends.
        **({"memory_init_cow": False, "memory_reservation": 0, "memory_guard_size": 0} if _MAKES_MEMORY else {}),
    }


class ComponentEngine:
    """An engine; its clock ticks as long as there are instances."""

    def __init__(self, *, fuel: bool) -> None:
        self.current = Current()
        self._memories = LinearMemories(lambda: self.current.call) if _MAKES_MEMORY else None
        self.limits_memory = self._memories is not None
        """Whether memory is asked for here; else wasmtime limits it."""
        self.settings = settings_of(fuel=fuel)
        config = wasmtime.Config()
        for name, value in self.settings.items():
            setattr(config, name, value)
        if self._memories is not None:
            self._memories.serve(config)
        self.engine = wasmtime.Engine(config)
        self._on_epoch = _ON_EPOCH(self._look)
        self._lock = threading.Lock()
        self._instances = 0
        self._over = threading.Event()
        self._clock: threading.Thread | None = None

    def new_store(self) -> wasmtime.Store:
        """A store, whose calls are looked at in each tick."""
        store = wasmtime.Store(self.engine)
        ffi.wasmtime_store_epoch_deadline_callback(store.ptr(), self._on_epoch, None, _FINALIZER())
        return store

    def look_now(self) -> None:
        """Look at all running calls, at once."""
        self.engine.increment_epoch()

    def begin(self) -> None:
        """There is one instance more."""
        with self._lock:
            self._instances += 1
            if self._clock is None:
                self._over = threading.Event()
                self._clock = threading.Thread(
                    target=self._tick, args=(self._over,), name="ipload-component-clock", daemon=True
                )
                self._clock.start()

    def end(self) -> None:
        """There is one less. With the last one, the clock stops."""
        with self._lock:
            self._instances -= 1
            if self._instances > 0 or self._clock is None:
                return
            clock, self._clock = self._clock, None
            self._over.set()
        if clock is not threading.current_thread():
            clock.join()

    def close(self) -> None:
        """The session is over: the clock stops, also if users were given up and never left."""
        with self._lock:
            clock, self._clock = self._clock, None
            self._over.set()
        if clock is not None:
            clock.join()

    def _tick(self, over: threading.Event) -> None:
        while not over.wait(TICK_S):
            self.engine.increment_epoch()

    def _look(self, context: Any, _: Any, ticks: Any, action: Any) -> int:
        """Called in the thread of a component that computes, at its next loop or function after a tick."""
        call: RunningCall | None = self.current.call
        try:
            if call is None or call.must_end():
                return error_pointer(ffi.wasmtime_error_new(b"interrupted"))
            ticks[0], action[0] = 1, _CONTINUE
            return 0
        except BaseException as error:  # nothing gets through native code
            if call is not None:
                call.fail(error)
            return error_pointer(ffi.wasmtime_error_new(f"{type(error).__name__}: {error}".encode()))
