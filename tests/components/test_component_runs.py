"""Whole runs of components."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.http_server import RecordingServer
from support.peers import PeerServer
from support.wat import RESULT, Guest, wat
from support.whole_run import whole_run

AT = f"(i32.const {RESULT})"
NOTHING = "(i32.const 0) (i32.const 0)"
LEASES = ["127.0.0.61", "127.0.0.62"]
SHOP = """
    import pytest

    @pytest.fixture
    def shop(ipload_component, ipload_user):
        return ipload_component("shop.wat", memory="2MiB", time="100ms").of(ipload_user)
"""


def result() -> Any:
    """The first test in the JSON report."""
    return json.loads(Path("report.json").read_text())["tests"][0]


def loaded(offset: int) -> str:
    return f"(i32.load (i32.const {RESULT + offset}))"


def shopper(peer: PeerServer, *, more: str = "", guest: Guest | None = None) -> str:
    """A user that logs in, asks for something by the id that it was given, and talks by TCP."""
    guest = guest or Guest()
    # The id is the reply's body: it is put behind the address of "/hello/" in a text that has room for it.
    path = int(guest.text("/hello/" + "." * 60).split(")")[0].split()[-1])
    size = len("/hello/")
    login = f"(call $host.get {guest.text('/cookies/set/who/x7')} {AT})"
    capture = f"(memory.copy (i32.const {path + size}) {loaded(28)} {loaded(32)})"
    item = f"(call $host.get (i32.const {path}) (i32.add {loaded(32)} (i32.const {size})) {AT})"
    connect = f"(call $host.tcp_connect {guest.text('127.0.0.1')} (i32.const {peer.port}) {NOTHING} {AT})"
    talk = (
        f"{connect} (local.set $a {loaded(4)}) (call $host.tcp_send (local.get $a) {guest.text('hi' + chr(10))} "
        f"{NOTHING} {AT}) (call $host.tcp_receive (local.get $a) (i32.const 99) {NOTHING} {AT}) "
        "(call $drop.tcp-stream (local.get $a))"
    )
    ask = f"(call $host.get {guest.text('/cookies')} {AT})"
    begin = f"(local.set $b (call $host.measure {guest.text('ping')}))"
    measured = f"{begin} {talk} (call $host.finish (local.get $b) (i32.const 0) {NOTHING})"
    return guest.wat(f"{ask} {capture} {item} {measured} {more}", set_up=login)


def test_a_component_logs_in_keeps_its_cookie_captures_an_id_and_opens_a_socket_from_its_lease(
    pytester: pytest.Pytester, server: RecordingServer, peer: PeerServer
) -> None:
    Path("shop.wat").write_text(shopper(peer))
    source = f"""{SHOP}
    @pytest.mark.ipload(users=2, iterations=3, pool="{",".join(LEASES)}")
    def test_shop(shop):
        assert shop() == {{}}
    """
    whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=report.json", passed=1)
    for lease in LEASES:
        targets = [(hit.target, hit.headers.get("Cookie")) for hit in server.hits if hit.peer == lease]
        login = [("/cookies/set/who/x7", None), ("/cookies", "who=x7")]
        assert targets == [*login, *[("/cookies", "who=x7"), ("/hello/who=x7", "who=x7")] * 3]
    assert sorted(set(peer.peers)) == LEASES
    assert len(peer.peers) == 6
    by_name = {each["name"]: each["requests"] for each in result()["by_name"]}
    assert by_name == {"GET /cookies": 6, "GET /hello/who=x7": 6, "ping": 6}
    assert {each["source_address"]: each["requests"] for each in result()["by_source"]} == dict.fromkeys(LEASES, 9)
    assert result()["iterations"] == 6


def test_each_way_to_fail_has_its_own_row_and_the_others_go_on(
    pytester: pytest.Pytester, server: RecordingServer, peer: PeerServer
) -> None:
    guest = Guest()
    refused = f"(call $host.get {guest.text('http://192.0.2.1/')} {AT})"
    ways = [refused, "(drop (memory.grow (i32.const 9999)))", "(loop (br 0))", "unreachable"]
    choose = "".join(f"(if (i32.eq (call $host.index) (i32.const {i})) (then {way}))" for i, way in enumerate(ways))
    Path("shop.wat").write_text(shopper(peer, more=choose, guest=guest))
    source = f"""{SHOP}
    @pytest.mark.ipload(users=6, iterations=3)
    def test_shop(shop):
        shop()
    """
    run = whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=report.json", failed=1)
    rows = {each["type"]: (each["count"], each["message"]) for each in result()["failures"]}
    assert {kind: count for kind, (count, _) in rows.items()} == {
        "ComponentRefused": 3,
        "ComponentMemoryExceeded": 3,
        "ComponentTimeExceeded": 3,
        "ComponentTrapped": 3,
    }
    assert all(message.startswith("component shop.wat: iterate: ") for _, message in rows.values())
    assert rows["ComponentMemoryExceeded"][1].endswith("its limit is memory=2 MiB")
    assert rows["ComponentTimeExceeded"][1].endswith("its limit is time=100ms")
    assert "192.0.2.1" in rows["ComponentRefused"][1]
    assert (result()["iterations"], result()["failed_iterations"]) == (18, 12)
    run.expect_lines("*3 x ComponentTimeExceeded at test_it.py:*: component shop.wat: iterate: it has computed for *")
    assert not [each for each in threading.enumerate() if each.name.startswith("ipload-")]


def test_a_component_has_the_rows_of_a_body_in_python(pytester: pytest.Pytester, server: RecordingServer) -> None:
    guest = Guest()
    Path("shop.wat").write_text(guest.wat(f"(call $host.get {guest.text('/')} {AT})"))
    source = f"""{SHOP}
    @pytest.mark.ipload(users=50, total_iterations=1000)
    def test_component(shop):
        shop()

    @pytest.mark.ipload(users=50, total_iterations=1000)
    def test_python(ipload_session):
        ipload_session.get("/")
    """
    whole_run(pytester, source, f"--ipload-base-url={server.url('')}", "--ipload-json=report.json", passed=2)
    ours, theirs = json.loads(Path("report.json").read_text())["tests"]
    for each in (ours, theirs):
        assert [(row["name"], row["requests"], row["failed_requests"]) for row in each["by_name"]] == [
            ("GET /", 1000, 0)
        ]
        assert each["iterations"] == 1000


def test_a_component_is_an_action_in_a_load_that_the_test_starts(
    pytester: pytest.Pytester, server: RecordingServer
) -> None:
    guest = Guest()
    Path("shop.wat").write_text(guest.wat(f"(call $host.get {guest.text('/')} {AT})"))
    source = """
    def test_it(ipload, ipload_component):
        shop = ipload_component("shop.wat")
        result = ipload.run(lambda user: user.act(shop), users=2, iterations=2)
        assert [(row.name, row.requests) for row in result.by_name] == [("shop", 4), ("GET /", 4)]
        result = ipload.run(lambda user: user.act(shop, "buy"), users=1)
        assert {row.name for row in result.by_name} == {"GET /", "buy"}
    """
    whole_run(pytester, source, f"--ipload-base-url={server.url('')}", passed=1)


def test_a_component_that_asks_for_more_is_an_error_before_the_load(pytester: pytest.Pytester) -> None:
    Path("shop.wat").write_text(wat(imports='(import "wasi:sockets/tcp@0.2.3" (instance))'))
    source = f"""{SHOP}
    @pytest.mark.ipload(users=2)
    def test_shop(shop):
        raise AssertionError
    """
    run = whole_run(pytester, source, errors=1)
    run.expect_lines(
        "*SettingError: component shop.wat: it imports wasi:sockets/tcp@0.2.3, which components do not get*"
    )
    assert "component_store" not in run.result.stdout.str()


def test_a_scenario_file_runs_a_component_with_inputs_and_limits(
    pytester: pytest.Pytester, server: RecordingServer
) -> None:
    guest = Guest()
    echo = "(drop (call $ok)) (i32.store (i32.const 20) (local.get $in)) (i32.store (i32.const 24) (local.get $inputs))"
    said = f"(call $host.get {guest.text('/')} {AT})"
    Path("shop.wat").write_text(guest.wat(f"{said} {echo} (return (i32.const 16))", set_up=said))
    Path("loop.wat").write_text(wat("(loop (br 0))"))
    Path("it.ipload.yaml").write_text(f"""
