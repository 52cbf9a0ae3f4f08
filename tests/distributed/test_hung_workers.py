"""Workers that do not come to their end, or seem not to: whole runs."""

from __future__ import annotations

import sys
from textwrap import dedent

import pytest
from support.phases import FIXTURES
from support.team_run import ANOTHER, team_run

pytestmark = [
    pytest.mark.usefixtures("xdist"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what state a process is in"),
]

SET_UP = """
    def reached(place):
        if worker() == "gw1" and place == "set-up of a {place}":
            {does}

    @pytest.mark.ipload(users=4, iterations=1)
    def test_load(shared, visitor):
        with visitor.measure("VISIT"):
            pass
"""
STOPPED = "os.kill(os.getpid(), signal.SIGSTOP)"


@pytest.mark.parametrize(
    ("place", "does", "says"),
    [
        ("fixture", STOPPED, "no heartbeat for 1 s: its process is stopped"),
        ("user", "time.sleep(1e6)", "the users of gw1 were not set up 4 s after those of the first worker"),
    ],
)
def test_one_that_hangs_in_the_set_up_is_replaced_and_the_next_test_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str, does: str, says: str
) -> None:
    source = FIXTURES + dedent(SET_UP.format(place=place, does=does)) + ANOTHER
    timing = "beat=0.1,heartbeat=1,set_up=4,last_words=1"
    run = team_run(pytester, source, "-n2", deaths=True, timing=timing, monkeypatch=monkeypatch)
    run.expect(1, failed=1, passed=1)
    assert says in run.tests["test_load"]["reason"]
    assert run.cases == {"test_load": ["failure"], "test_zz_another": []}
    assert [shard["name"] for shard in run.tests["test_zz_another"]["shards"]] == ["gw0", "gw2"]


def test_a_call_into_c_that_holds_the_interpreter_is_no_loss(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import ctypes

        @pytest.mark.ipload(users=2, iterations=1)
        def test_load(ipload_user):
            with ipload_user.measure("VISIT"):
                if worker() == "gw1":
                    ctypes.PyDLL(None).sleep(2)
    """
    timing = "beat=0.1,heartbeat=0.5"
    run = team_run(pytester, dedent(source), "-n2", timing=timing, monkeypatch=monkeypatch)
    run.expect(0, passed=1)
    assert run.tests["test_load"]["requests"] == 2


def test_much_to_tell_is_no_silence(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand names, windows and an eye on them: signs of life pass between the pieces of it."""
    source = """
        @pytest.mark.ipload(users=8, duration="3s", pacing="20ms")
        @pytest.mark.ipload_threshold("p95 < 9s", "p99{name 7*} < 9s", window="1s", abort_on_fail=True, delay="1s")
        def test_load(ipload_user, ipload_iteration):
            for number in range(5):
                with ipload_user.measure(f"name {(ipload_iteration.number * 35 + number + ipload_user.index) % 1000}"):
                    pass
    """
    timing = "beat=0.1,heartbeat=2,silence=2"
    run = team_run(pytester, dedent(source), "-n2", timing=timing, monkeypatch=monkeypatch)
    run.expect(0, passed=1)
    assert len(run.tests["test_load"]["shards"]) == 2


def test_a_target_of_each_worker_is_no_target_of_the_load(pytester: pytest.Pytester) -> None:
    source = """
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        @pytest.fixture(scope="session")
        def live():
            with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                yield f"http://127.0.0.1:{server.server_port}"
                server.shutdown()

        @pytest.mark.ipload(users=4, iterations=3)
        def test_load(live, ipload_session):
            assert ipload_session.get(live + "/x", name="GET x").ok
    """
    run = team_run(pytester, dedent(source), "-n2")
    run.expect(1, failed=1)
    assert run.tests["test_load"]["verdict"] == "invalid"
    assert "different-targets: 2 processes connected to different local targets: 127.0.0.1:" in str(
        run.tests["test_load"]["reason"]
    )
