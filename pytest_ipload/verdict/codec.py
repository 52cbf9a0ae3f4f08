"""Dataclasses to plain values and back, by the types of their fields: for what is passed between processes.

Decoded data may come from anywhere, a file or another machine: only values of the declared types are accepted, and
numbers only if they are finite and fit into 64 bits; anything else is a ``ValueError`` that says where it was found.
Constraints that types do not express are checked by the dataclasses when they are made. Nothing is evaluated or
unpickled.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pytest_ipload.stats.histogram import Histogram, plain_int, shown
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.verdict.threshold.expression import Threshold

_Kind = TypeVar("_Kind")


def encode(value: Any) -> Any:
    """The value as None, booleans, numbers, texts, lists and dicts."""
    if isinstance(value, (Histogram, Measurements)):
        return value.to_plain()
    if isinstance(value, Threshold):
        return value.text
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(content) for content in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be sent to another process")


def decode(kind: type[_Kind], value: object, where: str) -> _Kind:
    """A value of this type from what ``encode`` returned. ``ValueError``, with ``where``, for anything else."""
    return cast(_Kind, _decode(kind, value, where))


def _decode(kind: Any, value: Any, where: str) -> Any:
    if kind in (Histogram, Measurements):
        with _at(where):
            return kind.from_plain(value)
    if kind is Threshold:
        text = _decode(str, value, where)
        with _at(where):
            return Threshold.parse(text)
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _optional(args, value, where)
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin in (list, Sequence) or (origin is tuple and args[-1] is Ellipsis):
        items = [_decode(args[0], item, f"{where}[{place}]") for place, item in enumerate(_is_a(list, value, where))]
        return tuple(items) if origin is tuple else items
    if origin is tuple or hasattr(kind, "_fields"):
        return _row(kind, value, where)
    if origin in (dict, Mapping):
        return {
            _decode(str, key, where): _decode(args[1], item, f"{where}.{key}")
            for key, item in _is_a(dict, value, where).items()
        }
    if kind is int or (kind is float and type(value) is int):
        return kind(plain_int(_is_a(int, value, where), where, low=None))
    return _is_a(kind, value, where)


def _optional(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    [kind] = [each for each in kinds if each is not type(None)]
    return None if value is None else _decode(kind, value, where)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if type(value) is not dict or set(value) != set(names):
        raise ValueError(f"{where}: expected an object with {', '.join(names)}, got {shown(value)}")
    decoded = {name: _decode(hints[name], value[name], f"{where}.{name}") for name in names}
    with _at(where):
        return kind(**decoded)


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Add the place to an error that the type itself raises for its values."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _row(kind: Any, value: Any, where: str) -> Any:
    """A tuple of fixed length, or a named tuple."""
    is_named = hasattr(kind, "_fields")
    kinds = tuple(get_type_hints(kind).values()) if is_named else get_args(kind)
    items = _is_a(list, value, where)
    if len(items) != len(kinds):
        raise ValueError(f"{where}: expected {len(kinds)} values, got {len(items)}")
    decoded = [_decode(each, items[place], f"{where}[{place}]") for place, each in enumerate(kinds)]
    return kind(*decoded) if is_named else tuple(decoded)


def _is_a(kind: Any, value: Any, where: str) -> Any:
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ValueError(f"{where}: expected a value of type {kind.__name__}, got {shown(value)}")
    return value
