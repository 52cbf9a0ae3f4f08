"""One instance of a component, which belongs to one user."""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Mapping
from ctypes import byref
from typing import TYPE_CHECKING, Any

import wasmtime
from wasmtime import _ffi as ffi

from pytest_ipload.base.errors import (
    ComponentFailed,
    ComponentFuelExceeded,
    ComponentMemoryExceeded,
    ComponentTimeExceeded,
    ComponentTrapped,
    RendezvousEnded,
)
from pytest_ipload.base.text import printable
from pytest_ipload.base.units import NS_PER_S, format_count
from pytest_ipload.components.host_function import ResourceTable
from pytest_ipload.components.limits import ComponentLimits, shown_size, shown_time
from pytest_ipload.components.linking import LinkedComponent
from pytest_ipload.components.wit_values import Val
from pytest_ipload.components.world import EXPORTS
from pytest_ipload.load.interruption import IterationInterrupted

if TYPE_CHECKING:
    from pytest_ipload.load.user import VirtualUser

_INSTANTIATION = "its start"
_FRAME = re.compile(r"\n\s+0: .*?!(.+)")
_UNREACHABLE = "wasm `unreachable` instruction executed"
_MOST_GIVEN = "2.6 MiB of bytes"
"""wasmtime lets 128 MiB of its own values through; one of them, and so a byte, has 48 bytes."""
_LONGEST = 200
_LONGEST_ERROR = 2000
_BYTES_PER_TABLE_ELEMENT = 16
_MOST_TABLES = 64
"""Of an instance. wasmtime limits each table by itself; so all of them have as much as ``memory`` at most."""
_FEWEST_ELEMENTS = 1000
"""That each table may have."""
_MOST_INSTANCES = 1000


