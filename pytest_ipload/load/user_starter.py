"""Who of a load's users comes when: their threads are started here, in the executor's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

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
    """Starts the users of the plan, and those that the open model could make use of."""

    def __init__(
        self,
        profile: LoadProfile,
        slots: Sequence[UserSlot],
        share: Partition,
        crew: UserFactory,
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
        self._crew = crew
        self._users = users
        self._record = record
        self._arrivals = arrivals
        self.planned_users = self._most_users if profile.is_open else len(slots)
        self.pending = deque(sorted(slots, key=lambda slot: slot.start))
        """Of the users that did not come yet."""
        self.seats: list[UserThread] = []
        """Those of the users that were started."""
        self.is_dry = False
        """Whether all users are at work; guarded by ``users.changed``."""

    def take_first(self) -> deque[UserSlot]:
        """The pending slots of those who are set up before the load begins; they are pending no more."""
        before = self._sets_up_before
        first = deque(slot for slot in self.pending if before or slot.start <= 0)
        self.pending = deque(slot for slot in self.pending if not before and slot.start > 0)
        return first

    def put_off(self, slots: Iterable[UserSlot]) -> None:
        """Try again when their time comes: others may have left by then. If not, that ends the load."""
        self._record.shortage = None
        self.pending.extend(slots)

    def start_due(self, elapsed: float) -> bool:
        """Start those whose time has come; False as soon as the system has no thread left for one of them."""
        while self.pending and self.pending[0].start <= elapsed:
            if not self.start(self.pending.popleft()):
                return False
        return True

    def start(self, slot: UserSlot) -> bool:
        """Start a user's thread; False if the system has none left."""
        recorder = Recorder()
        seat = UserThread(slot, self._crew.make_user(slot.index, recorder), recorder)
        seat.is_behind = not self._users.gate.is_set()
        self.seats.append(seat)  # first: an interrupt (Ctrl-C) in start() must not lose a user whose thread runs
        if self._is_exclusive:
            self._admit(seat)
        try:
            with users_stack():
                seat.start(self._users.live)
        except RuntimeError as error:
            self.seats.pop()
            if seat.is_admitted:
                self._crew.user_left(seat.user)
            self._record.shortage = (
                f"only {len(self.seats)} of {self.planned_users} users could be started: {error}; "
                "raise the limit on threads (ulimit -u, or the container's pids limit) or on address space "
                "(ulimit -v), or use fewer users"
            )
            return False
        return True

    def _admit(self, seat: UserThread) -> None:
        """Lease an address that is for one user only, before its thread starts: in the order in which users come."""
        try:
            if seat.slot.start > self._users.elapsed():  # those who come before it may want what there is
                seat.is_admitted = self._crew.admit_if_free(seat.user)
            else:
                seat.is_admitted = self._crew.admit(seat.user, block=False)
        except Exception as error:
            seat.setup_error = error

    def may_grow(self) -> bool:
        """Whether the open model may have more users."""
        is_running = not self._users.stop.is_set() and bool(self._record.origin_ns)
        return len(self.seats) < self._most_users and is_running

    def waits_for_arrivals(self) -> bool:
        """Whether more users would have to come for the iterations that are due next."""
        return self._arrivals is not None and self._arrivals.is_dry and self.may_grow()

    def grow(self) -> bool:
        """Start the users that the open model could make use of; False if the system has no thread left."""
        self.is_dry = False
        if self._arrivals is None or not self.may_grow():
            return True
        elapsed, there = self._users.elapsed(), len(self.seats)
        wanted = self._arrivals.users_wanted(elapsed, self._most_users - there, there - self._users.settled)
        numbers = map(self._share.number, range(there, there + wanted))
        self.pending.extend(UserSlot(number, elapsed, elapsed, self._end) for number in numbers)
        return self.start_due(elapsed)

    def wake_for_growth(self) -> None:
        """Called in the thread of the last user who was free."""
        if self.may_grow():
            with self._users.changed:
                self.is_dry = True
                self._users.changed.notify_all()
