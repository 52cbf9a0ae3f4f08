"""Load a server that streams tokens, as LLM servers do, and one that talks over WebSockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_ipload import LoadSession, VirtualUser, WebSocket


# For a real model: "ttfe.p95 < 800ms", "gap.p99 < 80ms". A busy machine runs this file too.
@pytest.mark.ipload(users=10, iterations=2)
@pytest.mark.ipload_threshold("ttfe.p95{chat} < 5s", "gap.p99{chat} < 5s", "error_rate < 1%")
def test_tokens(ipload_session: LoadSession, stream_server: str) -> None:
    question = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "Count to seven"}]}
    url = f"{stream_server}/v1/chat/completions"
    with ipload_session.events("POST", url, json=question, name="chat") as events:
        words = [event.json()["choices"][0]["delta"]["content"] for event in events if event.data != "[DONE]"]
    assert "".join(words) == "Hello 1 2 3 4 5 6 7"


@pytest.mark.ipload(users=10, iterations=2)
@pytest.mark.ipload_threshold("gap.p95 < 5s")
def test_json_lines(ipload_session: LoadSession, stream_server: str) -> None:
    with ipload_session.events("GET", f"{stream_server}/prices") as events:
        assert sum(event.json()["price"] for event in events) == 100


class TestWebSocket:
    @pytest.fixture
    def shout(self, ipload_user: VirtualUser, stream_server: str) -> Iterator[WebSocket]:
        """One connection per user, bound to the user's lease."""
        pytest.importorskip("websockets")
        with ipload_user.websocket(f"{stream_server}/shout") as ws:
            yield ws

    @pytest.mark.ipload(users=10, iterations=5)
    @pytest.mark.ipload_threshold("p95{shout} < 5s")
    def test_messages(self, shout: WebSocket) -> None:
        assert shout.request("hello", name="shout") == "HELLO"
