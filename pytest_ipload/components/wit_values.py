"""Values of the component model on their way between WebAssembly and Python.

wasmtime's own conversions look up the types of a function in each call, and a list of bytes is converted byte by byte
in Python: 1 ms for a kilobyte. Here the types are looked at once, and lists of bytes are copied whole.

What is read stays wasmtime's, which frees it; what is written becomes wasmtime's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref
from dataclasses import dataclass
from typing import Any, Protocol

from wasmtime import _ffi as ffi

Val = ffi.wasmtime_component_val_t
SIZE = ctypes.sizeof(Val)
_OFFSET = Val.of.offset
_AT_ONCE = 2048
"""Bytes that are written at once: as values they fit into the processor's cache."""
_U8 = ffi.WASMTIME_COMPONENT_U8.value


class ValueType(Protocol):
    """A type of WIT. ``context`` is that of the store, which resources belong to."""

    @property
    def shape(self) -> str:
        """The type as WIT writes it, with the types that it consists of in full."""

    def read(self, val: Any, context: Any) -> Any:
        """The value in Python."""

    def write(self, value: Any, val: Any, context: Any) -> None:
        """Store a value; what it was before is not freed."""


@dataclass(frozen=True)
class Scalar:
    """A number or a boolean."""

    shape: str
    kind: int
    field: str

    def read(self, val: Any, context: Any) -> Any:
        return getattr(val.of, self.field)

    def write(self, value: Any, val: Any, context: Any) -> None:
        setattr(val.of, self.field, value)
        val.kind = self.kind


@dataclass(frozen=True)
class Text:
    """A string."""

    shape: str = "string"

    def read(self, val: Any, context: Any) -> str:
        return _text(val.of.string)

    def write(self, value: str, val: Any, context: Any) -> None:
        val.of.string = _name(value)
        val.kind = ffi.WASMTIME_COMPONENT_STRING.value


@dataclass(frozen=True)
class Octets:
    """A list of bytes."""

    shape: str = "list<u8>"

    def read(self, val: Any, context: Any) -> bytes:
        items = val.of.list
        return ctypes.string_at(items.data, items.size * SIZE)[_OFFSET::SIZE] if items.size else b""

    def write(self, value: bytes, val: Any, context: Any) -> None:
        items, size = ffi.wasmtime_component_vallist_t(), len(value)
        ffi.wasmtime_component_vallist_new_uninit(byref(items), size)
        if size:
            _copy(value, ctypes.cast(items.data, ctypes.c_void_p).value or 0)
        val.of.list = items
        val.kind = ffi.WASMTIME_COMPONENT_LIST.value


@dataclass(frozen=True)
class ListOf:
    """A list of anything else."""

    element: ValueType

    @property
    def shape(self) -> str:
        return f"list<{self.element.shape}>"

    def read(self, val: Any, context: Any) -> list[Any]:
        items, read = val.of.list, self.element.read
        return [read(items.data[i], context) for i in range(items.size)]

    def write(self, value: Sequence[Any], val: Any, context: Any) -> None:
        items, write = ffi.wasmtime_component_vallist_t(), self.element.write
        ffi.wasmtime_component_vallist_new_uninit(byref(items), len(value))
        for i, each in enumerate(value):
            write(each, items.data[i], context)
        val.of.list = items
        val.kind = ffi.WASMTIME_COMPONENT_LIST.value


@dataclass(frozen=True)
class TupleOf:
    """A tuple."""

    elements: tuple[ValueType, ...]

    @property
    def shape(self) -> str:
        return f"tuple<{', '.join(each.shape for each in self.elements)}>"

    def read(self, val: Any, context: Any) -> tuple[Any, ...]:
        items = val.of.tuple
        return tuple(each.read(items.data[i], context) for i, each in enumerate(self.elements))

    def write(self, value: Sequence[Any], val: Any, context: Any) -> None:
        items = ffi.wasmtime_component_valtuple_t()
        ffi.wasmtime_component_valtuple_new_uninit(byref(items), len(self.elements))
        for i, (each, kind) in enumerate(zip(value, self.elements, strict=True)):
            kind.write(each, items.data[i], context)
        val.of.tuple = items
        val.kind = ffi.WASMTIME_COMPONENT_TUPLE.value


@dataclass(frozen=True)
class RecordOf:
    """A record; in Python a tuple of its fields, in their order."""

    fields: tuple[tuple[str, ValueType], ...]

    @property
    def shape(self) -> str:
        return f"record{{{', '.join(f'{name}: {each.shape}' for name, each in self.fields)}}}"

    def read(self, val: Any, context: Any) -> tuple[Any, ...]:
        items = val.of.record
        return tuple(each.read(items.data[i].val, context) for i, (_, each) in enumerate(self.fields))

    def write(self, value: Sequence[Any], val: Any, context: Any) -> None:
        items = ffi.wasmtime_component_valrecord_t()
        ffi.wasmtime_component_valrecord_new_uninit(byref(items), len(self.fields))
        for i, (each, (name, kind)) in enumerate(zip(value, self.fields, strict=True)):
            kind.write(each, items.data[i].val, context)
            items.data[i].name = _name(name)
        val.of.record = items
        val.kind = ffi.WASMTIME_COMPONENT_RECORD.value


