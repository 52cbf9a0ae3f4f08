"""The description of a load that is to be run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.load.generator.surroundings import Surroundings
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.run.load_group import LoadGroup
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.rounds import RoundNote
from pytest_ipload.verdict.threshold.config import ThresholdConfig

if TYPE_CHECKING:
    from pytest_ipload.plugin.run.load_run import Load
    from pytest_ipload.plugin.session_state import SessionState

MakeScenario = Callable[[VirtualUser], Scenario]


@dataclass(frozen=True)
class LoadPlace:
    """What loads use of this process and its host."""

    cpu: int | None
    """The CPU that they are kept on; None for anywhere."""
    workers_on_cpu: int
    """How many processes load from there."""
    surroundings: Surroundings

    @classmethod
    def of(cls, state: SessionState, surroundings: Surroundings) -> LoadPlace:
        """As the session says. Only before the process is kept on a CPU: then it sees no other."""
        return cls(state.cpu, state.workers_on_cpu, surroundings)


@dataclass(frozen=True)
class LoadRequest:
    """One load of a test. Profile and thresholds are those of the whole, of which this process runs its partition."""

    item: pytest.Item
    profile: LoadProfile
    thresholds: Sequence[ThresholdConfig]
    """As they are judged: with implied ones."""
    make_scenario: MakeScenario
    """What a user does."""
    folders: Sequence[Path]
    """The folder where files of test data are looked for."""
    foreseen: Sequence[HealthCheck] = field(default=())
    """Health checks that fired already."""
    share: Partition = WHOLE
    round_note: RoundNote | None = None
    holds_users: bool = False
    """Whether users are torn down only when the load's executor is closed."""
    is_async: bool = False
    """Whether each user has an event loop."""
    group: LoadGroup | None = None
    """The loads that it runs together with."""
    search: str | None = None
    """Which load of a capacity search it is, as text."""
    shown_round: tuple[int, int] | None = None
    """The number of its round, from 1, and about how many there will be."""
    after: Load | None = None
    """An earlier load with the same users, which it goes on with."""
    widest: LoadProfile | None = None
    """The profile of the highest of several loads with the same users; None if this is the only one."""
    place: LoadPlace | None = None
    """Where several loads run one after the other; None for one that the load makes for itself."""

    @property
    def had_rounds(self) -> bool:
        """Whether earlier rounds of the same load were run."""
        return self.after is not None or (self.round_note is not None and self.round_note.number > 0)
