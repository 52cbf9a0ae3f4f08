"""A component with the functions of the host that it imports: ready to be instantiated for each user."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component as wasm

from pytest_ipload.base.errors import ComponentTrapped
from pytest_ipload.components.component_engine import ComponentEngine, Current
from pytest_ipload.components.linear_memory import error_pointer
from pytest_ipload.components.wit_types import Signature
from pytest_ipload.components.world import Import, check

_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LinkedComponent:
    """A compiled component and its linker, which all its users share."""

    def __init__(self, engine: ComponentEngine, component: wasm.Component, name: str) -> None:
        """Raises SettingError for a component that is not one of this world."""
        self.engine = engine
        self.name = name
        self._component = component
        checked = check(component, engine.engine, name)
        self.exports: Mapping[str, Signature] = checked.exports
        self._callbacks: list[Any] = []
        self._linker = wasm.Linker(engine.engine)
        interfaces: dict[str, list[Import]] = {
            each: [] for each in component.type.imports(engine.engine)
        }  # one without functions has to be there too
        for each in checked.imports:
            interfaces[each.interface].append(each)
        with self._linker.root() as root:
            for interface, imports in interfaces.items():
                with root.add_instance(interface) as instance:
                    for each in imports:
                        self._define(instance, each)

    def instantiate(self, store: wasmtime.Store) -> wasm.Instance:
        """A new instance. Raises WasmtimeError."""
        return self._linker.instantiate(store, self._component)

    def close(self) -> None:
        """There will be no new instances."""
        self._linker.close()
        self._component.close()

    def _define(self, instance: wasm.LinkerInstance, item: Import) -> None:
        if item.resource is not None:
            instance.add_resource(item.name, wasm.ResourceType.host(item.resource), _dropper(self.engine.current))
            return
        callback = ffi.wasmtime_component_func_callback_t(self._callback(item))
        self._callbacks.append(callback)
        name = item.name.encode()
        error = ffi.wasmtime_component_linker_instance_add_func(
            instance.ptr(), ctypes.create_string_buffer(name), len(name), callback, None, _FINALIZER()
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def _callback(self, item: Import) -> Callable[..., int]:
        """What wasmtime calls. Nothing gets out of it but whether the call goes on."""
        current = self.engine.current

        def refuse(*_: Any) -> int:
            call = current.call
            return _ended(call, ComponentTrapped(f"{call.what()}: {item.interface} {item.name} is not there"))

        if item.function is None or item.signature is None:
            return refuse
        run, parameters, result = item.function.run, item.signature.parameters, item.signature.result
        reads = tuple((i, each.read) for i, each in enumerate(parameters))

        def callback(_: Any, context: Any, kind: Any, args: Any, count: int, results: Any, wanted: int) -> int:
            call = current.call
            call.leave()
            try:
                values = [read(args[i], context) for i, read in reads]
                natives = call.user.native_calls
                end = natives.open()  # the host's functions are Python, which an exception of another thread ends
                try:
                    value = run(call, *values)
                finally:
                    natives.close(end)
                if result is not None:
                    result.write(value, results[0], context)
            except BaseException as error:
                return _ended(call, error)
            finally:
                call.enter()
            return 0

        return callback


def _dropper(current: Current) -> Callable[[Any, int], None]:
    """What wasmtime calls when a component drops a handle. wasmtime keeps it: it must not lead to the linker."""

    def drop(context: Any, number: int) -> None:
        call = current.call
        if call is not None:
            try:
                call.resources.drop(number)
            except BaseException as error:
                call.fail(error)

    return drop


def _ended(call: Any, error: BaseException) -> int:
    """End the call: with an error that the component cannot catch."""
    call.fail(error)
    return error_pointer(ffi.wasmtime_error_new(b"ended by the host"))
