"""How xdist's workers get their tests: the ordinary ones as ``--dist`` says, then each load test on all workers.

xdist's own scheduler still does its work. It is given stand-ins for the workers, and knows only ordinary tests;
what looks to it like the end of a worker is when the load tests come. A worker runs its last test only when it knows
that none follows, so the load tests are sent right behind the ordinary ones, and the end right behind those: that all
workers begin a load test together is the job of the load test itself (``coordinator``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import pytest

from pytest_ipload.distributed.controller.proxy import Proxy

Node = Any
"""xdist's ``WorkerController``."""


class Team(Protocol):
    """What the scheduler needs from the controller."""

    def load_tests(self, name: str) -> list[int] | None:
        """The indices of all load tests that a worker collected; None if it has not reported them."""

    def load_tests_to_run(self, name: str) -> list[int]:
        """The indices of those that have not begun."""

    def expects_workers(self, known: Collection[str]) -> bool:
        """Whether load tests wait for a worker that is about to start and is not one of these."""

    def take_over(self) -> None:
        """There are load tests, and workers will share them. Raises UsageError if they cannot."""

    def leave_out(self, name: str, why: str) -> None:
        """A worker will not take part."""

    def xdist_is_through_with(self, name: str) -> None:
        """xdist has replaced a worker that is gone, or will not."""

    def report_tests(self) -> None:
        """Report the load tests that are over, and check whether the session is to end."""


