"""The errors of this package, in one tree.

::

    IploadError
    ├── SettingError               a bad option, ini value, marker key, argument or threshold expression
    ├── FeedError                  test data that cannot be found or read
    │   └── FeedExhausted          no row of test data is left for a user
    ├── TargetNotAllowed           a request to a host that is not allowed
    ├── PoolError                  a pool that cannot be read or cannot be used
    │   └── PoolExhausted          no address of a pool is free
    ├── RendezvousTimeout          (also TimeoutError) too few users came to a rendezvous in time
    ├── RendezvousEnded            the load is over, and a rendezvous, or a turn under max_rate, will not come any more
    ├── ScenarioFileError          (also ValueError) a scenario file that is not valid; the text begins with the place
    ├── ScenarioFailed             a step of a scenario file: an expectation, a capture or a value that is not there
    ├── LateSkip                   a user's set-up skipped when the load had begun already
    ├── SetUpTimeout               (also TimeoutError) a user's set-up took too long and was interrupted
    ├── TearDownTimeout            (also TimeoutError) a user's teardown could not be ended in time
    ├── ComponentError             a call of a WebAssembly component has failed; the text names the component
    │   ├── ComponentFailed        it returned an error
    │   ├── ComponentTrapped       it did something that WebAssembly does not allow, or gave up
    │   ├── ComponentRefused       it wanted to reach a host that is not allowed
    │   └── ComponentLimitExceeded one of its limits
    │       ├── ComponentMemoryExceeded     memory
    │       ├── ComponentTimeExceeded       time of a call
    │       ├── ComponentFuelExceeded       fuel of a call
    │       ├── ComponentRequestsExceeded   requests of a call
    │       ├── ComponentReplyExceeded      bytes of a reply
    │       └── ComponentSocketsExceeded    open sockets
    ├── ReplyTooLarge              a reply has more bytes than its caller can take
    ├── TargetLost                 what a load reads of its target ended: the process, or its endpoint
    ├── GeneratorLimitError        this process may not open enough files or start enough threads
    └── those of ``transport.generator_errors``, which are errors of requests or urllib3 too

The first three, but for FeedExhausted and a redirect to such a host, mean that the test itself is wrong: raised by a
body, they end its load (``is_configuration_error``). The verdicts on a load test are not errors; they live in
``pytest_ipload.plugin.items.outcomes``.
"""

from __future__ import annotations

import errno
from typing import Any

from pytest_ipload.base.masking import masked


class IploadError(Exception):
    """Base of all errors of this package. Their texts, which may quote a URL, are masked."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*(masked(each) if isinstance(each, str) else each for each in args), **kwargs)


class _ConfigurationError(IploadError):
    """The test, its data or its settings are wrong, so that no iteration can succeed."""

    at_run_time = False
    """True if it depends on what happens in the load: the iteration fails, and the load continues."""


def is_configuration_error(error: BaseException) -> bool:
    """Whether a load ends at once when a body raises this, and the test is an error."""
    return configuration_error(error) is not None


def configuration_error(error: BaseException) -> BaseException | None:
    """The one of these that an exception is, or has in it: some clients wrap what they do not expect in a group."""
    left = [error]
    while left:
        each = left.pop()
        if isinstance(each, _ConfigurationError) and not each.at_run_time:
            return each
        if hasattr(each, "split"):  # a group, from Python 3.11 on
            left += getattr(each, "exceptions", ())
    return None


class SettingError(_ConfigurationError, ValueError):
    """A setting is unknown, malformed or contradicts another one."""


class PoolError(IploadError, ValueError):
    """An address pool cannot be parsed, or its addresses cannot be used."""


class PoolExhausted(PoolError):
    """All addresses of a pool are leased, and a lease is exclusive."""


class FeedError(_ConfigurationError, ValueError):
    """Test data cannot be found or read; the text names the file and the line."""


class FeedExhausted(FeedError):
    """No row of test data is left for a user whose rows are to be unique."""

    at_run_time = True


class ScenarioFileError(IploadError, ValueError):
    """A scenario file is not valid. The text begins with file, line and column."""


class ScenarioFailed(IploadError):
    """A step of a scenario file did not get what it expects or needs: a reply, something to capture, a value."""


class LateSkip(IploadError):
    """A user's set-up skipped, or expected to fail, when iterations of its load had run already."""


class SetUpTimeout(IploadError, TimeoutError):
    """A user's set-up took too long and was interrupted; the text names the user, the line and the time."""


class TearDownTimeout(IploadError, TimeoutError):
    """A user's teardown, or a task that the user left behind, could not be ended; the text names the user and line."""


class RendezvousTimeout(IploadError, TimeoutError):
    """Too few users came to a rendezvous in time."""


class RendezvousEnded(IploadError):
    """The load ended while a user waited at a rendezvous. No failure: the iteration is not counted."""


class TargetNotAllowed(_ConfigurationError):
    """A request was refused before anything was sent, because its host is not on the allow-list.

    ``at_run_time`` is true if it was the target that redirected an allowed request there.
    """


class ComponentError(IploadError):
    """A call of a WebAssembly component has failed. The text names the component and what it was called for."""


class ComponentFailed(ComponentError):
    """A component returned an error; the text has its message."""


class ComponentTrapped(ComponentError):
    """A component ended by a trap: it did something that WebAssembly does not allow, or gave up."""


class ComponentRefused(ComponentError):
    """A component wanted to send something to a host that is not allowed. Nothing was sent."""


class ComponentLimitExceeded(ComponentError):
    """A component exceeded one of its limits; the text has the limit and its value."""


class ComponentMemoryExceeded(ComponentLimitExceeded):
    """A component wanted more memory than its limit ``memory``."""


class ComponentTimeExceeded(ComponentLimitExceeded):
    """A call of a component computed for longer than its limit ``time``."""


class ComponentFuelExceeded(ComponentLimitExceeded):
    """A call of a component executed more instructions than its limit ``fuel``."""


class ComponentRequestsExceeded(ComponentLimitExceeded):
    """A call of a component sent more requests than its limit ``requests``."""


class ComponentReplyExceeded(ComponentLimitExceeded):
    """A component was sent more bytes in one reply than its limit ``reply_bytes``."""


class ComponentSocketsExceeded(ComponentLimitExceeded):
    """A component wanted to open more sockets at once than its limit ``sockets``."""


class ReplyTooLarge(IploadError):
    """The body of a reply has more bytes, decoded, than its caller can take; it was not read to its end."""


class TargetLost(IploadError):
    """A target's own numbers cannot be read any more; the text says why. It ends the readings, never the load."""


class GeneratorLimitError(IploadError):
    """A limit of this machine or process (open files, threads) is too low for the load."""


def is_out_of_files(error: BaseException) -> bool:
    """Whether it says that this process, or this host, cannot open another file."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)
