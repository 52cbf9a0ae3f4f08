"""The files of components: what they begin with, and what they need."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pytest_ipload.base.errors import SettingError

INSTALL = "pip install 'pytest-ipload[wasm]'"
_WASM, _COMPONENT_LAYER, _MODULE_LAYER = b"\0asm", b"\x0d\0\x01\0", b"\x01\0\0\0"
_BEGINNING = 8
"""Bytes that say what it is."""


def is_text(name: str, data: bytes) -> bool:
    """Whether it is in WebAssembly's text form."""
    return name.endswith(".wat") and not data.startswith(_WASM)


def check_beginning(data: bytes, name: str) -> None:
    """Whether it begins as a component does. Raises SettingError."""
    if is_text(name, data):
        return
    if not data.startswith(_WASM):
        raise SettingError(f"component {name}: it is not WebAssembly: it does not begin with '\\0asm'")
    layer = data[len(_WASM) : _BEGINNING]
    if layer == _MODULE_LAYER:
        raise SettingError(
            f"component {name}: it is a core module, not a component; make it one: wasm-tools component new"
        )
    if layer != _COMPONENT_LAYER:
        raise SettingError(
            f"component {name}: it is not a component of a version that is known (bytes 4 to 7 are {layer.hex(' ')})"
        )


def problem_of(path: Path) -> str | None:
    """Why a component cannot be run here, as far as that is known without reading it; None if it can."""
    if find_spec("wasmtime") is None:
        return f"component {path.name}: components need wasmtime; install it with: {INSTALL}"
    try:
        with path.open("rb") as file:
            check_beginning(file.read(_BEGINNING), path.name)
    except SettingError as error:
        return str(error)
    except OSError as error:
        return f"component {path}: it cannot be read: {error}"
    return None
