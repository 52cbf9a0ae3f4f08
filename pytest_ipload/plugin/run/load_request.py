"""The description of a load that is to be run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_ipload.base.health_catalogue import HealthCheck
from pytest_ipload.load.partition import WHOLE, Partition
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.run.load_group import LoadGroup
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.verdict.rounds import RoundNote
from pytest_ipload.verdict.threshold.config import ThresholdConfig

MakeScenario = Callable[[VirtualUser], Scenario]


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

    @property
    def had_rounds(self) -> bool:
        """Whether earlier rounds of the same load were run."""
        return self.round_note is not None and self.round_note.number > 0
