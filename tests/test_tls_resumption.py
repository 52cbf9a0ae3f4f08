"""Whole loads with the setting ``tls_resumption``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.handshake_server import HandshakeServer

TEST = """
    import pytest

    @pytest.mark.ipload(users=4, iterations=3)
    def test_load(ipload_session):
        ipload_session.verify = {ca!r}
        assert ipload_session.get({url!r}).text == "ok"
"""


def test_users_of_all_workers_resume_their_own_sessions_and_the_result_counts_it(
    pytester: pytest.Pytester, tmp_path: Path, xdist: None
) -> None:
    certificates = Certificates(tmp_path)
    pytester.makeini("[pytest]\nipload_tls_resumption = on")
    with HandshakeServer(certificates.server_context()) as server:
        pytester.makepyfile(TEST.format(ca=certificates.ca, url=server.url))
        run = pytester.runpytest("-n2", "--ipload-json=out.json", "--ipload-html=out.html")
    run.assert_outcomes(passed=1)
    run.stdout.fnmatch_lines("TLS handshakes: 8 resumed, 4 full")
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert test["profile"]["tls_resumption"] is True
    assert test["tls_handshakes"] == {"full": 4, "resumed": 8}
    assert (server.resumed.count(False), server.resumed.count(True)) == (4, 8)
    assert "TLS handshakes resumed" in (pytester.path / "out.html").read_text()


def test_it_is_off_by_default_and_says_nothing(pytester: pytest.Pytester, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with HandshakeServer(certificates.server_context()) as server:
        pytester.makepyfile(TEST.format(ca=certificates.ca, url=server.url))
        run = pytester.runpytest("--ipload-json=out.json")
    (test,) = json.loads((pytester.path / "out.json").read_text())["tests"]
    assert "tls_handshakes" not in test
    assert server.resumed == [False] * 12
    run.stdout.no_fnmatch_line("*handshakes*")
    run = pytester.runpytest("--ipload-tls-resumption=on", "--ipload-http=2")
    run.stdout.fnmatch_lines("*tls_resumption needs HTTP/1.1; leave out http='2', or tls_resumption*")
