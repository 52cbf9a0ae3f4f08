"""Wires load tests to those who run them together: the processes of pytest-xdist, or one process alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload import markers
from pytest_ipload.state import SessionState, state_of

if TYPE_CHECKING:
    from pytest_ipload.distributed.controller import Controller
    from pytest_ipload.distributed.part import Part
    from pytest_ipload.distributed.snapshots import TeamWatch
    from pytest_ipload.hook_calls import Review
    from pytest_ipload.verdict.compare_limit import CompareLimit
    from pytest_ipload.verdict.comparison import Compare
    from pytest_ipload.verdict.result import LoadResult
    from pytest_ipload.verdict.rounds import Round, RoundNote

_MISSING: pytest.StashKey[list[str]] = pytest.StashKey()


class Judge:
    """Judges loads by what their processes measured."""

    def __init__(
        self,
        segment: str | None = None,
        limits: Sequence[CompareLimit] = (),
        compare: Compare | None = None,
        review: Review | None = None,
    ) -> None:
        """``segment`` is ``i/n`` if these processes run no more than a segment of each load.

        By the ``limits`` rounds of the current target are compared with those of another one; ``compare`` compares
        with saved runs. ``review`` is asked for reasons against each result.
        """
        self._segment = segment
        self._limits = limits
        self._compare = compare
        self._review = review
        self._rounds: dict[str, list[Round]] = {}
        """Of the load tests that are going on."""
        self._watches: dict[str, TeamWatch] = {}

    def look(self, nodeid: str, snapshots: Sequence[Sequence[bytes]], elapsed_s: float) -> str | None:
        """What the first threshold says that cannot hold any more and has ``abort_on_fail``."""
        from pytest_ipload.distributed.snapshots import TeamWatch

        return self._watches.setdefault(nodeid, TeamWatch()).look(snapshots, elapsed_s)

    def conclude(self, nodeid: str, parts: Sequence[bytes], lost: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The verdict on a load of many processes; ``lost`` are those without a part, and why."""
        part = _together(parts)
        watch = self._watches.pop(nodeid, None)
        if watch is not None and watch.abort is not None:
            part = replace(part, abort=watch.abort)
        if lost:
            who = "; ".join(f"{name}: {why}" for name, why in lost)
            part = replace(part, broken_off=f"lost {len(lost)} of {len(parts) + len(lost)} workers: {who}")
        return self.judge(part)

    def break_off(self, nodeid: str, parts: Sequence[bytes], reason: str) -> list[dict[str, Any]]:
        """The results of a load that was broken off."""
        results: list[dict[str, Any]] = self.judge(replace(_together(parts), broken_off=reason))["results"]
        return results

    def judge(self, part: Part) -> dict[str, Any]:
        """The verdict on a whole load, as plain values; with ``more``, if another round is to follow."""
        from pytest_ipload.distributed.conclude import conclude
        from pytest_ipload.verdict.regression import settled

        result = conclude(part)
        if part.round is not None:
            combined = self._with_earlier_rounds(part.round, result, part.strict)
            if combined is None:
                return {"verdict": result.verdict, "message": "", "properties": {}, "results": [], "more": True}
            result = combined
        return _conclusion(settled(result, self._compare, self._review), self._of_segment(part))

    def unfinished(self, nodeid: str, reason: str) -> dict[str, Any] | None:
        """What the rounds measured of a load test that ended in an error between two of them; None without any."""
        from pytest_ipload.verdict.result import ERROR
        from pytest_ipload.verdict.rounds import combine

        rounds = self._rounds.pop(nodeid, [])
        if not rounds:
            return None
        return _conclusion(replace(combine(rounds, self._limits), verdict=ERROR, reason=reason))

    def _with_earlier_rounds(self, note: RoundNote, result: LoadResult, strict: bool) -> LoadResult | None:
        """The result of all rounds; None if another one is to follow."""
        from pytest_ipload.verdict.rounds import Round, combine

        if note.number == 0:
            self._rounds[result.nodeid] = []
        # A member of a team that judges a round of its own, as that was broken off, has judged none before.
        rounds = self._rounds.setdefault(result.nodeid, [])
        rounds.append(Round(note, result))
        if not note.is_last and not rounds[-1].is_spoilt:
            return None
        return combine(self._rounds.pop(result.nodeid), self._limits, strict=strict)

    def _of_segment(self, part: Part) -> dict[str, Any]:
        """What a segment's result has besides: all that is needed to merge it with others."""
        if self._segment is None:
            return {}
        import pytest_ipload
        from pytest_ipload.baselines.commit import current_commit
        from pytest_ipload.distributed.origin import Origin, is_synchronised
        from pytest_ipload.distributed.part import as_shard
        from pytest_ipload.distributed.segments import parse_segment
        from pytest_ipload.report.json_file import host_name

        shard = as_shard(part, parse_segment(self._segment).index, f"segment {self._segment}", host_name())
        commit = current_commit(Path.cwd())
        origin = Origin(pytest_ipload.__version__, None if commit is None else commit.id, is_synchronised())
        return {"segment": self._segment, "part": replace(shard, origin=origin).to_plain()}


