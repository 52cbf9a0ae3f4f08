"""One request and its reply on a connection of urllib3's, without http.client in between.

It serves replies whose head is ordinary (see ``heads``). At the first sign of anything else (an unusual head, bytes
behind the body, the end of the stream, a timeout, any error) it stops and hands everything over: requests and urllib3
take the connection, see the bytes that were received already, and decide what it all means. Nothing is sent twice.
The one exception is a kept connection that ends before the first byte of a reply, or whose reply had arrived before
the request was sent: an idempotent request is then sent again, once, on a new connection, and counted.
"""

from __future__ import annotations

import contextlib
import ssl

from pytest_ipload.base.real_time import perf_counter_ns, time_ns
from pytest_ipload.base.units import NS_PER_S
from pytest_ipload.transport.connect.binding import Binding, Fallback, Hop
from pytest_ipload.transport.connect.connection import IdleConnections, Pool, SourceHTTPConnection
from pytest_ipload.transport.connect.socket_io import TIMESPEC, FastSocket
from pytest_ipload.transport.fast_path.prepared_call import PreparedCall
from pytest_ipload.transport.fast_path.reply_reader import ReplyReader, UnusualReply
from pytest_ipload.transport.message.replay import ReplaySocket
from pytest_ipload.transport.message.reply_head import REMEMBERED_LENGTH, Head, ReplyHeads
from pytest_ipload.transport.response import LoadResponse

