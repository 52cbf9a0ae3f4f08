"""The import arrows of the package: data flows one way, and what must stay light or pure does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

import pytest_ipload

PACKAGE = Path(pytest_ipload.__file__).parent

# From the ground up: a module imports from its own folder and from what is below. A folder is on one floor with all its
# modules, but for those that have a floor of their own.
STOREYS = (
    ("base",),
    ("settings",),
    ("addresses.host", "addresses"),
    ("stats", "stats.evidence", "stats.spool"),
    ("explain",),
    ("transport.allowed_hosts", "transport.foreign_hooks", "transport.generator_errors", "transport.message"),
    ("transport.captured", "transport.reply_limit"),
    ("transport.connect", "transport.response", "transport.adapter", "transport.overrides", "transport.fast_path"),
    ("transport.curl", "transport"),
    ("load.partition", "load.schedule", "load.user_time", "load.generator", "load.test_data", "load.target", "load"),
    ("components",),
    ("verdict.threshold", "verdict.regression", "verdict"),
    ("capacity",),
    ("scenario_files",),
    ("baselines",),
    (
        "distributed.xdist_private",
        "distributed.protocol",
        "distributed.controller",
        "distributed.worker",
        "distributed.store",
    ),
    ("distributed", "report", "report.terminal", "report.files", "report.html"),
    ("plugin.newhooks", "plugin.options", "plugin.session_state", "plugin.hook_calls", "plugin.fixtures"),
    ("plugin.items", "plugin.scenarios", "plugin.run", "plugin.reporting", "plugin"),
    ("importers",),
    ("cli", "__main__"),
)
FLOORS = list(chain.from_iterable(STOREYS))
FLOOR_OF = {name: floor for floor, name in enumerate(FLOORS)}
STRANGERS = (
    ("transport", "load"),
    ("transport", "scenario_files"),
    ("addresses", "stats"),
    ("explain", "transport"),
    ("explain", "load"),
    ("explain", "verdict"),
    ("capacity", "transport"),
    ("capacity", "scenario_files"),
    ("baselines", "distributed"),
    ("plugin", "cli"),
    ("plugin", "importers"),
)
"""Rooms that know nothing of each other."""
PURE = (
    "components",
    "scenario_files",
    "capacity",
    "base",
    "settings",
    "addresses",
    "stats",
    "explain",
    "load",
    "verdict",
    "importers",
)
"""Rooms that load neither pytest nor an HTTP client."""
LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


TEXTS = {module_of(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
ALL = {name: ast.parse(text) for name, text in TEXTS.items() if name != "__init__"}


def imports(tree: ast.AST) -> Iterator[str]:
    """What a module imports, at once or late, by its full name; imports for a type checker only are none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def own_imports(name: str) -> set[str]:
    """The modules of the package that a module imports."""
    found = set()
    for imported in imports(ALL[name]):
        short = imported.removeprefix("pytest_ipload.")
        if short == imported:
            continue
        target = short if short in ALL else short.rpartition(".")[0]
        if target in ALL and target != name:
            found.add(target)
    return found


GRAPH = {name: own_imports(name) for name in ALL}


def floor_of(module: str) -> str:
    """The floor that a module is on: its own, or that of the folder around it."""
    while module not in FLOOR_OF:
        module = module.rpartition(".")[0]
        assert module, "no floor"
    return module


def test_every_module_has_a_floor_and_every_floor_has_modules() -> None:
    assert {floor_of(name) for name in ALL} == set(FLOORS)


