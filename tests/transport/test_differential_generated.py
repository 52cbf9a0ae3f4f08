"""Replies that nobody thought of."""

from __future__ import annotations

import gc
import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from support.conversations import Conversation, conversations
from support.differential import CONTENDERS, MANNERS, Case, call, explained, get, play
from support.replies import reply
from support.scripted_server import OK, Do


# Slow: each example opens servers and waits between segments.
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_a_load_session_shows_what_requests_shows(conversation: Conversation) -> None:
    found = conversation.differences()
    assert not found, explained(found)


def open_sockets() -> int:
    """How many there are in this process, whoever has opened them."""
    count = 0
    for descriptor in range(1024):
        try:
            count += stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except OSError:
            continue
    return count


LEAVING = {
    "read": Case([OK], [get(), get()]),
    "kept": Case([OK, OK], [get(), call("POST", data=b"x")]),
    "stalled": Case([(Do.STALL,)], [get(timeout=0.05)]),
    "broken off": Case([(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Do.RESET)], [get()]),
    "nonsense": Case([(b"nonsense\r\n\r\n", Do.CLOSE)], [get()]),
    "streamed": Case([(reply(b"x" * 100_000),)], [get(stream=True)]),
}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", LEAVING)
def test_a_closed_session_leaves_no_socket_open(name: str, contender: str) -> None:
    gc.collect()
    before = open_sockets()
    play(LEAVING[name], CONTENDERS[contender], MANNERS["cold"])
    gc.collect()  # after an error, urllib3 leaves closing to the collector
    assert open_sockets() == before