def _conclusion(result: LoadResult, more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """A result in plain values: its verdict, the text to fail with, the properties of the test, and the results."""
    from pytest_ipload.report.failure import failure_message
    from pytest_ipload.report.properties import properties_of

    return {
        "verdict": result.verdict,
        "message": failure_message(result),
        "by_comparison": result.fails_by_comparison,
        "properties": properties_of(result),
        "results": [{**result.as_dict(), **more}],
    }


def _together(parts: Sequence[bytes]) -> Part:
    from pytest_ipload.distributed.packing import unpack
    from pytest_ipload.distributed.part import Part, merge

    return merge((Part.from_plain(unpack(part)) for part in parts), are_owned=True)


def set_up_team(config: pytest.Config) -> None:
    """In a worker that shares loads with others: take part. In xdist's controller: find out whether it can lead."""
    from pytest_ipload.distributed.slots import TEAM_KEY

    _take_part_alone(config)
    if TEAM_KEY in getattr(config, "workerinput", {}):
        import pytest_ipload
        from pytest_ipload.distributed.worker import WorkerTeam

        team = WorkerTeam(config, pytest_ipload.__version__, markers.is_load_test, _users_of)
        config.pluginmanager.register(team, "ipload-worker")
    elif config.getoption("dist", "no") != "no":
        from pytest_ipload.distributed.xdist_names import missing

        config.stash[_MISSING] = missing()


def _take_part_alone(config: pytest.Config) -> None:
    """In a worker of xdist: have the loads that it runs whole end with the session."""
    from pytest_ipload.distributed.slots import WHOLE_KEY

    channel = getattr(config, "workerinput", {}).get(WHOLE_KEY)
    if channel is None:
        return
    from pytest_ipload.distributed.whole_loads import WorkerLoads

    state = state_of(config)

    def unreported(reason: str) -> tuple[str, list[dict[str, Any]]] | None:
        from pytest_ipload.phase_reports import unreported

        return None if state.running is None else unreported(state.running, reason)

    state.whole_loads = WorkerLoads(channel, unreported)


def loads_elsewhere(config: pytest.Config) -> bool:
    """Whether this process only controls: xdist's workers are on other hosts, which have other addresses."""
    if config.getoption("dist", "no") == "no":
        return False
    from pytest_ipload.distributed.xdist_names import is_elsewhere

    return any(map(is_elsewhere, config.getoption("tx", [])))


def header(config: pytest.Config) -> str | None:
    """Why load tests are not shared although they could be."""
    names = config.stash.get(_MISSING, [])
    if not names:
        return None
    return (
        "ipload: WARNING: each load test runs whole on one worker, because the installed pytest, pytest-xdist and "
        f"execnet have no {', '.join(names)}"
    )


def lead_worker(node: Any, rank: int) -> None:
    """xdist starts a worker: make it one of the team, unless load tests are not to be shared."""
    config = node.config
    settings = state_of(config).settings
    _attach_whole_loads(node)
    if settings.concurrent or settings.disabled or config.stash.get(_MISSING, []):
        return
    controller: Controller | None = config.pluginmanager.get_plugin("ipload-controller")
    if controller is None:
        controller = _make_controller(config)
        config.pluginmanager.register(controller, "ipload-controller")
        state_of(config).shared_tests = controller.tests
    controller.attach(node, rank)


def _attach_whole_loads(node: Any) -> None:
    """Have a worker deliver what the loads measured that it runs whole, should the session be ended meanwhile."""
    config = node.config
    if not hasattr(node.gateway, "newchannel"):
        return
    from pytest_ipload.distributed.whole_loads import WholeLoads

    whole_loads: WholeLoads | None = config.pluginmanager.get_plugin("ipload-whole-loads")
    if whole_loads is None:
        whole_loads = WholeLoads(partial(_keep_delivered, state_of(config)))
        config.pluginmanager.register(whole_loads, "ipload-whole-loads")
    whole_loads.attach(node)


def _keep_delivered(
    state: SessionState, nodeid: str, worker: str, phase: str, reason: str, results: list[dict[str, Any]]
) -> None:
    """Keep what a worker delivers of a test that was interrupted, beside what it has reported."""
    known = state.results.get((nodeid, worker))
    if known is None:
        if results:
            state.results[nodeid, worker] = results
    elif reason and not any("test_errors" in result for result in known):
        from pytest_ipload.error_results import add_test_error

        add_test_error(known, phase, reason)


def _make_controller(config: pytest.Config) -> Controller:
    import pytest_ipload
    from pytest_ipload.distributed.controller import Controller
    from pytest_ipload.distributed.coordinator import Judges
    from pytest_ipload.hook_calls import review_of
    from pytest_ipload.report.reporter import REPORT_KEY

    state = state_of(config)
    judge = Judge(state.settings.segment, state.compare_limits, state.compare, review_of(config))
    judges = Judges(judge.look, judge.conclude, judge.break_off, judge.unfinished)

    def keep(nodeid: str, results: list[dict[str, Any]]) -> None:
        state.results[nodeid, ""] = results

    shards = state.settings.shards
    return Controller(config, judges, pytest_ipload.__version__, shards, REPORT_KEY, keep, state.audience)


def _users_of(item: pytest.Item) -> int:
    """How many users a load test has; 1 if its settings are wrong: then one worker says so."""
    from pytest_ipload.loadtest import load_settings
    from pytest_ipload.profiles import profile_of

    state = state_of(item.config)
    try:
        users = profile_of(item, state, load_settings(item), None).most_users
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException:  # whatever it is, the set-up of the test will raise it again
        return 1
    return max(1, state.share.size_of(users))
