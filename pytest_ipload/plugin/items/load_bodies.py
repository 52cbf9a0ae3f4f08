"""What the users of a load test run: its body, or the bodies of its mix; what forbids them, and what is remarkable."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pytest_ipload.base.health_catalogue import HealthCheck, fired
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.plugin.fixtures.async_body import loop_factory, uses_loop
from pytest_ipload.plugin.fixtures.body_mix import mix_of
from pytest_ipload.plugin.fixtures.hypothesis_body import HypothesisBody
from pytest_ipload.plugin.fixtures.mixed_bodies import MixedUserFixtures
from pytest_ipload.plugin.fixtures.per_user import UserFixtures, refuse_unusable
from pytest_ipload.plugin.fixtures.per_user_names import MIX_MARKER
from pytest_ipload.plugin.fixtures.placeholders import PerUser
from pytest_ipload.plugin.items.bare_calls import bare_calls, times_itself, warning_checks
from pytest_ipload.plugin.items.item_kind import FIXTURE_PLACES
from pytest_ipload.plugin.items.shared_values import refuse_other_loops, unsafe_values
from pytest_ipload.settings.load_profile import LoadProfile


class LoadBodies:
    """The functions of a load test."""

    def __init__(self, item: pytest.Function) -> None:
        """Raises SettingError for a mix that is wrong."""
        self._item = item
        self._mix = mix_of(item)
        self._mixed = () if self._mix is None else self._mix.bodies
        # Found at collection (``requested_by_bodies``), unless the marker was added to the item later.
        names = (name for body in self._mixed for name in body.asks_for if name not in item.fixturenames)
        item.fixturenames.extend(dict.fromkeys(names))

    def asked(self) -> dict[str, Any]:
        """The fixtures and parameters that the bodies use, and the per-user fixtures."""
        names = {*inspect.signature(self._item.function).parameters}
        names.update(name for body in self._mixed for name in body.asks_for)
        # A shared fixture that the body does not receive (usefixtures, autouse) is not shared by users.
        return {
            name: value for name, value in self._item.funcargs.items() if name in names or isinstance(value, PerUser)
        }

    def check(self, profile: LoadProfile, asked: Mapping[str, Any]) -> bool:
        """Refuse what users cannot run; returns whether each needs an event loop. Raises SettingError."""
        # Users enter and leave the body's patches in any order; the last to leave would put a mock back for good.
        changed = ["mock.patch"] if hasattr(self._item.function, "patchings") else []
        in_bodies = {call: f"the body {body.name}" for body in self._mixed for call in warning_checks(body.function)}
        called = [*changed, *warning_checks(self._item.function), *in_bodies]
        takers = {**({} if self._mix is None else self._mix.takers), **in_bodies}
        refuse_unusable(profile.most_users, asked, called, is_repeated=not profile.is_functional, takers=takers)
        is_async = uses_loop(self._item, asked.values())
        if is_async:
            loop_factory(self._item)  # raises if there is none
            refuse_other_loops(asked)
        return is_async

    def foreseen(self, profile: LoadProfile, asked: Mapping[str, Any]) -> Iterator[HealthCheck]:
        """Health checks that fire before the load."""
        mixed = [(f"the body {body.name}", body.function) for body in self._mixed]
        for which, body in [("the body", self._item.function), *mixed]:
            if (calls := bare_calls(body)) and not (profile.bind_sockets == "all" and times_itself(body)):
                yield fired("bare-calls", f"{which} uses {', '.join(calls)} itself")
        if profile.most_users > 1 and (shared := unsafe_values(asked)):
            values = ", ".join(f"{name!r} ({kind})" for name, kind in shared.items())
            yield fired("shared-fixture", f"all users share {values}")

    def scenarios(
        self, profile: LoadProfile, lock: AbstractContextManager[object]
    ) -> Callable[[VirtualUser], Scenario]:
        """What makes a user's scenario. ``lock`` is held while pytest's fixture machinery is used.

        Raises SettingError for a body under ``@given`` that has no example.
        """
        item, users, mix = self._item, profile.most_users, self._mix
        if mix is None:
            under_given = HypothesisBody.of(item, profile)
            return lambda user: UserFixtures(item, user, users, lock, under_given)
        order = mix.order(profile.seed)
        return lambda user: MixedUserFixtures(item, user, users, lock, mix, order)

    def unknown_fixture(self, error: pytest.FixtureLookupError) -> str | None:
        """What to say in place of what pytest says of a fixture that does not exist; None if no body asks for it."""
        listing = re.sub(r"_ipload_steps_\d+, ", "", getattr(error.formatrepr(), "errorstring", ""))
        place = getattr(self._item.obj, FIXTURE_PLACES, {}).get(error.argname)
        if place is not None:
            return f"{place}: fixtures: {listing.strip()}"
        asking = [body.place for body in self._mixed if error.argname in body.asks_for]
        if not asking or error.argname in inspect.signature(self._item.function).parameters:
            return None
        return (
            f"marker {MIX_MARKER}: {', '.join(asking)} asks for {error.argname!r}, which is neither a fixture nor a "
            f"parameter of the test\n{listing}"
        )
