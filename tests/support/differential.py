"""The same calls against the same scripted replies, through a stock session and through a load session."""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import random
import re
import socket
import ssl
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from time import perf_counter
from typing import Any
from unittest import mock

import requests
from support.certificates import Certificates
from support.scripted_server import OK, Do, Reply, ScriptedServer, Step
from support.seen import Seen, see, see_jar, shortened

from pytest_ipload.stats.sample import Sample
from pytest_ipload.transport.session import LoadSession

Make = Callable[[type[Any] | None], requests.Session]
"""Makes a session; the class, if there is one, is mixed in as a user's subclass would."""


def stock(mixin: type[Any] | None = None) -> requests.Session:
    """A session of requests, which like a load session reads no settings of the environment."""
    session: requests.Session = _mixed(mixin, requests.Session)()
    session.trust_env = False
    return session


def _mixed(mixin: type[Any] | None, base: type[requests.Session]) -> type[Any]:
    return base if mixin is None else type("Own", (mixin, base), {})


class Repeats:
    """Takes the samples of a load session, and counts the requests that it repeated on a new connection."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, sample: Sample) -> None:
        self.count += sample.retries


CONTENDERS: dict[str, Make] = {
    "fast": lambda mixin: _mixed(mixin, LoadSession)(record=Repeats()),
    "not fast": lambda mixin: _mixed(mixin, LoadSession)(fast=False),
    # As the fixture makes it. In between, the sources name one address of each family, so that any host can be reached.
    "bound": lambda mixin: _mixed(mixin, LoadSession)(["127.0.0.1", "::1"], record=Repeats(), before_call=lambda: None),
}


class Clock:
    """Stands for ``time.time``: cookies expire when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Stage:
    """What a call may use: the server, and the clock."""

    server: ScriptedServer
    clock: Clock
    certificates: Certificates | None = None

    def url(self, path: str = "/", host: str | None = None) -> str:
        """A URL of the server."""
        return self.server.url(path, host)


Call = Callable[[Any, Stage], object]
"""Does something with a session; what it returns or raises is looked at."""


@dataclass(frozen=True)
class Case:
    """Calls, one after the other, and the replies that they get.

    ``raises`` names the exceptions that the calls raise with a stock session, in their order: a case whose calls fail
    for another reason, such as a mistake in the case, proves nothing.
    """

    script: Sequence[Reply]
    calls: Sequence[Call]
    raises: Sequence[type[Exception]] = ()
    host: str = "127.0.0.1"
    mixin: type[Any] | None = None


def get(path: str = "/", **kwargs: Any) -> Call:
    """The call of GET."""
    return call("GET", path, **kwargs)


def call(method: str, path: str = "/", **kwargs: Any) -> Call:
    """The call of a session's method with the name of an HTTP method, in small letters."""
    return lambda session, stage: getattr(session, method.lower())(stage.url(path), **kwargs)


def do(change: Callable[[Any], object]) -> Call:
    """A change of the session between two calls."""
    return lambda session, stage: change(session)


def assign(**values: Any) -> Call:
    """New values for attributes of the session."""

    def change(session: Any) -> None:
        for name, value in values.items():
            setattr(session, name, copy.deepcopy(value))

    return do(change)


def replies(*steps: Step) -> Case:
    """A GET and its reply."""
    return Case([steps], [get()])


def fails(error: type[Exception], *steps: Step) -> Case:
    """A GET whose reply makes it raise that."""
    return Case([steps], [get()], [error])


def times_out(error: type[Exception], *steps: Step) -> Case:
    """A GET with a short timeout for reads; its reply makes it raise that."""
    return Case([steps], [get(timeout=(1, 0.1))], [error])


@dataclass(frozen=True)
class Manner:
    """How a case is played.

    ``contenders``
        the load sessions that are compared with a stock session.
    ``warm``
        the session has made calls before: its connection is open, and what it remembers is remembered.
    ``late``
        replies are looked at when all calls were made, not each after its call.
    ``seed``
        decides what of a reply is looked at first.
    """

    contenders: Sequence[str] = ()
    warm: bool = False
    late: bool = False
    seed: int = 0