base_url: {server.url('')}
scenarios:
  buy:
    load: {{users: 2, iterations: 2}}
    steps:
      - component: shop.wat
        with: {{word: "x${{user.index}}"}}
      - get: /echo/${{word}}
        expect: {{body.target: "/echo/x${{user.index}}"}}
  loop:
    steps:
      - component: loop.wat
        name: for ever
        limits: {{time: 50ms, memory: 1MiB}}
""")  # fmt: skip
    done = pytester.runpytest("-W", "error", "--ipload-json=report.json")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*ComponentTimeExceeded at it.ipload.yaml:*: *its limit is time=50ms*"])
    assert [each["name"] for each in result()["by_name"]] == ["GET /", "GET /echo/{word}"]
    assert [(each["name"], each["count"]) for each in result()["steps"]] == [("shop", 4)]
    assert len([hit for hit in server.hits if hit.target == "/"]) == 2 + 4


def test_a_scenario_file_with_other_limits_says_where(pytester: pytest.Pytester) -> None:
    Path("shop.wat").write_text(wat())
    Path("it.ipload.yaml").write_text(
        "scenarios:\n  it:\n    steps: [{component: shop.wat, limits: {memory: 1 elephant}}]\n"
    )
    done = pytester.runpytest("-W", "error")
    done.stdout.fnmatch_lines(["it.ipload.yaml:3:*: memory: '1 elephant' is not a size; *"])


def test_workers_share_a_load_of_components(
    pytester: pytest.Pytester, server: RecordingServer, peer: PeerServer, xdist: None
) -> None:
    Path("shop.wat").write_text(shopper(peer))
    source = f"""{SHOP}
    @pytest.mark.ipload(users=4, iterations=2)
    def test_shop(shop):
        shop()
    """
    whole_run(pytester, source, "-n2", f"--ipload-base-url={server.url('')}", "--ipload-json=report.json", passed=1)
    assert {each["name"]: each["requests"] for each in result()["by_name"]}["ping"] == 8
    assert len(result()["shards"]) == 2


def test_a_load_that_is_over_ends_an_endless_component(pytester: pytest.Pytester) -> None:
    Path("shop.wat").write_text(wat("(loop (br 0))"))
    source = """
    import pytest

    @pytest.mark.ipload(users=2, duration="200ms", graceful_stop="100ms")
    def test_shop(ipload_component, ipload_user):
        ipload_component("shop.wat", time="1h")(ipload_user)
    """
    run = whole_run(pytester, source, "--ipload-json=report.json", failed=1)
    run.expect_lines(
        "*2 x IterationInterrupted at test_it.py:*: the iteration was still running after the graceful stop*"
    )
    assert not [each for each in threading.enumerate() if each.name.startswith("ipload-")]


def test_ctrl_c_ends_an_endless_component(pytester: pytest.Pytester) -> None:
    Path("shop.wat").write_text(wat("(loop (br 0))"))
    pytester.makepyfile(
        """
        from pathlib import Path
        import pytest

        @pytest.mark.ipload(users=3, duration="60s")
        def test_shop(ipload_component, ipload_user):
            run = ipload_component("shop.wat", time="1h").of(ipload_user)
            Path(f"begun-{ipload_user.index}").touch()
            run()
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for _ in range(600):
            if len(list(Path().glob("begun-*"))) == 3:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        began = time.monotonic()
        out, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < 20
    assert process.returncode == 2, out
    assert "did not stop" not in out
