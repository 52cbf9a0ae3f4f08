"""Clients that exchange messages, and mail: each leaves from its user's address, as the server sees it."""

from __future__ import annotations

import asyncio
import re
import smtplib
import sys
import threading
from collections.abc import Iterator
from socketserver import StreamRequestHandler

import paho.mqtt.client as mqtt
import pytest
import websocket
from paho.mqtt.enums import CallbackAPIVersion
from support.peers import PeerServer
from support.programs import Served
from support.visitor import Visitor
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the whole of 127.0.0.0/8 as its own")

USERS = ("127.0.0.77", "127.0.0.78")


@pytest.mark.parametrize("in_background", [False, True])
def test_mqtt(mosquitto: Served, in_background: bool) -> None:
    def visit(name: str) -> None:
        arrived = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)

        def subscribe(*_: object) -> None:
            client.subscribe("x")

        def publish(*_: object) -> None:
            client.publish("x", name)

        client.on_connect, client.on_subscribe = subscribe, publish
        client.on_message = lambda *_: arrived.set()
        if in_background:
            client.connect_async("127.0.0.1", mosquitto.port)
            client.loop_start()  # a thread of its own connects
            assert arrived.wait(10)
            client.disconnect()
            client.loop_stop()
        else:
            client.connect("127.0.0.1", mosquitto.port)
            for _ in range(1000):
                if arrived.is_set():
                    break
                client.loop(0.05)
            client.disconnect()
        assert arrived.is_set()

    names = [f"{user}-{in_background}" for user in USERS]
    for user, name in zip(USERS, names, strict=True):
        Visitor(user).run(lambda: visit(name))  # noqa: B023  # it runs now
    seen = re.findall(r"New client connected from ([\d.]+):\d+ as (\S+)", mosquitto.log.read_text())
    assert [address for address, name in seen if name in names] == list(USERS)


@pytest.fixture
def websockets_server() -> Iterator[Server]:
    def tell(socket: ServerConnection) -> None:
        for _ in socket:
            socket.send(socket.remote_address[0])

    with serve(tell, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_websockets(websockets_server: Server) -> None:
    url = f"ws://127.0.0.1:{websockets_server.socket.getsockname()[1]}/"

    def by_websockets() -> object:
        with connect(url, proxy=None) as socket:
            socket.send("?")
            return socket.recv(10)

    def by_websocket_client() -> object:
        socket = websocket.create_connection(url, timeout=10)
        socket.send("?")
        try:
            return socket.recv()
        finally:
            socket.close()

    for visit in (by_websockets, by_websocket_client):
        assert [Visitor(user).run(visit) for user in USERS] == list(USERS)


def receive_mail(handler: StreamRequestHandler) -> None:
    handler.wfile.write(b"220 ready\r\n")
    for line in handler.rfile:
        handler.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 fine\r\n")


def test_smtp() -> None:
    def visit() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, "tester", timeout=10) as client:
            assert client.noop()[0] == 250

    with PeerServer(receive_mail) as server:
        for user in USERS:
            Visitor(user).run(visit)
    assert server.peers == list(USERS)


def test_datagrams_of_an_event_loop() -> None:
    class Echo(asyncio.DatagramProtocol):
        def __init__(self, answer: asyncio.Future[bytes]) -> None:
            self.answer = answer

        def datagram_received(self, data: bytes, addr: object) -> None:
            if not self.answer.done():
                self.answer.set_result(data)

    async def ask(port: int, is_connected: bool, is_bound: bool) -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        address = ("127.0.0.1", port)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Echo(answer),
            remote_addr=address if is_connected else None,
            local_addr=("0.0.0.0", 0) if is_bound else None,
            family=0 if is_connected or is_bound else 2,
        )
        transport.sendto(b"?", None if is_connected else address)
        try:
            return (await asyncio.wait_for(answer, 10)).decode()
        finally:
            transport.close()

    with PeerServer(datagrams=True) as server:
        for user in USERS:
            for ways in ((True, False), (False, True), (True, True), (False, False)):
                assert Visitor(user).run(lambda: asyncio.run(ask(server.port, *ways))) == user  # noqa: B023
