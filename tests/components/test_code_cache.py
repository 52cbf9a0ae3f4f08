"""Components are compiled once, in a process of their own, and their code is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.wat import wat

from pytest_ipload.base.errors import SettingError
from pytest_ipload.components import code_cache, compile_process, component_file
from pytest_ipload.components.code_cache import compiled
from pytest_ipload.components.component_engine import ComponentEngine
from pytest_ipload.components.component_file import problem_of
from pytest_ipload.components.component_store import ComponentStore
from pytest_ipload.components.linking import LinkedComponent
from pytest_ipload.load.awaited_work import OwnThread
from pytest_ipload.load.user import VirtualUser

TEXT = wat()
BINARY = bytes(wasmtime.wat2wasm(TEXT))


@pytest.fixture(scope="session")
def engine() -> ComponentEngine:
    return ComponentEngine(fuel=False)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands of the compiler."""
    commands: list[str] = []
    popen = subprocess.Popen

    def note(command: list[str], **options: object) -> object:
        commands.append(command[3])
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", note)
    return commands


def test_code_is_kept_and_used_again(engine: ComponentEngine, tmp_path: Path, compilations: list[str]) -> None:
    folder = tmp_path / "new" / "cache"
    for _ in range(2):
        component = compiled(engine, BINARY, "a.wasm", folder)
        assert set(LinkedComponent(engine, component, "a.wasm").exports) == {"set-up", "iterate", "tear-down"}
    assert len(compilations) == 1
    [file] = folder.iterdir()
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-9] + b"x" + content[-8:]):
        file.write_bytes(damaged)
        compiled(engine, BINARY, "a.wasm", folder)
        assert file.read_bytes()[:100] == content[:100]
        compilations.clear()
    assert [each.name for each in folder.iterdir()] == [file.name]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_code_that_another_account_can_write_is_compiled_again(
    engine: ComponentEngine, tmp_path: Path, compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(engine, BINARY, "a.wasm", tmp_path)
    [file] = tmp_path.iterdir()
    file.chmod(0o666)
    for expected in (2, 2):
        compiled(engine, BINARY, "a.wasm", tmp_path)
        assert len(compilations) == expected
        assert file.stat().st_mode & 0o777 == 0o600
    owner = file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    compiled(engine, BINARY, "a.wasm", tmp_path)
    assert len(compilations) == (2 if owner == 0 else 3)


def test_code_of_another_engine_is_compiled_again(
    engine: ComponentEngine, tmp_path: Path, compilations: list[str]
) -> None:
    compiled(engine, BINARY, "a.wasm", tmp_path)
    [plain] = tmp_path.iterdir()
    with_fuel = ComponentEngine(fuel=True)
    compiled(with_fuel, BINARY, "a.wasm", tmp_path)
    [fuel] = set(tmp_path.iterdir()) - {plain}
    fuel.write_bytes(plain.read_bytes())  # its checksum is right
    compiled(with_fuel, BINARY, "a.wasm", tmp_path)
    assert len(compilations) == 3


def test_a_folder_that_cannot_be_written_to_is_done_without(engine: ComponentEngine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    compiled(engine, BINARY, "a.wasm", tmp_path / "file" / "cache")


def test_code_that_was_not_used_for_long_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_cache, "_MOST_KEPT", 300)
    for number in range(4):
        code_cache._write(tmp_path / f"{number}.code", b"x" * 50)  # and 63 bytes of its head
        os.utime(tmp_path / f"{number}.code", (number, number))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["2.code", "3.code"]


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "a.wasm", "it is not WebAssembly: it does not begin with '\\0asm'"),
        (b"\0asm\x01\0\0\0", "a.wasm", "it is a core module, not a component; make it one: wasm-tools component new"),
        (b"\0asm\x0e\0\x01\0", "a.wasm", "it is not a component of a version that is known (bytes 4 to 7 are 0e 00 01"),
        (BINARY[:-20], "a.wasm", "it is not valid: "),
        (BINARY[:300] + b"\xff" * 50, "a.wasm", "it is not valid: "),
        (b"(component", "a.wat", "it is not valid: expected `)`"),
        (b"(module)", "a.wat", "it is not valid: "),
    ],
    ids=["empty", "module", "other version", "truncated", "damaged", "text", "module as text"],
)
def test_what_is_not_a_component_is_an_error(data: bytes, name: str, message: str, engine: ComponentEngine) -> None:
    with pytest.raises(SettingError) as caught:
        compiled(engine, data, name, None)
    assert str(caught.value).startswith(f"component {name}: {message}")
    assert "\n" not in str(caught.value)


