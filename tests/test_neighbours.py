"""Libraries that hook into requests, first and second in a session, alone and on workers of pytest-xdist."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from support.http_server import RecordingServer

PLAIN = """
    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_plain(ipload_session):
        assert ipload_session.get("/echo/plain").status_code == 200
"""
HOOKED: dict[str, tuple[str, str]] = {
    "responses": (
        """
    @pytest.fixture
    def mock():
        import responses
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mocked:
            mocked.add("GET", BASE + "/echo/hooked", body="fake")
            yield

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, mock):
        assert ipload_session.get("/echo/hooked").text == "fake"
        """,
        "requests.adapters.HTTPAdapter.send is patched by responses",
    ),
    "requests-mock": (
        """
    @pytest.fixture
    def mock():
        import requests_mock
        with requests_mock.Mocker() as mocked:
            mocked.get(BASE + "/echo/hooked", text="fake")
            yield

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, mock):
        assert ipload_session.get("/echo/hooked").text == "fake"
        """,
        "requests.Session.send is patched by requests_mock.mocker",
    ),
    # One user: while VCR makes a connection of its own, its patches are away for all threads.
    "vcrpy": (
        """
    @pytest.fixture
    def cassette(tmp_path):
        import vcr
        with vcr.use_cassette(str(tmp_path / "new.yaml"), record_mode="none"):
            yield

    @pytest.mark.ipload(iterations=4, base_url=BASE)
    def test_hooked(ipload_session, cassette):
        with pytest.raises(Exception, match="record_mode 'none'"):
            ipload_session.get("/echo/hooked", expect=Exception)
        """,
        "urllib3.HTTPConnectionPool.ConnectionCls is patched by vcr.patch",
    ),
    "opentelemetry": (
        """
    @pytest.fixture
    def spans():
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracers = (RequestsInstrumentor(), URLLib3Instrumentor())
        for tracer in tracers:
            tracer.instrument(tracer_provider=provider)
        yield exporter
        for tracer in tracers:
            tracer.uninstrument()

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, spans):
        before = len(spans.get_finished_spans())
        ipload_session.get("/echo/traced")
        assert len(spans.get_finished_spans()) > before
        """,
        "requests.Session.send is patched by opentelemetry.instrumentation.requests",
    ),
    "sentry": (
        """
    SEEN = set()

    @pytest.fixture
    def sentry():
        import sentry_sdk
        from sentry_sdk.transport import Transport
        class Nowhere(Transport):
            def capture_envelope(self, envelope):
                pass
        sentry_sdk.init(dsn="http://a@127.0.0.1:9/1", transport=Nowhere, traces_sample_rate=1.0)

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, sentry):
        import sentry_sdk
        with sentry_sdk.start_transaction(op="t", name="x"):
            trace = ipload_session.get("/echo/traced").request.headers.get("sentry-trace")
        assert trace is None or trace not in SEEN
        """,
        "http.client.HTTPConnection.putrequest is patched by sentry_sdk.integrations.stdlib",
    ),
    "freezegun": (
        """
    @pytest.fixture
    def frozen():
        from freezegun import freeze_time
        with freeze_time("2020-01-01"):
            yield

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, frozen):
        assert ipload_session.get("/echo/frozen").ok
        """,
        "",
    ),
    "time-machine": (
        """
    @pytest.fixture
    def frozen():
        import time_machine
        with time_machine.travel("2020-01-01", tick=False):
            yield

    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE)
    def test_hooked(ipload_session, frozen):
        assert ipload_session.get("/echo/frozen").ok
        """,
        "",
    ),
}


@pytest.fixture
def target() -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        yield running


def run(pytester: pytest.Pytester, target: RecordingServer, *tests: str, options: tuple[str, ...] = ()) -> Any:
    text = "".join(textwrap.dedent(test) for test in tests)
    pytester.makepyfile(f"import pytest\nBASE = {target.url('')!r}\n{text}")
    result = pytester.runpytest_subprocess(
        "--ipload-json=out.json", "-p", "no:randomly", "-W", "ignore", *options, timeout=100
    )
    result.assert_outcomes(passed=len(tests))
    report = json.loads((pytester.path / "out.json").read_text())
    return {test["nodeid"].rpartition("::")[2]: test for test in report["tests"]}


@pytest.mark.parametrize(
    ("name", "order"),
    [
        *((name, ("hooked", "plain", "hooked again")) for name in HOOKED if name != "sentry"),
        *(("sentry", order) for order in (("hooked", "plain"), ("plain", "hooked"))),  # its hooks stay for good
    ],
    ids=str,
)
def test_a_hook_is_honoured_and_said(
    pytester: pytest.Pytester, target: RecordingServer, name: str, order: tuple[str, ...]
) -> None:
    source, remark = HOOKED[name]
    again = source.replace("test_hooked", "test_hooked_again")
    texts = {"hooked": source, "plain": PLAIN, "hooked again": again}
    tests = run(pytester, target, *(texts[each] for each in order))
    plain = tests.pop("test_plain")
    assert len(tests) == len(order) - 1
    for hooked in tests.values():
        notes = "\n".join(hooked["generator"]["notes"])
        assert (f"4 requests: {remark}" if remark else "") in notes
        assert ("fast-path-left" in notes) is bool(remark)
        assert hooked["duration_s"] < 60
    if order != ("hooked", "plain"):
        assert "fast-path-left" not in "\n".join(plain["generator"]["notes"])
    paths = [hit.target for hit in target.hits]
    assert paths.count("/echo/plain") == 4
    assert paths.count("/echo/hooked") == 0


@pytest.mark.parametrize("name", ["responses", "vcrpy", "freezegun"])
def test_a_hook_is_honoured_on_workers(pytester: pytest.Pytester, target: RecordingServer, name: str) -> None:
    source, remark = HOOKED[name]
    tests = run(pytester, target, source, PLAIN, options=("-n2",))
    assert remark in "\n".join(tests["test_hooked"]["generator"]["notes"])
    assert [hit.target for hit in target.hits].count("/echo/hooked") == 0


@pytest.mark.parametrize("how", ["marker", "option"])
def test_the_fast_path_can_be_turned_off(pytester: pytest.Pytester, target: RecordingServer, how: str) -> None:
    marker = ", fast=False" if how == "marker" else ""
    test = f"""
    @pytest.mark.ipload(users=2, iterations=2, base_url=BASE{marker})
    def test_slow(ipload_session):
        assert ipload_session.fast is False
        assert ipload_session.get("/echo/slow").ok
    """
    options = ("--ipload-fast=off",) if how == "option" else ()
    assert run(pytester, target, test, options=options)["test_slow"]["profile"]["fast"] is False
