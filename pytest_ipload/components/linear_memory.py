"""The memories of instances: made here, so that the one that exceeds its limit is known.

wasmtime's own limit refuses to grow a memory without a word: the component sees a failed allocation, and whatever it
makes of that looks like a fault of its own. Memory that the host makes (``wasmtime_memory_creator_t``) asks the host
each time it grows.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from wasmtime import Config
from wasmtime import _ffi as ffi

_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0x40
_FAILED = ctypes.c_void_p(-1).value
_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class MemoryAccount(Protocol):
    """Whose memory it is."""

    most_memory: int
    """Bytes that it may have."""

    def take_memory(self, size: int) -> bool:
        """Whether it may have so many bytes more; they count then. Negative: it gives them back."""

    def fail(self, error: BaseException) -> None:
        """What it runs ends by this."""


@dataclass
class _Memory:
    address: int
    size: int
    capacity: int
    reserved: int
    account: MemoryAccount


class LinearMemories:
    """All memories of one engine. The callbacks run in the threads of the users whose components want memory."""

    def __init__(self, account: Callable[[], MemoryAccount]) -> None:
        """``account`` tells whose memory is made in this thread."""
        self._account = account
        self._libc = _libc()
        self._memories: dict[int, _Memory] = {}
        self._callbacks = (
            ffi.wasmtime_new_memory_callback_t(self._new),
            ffi.wasmtime_memory_get_callback_t(self._get),
            ffi.wasmtime_memory_grow_callback_t(self._grow),
            _FINALIZER(self._free),
        )
        self._creator = ffi.wasmtime_memory_creator(None, self._callbacks[0], _FINALIZER())

    @staticmethod
    def can_be_made() -> bool:
        """Whether this system can; elsewhere wasmtime makes and limits them."""
        return sys.platform != "win32" and hasattr(mmap, "PROT_READ")

    def serve(self, config: Config) -> None:
        """Let the engine of this configuration have its memories from here."""
        ffi.wasmtime_config_host_memory_creator_set(config.ptr(), ctypes.byref(self._creator))

    def _new(self, _: Any, kind: Any, minimum: int, maximum: int, reserved: int, guard: int, memory: Any) -> int:
        account = self._account()
        try:
            capacity = reserved or max(minimum, min(maximum, account.most_memory))
            if not account.take_memory(minimum):
                return _error("memory limit")
            protection = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
            address = self._libc.mmap(None, capacity + guard, 0, protection, -1, 0)
            if address in (None, _FAILED):
                account.take_memory(-minimum)
                return _error(f"the system has no address space of {capacity + guard} bytes left for a memory")
            made = _Memory(address, minimum, capacity, capacity + guard, account)
            if not self._open(made, minimum):
                self._libc.munmap(address, made.reserved)
                account.take_memory(-minimum)
                return _error("the system has no memory left")
            self._memories[address] = made
            memory[0].env = address
            memory[0].get_memory, memory[0].grow_memory, memory[0].finalizer = self._callbacks[1:]
            return 0
        except BaseException as error:  # nothing gets through native code
            account.fail(error)
            return _error(f"{type(error).__name__}: {error}")

    def _get(self, address: int, size: Any, capacity: Any) -> int:
        memory = self._memories[address]
        size[0], capacity[0] = memory.size, memory.capacity
        return memory.address

    def _grow(self, address: int, size: int) -> int:
        memory = self._memories[address]
        try:
            more = size - memory.size
            if not memory.account.take_memory(more):
                return _error("memory limit")
            if size > memory.capacity or not self._open(memory, size):
                memory.account.take_memory(-more)
                return _error("the system has no memory left")
            memory.size = size
            return 0
        except BaseException as error:
            memory.account.fail(error)
            return _error(f"{type(error).__name__}: {error}")

    def _open(self, memory: _Memory, size: int) -> bool:
        rounded = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        if not rounded:
            return True
        return bool(self._libc.mprotect(memory.address, rounded, mmap.PROT_READ | mmap.PROT_WRITE) == 0)

    def _free(self, address: int) -> None:
        memory = self._memories.pop(address, None)
        if memory is not None:
            self._libc.munmap(memory.address, memory.reserved)
            memory.account.take_memory(-memory.size)


def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    size, address = ctypes.c_size_t, ctypes.c_void_p
    libc.mmap.restype = address
    libc.mmap.argtypes = [address, size, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mprotect.argtypes = [address, size, ctypes.c_int]
    libc.munmap.argtypes = [address, size]
    return libc


def _error(text: str) -> int:
    return error_pointer(ffi.wasmtime_error_new(text.encode()))


def error_pointer(error: Any) -> int:
    """An error of wasmtime as what a callback returns."""
    return ctypes.cast(error, ctypes.c_void_p).value or 0