def test_a_compiler_that_crashes_is_an_error(
    engine: ComponentEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "crash.py"
    script.write_text("import os, sys; sys.stderr.write('panicked\\n'); sys.stderr.flush(); os.abort()")
    monkeypatch.setattr(compile_process, "__file__", str(script))
    with pytest.raises(SettingError, match=r"^component a\.wasm: the compiler ended with status -6: panicked"):
        compiled(engine, BINARY, "a.wasm", None)


def test_the_compiler_ends_with_who_waits_for_it(
    engine: ComponentEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    script = tmp_path / "hang.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(compile_process, "__file__", str(script))
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        started.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(code_cache, "_output", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compiled(engine, BINARY, "a.wasm", None)
    assert started[0].returncode == -9


SOME = st.one_of(
    st.binary(max_size=200).map(lambda tail: b"\0asm\x0d\0\x01\0" + tail),
    st.integers(8, len(BINARY)).map(lambda size: BINARY[:size]),
    st.tuples(st.integers(8, len(BINARY) - 1), st.integers(0, 255)).map(
        lambda change: BINARY[: change[0]] + bytes([change[1]]) + BINARY[change[0] + 1 :]
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@example(BINARY)
@example(b"\0asm\x0d\0\x01\0")
@given(SOME)
def test_hostile_bytes_are_a_component_or_an_error(engine: ComponentEngine, data: bytes) -> None:
    """In this process, as the code that comes from the compiler's is: neither of the two may crash."""
    try:
        component = wasmtime.component.Component(engine.engine, data)
    except wasmtime.WasmtimeError:
        return
    try:
        LinkedComponent(engine, component, "x.wasm")
    except SettingError:
        return


def test_the_store_reads_a_file_once_and_again_when_it_has_changed(tmp_path: Path, store: ComponentStore) -> None:
    file = tmp_path / "a.wat"
    file.write_text(TEXT)
    first = store.component("a.wat", [tmp_path / "nowhere", tmp_path])
    assert store.component(file) is first
    assert store.component(file, limits={"memory": "1MiB"}) is not first
    assert store.component(file, rows={"users": "users.csv"}) is not first
    file.write_text("(component)")
    with pytest.raises(SettingError, match=r"^component a\.wat: it does not export set-up"):
        store.component(file)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("nothing.wasm", {}, "ipload_component: there is no file .*nothing.wasm; give an absolute path, or"),
        (".", {}, "ipload_component: .* is not a file"),
        (7, {}, "ipload_component: 7 is not the path of a component, such as 'shop.wasm'"),
        ("a.wat", {"limits": {"memory": "10 bananas"}}, "ipload_component: memory: '10 bananas' is not a size; "),
        ("a.wat", {"limits": {"memory": True}}, "ipload_component: memory: True is not a size; give a number of bytes"),
        ("a.wat", {"limits": {"memory": "5GiB"}}, "ipload_component: memory: '5GiB': give a size from 64 KiB to 4 GiB"),
        ("a.wat", {"limits": {"time": 0}}, "ipload_component: time: "),
        ("a.wat", {"limits": {"fuel": 0}}, "ipload_component: fuel: 0: give a whole number from 1 to "),
        ("a.wat", {"limits": {"sockets": -1}}, "ipload_component: sockets: -1: give a whole number from 0 to "),
        ("a.wat", {"limits": {"requests": 1.5}}, r"ipload_component: requests: 1\.5: give a whole number from 0 to "),
        ("a.wat", {"rows": "users.csv"}, "ipload_component: rows='users.csv': give sources of test data by name"),
    ],
)  # fmt: skip
def test_bad_arguments_say_what_is_allowed(
    path: object, options: dict[str, object], message: str, tmp_path: Path, store: ComponentStore
) -> None:
    (tmp_path / "a.wat").write_text(TEXT)
    with pytest.raises(SettingError, match=f"^{message}"):
        store.component(path, [tmp_path], **options)  # type: ignore[arg-type]


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, store: ComponentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_ipload.components.component_store.MOST_BYTES", 1 << 20)
    with (tmp_path / "a.wasm").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        SettingError, match=r"it cannot be read: it is larger than 1 MiB, the maximum size of components"
    ):
        store.component(tmp_path / "a.wasm")


def test_without_wasmtime_the_error_says_how_to_install_it(
    tmp_path: Path, store: ComponentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wat").write_text(TEXT)
    monkeypatch.setitem(sys.modules, "wasmtime.component", None)
    with pytest.raises(SettingError, match=r"^component a\.wat: this needs .*: pip install 'pytest-ipload\[wasm\]'$"):
        store.component(tmp_path / "a.wat")


def test_a_scenario_file_knows_what_a_component_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wasm"
    assert str(problem_of(path)).startswith(f"component {path}: it cannot be read: ")
    path.write_bytes(BINARY)
    assert problem_of(path) is None
    monkeypatch.setattr(component_file, "find_spec", lambda name: None)
    assert problem_of(path) == "component a.wasm: components need wasmtime; install it with: " + component_file.INSTALL


def test_users_that_wait_for_the_compiler_are_not_idle(
    store: ComponentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[bool] = []
    compile_ = code_cache._compile

    def noted(*args: Any) -> bytes:
        thread = threading.current_thread()
        assert isinstance(thread, OwnThread)
        states.append(thread.user.awaits_work)
        return compile_(*args)

    monkeypatch.setattr(code_cache, "_compile", noted)
    file = tmp_path / "guest.wat"
    file.write_text(wat())
    thread = OwnThread(target=store.component, args=(file,))
    thread.user = VirtualUser(0, seed=0, source_addresses=(), record=lambda sample: None)
    thread.start()
    thread.join()
    assert states == [True]
