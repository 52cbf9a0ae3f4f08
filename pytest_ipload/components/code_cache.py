"""Compiled components: in memory for the session, and in files for the next ones."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import component as wasm

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.text import printable
from pytest_ipload.components import compile_process
from pytest_ipload.components.component_engine import ComponentEngine
from pytest_ipload.components.component_file import check_beginning, is_text

_MAGIC = b"pytest-ipload component code 1\n"
_MOST_KEPT = 512 << 20
"""Bytes of all code in the folder; a component with the run-time library of a language has up to 70 MB."""
_LOOK_S = 0.1
_LONGEST_ERROR = 400


def compiled(engine: ComponentEngine, data: bytes, name: str, folder: Path | None) -> wasm.Component:
    """The component of these bytes; its code comes from the folder, if it is there. Raises SettingError."""
    check_beginning(data, name)
    file = None if folder is None else folder / _file_name(engine, data)
    if file is not None and (found := _read(engine, file)) is not None:
        return found
    code = _compile(engine, data, name)
    try:
        component = wasm.Component.deserialize(engine.engine, code)
    except wasmtime.WasmtimeError as error:
        text = printable(str(error))
        raise SettingError(f"component {name}: its code cannot be used: {text:.{_LONGEST_ERROR}}") from None
    if file is not None:
        _write(file, code)
    return component


def _compile(engine: ComponentEngine, data: bytes, name: str) -> bytes:
    """Compile it in a process of its own, which Ctrl-C ends, and which may crash. Raises SettingError."""
    folder, settings = str(Path(wasmtime.__file__).parents[1]), json.dumps(engine.settings)
    command = [sys.executable, "-I", "-S", compile_process.__file__, folder, settings, str(int(is_text(name, data)))]
    with tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=given, stdout=pipe, stderr=pipe) as process:
            try:
                code, errors = _output(process)
            except BaseException:
                process.kill()
                raise
    if process.returncode == 0:
        return code
    text = errors.decode("utf-8", "replace")
    if process.returncode == 1:
        why = " ".join(text.split())
        raise SettingError(f"component {name}: it is not valid: {printable(why):.{_LONGEST_ERROR}}")
    raise SettingError(
        f"component {name}: the compiler ended with status {process.returncode}: "
        f"{printable(' '.join(text.split())):.{_LONGEST_ERROR}}"
    )


def _output(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What a process writes; a user that waits for it can be interrupted."""
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)
        except subprocess.TimeoutExpired:
            continue


def _file_name(engine: ComponentEngine, data: bytes) -> str:
    settings = hashlib.sha256(json.dumps(engine.settings).encode()).hexdigest()
    return f"{hashlib.sha256(data).hexdigest()}-{version('wasmtime')}-{settings[:8]}.code"


def _read(engine: ComponentEngine, file: Path) -> wasm.Component | None:
    """The component whose code a file has; None if there is none, or it cannot be used.

    Code that has been changed could do anything. So a file has a checksum, and is not used if it does not fit, or if
    another account can write to it: a cache directory may be shared.
    """
    try:
        with file.open("rb") as opened:
            if not _is_own(os.fstat(opened.fileno())):
                return None
            content = opened.read()
    except OSError:
        return None
    begin = len(_MAGIC) + hashlib.sha256().digest_size
    checksum, code = content[len(_MAGIC) : begin], content[begin:]
    if not content.startswith(_MAGIC) or hashlib.sha256(code).digest() != checksum:
        return None
    try:
        component = wasm.Component.deserialize(engine.engine, code)
    except wasmtime.WasmtimeError:  # made on a machine with another processor
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # it is in use
    return component


def _is_own(state: os.stat_result) -> bool:
    """Whether only this account, or root, has written a file; unknown on Windows."""
    if sys.platform == "win32":
        return True
    return state.st_uid in (os.geteuid(), 0) and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(file: Path, code: bytes) -> None:
    """Keep the code. Other processes see the whole file or none."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as part:
                part.writelines((_MAGIC, hashlib.sha256(code).digest(), code))
            os.replace(temporary, file)
        except BaseException:
            os.unlink(temporary)
            raise
        _remove_oldest(file.parent)


def _remove_oldest(folder: Path) -> None:
    """Keep the code that was used last."""
    states = [(each.stat(), each) for each in folder.glob("*.code")]
    kept = 0
    for state, each in sorted(states, key=lambda found: found[0].st_mtime_ns, reverse=True):
        kept += state.st_size
        if kept > _MOST_KEPT:
            each.unlink(missing_ok=True)