MANNERS = {
    "cold": Manner(contenders=("fast", "not fast")),
    "warm": Manner(contenders=("fast", "bound"), warm=True, late=True),
    "cut": Manner(contenders=("fast",)),
}


def assert_same(
    name: str,
    case: Case,
    *manners: str,
    tls: ssl.SSLContext | None = None,
    certificates: Certificates | None = None,
) -> None:
    """Fail if any load session shows anything else than a stock session does; in no named manner: cold, and warm."""
    for manner in manners or ("cold", "warm"):
        chosen = replace(MANNERS[manner], seed=zlib.crc32(f"{name} {manner}".encode()))
        expected = play(case, stock, chosen, tls, certificates)
        raised = repr([each.__name__ for each in case.raises])
        assert expected["raised"] == raised, f"{manner}: the case is not what it seems"
        for contender in chosen.contenders:
            seen = play(case, CONTENDERS[contender], chosen, tls, certificates)
            found = differences(expected, seen)
            assert not found, f"{manner}: the contender {contender!r} differs\n{explained(found)}"


def differences(expected: Seen, seen: Seen) -> dict[str, tuple[str | None, str | None]]:
    """What differs, and how; except for what is documented to differ.

    An idempotent request that a dying connection swallowed is repeated (test_exchange.py is about that). And a body
    that cannot be decoded is read to its end first, so that its connection is used again more often.
    """
    if REPEATED in seen:
        return {}
    if "ContentDecodingError" in expected["raised"]:
        expected, seen = _whatever_connection(expected), _whatever_connection(seen)
    paths = sorted({*expected, *seen})
    return {path: (expected.get(path), seen.get(path)) for path in paths if expected.get(path) != seen.get(path)}


def explained(found: Mapping[str, tuple[str | None, str | None]]) -> str:
    """Differences, line by line."""
    lines = (f"{path}\n  stock session: {one}\n  load session:  {other}" for path, (one, other) in found.items())
    return "\n".join(lines)


def _whatever_connection(seen: Seen) -> Seen:
    heard = re.sub(r"\(\d+, b", "(b", seen["server.heard"])
    return {**seen, "server.connections": "", "server.heard": heard}


REPEATED = "repeated requests"


def cut(case: Case, pieces: int, seed: int) -> Case:
    """The same case, with each text of the server in about so many segments."""
    chance = random.Random(seed)

    def cut_step(step: Step) -> Sequence[Step]:
        if not isinstance(step, bytes) or len(step) < pieces:
            return [step]
        return split(step, sorted(chance.sample(range(1, len(step)), pieces - 1)))

    return replace(case, script=[[part for step in reply for part in cut_step(step)] for reply in case.script])


