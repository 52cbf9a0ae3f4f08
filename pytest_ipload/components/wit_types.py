"""The types of a component's imports and exports, as wasmtime tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wasmtime import _ffi as ffi
from wasmtime import component as wasm

from pytest_ipload.base.errors import SettingError
from pytest_ipload.components.wit_values import (
    EnumOf,
    Handle,
    ListOf,
    Octets,
    OptionOf,
    RecordOf,
    ResultOf,
    Scalar,
    Text,
    TupleOf,
    ValueType,
    VariantOf,
)

_SCALARS: Mapping[type, ValueType] = {
    wasm.Bool: Scalar("bool", ffi.WASMTIME_COMPONENT_BOOL.value, "boolean"),
    wasm.S8: Scalar("s8", ffi.WASMTIME_COMPONENT_S8.value, "s8"),
    wasm.U8: Scalar("u8", ffi.WASMTIME_COMPONENT_U8.value, "u8"),
    wasm.S16: Scalar("s16", ffi.WASMTIME_COMPONENT_S16.value, "s16"),
    wasm.U16: Scalar("u16", ffi.WASMTIME_COMPONENT_U16.value, "u16"),
    wasm.S32: Scalar("s32", ffi.WASMTIME_COMPONENT_S32.value, "s32"),
    wasm.U32: Scalar("u32", ffi.WASMTIME_COMPONENT_U32.value, "u32"),
    wasm.S64: Scalar("s64", ffi.WASMTIME_COMPONENT_S64.value, "s64"),
    wasm.U64: Scalar("u64", ffi.WASMTIME_COMPONENT_U64.value, "u64"),
    wasm.F32: Scalar("f32", ffi.WASMTIME_COMPONENT_F32.value, "f32"),
    wasm.F64: Scalar("f64", ffi.WASMTIME_COMPONENT_F64.value, "f64"),
    wasm.Char: Scalar("char", ffi.WASMTIME_COMPONENT_CHAR.value, "character"),
    wasm.String: Text(),
}
_MOST_PARTS = 1000
"""Of a signature. A type that names another one twice, and so on, doubles with each level."""


class Unsupported(Exception):
    """A type that no import and no export of a component here has."""


class Resources:
    """The resources that a component imports: their names, and the numbers of their types in the host."""

    def __init__(self) -> None:
        self.parts = 0
        """Of the signature that is being looked at, so far."""
        self._known: list[tuple[wasm.ResourceType, str]] = []

    def add(self, name: str, kind: wasm.ResourceType) -> int:
        """The number of a resource's type; the same one for a type that another interface uses under a name."""
        for number, (known, _) in enumerate(self._known):
            if known == kind:
                return number
        self._known.append((kind, name))
        return len(self._known) - 1

    def handle(self, kind: wasm.ResourceType, *, is_owned: bool) -> Handle:
        """The type of a handle. Raises Unsupported."""
        for number, (known, name) in enumerate(self._known):
            if known == kind:
                return Handle(name, number, is_owned)
        raise Unsupported("a resource of its own")


@dataclass(frozen=True)
class Signature:
    """The types of a function."""

    parameters: tuple[ValueType, ...]
    result: ValueType | None

    @property
    def shape(self) -> str:
        """As WIT writes it, without the names of the parameters."""
        result = "" if self.result is None else f" -> {self.result.shape}"
        return f"({', '.join(each.shape for each in self.parameters)}){result}"


def signature_of(kind: wasm.FuncType, resources: Resources) -> Signature:
    """The types of a function. Raises Unsupported."""
    result = kind.result
    resources.parts = 0
    return Signature(
        tuple(_type_of(each, resources) for _, each in kind.params),
        None if result is None else _type_of(result, resources),
    )


def _type_of(kind: Any, resources: Resources) -> ValueType:
    resources.parts += 1
    if resources.parts > _MOST_PARTS:
        raise Unsupported(f"more than {_MOST_PARTS} parts")
    if (scalar := _SCALARS.get(type(kind))) is not None:
        return scalar
    if isinstance(kind, wasm.ListType):
        element = _type_of(kind.element, resources)
        return Octets() if element.shape == "u8" else ListOf(element)
    if isinstance(kind, wasm.TupleType):
        return TupleOf(tuple(_type_of(each, resources) for each in kind.elements))
    if isinstance(kind, wasm.RecordType):
        return RecordOf(tuple((name, _type_of(each, resources)) for name, each in kind.fields))
    if isinstance(kind, wasm.VariantType):
        return VariantOf(tuple((name, _maybe(each, resources)) for name, each in kind.cases))
    if isinstance(kind, wasm.EnumType):
        return EnumOf(tuple(kind.names))
    if isinstance(kind, wasm.OptionType):
        return OptionOf(_type_of(kind.payload, resources))
    if isinstance(kind, wasm.ResultType):
        return ResultOf(_maybe(kind.ok, resources), _maybe(kind.err, resources))
    if isinstance(kind, (wasm.OwnType, wasm.BorrowType)):
        return resources.handle(kind.ty, is_owned=isinstance(kind, wasm.OwnType))
    raise Unsupported(type(kind).__name__)


def _maybe(kind: Any, resources: Resources) -> ValueType | None:
    return None if kind is None else _type_of(kind, resources)


def as_value(name: str, value: Any) -> tuple[str, Any]:
    """A value of Python as the variant ``value`` of the WIT file. Raises SettingError."""
    import json

    if value is None:
        return "nothing", None
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return "integer", value
    if isinstance(value, float):
        return "number", value
    if isinstance(value, str):
        return "text", value
    try:
        return "json", json.dumps(value)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{name!r:.80} cannot be given to a component: {error}; give texts, numbers, booleans, None, or lists and "
            "mappings of these"
        ) from None


def of_value(value: tuple[str, Any]) -> Any:
    """The value of Python that a variant ``value`` means. Raises ValueError for a text that is not JSON."""
    import json

    case, held = value
    return json.loads(held) if case == "json" else held


def named_values(values: Mapping[str, Any]) -> Sequence[tuple[str, tuple[str, Any]]]:
    """Values by name as a list of ``named-value``. Raises SettingError."""
    return [(str(name), as_value(str(name), value)) for name, value in values.items()]