class StandIn(Proxy):
    """A worker as xdist's scheduler sees it: with ordinary tests only. It compares equal to the worker.

    So other plugins find a worker in the scheduler's records.
    """

    __slots__ = ("_scheduler", "has_all", "number_of", "ordinary")

    def __init__(self, node: Node, scheduler: TeamScheduler) -> None:
        super().__init__(node)
        self._scheduler = scheduler
        self.ordinary: list[int] = []
        """The indices of the ordinary tests in the worker's collection."""
        self.number_of: dict[int, int] = {}
        """The other way round."""
        self.has_all = False
        """Whether no more ordinary tests will come."""

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self._inner == (other._inner if isinstance(other, StandIn) else other))

    def __hash__(self) -> int:
        return hash(self._inner)

    @property
    def node(self) -> Node:
        """The worker itself."""
        return self._inner

    def set_collection(self, collection: Sequence[str], load_tests: Sequence[int]) -> list[str]:
        """Record which tests are ordinary; returns their node ids."""
        apart = set(load_tests)
        self.ordinary = [place for place in range(len(collection)) if place not in apart]
        self.number_of = {place: number for number, place in enumerate(self.ordinary)}
        return [collection[place] for place in self.ordinary]

    @property
    def shutting_down(self) -> bool:
        """Whether it takes no more ordinary tests."""
        return bool(self.has_all or self._inner.shutting_down)

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Send ordinary tests."""
        self._inner.send_runtest_some([self.ordinary[number] for number in indices])

    def send_steal(self, indices: Sequence[int]) -> None:
        """Take ordinary tests back."""
        self._inner.send_steal([self.ordinary[number] for number in indices])

    def shutdown(self) -> None:
        """No ordinary tests are left."""
        self._scheduler.send_load_tests(self)


class TeamScheduler(Proxy):
    """Takes the place of xdist's scheduler; see above.

    It does nothing until all workers have collected. Without load tests, or if the workers have different tests, it
    puts xdist's own scheduler in its place, which then runs or refuses them as usual.
    """

    __slots__ = ("_collections", "_is_complete", "_pending", "_session", "_so_far", "_stand_ins", "_team")

    def __init__(self, inner: Any, team: Team, session: Any) -> None:
        """``session`` is xdist's, which has its scheduler in ``sched``."""
        super().__init__(inner)
        self._team = team
        self._session = session
        self._so_far: list[tuple[Any, ...]] = []
        """xdist's calls before all workers had collected."""
        self._collections: dict[Node, list[str]] = {}
        self._stand_ins: dict[Node, StandIn] = {}
        self._pending: dict[Node, list[int]] = {}
        """The load tests that a worker has not finished yet."""
        self._is_complete = False

    @property
    def nodes(self) -> list[Node]:
        """The workers."""
        return list(self._stand_ins)

    @property
    def collection_is_completed(self) -> bool:
        """Whether all initial workers have collected."""
        return self._is_complete

    @property
    def has_pending(self) -> bool:
        """Whether tests are being run."""
        return self._is_complete and bool(self._inner.has_pending or any(self._pending.values()))

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left to be sent, and each worker is at its last test."""
        if not (self._is_complete and self._inner.tests_finished):
            return False
        if not all(stand_in.has_all for stand_in in self._stand_ins.values()) or any(self._pending.values()):
            return False
        # When the last worker crashed, xdist would shut down its replacement.
        return not self._team.expects_workers([node.gateway.id for node in self._stand_ins])

    # -- until all have collected -------------------------------------------------------------------------------

    def add_node(self, node: Node) -> None:
        """A worker is ready to collect."""
        stand_in = self._stand_ins[node] = StandIn(node, self)
        self._pending[node] = []
        if self._is_complete:
            self._inner.add_node(stand_in)
        else:
            self._so_far.append(("add_node", node))

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        if self._is_complete:
            self._add_late(node, list(collection))
            return
        self._collections[node] = list(collection)
        self._so_far.append(("add_node_collection", node, list(collection)))
        if len(self._collections) >= node.workerinput["workercount"]:
            self._decide()

    def _decide(self) -> None:
        loads = {node: self._team.load_tests(node.gateway.id) for node in self._collections}
        plans = {(tuple(ids), tuple(loads[node] or ())) for node, ids in self._collections.items()}
        if not any(loads.values()) or (len(plans) > 1 and all(load is not None for load in loads.values())):
            self._session.sched = self._inner
            for name, *arguments in self._so_far:
                getattr(self._inner, name)(*arguments)
            return
        self._team.take_over()
        for node, ids in self._collections.items():
            _refuse_twins([ids[place] for place in loads[node] or ()])
        self._is_complete = True
        known: dict[Node, StandIn] = {}
        for name, node, *rest in self._so_far:
            stand_in = known.setdefault(node, self._stand_ins.get(node) or StandIn(node, self))
            if rest:
                rest = [stand_in.set_collection(rest[0], loads[node] or ())]
            getattr(self._inner, name)(stand_in, *rest)
        self._so_far.clear()

    def _add_late(self, node: Node, collection: list[str]) -> None:
        """A worker that replaces another one has collected."""
        name = node.gateway.id
        load = self._team.load_tests(name)
        first, ids = next(iter(self._collections.items()))
        if load is None or collection != ids or load != self._team.load_tests(first.gateway.id):
            self._team.leave_out(name, "it collected other tests than the worker that it replaces")
            self._inner.remove_node(self._stand_ins.pop(node))
            self._pending.pop(node)
            node.shutdown()
            return
        self._collections[node] = collection
        stand_in = self._stand_ins[node]
        ordinary = stand_in.set_collection(collection, load)
        if ordinary:  # xdist's schedulers fail without any at this point
            self._inner.add_node_collection(stand_in, ordinary)

    # -- afterwards ---------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """All have collected, or a late one has: send tests."""
        is_first = getattr(self._inner, "collection", ()) is None
        if is_first or any(stand_in.ordinary for stand_in in self._stand_ins.values()):
            self._inner.schedule()
        self._go_on()

    def _go_on(self) -> None:
        self._team.report_tests()
        if self._is_complete and self._inner.tests_finished and not self._session.shouldstop:
            for stand_in in list(self._stand_ins.values()):
                self.send_load_tests(stand_in)

    def send_load_tests(self, stand_in: StandIn) -> None:
        """The worker has all its ordinary tests: send the load tests, and the end."""
        node = stand_in.node
        if stand_in.has_all or node.shutting_down or node not in self._collections:
            return
        stand_in.has_all = True
        places = self._team.load_tests_to_run(node.gateway.id)
        if places:
            self._pending[node] = list(places)
            node.send_runtest_some(places)
        node.shutdown()

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has finished a test."""
        stand_in = self._stand_ins[node]
        if item_index not in stand_in.number_of:
            self._pending[node].remove(item_index)
        elif stand_in in self._inner.nodes:
            self._inner.mark_test_complete(stand_in, stand_in.number_of[item_index], duration)
        self._go_on()

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """A worker gave tests back; without any, it is our own call from xdist's main thread."""
        if not indices and node not in self._stand_ins:
            self._team.xdist_is_through_with(node.gateway.id)
            return
        stand_in = self._stand_ins[node]
        self._inner.remove_pending_tests_from_node(stand_in, [stand_in.number_of[place] for place in indices])
        self._go_on()

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone; returns the ordinary test that it crashed in, if any. The controller reports load tests."""
        if not self._is_complete:
            self._so_far.append(("remove_node", node))
            self._stand_ins.pop(node)
            return None
        stand_in = self._stand_ins.pop(node)
        self._pending.pop(node)
        crashed: str | None = None
        if stand_in in self._inner.nodes:
            crashed = self._inner.remove_node(stand_in)
        self._go_on()
        return crashed


def _refuse_twins(node_ids: Sequence[str]) -> None:
    """Raise UsageError for two load tests of one node id: workers say by it which load they have begun."""
    for node_id, number in Counter(node_ids).items():
        if number > 1:
            raise pytest.UsageError(
                f"{number} load tests have the node id {node_id}, so that workers cannot share them: "
                "leave out --keep-duplicates, or give --ipload-concurrent"
            )


class EachScheduler(Proxy):
    """Wraps xdist's scheduler for ``--dist each``, which cannot handle two replacements that start at the same time.

    A replacement is only passed on once it has collected.
    """

    __slots__ = ("_late",)

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._late: list[Node] = []
        """Replacements that have not collected yet."""

    @property
    def nodes(self) -> list[Node]:
        """The workers."""
        return [*self._inner.nodes, *self._late]

    def add_node(self, node: Node) -> None:
        """A worker is ready to collect."""
        if self._inner.collection_is_completed:
            self._late.append(node)
        else:
            self._inner.add_node(node)

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        if node in self._late:
            self._late.remove(node)
            self._inner.add_node(node)
        self._inner.add_node_collection(node, collection)
        if node not in self._inner.node2collection and not self._inner.node2pending[node]:
            self._inner.remove_node(node)  # the worker that it replaces had no tests left
            node.shutdown()

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone; returns the test that it crashed in."""
        if node in self._late:
            self._late.remove(node)
            return None
        crashed: str | None = self._inner.remove_node(node)
        return crashed