class Guest:
    """An instance. For its user's thread, but for ``stop``.

    A call that does not return normally leaves the instance in a state in which it cannot be called again: it is over.
    """

    def __init__(
        self,
        linked: LinkedComponent,
        limits: ComponentLimits,
        user: VirtualUser,
        rows: Mapping[str, tuple[Any, str]],
        printed: int = 0,
    ) -> None:
        """Make it; ``printed`` is what an earlier one has printed. Raises ComponentError, and IterationInterrupted."""
        self.user = user
        self.limits = limits
        self.most_memory = limits.memory
        self.rows = rows
        self.resources = ResourceTable(limits.sockets, self.what)
        self.requests = 0
        self.printed = printed
        self.spans: dict[int, Any] = {}
        self.stopped = threading.Event()
        self.is_over = False
        self._linked = linked
        self._engine = linked.engine
        self._doing = _INSTANTIATION
        self._memory = 0
        self._error: BaseException | None = None
        """Why the running call has to end."""
        self._spent_ns = self._entered_ns = 0
        self._functions: dict[str, Any] = {}
        self._engine.begin()
        try:
            self._store = self._engine.new_store()
            self._start()
        except BaseException:
            self.close()
            raise

    def what(self) -> str:
        """What it is doing, for errors."""
        return f"component {self._linked.name}: {self._doing}"

    def call(self, export: str, *values: Any) -> Any:
        """Call an export; returns what it returns as a success.

        Raises ComponentError; what a function of the host has raised; and IterationInterrupted if the user is.
        """
        self._doing = export
        signature = self._linked.exports[export]
        context = self._store._context()
        arguments = (Val * max(len(values), 1))()
        for i, (value, kind) in enumerate(zip(values, signature.parameters, strict=True)):
            kind.write(value, arguments[i], context)
        result, function = Val(), self._functions[export]

        def run() -> str | None:
            error = ffi.wasmtime_component_func_call(function, context, arguments, len(values), byref(result), 1)
            return _taken(error)

        try:
            self._run(run)
            assert signature.result is not None
            is_ok, value = signature.result.read(result, context)
            ffi.wasmtime_component_val_delete(byref(result))
        finally:
            for i in range(len(values)):
                ffi.wasmtime_component_val_delete(byref(arguments[i]))
        if not is_ok:
            raise ComponentFailed(f"{self.what()}: {printable(value[:_LONGEST_ERROR])}")
        return value

    def close(self) -> None:
        """Give up all that it has."""
        if self.is_over and not hasattr(self, "_store"):
            return
        self.is_over = True
        self._functions.clear()
        self.resources.close()
        store = self.__dict__.pop("_store", None)
        if store is not None:
            store.close()
        self._engine.end()

    # -- called while it runs ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the running call, from another thread."""
        self.stopped.set()
        self._engine.look_now()

    def fail(self, error: BaseException) -> None:
        """The running call ends by this."""
        self._error = self._error or error

    def enter(self) -> None:
        """The component goes on to compute."""
        self._entered_ns = time.thread_time_ns()

    def leave(self) -> None:
        """The host works for it now."""
        self._spent_ns += time.thread_time_ns() - self._entered_ns

    def must_end(self) -> bool:
        """Whether the running call has to end; looked at while the component computes."""
        if self.stopped.is_set() or self._error is not None:
            return True
        spent_ns = self._spent_ns + time.thread_time_ns() - self._entered_ns
        if spent_ns <= self.limits.time * NS_PER_S:
            return False
        self.fail(
            ComponentTimeExceeded(
                f"{self.what()}: it has computed for {spent_ns / NS_PER_S:.2f} s; its limit is time="
                f"{shown_time(self.limits.time)}"
            )
        )
        return True

    def take_memory(self, size: int) -> bool:
        """See ``MemoryAccount``. A refusal ends the call, whatever the component makes of it."""
        if size > 0 and self._memory + size > self.limits.memory:
            self.fail(self._too_large(f"it has {shown_size(self._memory)} of memory and wants {shown_size(size)} more"))
            self._engine.look_now()
            return False
        self._memory += size
        return True

    # -- how it runs ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        limit = self.limits.memory
        memory_size = -1 if self._engine.limits_memory else limit
        elements = max(limit // _BYTES_PER_TABLE_ELEMENT // _MOST_TABLES, _FEWEST_ELEMENTS)
        self._store.set_limits(memory_size, elements, _MOST_INSTANCES, _MOST_TABLES)
        instances: list[Any] = []

        def run() -> str | None:
            try:
                instances.append(self._linked.instantiate(self._store))
            except wasmtime.WasmtimeError as error:
                return str(error)
            return None

        self._run(run)
        for name in EXPORTS:
            function = instances[0].get_func(self._store, name)
            assert function is not None  # they were checked
            self._functions[name] = byref(function._func)

    def _run(self, run: Any) -> None:
        """Run something that runs the component. Raises what made it end."""
        self._begin()
        current = self._engine.current
        outer, current.call = current.call, self
        message: str | None = None
        try:
            with self.user.native_calls.ended_by(self.stop):
                self.enter()
                message = run()
                self.leave()
        finally:
            current.call = outer
        if message is None and self._error is None and not self.stopped.is_set():
            self._end_spans(None)
            return
        error = self._reason(message)
        self._end_spans(error)
        self.close()
        raise error

    def _begin(self) -> None:
        self._error, self._spent_ns, self.requests = None, 0, 0
        self.stopped.clear()
        if self.limits.fuel is not None:
            self._store.set_fuel(self.limits.fuel)
        self._store.set_epoch_deadline(1)

    def _end_spans(self, error: BaseException | None) -> None:
        """What is still being timed at the end of a call has failed."""
        while self.spans:
            _, span = self.spans.popitem()
            span.finish(error or ComponentFailed(f"{self.what()}: a span was not finished"))

    def _reason(self, message: str | None) -> BaseException:
        """Why a call has ended."""
        if self.stopped.is_set() and not isinstance(self._error, RendezvousEnded):
            return IterationInterrupted()  # whatever it looked like, such as a lost connection
        if self._error is not None:
            return self._error
        text = message or ""
        if self.limits.fuel is not None and "all fuel consumed" in text:
            return ComponentFuelExceeded(
                f"{self.what()}: it has used up its fuel; its limit is fuel={format_count(self.limits.fuel)}"
            )
        if "exceeds memory limits" in text or "exceeds table limits" in text:
            return self._too_large("it needs more memory to start")
        if "fuel allocated for hostcalls" in text:
            return ComponentTrapped(f"{self.what()}: it gives the host too much at once; the limit is {_MOST_GIVEN}")
        if text.endswith(_UNREACHABLE):
            text += ": it gave up, as by a panic, or an exception that it did not handle"
        return ComponentTrapped(f"{self.what()}: {_cause(text)}")

    def _too_large(self, why: str) -> ComponentMemoryExceeded:
        return ComponentMemoryExceeded(f"{self.what()}: {why}; its limit is memory={shown_size(self.limits.memory)}")


def _taken(error: Any) -> str | None:
    """The text of an error, which is freed; None without one."""
    if not error:
        return None
    text = ffi.wasm_byte_vec_t()
    ffi.wasmtime_error_message(error, byref(text))
    message = ctypes.string_at(text.data, text.size).decode("utf-8", "replace") if text.size else "an error"
    ffi.wasm_byte_vec_delete(byref(text))
    ffi.wasmtime_error_delete(error)
    return message


def _cause(message: str) -> str:
    """What an error of wasmtime is about, in one line: the innermost cause, and where it was."""
    lines = [each.strip() for each in message.splitlines() if each.strip()]
    cause = (lines[-1] if lines else "an error").removeprefix("wasm trap: ")
    cause = re.sub(r"^\d+: ", "", cause)
    frame = _FRAME.search(message)
    place = f" (in {frame[1].strip()})" if frame else ""
    return printable(f"{cause:.{_LONGEST}}{place:.{_LONGEST}}")
