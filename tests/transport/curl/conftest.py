"""Servers that speak HTTP/2 and HTTP/3, once for all tests here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.certificates import Certificates
from support.http2_servers import Http2Nginx, asgi_server, http2_nginx

from conftest import require_package, require_program
from pytest_ipload.transport.session import LoadSession


@pytest.fixture(scope="session", autouse=True)
def pycurl() -> None:
    """The extra is installed."""
    require_package("pycurl", "pip install 'pytest-ipload[http2]'")


@pytest.fixture(scope="session")
def server_files(certificates: Certificates) -> tuple[str, str]:
    return certificates.server_files("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def nginx_h2(tmp_path_factory: pytest.TempPathFactory, server_files: tuple[str, str]) -> Iterator[Http2Nginx]:
    """An nginx that speaks HTTP/2 at some of its ports."""
    program = require_program("nginx", "apt-get install nginx-light")
    with http2_nginx(program, tmp_path_factory.mktemp("nginx"), *server_files) as running:
        yield running


@pytest.fixture(scope="session")
def app_url(server_files: tuple[str, str]) -> Iterator[str]:
    """A server that speaks all three versions at one port."""
    require_package("hypercorn", "pip install 'hypercorn[h3]'")
    require_package("aioquic", "pip install 'hypercorn[h3]'")
    with asgi_server(*server_files) as url:
        yield url


@pytest.fixture
def curl_session(make_session: Callable[..., LoadSession], certificates: Certificates) -> Callable[..., LoadSession]:
    """Makes sessions for a version of HTTP that trust the servers' certificates."""

    def make(http: str, *args: object, **kwargs: object) -> LoadSession:
        session = make_session(*args, http=http, **kwargs)
        session.verify = certificates.ca
        return session

    return make