Timeouts = tuple[float | None, float | None]
"""Seconds for connecting, and for each send and read; None: no limit."""

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""Methods that may be sent again when a connection swallowed them (RFC 9110, 9.2.2)."""
CLOCKS_DIFFER_NS = 1_000_000
"""How much two clocks may differ on the time of one exchange, before the wall clock is taken to have been set."""
LONGEST_TURN_NS = NS_PER_S
"""How long a thread may wait for its turn between its look at a connection and its send. A time of arrival that is
earlier yet is on another clock than ours, as under libfaketime."""
_new = object.__new__
_read_stamp = TIMESPEC.unpack
_GONE = (ConnectionError, ssl.SSLEOFError, UnusualReply)
"""What a connection shows that the server has closed. (No reply at all is an unusual one.)"""


def exchange(
    outgoing: PreparedCall, pool: Pool, binding: Binding, heads: ReplyHeads, data: bytes, timeouts: Timeouts
) -> LoadResponse | None:
    """Send ``data``, the bytes of ``outgoing``, and read the reply.

    None if requests and urllib3 have to go on: then ``binding.thread.fall_back`` is what they go on with.
    """
    # The ordinary case is written out here, as it runs for each request of a load. All else is in _Exchange.
    idle = pool.pool
    if not isinstance(idle, IdleConnections):  # closed, one that blocks, or of another version of HTTP
        return pool.exchange(binding, heads, outgoing.method, data, timeouts)  # type: ignore[no-any-return]  # of any pool
    take = idle.take  # a function that is an attribute is found twice as fast by its own look-up, here and below
    try:
        conn = take()
    except IndexError:
        conn = None
    started = 0
    try:
        wire = None if conn is None else conn.wire
        unread = None if wire is None else wire.unread
        # What waits on a kept connection, or arrives until the clock is read behind this look, came before the request.
        if conn is None or wire is None or unread is None or unread():
            started, wall_started = perf_counter_ns(), time_ns()
            return _Exchange(outgoing, pool, binding, heads, data, timeouts, started, wall_started).begin(conn)
        started, wall_started = perf_counter_ns(), time_ns()
        is_sent = False
        try:
            if wire.timeout != timeouts[1]:
                wire.set_timeout(timeouts[1])
            send = wire.send
            send(data)
            is_sent = True
            received = wire.receive()
            latency = _latency(wire.stamp, started, wall_started)
            if latency is None:
                raise UnusualReply
        except (OSError, UnusualReply) as error:
            careful = _Exchange(outgoing, pool, binding, heads, data, timeouts, started, wall_started)
            return careful.fail(conn, b"", error, is_kept=True, in_send=not is_sent)
        head = outgoing.last_reply_head
        start = len(head.raw)
        if received[:start] != head.raw:
            head = _other_head(outgoing, heads, received)
            start = 0 if head is None else len(head.raw)
        if head is None or len(received) - start != (0 if outgoing.is_head else head.length):
            careful = _Exchange(outgoing, pool, binding, heads, data, timeouts, started, wall_started)
            return careful.read(conn, wire, received, is_kept=True)
        response = _reply(conn, head, received, received[start:], started, latency)
        if head.keeps_open:
            give = idle.give
            give(conn)
        else:
            conn.close()
            pool.give(conn)
        return response
    except BaseException:
        if conn is not None:
            conn.close()  # what may still arrive on it is unknown
        binding.thread.interrupted = _interrupted(conn, started)
        raise


def _other_head(outgoing: PreparedCall, heads: ReplyHeads, received: bytes) -> Head | None:
    """The head of a reply that does not begin as the last one to this request did; None if it is not ordinary."""
    head = outgoing.last_reply_head.with_other_cookies(received)
    if head is None:
        end = received.find(b"\r\n\r\n")
        head = heads[received[:end]] if end > 0 else None
    if head is not None and len(head.raw) <= REMEMBERED_LENGTH:
        outgoing.last_reply_head = head
    return head


def _interrupted(conn: SourceHTTPConnection | None, started: int) -> Hop:
    """What was measured of an exchange that something was raised in."""
    hop = Hop()
    hop.ended_ns = perf_counter_ns()
    hop.started_ns = started or hop.ended_ns
    hop.source_address = getattr(conn, "local_address", None)
    return hop


def _latency(stamp: bytes | None, started: int, wall_started: int) -> int | None:
    """Nanoseconds until the last byte arrived, by its ``stamp``; None if it arrived before the request was sent.

    Called as soon as that byte was read. ``wall_started`` is when the request began by the wall clock, which is the
    clock of the stamp.
    """
    if stamp is None:
        return perf_counter_ns() - started
    wall_ended = time_ns()
    latency = perf_counter_ns() - started
    # A thread reads its reply only when it has its turn; the kernel's time of arrival is free of that. But the wall
    # clock may have been set meanwhile. Then it does not agree on what elapsed, and the stamp is worth nothing.
    # Where they differ by no more than two clocks do, the time of arrival is counted from the start or back from the
    # end, whichever makes the latency longer: it is never too short.
    gained = wall_ended - wall_started - latency
    if -CLOCKS_DIFFER_NS < gained < CLOCKS_DIFFER_NS:
        seconds, nanoseconds = _read_stamp(stamp)
        arrived: int = seconds * NS_PER_S + nanoseconds - wall_started
        if gained < 0:
            arrived -= gained
        if arrived > 0:
            return arrived if arrived < latency else latency
        if arrived > -LONGEST_TURN_NS:
            return None
    return latency


def _reply(
    conn: SourceHTTPConnection, head: Head, received: bytes, body: bytes, started: int, latency: int
) -> LoadResponse:
    """The response, with its times."""
    response = _new(LoadResponse)
    response.status_code = head.status
    response.head = head
    response.received = received
    response._content = body
    response.source_address = conn.local_address
    response.started_ns = started
    response.latency_ns = latency
    response.hop = None  # read for each response: an attribute of its own is found faster than the class's default
    return response


class _Exchange:
    """An exchange that needs more than one send and one receive on an open connection."""

    def __init__(
        self,
        outgoing: PreparedCall,
        pool: Pool,
        binding: Binding,
        heads: ReplyHeads,
        data: bytes,
        timeouts: Timeouts,
        started: int,
        wall_started: int,
    ) -> None:
        self._pool = pool
        self._binding = binding
        self._heads = heads
        self._method = outgoing.method
        self._data = data
        self._timeouts = timeouts
        self._started = started
        self._wall_started = wall_started
        self._hop = Hop()
        self._hop.started_ns = started

    def begin(self, conn: SourceHTTPConnection | None) -> LoadResponse | None:
        """Send the request on this connection, or on a new one if it is not fit for use, and read the reply."""
        if conn is None:
            conn = self._pool.new_connection()
        try:
            wire = conn.fit_wire()
            is_kept = wire is not None
            if wire is None:
                wire = self._open(conn)
                if wire is None:
                    return self._hand_over(conn)
            try:
                wire.set_timeout(self._timeouts[1])
                wire.send(self._data)
            except OSError as error:
                return self.fail(conn, b"", error, is_kept=is_kept, in_send=True)
            return self.read(conn, wire, b"", is_kept=is_kept)
        except BaseException:
            conn.close()  # what may still arrive on it is unknown
            raise

    def _open(self, conn: SourceHTTPConnection) -> FastSocket | None:
        """Connect; None if http.client has to go on, perhaps with the exception that connecting ended with."""
        thread = self._binding.thread
        outer, thread.hop = thread.hop, self._hop
        try:
            return self._pool.open(conn, self._timeouts[0])
        except Exception as error:
            conn.close()
            conn.refusal = error
            return None
        finally:
            thread.hop = outer

    def read(
        self, conn: SourceHTTPConnection, wire: FastSocket, received: bytes, *, is_kept: bool
    ) -> LoadResponse | None:
        """Read the reply, whose first bytes may be here already."""
        reader = ReplyReader(wire, received, self._binding.thread.most_reply)
        try:
            head, body = reader.read(self._heads, is_head=self._method == "HEAD")
        except (UnusualReply, OSError) as error:
            return self.fail(conn, reader.all_received(), error, is_kept=is_kept)
        except BaseException:
            conn.close()
            raise
        latency = _latency(wire.stamp, self._started, self._wall_started)
        if latency is None:
            return self.fail(conn, b"", UnusualReply(), is_kept=is_kept)
        whole = b"" if reader.is_apart else bytes(reader.received)
        response = _reply(conn, head, whole, body, self._started, latency)
        if reader.is_apart:
            del response.received
            response.coded_body = body
        response.head_ns = reader.head_ended_ns - self._started
        hop = self._hop
        if hop.connections:
            hop.first_byte_ns = min(reader.first_byte_ns - self._started, response.latency_ns)
        if hop.connections or hop.retries:
            response.hop = hop
        if not head.keeps_open:
            conn.close()
        self._pool.give(conn)
        return response

    def fail(
        self, conn: SourceHTTPConnection, received: bytes, error: Exception, *, is_kept: bool, in_send: bool = False
    ) -> LoadResponse | None:
        """Go on after an error or an unusual reply: try again on a new connection, or hand over."""
        if in_send and is_kept and conn.wire is not None and isinstance(error, ConnectionError):
            with contextlib.suppress(OSError):  # a server may answer, and close, before it has read everything
                received = conn.wire.receive()
        is_stale = is_kept and not received and isinstance(error, _GONE)
        if is_stale and self._method in IDEMPOTENT and not self._binding.ended:
            conn.close()
            self._hop.retries += 1
            return self.begin(conn)
        if isinstance(error, BlockingIOError):  # how the kernel says that the time is over
            error = TimeoutError("timed out")
        failure = error if isinstance(error, OSError) else None
        conn.replay(
            ReplaySocket(received, send_error=failure, error=None) if in_send else ReplaySocket(received, error=failure)
        )
        return self._hand_over(conn)

    def _hand_over(self, conn: SourceHTTPConnection) -> LoadResponse | None:
        self._binding.thread.fall_back = Fallback(self._hop, conn=conn)
        return None