@dataclass(frozen=True)
class VariantOf:
    """A variant; in Python a pair of the case and what it holds."""

    cases: tuple[tuple[str, ValueType | None], ...]

    @property
    def shape(self) -> str:
        cases = (name if each is None else f"{name}({each.shape})" for name, each in self.cases)
        return f"variant{{{', '.join(cases)}}}"

    def read(self, val: Any, context: Any) -> tuple[str, Any]:
        held = val.of.variant
        case = _text(held.discriminant)
        kind = dict(self.cases)[case]
        return case, None if kind is None else kind.read(held.val.contents, context)

    def write(self, value: tuple[str, Any], val: Any, context: Any) -> None:
        case, payload = value
        boxed = _boxed(dict(self.cases)[case], payload, context)
        val.of.variant.discriminant = _name(case)
        val.of.variant.val = boxed
        val.kind = ffi.WASMTIME_COMPONENT_VARIANT.value


@dataclass(frozen=True)
class EnumOf:
    """One of several names."""

    names: tuple[str, ...]

    @property
    def shape(self) -> str:
        return f"enum{{{', '.join(self.names)}}}"

    def read(self, val: Any, context: Any) -> str:
        return _text(val.of.enumeration)

    def write(self, value: str, val: Any, context: Any) -> None:
        val.of.enumeration = _name(value)
        val.kind = ffi.WASMTIME_COMPONENT_ENUM.value


@dataclass(frozen=True)
class OptionOf:
    """A value or None."""

    payload: ValueType

    @property
    def shape(self) -> str:
        return f"option<{self.payload.shape}>"

    def read(self, val: Any, context: Any) -> Any:
        held = val.of.option
        return self.payload.read(held.contents, context) if held else None

    def write(self, value: Any, val: Any, context: Any) -> None:
        val.of.option = None if value is None else _boxed(self.payload, value, context)
        val.kind = ffi.WASMTIME_COMPONENT_OPTION.value


@dataclass(frozen=True)
class ResultOf:
    """A success or an error; in Python a pair of whether it is a success, and what it holds."""

    ok: ValueType | None
    err: ValueType | None

    @property
    def shape(self) -> str:
        ok, err = (each.shape if each is not None else "_" for each in (self.ok, self.err))
        return f"result<{ok}, {err}>"

    def read(self, val: Any, context: Any) -> tuple[bool, Any]:
        held = val.of.result
        kind = self.ok if held.is_ok else self.err
        return held.is_ok, None if kind is None else kind.read(held.val.contents, context)

    def write(self, value: tuple[bool, Any], val: Any, context: Any) -> None:
        is_ok, payload = value
        boxed = _boxed(self.ok if is_ok else self.err, payload, context)
        val.of.result.is_ok = is_ok
        val.of.result.val = boxed
        val.kind = ffi.WASMTIME_COMPONENT_RESULT.value


@dataclass(frozen=True)
class Handle:
    """A resource of the host; in Python the number that stands for it."""

    resource: str
    type_id: int
    is_owned: bool

    @property
    def shape(self) -> str:
        return f"{'own' if self.is_owned else 'borrow'}<{self.resource}>"

    def read(self, val: Any, context: Any) -> int:
        host = ctypes.POINTER(ffi.wasmtime_component_resource_host_t)()
        error = ffi.wasmtime_component_resource_any_to_host(context, val.of.resource, byref(host))
        if error:
            ffi.wasmtime_error_delete(error)
            raise ValueError(f"not a {self.resource}")
        number = ffi.wasmtime_component_resource_host_rep(host)
        ffi.wasmtime_component_resource_host_delete(host)
        return number

    def write(self, value: int, val: Any, context: Any) -> None:
        host = ffi.wasmtime_component_resource_host_new(self.is_owned, value, self.type_id)
        handle = ctypes.POINTER(ffi.wasmtime_component_resource_any_t)()
        error = ffi.wasmtime_component_resource_host_to_any(context, host, byref(handle))
        ffi.wasmtime_component_resource_host_delete(host)
        if error:
            ffi.wasmtime_error_delete(error)
            raise ValueError(f"no {self.resource} can be made")
        val.of.resource = handle
        val.kind = ffi.WASMTIME_COMPONENT_RESOURCE.value


def _copy(value: bytes, address: int) -> None:
    """Write bytes as values, one after the other."""
    size = min(len(value), _AT_ONCE)
    buffer = bytearray(size * SIZE)
    buffer[::SIZE] = bytes((_U8,)) * size
    source = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    for begin in range(0, len(value), size):
        part = value[begin : begin + size]
        buffer[_OFFSET : len(part) * SIZE : SIZE] = part
        ctypes.memmove(address + begin * SIZE, source, len(part) * SIZE)


def _boxed(kind: ValueType | None, value: Any, context: Any) -> Any:
    """A pointer to a value; null for none."""
    if kind is None:
        return None
    val = Val()
    kind.write(value, val, context)
    return ffi.wasmtime_component_val_new(byref(val))


def _text(name: Any) -> str:
    return ctypes.string_at(name.data, name.size).decode("utf-8", "replace") if name.size else ""


def _name(text: str) -> Any:
    data = text.encode("utf-8", "replace")
    name = ffi.wasm_name_t()
    ffi.wasm_byte_vec_new_uninitialized(byref(name), len(data))
    ctypes.memmove(name.data, data, len(data))
    return name
