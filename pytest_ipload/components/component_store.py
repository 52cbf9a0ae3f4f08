"""The components of a session: read, compiled and checked once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ipload.base.errors import SettingError
from pytest_ipload.base.untrusted_files import read_bytes
from pytest_ipload.components.component_file import INSTALL
from pytest_ipload.components.limits import limits_of
from pytest_ipload.load.awaited_work import awaited_work

if TYPE_CHECKING:
    from pytest_ipload.components.component import Component
    from pytest_ipload.components.component_engine import ComponentEngine
    from pytest_ipload.components.linking import LinkedComponent

MOST_BYTES = 256 << 20
"""Of a component's file."""
_ORDERS = ("sequential", "unique", "random")


class ComponentStore:
    """The components of a session, by what was given for them."""

    def __init__(self, cache: Path | None = None) -> None:
        """``cache`` is the folder that keeps compiled code; None keeps it in memory only."""
        self._cache = cache
        self._lock = threading.Lock()
        self._engines: dict[bool, ComponentEngine] = {}
        self._linked: dict[tuple[Any, ...], LinkedComponent] = {}
        self._components: dict[tuple[Any, ...], Component] = {}

    def component(
        self,
        path: Any,
        folders: Sequence[Path] = (),
        limits: Mapping[str, Any] | None = None,
        rows: Any = None,
    ) -> Component:
        """The component of a file, with these limits; the same one for the same arguments.

        A relative path leads from the first of the folders that has the file. Raises SettingError.
        """
        kept = limits_of(limits or {})
        file, sources = _found(path, folders), _rows(rows)
        with awaited_work(), self._lock:
            check_wasmtime(file.name)
            from pytest_ipload.components.component import Component

            linked = self._link(file, fuel=kept.fuel is not None)
            key = (id(linked), kept, *((name, _identity(source), order) for name, (source, order) in sources.items()))
            if key not in self._components:
                self._components[key] = Component(linked, file, kept, sources)
            return self._components[key]

    def close(self) -> None:
        """The session is over."""
        for linked in self._linked.values():
            linked.close()
        for engine in self._engines.values():
            engine.close()

    def _link(self, file: Path, *, fuel: bool) -> LinkedComponent:
        from pytest_ipload.components.code_cache import compiled
        from pytest_ipload.components.component_engine import ComponentEngine
        from pytest_ipload.components.linking import LinkedComponent

        try:
            state = file.stat()
            key = str(file), state.st_mtime_ns, state.st_size, fuel
            if key not in self._linked:
                data = read_bytes(file, MOST_BYTES, "components")
                engine = self._engines.setdefault(fuel, self._engines.get(fuel) or ComponentEngine(fuel=fuel))
                component = compiled(engine, data, file.name, self._cache)
                self._linked[key] = LinkedComponent(engine, component, file.name)
        except (OSError, ValueError, MemoryError) as error:
            if isinstance(error, SettingError):
                raise
            raise SettingError(f"component {file}: it cannot be read: {error}") from None
        return self._linked[key]


def check_wasmtime(name: str) -> None:
    """Raise SettingError if wasmtime cannot be imported."""
    try:
        import wasmtime.component  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:  # what it raises on a processor that it does not know
        raise SettingError(
            f"component {name}: this needs wasmtime, which cannot be imported ({error}); install it with: {INSTALL}"
        ) from None


def _found(path: Any, folders: Sequence[Path]) -> Path:
    if not isinstance(path, (str, Path)) or not str(path):
        raise SettingError(f"ipload_component: {path!r:.100} is not the path of a component, such as 'shop.wasm'")
    places = [folder / path for folder in dict.fromkeys(folders)] or [Path(path)]
    try:
        found = next((place for place in places if place.exists()), None)
    except (OSError, ValueError) as error:
        raise SettingError(f"ipload_component: {path!r:.100} is not the path of a file: {error}") from None
    if found is None:
        looked_at = " nor ".join(dict.fromkeys(map(str, places)))
        raise SettingError(
            f"ipload_component: there is no file {looked_at}; give an absolute path, or one relative to the file that "
            "calls ipload_component or to pytest's rootdir"
        )
    if not found.is_file():
        raise SettingError(f"ipload_component: {found} is not a file")
    return found.resolve()


def _rows(given: Any) -> Mapping[str, tuple[Any, str]]:
    """The test data by name: each a source and its order. Raises SettingError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        raise SettingError(
            f"ipload_component: rows={given!r:.100}: give sources of test data by name, as in {{'users': 'users.csv'}} "
            "or {'users': ('users.csv', 'unique')}"
        )
    return {
        name: source
        if isinstance(source, tuple) and len(source) == 2 and source[1] in _ORDERS
        else (source, _ORDERS[0])
        for name, source in given.items()
    }


def _identity(source: Any) -> Any:
    return str(source) if isinstance(source, (str, Path)) else id(source)
