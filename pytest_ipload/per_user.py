"""How a fixture that depends on a user is made once for each user.

A ``PerUser`` placeholder holds a fixture's definition and the values or placeholders of what it asks for. In each
user's thread, ``UserFixtures`` turns the placeholders into that user's own values, in the order in which pytest would
have made them, and tears them down in reverse when the user leaves. What depends on ``ipload_iteration`` is made and
torn down for each iteration.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ipload.fixtures import ipload_iteration_function, ipload_user_function

if TYPE_CHECKING:
    from pytest_ipload.load.profile import LoadProfile
    from pytest_ipload.load.user import Iteration, VirtualUser

THREAD_UNSAFE = frozenset(
    {
        "capfd", "capfdbinary", "capsys", "capsysbinary", "capteesys", "monkeypatch", "recwarn", "pytester",
        "subtests", "mocker", "requests_mock", "freezer", "benchmark",
    }
)  # fmt: skip
"""Fixtures that change or read state of the whole process: threads cannot share them."""
_ONCE = frozenset({"benchmark", "benchmark_weave"})
"""Fixtures that a test can use once."""


@dataclass(frozen=True, eq=False)
class PerUser:
    """Stands for a fixture that has a value of its own for each user, or for each iteration."""

    name: str
    func: Callable[..., Any]
    arguments: Mapping[str, Any]
    per_iteration: bool

    def __getattr__(self, name: str) -> Any:
        """A shared fixture got hold of it by ``request.getfixturevalue`` and takes it for a value."""
        raise AttributeError(
            f"{self.name!r} is a per-user fixture, but what asks for it is shared by all users; "
            "name it in the signature, so that both are made for each user"
        )

    @property
    def is_user(self) -> bool:
        """Whether it stands for the user itself."""
        return self.func is ipload_user_function

    def with_all_it_asks_for(self) -> Iterator[PerUser]:
        """This and every per-user fixture below it."""
        yield self
        for value in self.arguments.values():
            if isinstance(value, PerUser):
                yield from value.with_all_it_asks_for()


def multiplied_by(function: Callable[..., Any]) -> str | None:
    """Why a function that another plugin has wrapped cannot be a load, or start one; None if nothing has."""
    module = str(getattr(function, "__globals__", {}).get("__name__", ""))
    if module.partition(".")[0] != "pytest_run_parallel":
        return None
    return (
        "pytest-run-parallel would run it several times at once or in a row, and a load counts each run of the body; "
        "mark the test with @pytest.mark.parallel_threads_limit(1) and @pytest.mark.iterations(1), or run it without "
        "--parallel-threads and --iterations"
    )


def refuse_unusable(
    users: int, asked: Mapping[str, Any], called: Sequence[str] = (), *, is_repeated: bool = False
) -> None:
    """Refuse what a load cannot have, among the fixtures that a body asks for and all that these ask for.

    ``asked`` are fixtures by name; ``called`` is what the body calls, or is decorated with, of that kind. Raises
    SettingError for an async per-user fixture, with several users for what changes the whole process, and if the body
    ``is_repeated`` for what can be used once.
    """
    from pytest_ipload.errors import SettingError

    below = [each for value in asked.values() if isinstance(value, PerUser) for each in value.with_all_it_asks_for()]
    for each in below:
        if inspect.iscoroutinefunction(each.func) or inspect.isasyncgenfunction(each.func):
            raise SettingError(f"fixture {each.name!r} is async; a per-user fixture must be blocking")
    used = {f"the test: {name}" for name in (*THREAD_UNSAFE.intersection(asked), *called)}
    for each in below:
        used |= {f"the per-user fixture {each.name!r}: {name}" for name in THREAD_UNSAFE.intersection(each.arguments)}
    if used and users > 1:
        raise SettingError(
            f"{users} users would share what changes the whole process, in {', '.join(sorted(used))}; "
            "use it in a shared fixture, or run with one user"
        )
    if is_repeated and (once := sorted(_ONCE.intersection(asked))):
        raise SettingError(
            f"the test: {', '.join(once)} can be used once in a test, and this load runs the body more than once; use "
            "it in an ordinary test, or run the body once: users=1, iterations=1"
        )


def sees_report(profile: LoadProfile, asked: Mapping[str, Any]) -> bool:
    """Whether users are to be torn down in the teardown phase, when there is a report of the call.

    It is for per-user fixtures that can look for the report, by their ``request``, and for loads that all users end
    together: a user who leaves before the others, or makes room for them, is torn down then. ``asked`` are the fixtures
    that the body has hold of, and the per-user ones.
    """
    if profile.is_open or profile.ramp_down > 0 or profile.stages is not None or profile.ip_exclusive:
        return False
    own = [each for value in asked.values() if isinstance(value, PerUser) for each in value.with_all_it_asks_for()]
    values = [*asked.values(), *(value for each in own if not each.per_iteration for value in each.arguments.values())]
    return bool(own) and any(isinstance(value, pytest.FixtureRequest) for value in values)


class Finalizers:
    """What has to be undone, last first; each is run even if another one fails."""

    def __init__(self) -> None:
        self._stack: list[Callable[[], object]] = []

    def add(self, finalizer: Callable[[], object]) -> None:
        """Run this before all that was added earlier."""
        self._stack.append(finalizer)

    def __bool__(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._stack)

    def run(self) -> None:
        """Run all of them; then what one of them raised goes on."""
        try:
            while self._stack:
                self._stack.pop()()
        finally:
            if self._stack:
                self.run()


class UserFixtures:
    """One user's own fixtures and body; its three public methods are called in the user's thread."""

    def __init__(self, item: pytest.Function, user: VirtualUser, users: int, lock: threading.Lock) -> None:
        """``lock`` is shared by the item's ``users``: pytest's own fixture machinery is not made for threads."""
        self._item = item
        self._user = user
        self._users = users
        self._lock = lock
        self._thread: threading.Thread | None = None
        self._being_made: list[PerUser] = []
        self._values: dict[PerUser, Any] = {}
        self._finalizers = Finalizers()
        self._iteration_values: dict[PerUser, Any] = {}
        self._iteration_finalizers = Finalizers()
        self._iteration: Iteration | None = None
        # A method's users do not share `self`: what one of them assigns is not seen by the others.
        self._instance = copy.copy(item.instance)
        self._names: list[str] = []
        self._body: Callable[..., Any] | None = None
        self._arguments: dict[str, Any] = {}
        self._renewed: dict[str, PerUser] = {}
        self._per_iteration: list[PerUser] = []

    def set_up(self) -> None:
        """Make the user's fixtures, in pytest's order."""
        self._thread = threading.current_thread()
        own = [each for each in self._item.funcargs.values() if isinstance(each, PerUser)]
        self._per_iteration = [each for each in own if each.per_iteration]
        for each in own:
            if not each.per_iteration:
                self._resolve(each)
        self._names = self._argument_names()

    def iterate(self, iteration: Iteration) -> None:
        """Run the body once, with the fixtures of this iteration made before and torn down after it."""
        self._iteration = iteration
        try:
            for value in self._per_iteration:
                self._resolve(value)
            body = self._body or self._taken_body()
            if self._renewed:
                body(**self._arguments, **{name: self._resolve(value) for name, value in self._renewed.items()})
            else:
                body(**self._arguments)
        finally:
            self._iteration = None
            if self._iteration_values:
                self._iteration_values.clear()
            if self._iteration_finalizers:
                self._iteration_finalizers.run()

    def tear_down(self) -> None:
        """Undo the user's fixtures in reverse."""
        self._finalizers.run()

    def _taken_body(self) -> Callable[..., Any]:
        """The body and its arguments as they are when it is first called: plugins change them after the set-up."""
        for name in self._names:
            value = self._item.funcargs[name]
            if isinstance(value, PerUser) and value.per_iteration:
                self._renewed[name] = value
            else:
                self._arguments[name] = self._resolve(value)
        self._body = self._bound(self._item.obj)
        return self._body

    def _argument_names(self) -> list[str]:
        """The body's parameters that are fixtures or parametrised values.

        A parameter with a default is no fixture to pytest; one that a decorator such as ``mock.patch`` fills is
        not among the item's values.
        """
        parameters = inspect.signature(self._item.obj).parameters.values()
        return [p.name for p in parameters if p.name in self._item.funcargs and p.default is p.empty]

    def _resolve(self, value: Any) -> Any:
        """This user's value for a placeholder; any other value is shared and stays as it is."""
        if isinstance(value, pytest.FixtureRequest):
            return UserRequest(value, self, self._finalizers)
        if not isinstance(value, PerUser):
            return value
        if value.is_user:
            return self._user
        if value.func is ipload_iteration_function:
            return self._running_iteration()
        values = self._iteration_values if value.per_iteration else self._values
        if value not in values:
            if value in self._being_made:
                raise RuntimeError(
                    f"fixture {value.name!r} asks for itself by request.getfixturevalue(); "
                    "name it in the signature to get the fixture that it overrides"
                )
            self._being_made.append(value)
            try:
                values[value] = self._make(value)
            finally:
                self._being_made.pop()
        return values[value]

    def _running_iteration(self) -> Iteration:
        if self._iteration is None:
            raise RuntimeError("ipload_iteration is only there while an iteration runs")
        return self._iteration

    def _make(self, value: PerUser) -> Any:
        """Call the fixture function, in pytest's manner: a generator is torn down by running it to its end."""
        finalizers = self._iteration_finalizers if value.per_iteration else self._finalizers
        arguments = {
            name: UserRequest(argument, self, finalizers)
            if isinstance(argument, pytest.FixtureRequest)
            else self._resolve(argument)
            for name, argument in value.arguments.items()
        }
        made = self._bound(value.func)(**arguments)
        if not inspect.isgeneratorfunction(value.func):
            return made
        try:
            result = next(made)
        except StopIteration:
            raise ValueError(f"fixture {value.name!r} did not yield a value") from None
        finalizers.add(lambda: _finish(made, value.name))
        return result

    def _bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A method of the test's class is bound to the user's own copy of the instance."""
        owner = getattr(function, "__self__", None)
        if owner is None or self._instance is None or not isinstance(self._instance, type(owner)):
            return function
        bound: Callable[..., Any] = function.__func__.__get__(self._instance)  # type: ignore[attr-defined]
        return bound

    def getfixturevalue(self, request: pytest.FixtureRequest, name: str) -> Any:
        """``request.getfixturevalue(name)`` for this user."""
        __tracebackhide__ = True
        if threading.current_thread() is not self._thread:
            raise RuntimeError(
                f"request.getfixturevalue({name!r}) works in the thread of user {self._user.index} only, "
                f"not in {threading.current_thread().name!r}; get the value before the thread is started"
            )
        with self._lock:
            value = request.getfixturevalue(name)
        refuse_unusable(self._users, {name: value})
        return self._resolve(value)

    @property
    def instance(self) -> Any:
        """The user's copy of the test's instance; None for a test function."""
        return self._instance


def _finish(generator: Any, name: str) -> None:
    """Run a generator fixture behind its yield."""
    try:
        next(generator)
    except StopIteration:
        return
    raise ValueError(f"fixture {name!r} yields more than once")


class UserRequest:
    """``request`` as a user's fixtures and body see it; all else is that of pytest's own ``request``."""

    def __init__(self, request: pytest.FixtureRequest, fixtures: UserFixtures, finalizers: Finalizers) -> None:
        self._request = request
        self._fixtures = fixtures
        self._finalizers = finalizers

    def getfixturevalue(self, argname: str) -> Any:
        """The user's value of a per-user fixture, or the shared value of any other."""
        __tracebackhide__ = True
        return self._fixtures.getfixturevalue(self._request, argname)

    def addfinalizer(self, finalizer: Callable[[], object]) -> None:
        """Call this when the user leaves (or, in a fixture of the iteration, when the iteration ends)."""
        self._finalizers.add(finalizer)

    @property
    def instance(self) -> Any:
        """The user's copy of the test's instance."""
        return self._fixtures.instance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)

    def __repr__(self) -> str:
        return f"<UserRequest for {self._request!r}>"
