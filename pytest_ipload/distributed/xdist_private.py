"""The private names of pytest, pytest-xdist and execnet that sharing loads among workers depends on.

All in one place: when one of them is gone, this is the place to change. Until then each load test runs whole on one
worker, and the header of the run says so.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import pytest

T = TypeVar("T")

_MOST_GOODBYES = 3
_NAMES = (
    ("_pytest.runner", "runtestprotocol"),
    ("_pytest.runner", "SetupState.teardown_exact"),
    ("xdist.dsession", "DSession.worker_testreport"),
    ("xdist.dsession", "DSession.worker_unscheduled"),
    ("xdist.dsession", "DSession._clone_node"),
    ("xdist.workermanage", "NodeManager.teardown_nodes"),
    ("xdist.workermanage", "WorkerController.notify_inproc"),
    ("xdist.workermanage", "WorkerController.send_runtest_some"),
    ("xdist.workermanage", "WorkerController.send_steal"),
    ("xdist.workermanage", "WorkerController.shutting_down"),
    ("execnet.gateway_base", "BaseGateway.newchannel"),
    ("execnet.gateway_io", "Popen2IOMaster.kill"),
)
"""Modules, and the names that are needed from them."""


def missing(names: Sequence[tuple[str, str]] = _NAMES) -> list[str]:
    """The names that the installed packages do not have."""
    return [f"{module}.{name}" for module, name in names if not _is_there(module, name)]


def _is_there(module: str, name: str) -> bool:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return True


_ELSEWHERE = ("via", "ssh", "vagrant_ssh", "socket")
"""The keys of an execnet specification that put a worker on another host."""


def is_elsewhere(spec: str) -> bool:
    """Whether a ``--tx`` starts workers on another host, as in ``2*popen//via=a``."""
    return any(part.partition("=")[0].rpartition("*")[2] in _ELSEWHERE for part in spec.split("//"))


def neighbourhood(node: Any) -> tuple[str, int]:
    """The host of a worker, as its specification names it ("" for the controller's), and how many workers it has."""
    manager = node.nodemanager
    host = _host(node.gateway.spec, manager.group)
    return host, max(1, [_host(spec, manager.group) for spec in manager.specs].count(host))


def _host(spec: Any, group: Any) -> str:
    if spec.via and spec.via in group:
        spec = group[spec.via].spec  # two proxies may lead to one host
    return str(next((value for key in reversed(_ELSEWHERE) if (value := getattr(spec, key))), ""))


def process_of(node: Any) -> int | None:
    """The process id of a worker that this process has started itself; None for others."""
    pid: int | None = getattr(getattr(getattr(node.gateway, "_io", None), "popen", None), "pid", None)
    return pid


def run_phases(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Set-up, call and teardown of an item; the reports are returned and go nowhere else."""
    from _pytest.runner import runtestprotocol

    return runtestprotocol(item, log=False, nextitem=nextitem)


Phase = Literal["setup", "teardown"]


def call_outside(act: Callable[[], T], when: Phase) -> pytest.CallInfo[T]:
    """Do something for an item outside of its phases, and keep what it raises, except what ends the session."""
    return pytest.CallInfo.from_call(act, when=when, reraise=(KeyboardInterrupt, pytest.exit.Exception))


def tear_down_for(item: pytest.Item, nextitem: pytest.Item | None) -> pytest.CallInfo[Any]:
    """Tear down the shared fixtures that were kept for an item that is not run after all."""
    setup_state: Any = getattr(item.session, "_setupstate")  # noqa: B009
    return call_outside(lambda: setup_state.teardown_exact(nextitem), "teardown")


def report_test(session: Any, node: Any, report: pytest.TestReport) -> None:
    """Treat a report as one that came from a worker: all plugins see it, and -x counts it. Main thread only."""
    session.worker_testreport(node, report)


def call_from_main_thread(node: Any) -> None:
    """Have xdist call ``remove_pending_tests_from_node(node, ())`` of its scheduler, in its main thread."""
    node.notify_inproc("unscheduled", node=node, indices=())


def cut_off(node: Any, patience_s: float = 1.0) -> None:
    """End a worker that does not answer; xdist then finds that it is gone. Takes a while.

    The proxy on a worker's host is asked to end it. If that does not answer either, nothing can be reached there.
    """
    io = getattr(node.gateway, "_io", None)
    asking = threading.Thread(target=_end, args=(io,), name="ipload-cut-off", daemon=True)
    asking.start()
    asking.join(patience_s)
    if asking.is_alive():
        proxy = getattr(getattr(io, "iochan", None), "gateway", None)
        _end(getattr(proxy, "_io", None))


def _end(io: Any) -> None:
    for step in ("kill", "close_read"):
        act: Callable[[], object] | None = getattr(io, step, None)
        try:
            if act is not None:
                act()
        except Exception:
            continue  # it is already gone, or cannot be reached: then xdist finds out by itself


def survive_lost_hosts(session: Any, not_replaced: Callable[[str], object]) -> None:
    """Have xdist go on without a worker that it cannot replace, because the connection to its host is gone.

    It would end the session with an internal error. ``not_replaced`` is called with the name that the new worker
    would have had, in the main thread.
    """
    clone = session._clone_node

    def clone_where_possible(node: Any) -> Any:
        try:
            return clone(node)
        except OSError:
            not_replaced(str(node.gateway.spec.id))
            return node

    session._clone_node = clone_where_possible


def end_workers(session: Any) -> str | None:
    """End all workers; returns what went wrong.

    execnet raises an OSError when the gateway to another host is gone. In xdist's own hook at the end of the session
    it would cost the summary and the JUnit file.
    """
    manager = getattr(session, "nodemanager", None)
    if manager is None:
        return None
    problem = None
    for _ in range(_MOST_GOODBYES):
        try:
            manager.teardown_nodes()
        except OSError as error:
            problem = str(error)
            # It was about one of those that have already been ended: now for the others.
            getattr(manager.group, "_gateways_to_join", []).clear()
        else:
            return None
    session.nodemanager = None  # nothing is left for xdist to end
    return problem
