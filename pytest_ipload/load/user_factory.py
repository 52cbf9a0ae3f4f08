"""What the executor needs from its caller to run a load."""

from __future__ import annotations

from typing import Protocol

from pytest_ipload.load.user import VirtualUser
from pytest_ipload.load.user_thread import Scenario
from pytest_ipload.stats.collector import SampleSink
from pytest_ipload.stats.measurements import Measurements
from pytest_ipload.stats.recorder import Recorder


class UserFactory(Protocol):
    """Makes users and their scenarios, and decides what ends the load."""

    @property
    def tap(self) -> SampleSink | None:
        """Called with all samples, about once a second, in the executor's thread; None if they are not needed."""

    def make_user(self, index: int, recorder: Recorder) -> VirtualUser:
        """A user, whose samples go to ``recorder``. Called in the executor's thread."""

    def admit(self, user: VirtualUser, *, block: bool) -> bool:
        """Give the user what it needs before its set-up: source addresses.

        Without ``block``, in the executor's thread, False means that the user has to wait; it is asked again, in its
        own thread and with ``block``, when its time has come. Raises what makes the user's set-up fail.
        """

    def admit_if_free(self, user: VirtualUser) -> bool:
        """The same for a user that comes later, with exclusive addresses: only if there is one that is free.

        False means that it is asked again, by ``admit``, when its time has come.
        """

    @property
    def users_at_rendezvous(self) -> int:
        """How many users wait for others at this moment. They do not keep others from being set up."""

    def setting_up(self, done: int, users: int, elapsed_s: float) -> None:
        """``done`` of the users are set up; called once a second during set-up, in the executor's thread."""

    def make_scenario(self, user: VirtualUser) -> Scenario:
        """What the user does. Called in the user's thread."""

    def user_left(self, user: VirtualUser) -> None:
        """Take back what ``admit`` gave. Called in the user's thread."""

    def stopping(self) -> None:
        """The load is over: users waiting in ``admit`` must return, with an exception."""

    def ends_load(self, error: BaseException, number: int, untried: bool) -> bool:
        """Whether a body's exception is not a failed iteration but the end of the load (a skip, an exit).

        It is then raised from ``Executor.run``. ``number`` is that of the user's iteration; ``untried`` says that no
        iteration of the load has completed yet.
        """

    def began(self, origin_ns: int) -> None:
        """The load begins now, at ``origin_ns`` of the executor's clock; called in the executor's thread."""

    def each_second(self, measured: Measurements, elapsed_s: float) -> None:
        """What was measured in ``elapsed_s`` since the start of the load; called in the executor's thread.

        Unlike ``abort_reason``, also called while the last iterations finish.
        """

    def abort_reason(self, measured: Measurements, elapsed_s: float) -> str | None:
        """Why the load has to be aborted, judging by what was measured in ``elapsed_s`` since its start.

        None if it may continue. Called once a second, in the executor's thread.
        """
