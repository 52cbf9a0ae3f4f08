"""The part of a load before its start, in which its users are set up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.load.deadline_enforcer import LOOK_S, DeadlineEnforcer
from pytest_ipload.load.schedule import UserSlot
from pytest_ipload.load.set_up import SetUpPace
from pytest_ipload.load.stop_requests import StopRequests
from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_lifecycle import UserLifecycle
from pytest_ipload.load.user_starter import UserStarter

_SHOW = 1.0
"""Seconds between two reports of how many users are set up."""


class UserSetUpError(Exception):
    """A user's set-up failed; the cause is the user's own exception."""

    def __init__(self, user: VirtualUser, failed: int, *, is_late: bool) -> None:
        super().__init__(f"set-up of user {user.index} failed")
        self.user = user
        self.failed = failed
        """How many users failed in their set-up until the load was stopped."""
        self.is_late = is_late
        """Whether the load had begun already."""


class SetUpPhase:
    """Sets users up before the load begins, some at a time."""

    def __init__(
        self,
        factory: UserFactory,
        users: UserLifecycle,
        starter: UserStarter,
        enforcer: DeadlineEnforcer,
        requests: StopRequests,
        clock: Callable[[], int],
    ) -> None:
        self._factory = factory
        self._users = users
        self._starter = starter
        self._enforcer = enforcer
        self._requests = requests
        self._clock = clock

    def run(self) -> None:
        """Set up the users that start first, until all are, one fails, or a thread cannot be started.

        Raises KeyboardInterrupt when another thread requests an urgent stop.
        """
        waiting = self._starter.take_first()
        count, pace, began, shown_s = len(waiting), SetUpPace(), self._clock(), 0
        self._factory.setting_up(0, count, 0.0)
        while True:
            now = self._clock()
            settled = self._users.settled
            running = len(self._starter.user_threads) - settled - self._factory.users_at_rendezvous
            if not self._start(waiting, pace.room(running, settled, now)):
                return
            self._enforcer.look(now, again_soon=True)
            elapsed_s = (now - began) / NS_PER_S
            if self._requests.is_urgent:
                raise KeyboardInterrupt(self._requests.reason)
            if elapsed_s >= shown_s + _SHOW:
                shown_s = int(elapsed_s)
                self._factory.setting_up(self._users.settled, count, elapsed_s)
            with self._users.changed:
                if self._users.set_up_failed or (
                    not waiting and self._users.settled == len(self._starter.user_threads)
                ):
                    break
                if self._users.settled == settled:  # else there is room for another one
                    self._users.changed.wait(LOOK_S)
        self._factory.setting_up(self._users.settled, count, (self._clock() - began) / NS_PER_S)

    def _start(self, waiting: deque[UserSlot], room: int) -> bool:
        """Start as many as there is room for; False if the thread of a user that starts at once cannot be started."""
        for _ in range(min(len(waiting), room)):
            slot = waiting.popleft()
            if self._starter.start(slot):
                continue
            if slot.start <= 0:
                return False
            self._starter.put_off([slot, *waiting])
            waiting.clear()
            break
        return True