def test_the_picture_in_the_documents_shows_the_rooms_in_their_order() -> None:
    text = (PACKAGE.parent / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    picture = text.partition("<!-- picture of the rooms -->\n```text\n")[2].partition("```")[0]
    shown = [name for line in picture.splitlines() for name in line.split("   ")[0].split()]
    folders = {module_of(path.parent / "__init__.py") for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert shown == [floor for floor in FLOORS if floor in folders]


def test_imports_go_down() -> None:
    climbing = [
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in targets
        if FLOOR_OF[floor_of(target)] > FLOOR_OF[floor_of(name)]
    ]
    assert climbing == []


def test_strangers_do_not_know_each_other() -> None:
    pairs = {(name.split(".")[0], target.split(".")[0]) for name, targets in GRAPH.items() for target in targets}
    assert not {pair for pair in pairs if pair in STRANGERS or pair[::-1] in STRANGERS}


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = dict(GRAPH)
    while graph:
        leaves = {name for name, targets in graph.items() if not targets & set(graph)}
        assert leaves, f"a circle among {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in leaves}


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_modules_and_functions_can_be_read_in_one_go() -> None:
    long = [name for name, text in TEXTS.items() if len(text.splitlines()) > LONGEST_MODULE]
    long += [
        f"{name}: {node.name}"
        for name, tree in ALL.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("room", PURE)
def test_a_pure_room_loads_neither_pytest_nor_a_client(room: str) -> None:
    names = [f"pytest_ipload.{name}" for name in ALL if name.split(".")[0] == room]
    code = f"import sys; import {', '.join(names)}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pytest", "_pytest", "requests", "urllib3"} & set(loaded)


def test_modules_that_are_functions_of_their_arguments_use_no_network_no_clock_and_no_threads() -> None:
    pure = [name for name in ALL if name.split(".")[0] in ("stats", "verdict")]
    with_locks = ("verdict.shard_group", "verdict.origin", "stats.spool.session_spools", "stats.evidence.keeper")
    pure = [name for name in pure if name not in with_locks]
    impure = {"socket", "ssl", "time", "threading", "subprocess", "requests", "urllib3", "pytest"}
    for name in [*pure, "load.schedule", "load.user_time", "addresses.spec", "addresses.sequence"]:
        assert not {imported.split(".")[0] for imported in imports(ALL[name])} & impure, name


def test_nothing_is_unpickled_or_evaluated() -> None:
    for name, tree in ALL.items():
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        assert not used & {"eval", "exec", "pickle", "marshal", "shelve"}, name
        assert not {imported.split(".")[0] for imported in imports(tree)} & {"pickle", "marshal", "shelve"}, name


def test_the_plugin_alone_imports_nothing_that_takes_time() -> None:
    code = "import sys, pytest; import pytest_ipload.plugin; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"requests", "urllib3", "tabulate", "ssl", "hypothesis", "xdist", "multiprocessing", "jinja2", "plotly"}
    heavy |= {"yaml", "pytest_ipload.scenario_files"}
    assert not heavy & set(loaded)
    late = {"plugin.run.load_run", "plugin.run.load_test", "load.executor", "verdict.result"}
    assert not {f"pytest_ipload.{name}" for name in late} & set(loaded)


def test_pytest_does_not_rewrite_the_modules_of_the_plugin(tmp_path: Path) -> None:
    # It does so with all modules of a plugin that is installed from a wheel, in each session anew where no bytecode may
    # be written.
    (tmp_path / "early.py").write_text("import pytest; pytest.register_assert_rewrite('pytest_ipload')")
    (tmp_path / "test_modules.py").write_text(
        "import sys\n"
        "def test_modules(ipload_user):\n"
        "    names = [name for name in sys.modules if name.startswith('pytest_ipload.')]\n"
        "    loaders = {type(sys.modules[name].__spec__.loader).__name__ for name in names}\n"
        "    assert len(names) > 50 and loaders == {'SourceFileLoader'}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-pearly", "-pno:cacheprovider", "test_modules.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_no_finder_of_ours_is_left_when_the_interpreter_ends() -> None:
    code = "import atexit, sys; atexit.register(lambda: print(*map(str, sys.meta_path))); import pytest_ipload"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "PathFinder" in found
    assert "pytest_ipload" not in found
