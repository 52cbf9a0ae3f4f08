"""Resumption of TLS sessions, against servers that see whether a session was resumed."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.certificates import Certificates
from support.handshake_server import HandshakeServer
from support.programs import running_nginx

from pytest_ipload.base.errors import SettingError
from pytest_ipload.transport.connect.tls_sessions import HandshakeLog, TlsSessions
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]
FULL, RESUMED = False, True
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@pytest.fixture
def server(certificates: Certificates) -> Iterator[HandshakeServer]:
    with HandshakeServer(certificates.server_context()) as running:
        yield running


@VERSIONS
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])
def test_a_session_resumes_its_own_tls_sessions_and_not_those_of_others(
    make_session: MakeSession,
    server: HandshakeServer,
    certificates: Certificates,
    version: ssl.TLSVersion,
    fast: bool,
) -> None:
    server.context.maximum_version = version
    log = HandshakeLog()
    first = make_session(tls_resumption=True, fast=fast)
    second = make_session(tls_resumption=True, fast=fast, tls=first.adapters["https://"].tls)  # type: ignore[attr-defined]
    assert first.binding.tls_sessions is not None
    first.binding.tls_sessions.log = log
    for session in (first, first, first, second, second, first):
        assert session.get(server.url, verify=certificates.ca).content == b"ok"
    assert server.resumed == [FULL, RESUMED, RESUMED, FULL, RESUMED, RESUMED]
    assert (log.full, log.resumed) == (1, 3)


def test_without_the_option_each_handshake_is_full(
    make_session: MakeSession, server: HandshakeServer, certificates: Certificates
) -> None:
    session = make_session()
    for _ in range(3):
        session.get(server.url, verify=certificates.ca)
    assert server.resumed == [FULL] * 3


def test_a_session_that_was_not_verified_is_not_resumed_with_verification(
    make_session: MakeSession, server: HandshakeServer, certificates: Certificates
) -> None:
    session = make_session(tls_resumption=True)
    for _ in range(2):
        with pytest.warns(match="Unverified HTTPS request"):
            session.get(server.url, verify=False)
    session.get(server.url, verify=certificates.ca)
    assert server.resumed == [FULL, RESUMED, FULL]


class _Socket(ssl.SSLSocket):
    """Opened by handing in a session; gets a new one from a server that takes each of its sessions once."""

    session = session_reused = None

    def __init__(self, number: int, offered: Any, used: set[Any]) -> None:
        self.session = SimpleNamespace(number=number, has_ticket=True)
        self.session_reused = offered is not None and offered.number not in used
        used.add(offered and offered.number)


def test_a_server_that_takes_each_session_once_is_given_a_new_one_each_time() -> None:
    sessions, context, used, resumed = TlsSessions(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), set[Any](), []
    for number in range(6):
        chosen = sessions.context(context, "localhost", 443)
        sock = _Socket(number, vars(chosen)["_session"], used)
        sessions.opened(vars(chosen)["_key"], sock)
        chosen.keep(sock)
        resumed.append(sock.session_reused)
    assert resumed == [FULL, RESUMED, FULL, RESUMED, RESUMED, RESUMED]


def test_a_server_that_forgot_its_sessions_gets_a_full_handshake(
    make_session: MakeSession, server: HandshakeServer, certificates: Certificates
) -> None:
    session = make_session(tls_resumption=True)
    for number in range(6):
        if number == 3:
            server.context = certificates.server_context()
        session.get(server.url, verify=certificates.ca)
    assert server.resumed == [FULL, RESUMED, RESUMED] * 2


def test_a_pickled_session_resumes_too_but_has_no_sessions_of_its_original(
    server: HandshakeServer, certificates: Certificates, make_session: MakeSession
) -> None:
    original = make_session(tls_resumption=True)
    original.get(server.url, verify=certificates.ca)
    with pickle.loads(pickle.dumps(original)) as copy:
        for _ in range(2):
            copy.get(server.url, verify=certificates.ca)
    assert server.resumed == [FULL, FULL, RESUMED]


def test_other_versions_of_http_are_refused(make_session: MakeSession) -> None:
    with pytest.raises(SettingError, match=r"tls_resumption needs HTTP/1\.1; leave out http='2', or tls_resumption"):
        make_session(http="2", tls_resumption=True)


@VERSIONS
def test_nginx_resumes_by_its_tickets(
    nginx: str, make_session: MakeSession, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    certificate, key = certificates.server_files("127.0.0.1")
    server = (
        f"ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols {version.name.replace('_', '.')};"
        ' keepalive_timeout 0; location / { add_header Resumed "$ssl_protocol $ssl_session_reused"; return 200 ok; }'
    )
    session = make_session(tls_resumption=True)
    with running_nginx(nginx, server) as served:
        url = f"https://127.0.0.1:{served.port}/"
        seen = [session.get(url, verify=certificates.ca).headers["Resumed"] for _ in "123"]
    name = version.name.replace("_", ".")
    assert seen == [f"{name} .", f"{name} r", f"{name} r"]
