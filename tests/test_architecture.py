"""The import arrows of the package: data flows one way, and what must stay light or pure does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest_ipload

PACKAGE = Path(pytest_ipload.__file__).parent

# A room may import from the rooms below it and from those on its own level that are listed with it.
LEVELS = (
    ("errors", "interrupts", "masking", "units", "places", "real_time", "values"),
    ("addresses", "stats"),
    ("transport", "load"),
    ("verdict",),
    ("distributed",),
    ("baselines",),
    ("options", "settings", "shape"),
    (
        "bare_calls",
        "error_results",
        "fixtures",
        "markers",
        "needs",
        "per_user",
        "phase_reports",
        "state",
        "runner",
        "shared_values",
        "loadtest",
        "hook_calls",
        "newhooks",
        "profiles",
        "spools",
        "taps",
        "thresholds",
        "team",
        "preflight",
        "report",
        "plugin",
        "__main__",
    ),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
APART = frozenset({"addresses", "stats", "transport", "load"})
"""Rooms on one level that do not know of each other."""


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST, *, top_level_only: bool = False) -> Iterator[str]:
    """The modules that a module imports; imports for a type checker only are no imports."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not (top_level_only and isinstance(node, (ast.FunctionDef, ast.ClassDef))):
            yield from imports(node, top_level_only=top_level_only)


ALL = dict(modules())
IMPORTED = {name: set(imports(tree)) for name, tree in ALL.items()}


def users_of(packages: set[str], names: Iterable[str]) -> list[str]:
    """Who of these modules imports one of the packages."""
    return [
        f"{name} imports {imported}"
        for name in names
        for imported in sorted(IMPORTED[name])
        if imported.split(".")[0] in packages
    ]


def modules_of(room: str) -> list[str]:
    """The modules of a room, which must have some."""
    found = [name for name in ALL if room_of(name) == room]
    assert found, room
    return found


def goes_down(room: str, target: str) -> bool:
    """Whether a room may import from another one."""
    same_level = LEVEL_OF[target] == LEVEL_OF[room] and not {room, target} <= APART
    return LEVEL_OF[target] < LEVEL_OF[room] or same_level


def test_every_room_has_its_place() -> None:
    rooms = {room_of(name) for name in ALL} - {""}
    assert rooms == set(LEVEL_OF)


def test_imports_go_down() -> None:
    ours = [
        (name, room_of(name), imported, room_of(imported))
        for name in ALL
        if room_of(name)
        for imported in sorted(IMPORTED[name])
        if imported.startswith("pytest_ipload.") and room_of(imported) in LEVEL_OF
    ]
    assert ours
    assert [
        f"{name} imports {imported}"
        for name, room, imported, target in ours
        if target != room and not goes_down(room, target)
    ] == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        name: {
            target
            for imported in imports(tree, top_level_only=True)
            for target in (imported, imported.rpartition(".")[0])
            if target in ALL and target not in (name, "pytest_ipload")
        }
        for name, tree in ALL.items()
    }
    while graph:
        leaves = {name for name, targets in graph.items() if not targets & set(graph)}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in leaves}


def test_the_load_room_knows_neither_pytest_nor_http() -> None:
    assert users_of({"pytest", "_pytest", "requests", "urllib3"}, modules_of("load")) == []


def test_pure_modules_use_no_network_no_clock_and_no_threads() -> None:
    impure = {"socket", "ssl", "time", "threading", "subprocess", "requests", "urllib3", "pytest"}
    others = ("pytest_ipload.verdict.expression", "pytest_ipload.load.schedule", "pytest_ipload.addresses.spec")
    assert users_of(impure, [*modules_of("stats"), *others]) == []


def test_nothing_is_unpickled_or_evaluated() -> None:
    unsafe = {"pickle", "marshal", "shelve"}
    assert users_of(unsafe, ALL) == []
    assert [
        f"{name} uses {node.id}"
        for name, tree in ALL.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in {"eval", "exec", *unsafe}
    ] == []


def test_the_plugin_alone_imports_nothing_that_takes_time() -> None:
    code = "import sys, pytest; import pytest_ipload.plugin; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"requests", "urllib3", "tabulate", "ssl", "hypothesis", "xdist", "multiprocessing", "jinja2", "plotly"}
    assert not heavy & set(loaded)
    ours = {name for name in loaded if name.startswith("pytest_ipload.")}
    assert not ours & {"pytest_ipload.runner", "pytest_ipload.loadtest", "pytest_ipload.load.executor"}