def split(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The parts between these places, the placeholder of the port left whole."""
    between = [each for each in places if b"{port}" not in data[max(0, each - 5) : each + 5]]
    return [data[start:end] for start, end in pairwise((0, *between, len(data))) if start < end]


NAMES = {"localhost": "127.0.0.1", "one.test": "127.0.0.1", "xn--bcher-kva.test": "127.0.0.1"}
"""The names that there are while a case is played."""


def play(
    case: Case, make: Make, manner: Manner, tls: ssl.SSLContext | None = None, certificates: Certificates | None = None
) -> Seen:
    """Everything that could be seen while a case was played, with one more call at the end.

    That one shows whether the connection is used again, and what is left of the case on it.
    """
    clock = Clock()
    script = [*([OK, OK] if manner.warm else ()), *case.script]
    leaves_garbage = case.raises or any(isinstance(step, Do) for reply in script for step in reply)
    if leaves_garbage:
        gc.collect()  # what is left from before this case is none of its own
    with contextlib.ExitStack() as stack:
        stack.enter_context(_fixed_surroundings(clock))
        told = stack.enter_context(_told())
        if leaves_garbage:
            stack.enter_context(_collected())
        server = stack.enter_context(ScriptedServer(script, case.host, tls))
        session = stack.enter_context(make(case.mixin))
        if certificates is not None:
            session.verify = certificates.ca
        stage = Stage(server, clock, certificates)
        seen = _make_calls(case, session, stage, manner)
        told_by_calls = list(told)
    seen["session.cookies"] = repr(see_jar(session.cookies))
    seen["session.headers"] = repr(list(session.headers.items()))
    seen["server.heard"] = repr([(each.connection, each.data) for each in server.heard])
    seen["server.connections"] = str(server.connections)
    seen["told"] = repr(told_by_calls)
    if repeats := getattr(getattr(session, "record", None), "count", 0):
        seen[REPEATED] = str(repeats)
    return {path: shortened(without_randomness(text, server.port)) for path, text in seen.items()}


def _make_calls(case: Case, session: requests.Session, stage: Stage, manner: Manner) -> Seen:
    if manner.warm:
        for _ in range(2):
            session.get(stage.url("/"))
            stage.server.settle()
    afterwards: Call = lambda session, stage: session.get(stage.url("/afterwards"))  # noqa: E731  # one of the calls
    order = random.Random(manner.seed)
    results: list[tuple[str, object, float]] = []
    raised: list[type[Exception]] = []
    seen: Seen = {}
    for number, call in enumerate((*case.calls, afterwards)):
        name = f"call {number}" if number < len(case.calls) else "afterwards"
        started = perf_counter()
        try:
            result = call(session, stage)
        except Exception as error:
            result = error
            raised.append(type(error))
        results.append((name, result, perf_counter() - started))
        stage.server.settle()
        if not manner.late:
            seen.update(_look(*results[-1], order))
    if manner.late:
        for each in results:
            seen.update(_look(*each, order))
    for _, result, _ in results:
        if isinstance(result, requests.Response):
            result.close()
    seen["raised"] = repr([each.__name__ for each in raised])
    return seen


def _look(name: str, result: object, seconds: float, order: random.Random) -> Seen:
    seen = see(result, name, order=order, seconds=seconds)
    if isinstance(result, BaseException):
        result.__traceback__ = None  # its frames would hold on to connections
    return seen


@contextlib.contextmanager
def _fixed_surroundings(clock: Clock) -> Iterator[None]:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name.rstrip(".").lower() in NAMES:
            name = NAMES[name.rstrip(".").lower()]
        elif not re.fullmatch(r"[0-9.]+|.*:.*", name):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(name, port, *args, **kwargs)

    with mock.patch("time.time", clock), mock.patch("socket.getaddrinfo", getaddrinfo):
        yield


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """Collect the garbage of a case.

    After an error urllib3 leaves sockets to the collector. Python warns of it, and the warning would hit a later test.
    """
    try:
        yield
    finally:
        gc.collect()


@contextlib.contextmanager
def _told() -> Iterator[list[str]]:
    """Collect warnings of both kinds: Python's and those in the logs."""
    told: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(f"{record.levelname} {record.getMessage()}")

    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        told.append(f"{category.__name__} {message}")

    handler = Handler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("urllib3", "requests")]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # see _collected
        warnings.showwarning = show  # the hook that the module documents
        for each in loggers:
            each.addHandler(handler)
        try:
            yield told
        finally:
            for each in loggers:
                each.removeHandler(handler)


def without_randomness(text: str, port: int) -> str:
    """A text without what differs from run to run, and without what a load session says on purpose."""
    text = re.sub(rf"(?<=[:='\"]){port}\b", "PORT", text)
    text = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "BOUNDARY", text)
    text = re.sub(r'(cnonce|response)=\\?"[0-9a-f]+\\?"', r"\1=RANDOM", text)
    # The names of its classes, and the source that a refused connection had.
    text = re.sub(r"\b(?:Source(?=HTTP)|Load(?=Session|Response))", "", text)
    return text.replace(" from source 127.0.0.1 to 127.0.0.1:", ":")
