"""Starts the threads of a load's users when they are due, in the executor's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import count as naturals
from itertools import islice

from pytest_ipload.load.arrivals import ArrivalQueue
from pytest_ipload.load.generator.resource_limits import users_stack
from pytest_ipload.load.load_record import LoadRecord
from pytest_ipload.load.partition import Partition
from pytest_ipload.load.schedule import UserSlot, end_of
from pytest_ipload.load.user_factory import UserFactory
from pytest_ipload.load.user_lifecycle import UserLifecycle
from pytest_ipload.load.user_thread import UserThread
from pytest_ipload.settings.load_profile import LoadProfile
from pytest_ipload.stats.recorder import Recorder


class UserStarter:
    """Starts the planned users, and those that the open model needs."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        share: Partition,
        factory: UserFactory,
        users: UserLifecycle,
        record: LoadRecord,
        arrivals: ArrivalQueue | None,
    ) -> None:
        """``slots`` are those of the users of this ``share`` of the load; ``arrivals`` are those of the open model."""
        self._is_exclusive = profile.ip_exclusive
        self._sets_up_before = profile.sets_up_before
        self._most_users = share.size_of(profile.most_users)
        self._share = share
        self._end = end_of(slots)
        self._factory = factory
        self._users = users
        self._record = record
        self._arrivals = arrivals
        self.planned_users = self._most_users if profile.is_open else len(slots)
        self.pending = deque(sorted(slots, key=lambda slot: slot.start))
        """Of the users that have not started yet."""
        self.user_threads: list[UserThread] = []
        """Of the users that were started."""
        self.is_dry = False
        """Whether all users are busy; guarded by ``users.changed``."""

    def take_over(self, held: Iterable[UserThread]) -> None:
        """Go on with users of an earlier round, in place of new ones. Those that the plan has no slot for are idle,
        or, in the open model, there from the start.
        """
        slots = {slot.index: slot for slot in self.pending}
        is_open = self._arrivals is not None
        for user_thread in held:
            index = user_thread.slot.index
            slot = slots.pop(index, None)
            spare = UserSlot(index, 0.0, 0.0, self._end)
            self._users.take_over(user_thread, slot or spare, is_idle=slot is None and not is_open)
            self.user_threads.append(user_thread)
        self.pending = deque(slot for slot in self.pending if slot.index in slots)

    def take_first(self) -> deque[UserSlot]:
        """Remove and return the pending slots of the users that are set up before the load begins."""
        before = self._sets_up_before
        first = deque(slot for slot in self.pending if before or slot.start <= 0)
        self.pending = deque(slot for slot in self.pending if not before and slot.start > 0)
        return first

    def put_off(self, slots: Iterable[UserSlot]) -> None:
        """Try again when they are due: others may have left by then. If not, that ends the load."""
        self._record.shortage = None
        self.pending.extend(slots)

    def start_due(self, elapsed: float) -> bool:
        """Start the users that are due; False as soon as the system has no thread left for one of them."""
        while self.pending and self.pending[0].start <= elapsed:
            if not self.start(self.pending.popleft()):
                return False
        return True

    def start(self, slot: UserSlot) -> bool:
        """Start a user's thread; False if the system has none left."""
        recorder = Recorder(keeps_requests=True)
        user_thread = UserThread(slot, self._factory.make_user(slot.index, recorder), recorder)
        user_thread.is_behind = not self._users.gate.is_set()
        self.user_threads.append(
            user_thread
        )  # first: an interrupt (Ctrl-C) in start() must not lose a user whose thread runs
        if self._is_exclusive:
            self._admit(user_thread)
        try:
            with users_stack():
                user_thread.start(self._users.live)
        except RuntimeError as error:
            self.user_threads.pop()
            if user_thread.is_admitted:
                self._factory.user_left(user_thread.user)
            self._record.shortage = (
                f"only {len(self.user_threads)} of {self.planned_users} users could be started: {error}; "
                "raise the limit on threads (ulimit -u, or the container's pids limit) or on address space "
                "(ulimit -v), or use fewer users"
            )
            return False
        return True

    def _admit(self, user_thread: UserThread) -> None:
        """Lease an exclusive address before the user's thread starts: in the order in which users start."""
        try:
            if user_thread.slot.start > self._users.elapsed():  # users that start before it may need the free ones
                user_thread.is_admitted = self._factory.admit_if_free(user_thread.user)
            else:
                user_thread.is_admitted = self._factory.admit(user_thread.user, block=False)
        except Exception as error:
            user_thread.setup_error = error

    def may_grow(self) -> bool:
        """Whether the open model may have more users."""
        is_running = not self._users.stop.is_set() and bool(self._record.origin_ns)
        return len(self.user_threads) < self._most_users and is_running

    def waits_for_arrivals(self) -> bool:
        """Whether more users are needed for the iterations that are due next."""
        return self._arrivals is not None and self._arrivals.is_dry and self.may_grow()

    def grow(self) -> bool:
        """Start the users that the open model needs; False if the system has no thread left."""
        self.is_dry = False
        if self._arrivals is None or not self.may_grow():
            return True
        elapsed, there = self._users.elapsed(), len(self.user_threads)
        wanted = self._arrivals.users_wanted(elapsed, self._most_users - there, there - self._users.settled)
        self.pending.extend(UserSlot(number, elapsed, elapsed, self._end) for number in self._free_numbers(wanted))
        return self.start_due(elapsed)

    def _free_numbers(self, count: int) -> Iterable[int]:
        """The next numbers for users that start now."""
        if not count:
            return ()
        taken = {user_thread.slot.index for user_thread in self.user_threads}
        return islice((number for number in map(self._share.number, naturals()) if number not in taken), count)

    def wake_for_growth(self) -> None:
        """Called in the thread of the last free user."""
        if self.may_grow():
            with self._users.changed:
                self.is_dry = True
                self._users.changed.notify_all()
