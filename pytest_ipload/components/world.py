"""What components may import and have to export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wasmtime import Engine
from wasmtime import component as wasm

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.text import printable
from pytest_ipload.components import http_imports, socket_imports, user_imports, wasi_imports
from pytest_ipload.components.host_function import NAMED_VALUE, HostFunction
from pytest_ipload.components.wit_types import Resources, Signature, Unsupported, signature_of

PACKAGE = "pytest-ipload:load"
WORLD: Mapping[str, Mapping[str, HostFunction]] = {
    f"{PACKAGE}/types": {},
    f"{PACKAGE}/http": http_imports.FUNCTIONS,
    f"{PACKAGE}/sockets": socket_imports.FUNCTIONS,
    f"{PACKAGE}/user": user_imports.USER,
    f"{PACKAGE}/metrics": user_imports.METRICS,
}
SET_UP, ITERATE, TEAR_DOWN = "set-up", "iterate", "tear-down"
_ENDED = "() -> result<_, string>"
EXPORTS = {SET_UP: _ENDED, ITERATE: f"(list<{NAMED_VALUE}>) -> result<list<{NAMED_VALUE}>, string>", TEAR_DOWN: _ENDED}
_WASI = re.compile(r"(wasi:[a-z-]+/[a-z-]+)@0\.2\.[0-9]+")
_MOST_NAMED = 20
_HINTS = {
    "wasi:sockets/": "componentize-py has --stub-wasi",
    "wasi:http/": "jco componentize has --disable http",
}


@dataclass(frozen=True)
class Import:
    """One thing that a component imports from an interface."""

    interface: str
    name: str
    signature: Signature | None
    """None for a resource, or a function with types that no function here has."""
    resource: int | None
    """The number of a resource."""
    function: HostFunction | None
    """None for one that ends the call."""


@dataclass(frozen=True)
class Checked:
    """A component that can be linked."""

    imports: tuple[Import, ...]
    exports: Mapping[str, Signature]


def check(component: wasm.Component, engine: Engine, name: str) -> Checked:
    """What has to be linked. Raises SettingError for a component that is not one of this world."""
    kind = component.type
    imported = {each: item.ty for each, item in kind.imports(engine).items()}
    refused = [each for each, item in imported.items() if not _is_known(each, item)]
    if refused:
        raise SettingError(_refusal(name, refused))
    resources = Resources()
    imports = tuple(_imports(imported, engine, resources, name))
    return Checked(imports, dict(_exports({each: x.ty for each, x in kind.exports(engine).items()}, resources, name)))


def _is_known(name: str, item: Any) -> bool:
    return isinstance(item, wasm.ComponentInstanceType) and _functions(name) is not None


def _functions(interface: str) -> Mapping[str, HostFunction] | None:
    """The functions of an interface; None for one that components do not get."""
    if interface in WORLD:
        return WORLD[interface]
    match = _WASI.fullmatch(interface)
    return wasi_imports.FUNCTIONS.get(match[1]) if match else None


def _imports(imported: Mapping[str, Any], engine: Engine, resources: Resources, name: str) -> Iterator[Import]:
    items = [(each, what, x.ty) for each, item in imported.items() for what, x in item.exports(engine).items()]
    for interface, what, item in items:  # first, for functions have them in their types
        if isinstance(item, wasm.ResourceType):
            yield Import(interface, what, None, resources.add(what, item), None)
    for interface, what, item in items:
        if isinstance(item, wasm.FuncType):
            yield _function(interface, what, item, resources, name)


def _function(interface: str, what: str, item: wasm.FuncType, resources: Resources, name: str) -> Import:
    function = (_functions(interface) or {}).get(what)
    shown = f"component {name}: it imports {printable(what):.100} of {printable(interface):.100}"
    if function is None:
        if interface in WORLD:
            raise SettingError(f"{shown}, which this version does not have; see python -m pytest_ipload wit")
        return Import(interface, what, None, None, None)
    try:
        signature = signature_of(item, resources)
    except Unsupported as error:
        raise SettingError(f"{shown} with other types ({error}); build it with python -m pytest_ipload wit") from None
    if signature.shape != function.shape:
        raise SettingError(
            f"{shown} as {printable(signature.shape):.300}, not as {function.shape}; build it with the WIT file of "
            "this version: python -m pytest_ipload wit"
        )
    return Import(interface, what, signature, None, function)


def _exports(exported: Mapping[str, Any], resources: Resources, name: str) -> Iterator[tuple[str, Signature]]:
    for what, shape in EXPORTS.items():
        item = exported.get(what)
        if not isinstance(item, wasm.FuncType):
            raise SettingError(
                f"component {name}: it does not export {what}; a component of the world {PACKAGE}/scenario exports "
                f"{', '.join(EXPORTS)} (see python -m pytest_ipload wit)"
            )
        try:
            signature = signature_of(item, resources)
        except Unsupported as error:
            raise SettingError(f"component {name}: {what} has other types ({error}) than {shape}") from None
        if signature.shape != shape:
            raise SettingError(f"component {name}: {what} is {printable(signature.shape):.300}, not {shape}")
        yield what, signature


def _refusal(name: str, refused: list[str]) -> str:
    shown = [f"{printable(each):.100}" for each in refused[:_MOST_NAMED]]
    if len(refused) > _MOST_NAMED:
        shown.append(f"and {len(refused) - _MOST_NAMED} more")
    hints = list(dict.fromkeys(hint for start, hint in _HINTS.items() if any(x.startswith(start) for x in refused)))
    hint = f" ({'; '.join(hints)})" if hints else ""
    return (
        f"component {name}: it imports {', '.join(shown)}, which components do not get: a component has the interfaces "
        f"of {PACKAGE}, and clocks, random numbers and standard output of WASI 0.2; build it without these{hint}"
    )
