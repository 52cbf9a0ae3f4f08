"""One call of a session and the sample that it becomes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from requests import PreparedRequest, Response

from pytest_ipload.base.code_location import place_of_frame
from pytest_ipload.base.errors import IploadError, SettingError, TargetNotAllowed
from pytest_ipload.base.masking import masked
from pytest_ipload.base.real_time import perf_counter_ns
from pytest_ipload.settings.parsing import as_label
from pytest_ipload.settings.url_names import UrlNames
from pytest_ipload.stats.fault_text import message_of
from pytest_ipload.stats.sample import FAILED, FAULT, OK, REQUEST, Problem, Sample
from pytest_ipload.transport.connect.binding import Hop, opening_of
from pytest_ipload.transport.connect.connection import is_interim

ExpectedItem = int | str | type[Exception]
Check = Callable[[Response], object]
Expected = ExpectedItem | Sequence[ExpectedItem] | Check | None

_STATUS_CLASSES = {f"{digit}xx": range(digit * 100, digit * 100 + 100) for digit in range(1, 6)}


@dataclass(frozen=True)
class Expectation:
    """What counts as a success: any of these statuses or exceptions, or what a function of the response says."""

    statuses: frozenset[int]
    """None with a ``check``: so it costs nothing where there is none."""
    exceptions: tuple[type[Exception], ...] = ()
    check: Check | None = None

    @classmethod
    def of(cls, expect: Expected) -> Expectation:
        """Read an ``expect`` keyword. None means any status from 200 to 399. Raises SettingError."""
        if expect is None:
            return USUAL
        if callable(expect) and not isinstance(expect, type):
            return cls(frozenset(), check=expect)
        items = expect if isinstance(expect, (list, tuple)) else (expect,)
        statuses: set[int] = set()
        exceptions: list[type[Exception]] = []
        for item in items:
            if isinstance(item, str) and item in _STATUS_CLASSES:
                statuses.update(_STATUS_CLASSES[item])
            elif isinstance(item, int) and 100 <= item <= 599:
                statuses.add(item)
            elif isinstance(item, type) and issubclass(item, Exception):
                exceptions.append(item)
            else:
                raise SettingError(f"expect={expect!r}: {item!r} is not valid; allowed: {_ALLOWED}")
        if not items:
            raise SettingError(f"expect={expect!r} is empty; allowed: {_ALLOWED}")
        return cls(frozenset(statuses), tuple(exceptions))

    def is_met_by(self, response: Response) -> bool:
        """Whether the ``check``, if there is one, accepts the response."""
        return self.check is not None and self.refusal(response) is None

    def refusal(self, response: Response) -> tuple[str, str] | None:
        """Type and text of what the ``check`` has against the response. It is asked once for each response."""
        check = self.check
        if check is None:
            return None
        known: tuple[Check, tuple[str, str] | None] | None = vars(response).get("_refusal")
        if known is None or known[0] is not check:
            known = vars(response)["_refusal"] = check, _refusal(check, response)
        return known[1]


def _refusal(check: Check, response: Response) -> tuple[str, str] | None:
    try:
        if check(response):
            return None
    except IploadError as error:
        return type(error).__name__, str(error)
    except Exception as error:
        return type(error).__name__, message_of(error)
    name = getattr(check, "__name__", type(check).__name__)
    return _UNEXPECTED, f"answered {response.status_code}, not what {name}() expects"


_UNEXPECTED = "UnexpectedResponse"
_ALLOWED = (
    "a status as in 404, a class of statuses as in '4xx', an exception type, a list of these, or a function of the "
    "response"
)
USUAL = Expectation(frozenset(range(200, 400)))
"""An interim reply (1xx) is none: the reply proper is still to come."""
_NOT_OPENED = Hop()


def label_of(name: object) -> str | None:
    """Read a ``name`` keyword: None, like an empty text, means method and path. Raises SettingError."""
    if name is None or (type(name) is str and not name):
        return None
    try:
        return as_label(name, "name: the label of a request")
    except ValueError as error:
        raise SettingError(str(error)) from None


class Call:
    """One call of a session's user: what it expects, and what was measured on its way."""

    __slots__ = (
        "awaits_send",
        "expectation",
        "hops",
        "is_untimed",
        "name",
        "names",
        "redirects",
        "request",
        "started_ns",
    )

    def __init__(self, name: str | None, expectation: Expectation, names: UrlNames | None = None) -> None:
        """``name`` is its label; without one, it is named by its URL, by the templates of ``names``."""
        self.name = name
        self.names = names
        self.expectation = expectation
        self.request: PreparedRequest | None = None
        """The first request of the call; None as long as it is being prepared."""
        self.is_untimed = False
        """Whether an adapter of the user's own, which measures nothing, was used."""
        self.redirects = 0
        self.hops: list[Hop] = []
        self.awaits_send = True
        """Whether the session's next ``send`` in this thread belongs to this call."""
        self.started_ns = 0

    def begin(self, request: PreparedRequest) -> None:
        """A request of this call is about to be sent: the first, or the next one on a way of redirects."""
        self.awaits_send = False
        if self.request is None:
            self.request = request
            self.started_ns = perf_counter_ns()
        else:
            self.redirects += 1

    def sample(self, response: Response | None, error: BaseException | None = None) -> Sample | None:
        """The call's sample, made in the calling thread at its end; None if nothing was sent or may be sent."""
        hops, is_refused = self.hops, isinstance(error, TargetNotAllowed)
        redirects = self.redirects - 1 if is_refused and self.redirects else self.redirects  # the last was not followed
        if not (hops or (self.is_untimed and (self.redirects or not is_refused))):
            return None
        ended = perf_counter_ns()
        opened = next((hop for hop in reversed(hops) if hop.connections), _NOT_OPENED)
        status = getattr(getattr(error, "response", response), "status_code", None) or 0
        fault = hops[-1].fault if hops and error is not None else None
        outcome, problem = self._judge(response, error, fault)
        return Sample(
            kind=REQUEST,
            name=self.label,
            started_ns=hops[0].started_ns if hops else self.started_ns,
            # An adapter of the user's own is not timed inside, only together with all that requests does around it.
            latency_ns=sum(hop.ended_ns - hop.started_ns for hop in hops) if hops else ended - self.started_ns,
            outcome=outcome,
            status=status,
            source_address=hops[-1].source_address if hops else getattr(response, "source_address", None),
            redirects=redirects,
            connections=sum(hop.connections for hop in hops),
            retries=sum(hop.retries for hop in hops),
            connect_ns=opened.connect_ns,
            tls_ns=opened.tls_ns,
            first_byte_ns=opened.first_byte_ns,
            opening_ns=opening_of(hops) if opened is not _NOT_OPENED else None,
            problem=problem,
            fault=fault,
        )

    def _judge(
        self, response: Response | None, error: BaseException | None, fault: str | None
    ) -> tuple[str, Problem | None]:
        if error is not None:
            if fault is None and isinstance(error, self.expectation.exceptions):
                return OK, None
            text = self.hops[-1].fault_text if fault else message_of(error)
            return FAULT if fault else FAILED, Problem(type(error).__name__, text, _place())
        if response is None or response.status_code in self.expectation.statuses:
            return OK, None
        if self.expectation.check is not None:
            refusal = self.expectation.refusal(response)
            if refusal is None:
                return OK, None
            kind, text = refusal
            return FAILED, Problem(kind, f"{self._label()} {text}" if kind == _UNEXPECTED else text, _place())
        status = f"{response.status_code} {response.reason or ''}".rstrip()
        if is_interim(response.status_code):
            status += ": an interim response, not the final one"
        return FAILED, Problem(f"HTTP {response.status_code}", f"{self._label()} answered {status}", _place())

    @property
    def label(self) -> str:
        """The name of its sample."""
        return self.name or self._label()

    def _label(self) -> str:
        request = self.request
        if request is None:
            return ""
        return default_name(self.names, str(request.method), request.url or "")


def names_of(names: UrlNames | Iterable[str] | None) -> UrlNames | None:
    """Read a session's ``names`` keyword. Raises SettingError."""
    if names is None or isinstance(names, UrlNames):
        return names
    if isinstance(names, str):
        raise SettingError(f"names={names!r}: give a list of templates, as in ['/items/{{id}}']")
    try:
        return UrlNames(names)
    except ValueError as error:
        raise SettingError(f"names: {error}") from None


def default_name(names: UrlNames | None, method: str, url: str) -> str:
    """The name of a request that is given none: by a template, else method and path."""
    parts = urlsplit(url)
    path = parts.path or "/"
    name = None if names is None else names.name(method, f"{parts.scheme}://{parts.netloc}", path)
    return name or masked(f"{method} {path}")  # a path may have parameters


class CurrentCall(threading.local):
    """The call that a session makes in this thread."""

    call: Call | None = None
    awaited: Call | None = None
    """What the next call of ``request`` is to be, in the place of a plain one."""

    def take_awaited(self) -> Call | None:
        """The awaited one, once; None without one."""
        call, self.awaited = self.awaited, None
        return call


def _place() -> str:
    return place_of_frame(sys._getframe(1))
