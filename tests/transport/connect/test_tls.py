"""TLS: one context for many connections, and verification as in requests."""

from __future__ import annotations

import pickle
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from support.certificates import Certificates
from support.http_server import RecordingServer
from urllib3.exceptions import InsecureRequestWarning, SSLError

from pytest_ipload.transport.connect import tls
from pytest_ipload.transport.connect.tls import TlsContexts
from pytest_ipload.transport.session import LoadSession

MakeSession = Callable[..., LoadSession]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of SSLContext.load_verify_locations."""
    calls: list[Any] = []
    original = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *args: Any, **kwargs: Any) -> None:
        calls.append(args)
        original(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    return calls


def test_the_ca_bundle_is_read_once_for_ten_connections(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, loads: list[Any]
) -> None:
    session = make_session()
    session.verify = certificates.ca
    for _ in range(10):
        assert session.get(tls_server.url("/close")).content == b"goodbye"
    assert len(tls_server.connections) == 10
    assert len(loads) == 1


def test_sessions_can_share_one_cache(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, loads: list[Any]
) -> None:
    contexts = TlsContexts()
    for _ in range(3):
        make_session(tls=contexts).get(tls_server.url(), verify=certificates.ca)
    assert len(loads) == 1


def test_threads_that_start_together_read_the_bundle_once(certificates: Certificates, loads: list[Any]) -> None:
    contexts, barrier, got = TlsContexts(), threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(5)
        got.append(contexts.get(certificates.ca, None))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len({id(context) for context in got}) == 1


def test_a_wrong_ca_is_rejected(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates
) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        make_session().get(tls_server.url(), verify=certificates.other_ca)
    assert tls_server.hits == []


def test_a_wrong_host_name_is_rejected(make_session: MakeSession, certificates: Certificates) -> None:
    with (
        RecordingServer(tls=certificates.server_context("elsewhere.test")) as server,
        pytest.raises(requests.exceptions.SSLError, match=r"not valid for|IP address mismatch"),
    ):
        make_session().get(server.url(), verify=certificates.ca)


def test_verify_true_uses_the_bundle_of_requests(
    make_session: MakeSession,
    tls_server: RecordingServer,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url())
    monkeypatch.setattr(tls, "DEFAULT_CA_BUNDLE_PATH", certificates.ca)
    assert make_session().get(tls_server.url()).ok


def test_a_directory_of_certificates_works(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, tmp_path: Path
) -> None:
    directory = certificates.ca_directory()
    if directory is None:
        pytest.skip("needs the command openssl")
    assert make_session().get(tls_server.url(), verify=directory).ok
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url(), verify=str(tmp_path))


def test_without_verification_there_is_the_usual_warning(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates
) -> None:
    with pytest.warns(InsecureRequestWarning, match=r"127\.0\.0\.1"):
        assert make_session().get(tls_server.url(), verify=False).ok
    with (
        RecordingServer(tls=certificates.server_context("elsewhere.test")) as other,
        pytest.warns(InsecureRequestWarning),
    ):
        assert make_session().get(other.url(), verify=False).ok


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_an_unverified_request_does_not_weaken_a_verified_one_nor_the_other_way_round(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates
) -> None:
    session = make_session()
    assert session.get(tls_server.url(), verify=certificates.ca).ok
    assert session.get(tls_server.url(), verify=False).ok
    with pytest.raises(requests.exceptions.SSLError):
        session.get(tls_server.url(), verify=certificates.other_ca)
    assert session.get(tls_server.url(), verify=False).ok
    assert session.get(tls_server.url(), verify=certificates.ca).ok
    with pytest.raises(requests.exceptions.SSLError):
        session.get(tls_server.url())


@pytest.fixture
def strict_server(certificates: Certificates) -> Iterator[RecordingServer]:
    with RecordingServer(tls=certificates.server_context(client_required=True)) as server:
        yield server


def test_client_certificates_work(
    make_session: MakeSession, strict_server: RecordingServer, certificates: Certificates
) -> None:
    session = make_session()
    session.verify = certificates.ca
    assert session.get(strict_server.url(), cert=certificates.client).ok
    assert session.get(strict_server.url(), cert=certificates.client_in_one_file).ok
    with pytest.raises(requests.exceptions.ConnectionError):
        session.get(strict_server.url())
    assert len(strict_server.hits) == 2


@pytest.mark.parametrize(
    ("verify", "cert"),
    [("/no/such/bundle.pem", None), (True, "/no/such/client.pem"), (True, ("CLIENT", "/no/such/client.key"))],
)
def test_missing_files_are_named_in_the_words_of_requests(
    make_session: MakeSession, tls_server: RecordingServer, certificates: Certificates, verify: Any, cert: Any
) -> None:
    cert = (certificates.client[0], cert[1]) if isinstance(cert, tuple) else cert
    with requests.Session() as stock:
        stock.trust_env = False
        with pytest.raises(OSError, match="Could not find") as expected:
            stock.get(tls_server.url(), verify=verify, cert=cert)
    with pytest.raises(OSError, match="Could not find") as raised:
        make_session().get(tls_server.url(), verify=verify, cert=cert)
    assert (type(raised.value), str(raised.value)) == (type(expected.value), str(expected.value))


def test_unusable_files_are_ssl_errors_as_in_requests(
    make_session: MakeSession, tls_server: RecordingServer, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url(), verify=str(broken))
    with pytest.raises(requests.exceptions.SSLError):
        make_session().get(tls_server.url(), cert=str(broken))


def test_an_encrypted_key_is_an_error_and_asks_nobody(certificates: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(certificates.client[1]).read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(SSLError, match="encrypted"):
        TlsContexts().get(certificates.ca, (certificates.client[0], str(encrypted)))


def test_contexts_check_certificate_and_name_or_neither(certificates: Certificates) -> None:
    contexts = TlsContexts()
    strict, lax = contexts.get(certificates.ca, None), contexts.get(False, None)
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (lax.verify_mode, lax.check_hostname) == (ssl.CERT_NONE, False)
    assert contexts.get(None, None) is lax


def test_a_pickled_cache_starts_empty(certificates: Certificates) -> None:
    contexts = TlsContexts()
    context = contexts.get(certificates.ca, None)
    copy = pickle.loads(pickle.dumps(contexts))
    assert copy.get(certificates.ca, None) is not context
