from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_ipload.addresses.host.own_listeners import Targets, listeners, ports_served_here

linux_only = pytest.mark.skipif(not Path("/proc/thread-self/net/tcp").exists(), reason="this system does not say")

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(local: str, state: str = "0A", inode: int = 77) -> str:
    remote = "0" * len(local.partition(":")[0]) + ":0000"
    return f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  1000  0 {inode} 1 ff 100 0 0 10 0\n"


class TestRows:
    @pytest.mark.parametrize(
        ("local", "byteorder", "address", "port"),
        [
            ("0100007F:1F90", "little", "127.0.0.1", 8080),
            ("7F000001:1F90", "big", "127.0.0.1", 8080),
            ("00000000:0050", "little", "0.0.0.0", 80),
            ("0200000A:FFFF", "little", "10.0.0.2", 65535),
            ("00000000000000000000000001000000:1F90", "little", "::1", 8080),
            ("00000000000000000000000000000001:1F90", "big", "::1", 8080),
            ("00000000000000000000000000000000:1F90", "little", "::", 8080),
            ("B80D0120000000000000000007000000:1F90", "little", "2001:db8::7", 8080),
            ("0000000000000000FFFF00000100007F:1F90", "little", "127.0.0.1", 8080),
        ],
    )
    def test_a_listening_socket_is_read(self, local: str, byteorder: str, address: str, port: int) -> None:
        (found,) = listeners([HEAD, row(local, inode=4711)], byteorder)
        assert (str(found.address), found.port, found.inode) == (address, port, "4711")

    @pytest.mark.parametrize("state", ["01", "06", "0C"])
    def test_other_sockets_are_not(self, state: str) -> None:
        assert not list(listeners([HEAD, row("0100007F:1F90", state), "\n"]))


class TestThisProcess:
    """A process of files: what it has open, and what the system's tables say."""

    @pytest.fixture
    def proc(self, tmp_path: Path) -> Path:
        (tmp_path / "fd").mkdir()
        for number, what in enumerate(("/dev/null", "socket:[77]", "pipe:[78]", "socket:[79]")):
            (tmp_path / "fd" / str(number)).symlink_to(what)
        (tmp_path / "net").mkdir()
        return tmp_path

    @staticmethod
    def table(proc: Path, *rows: str, name: str = "tcp") -> None:
        (proc / "net" / name).write_text("".join((HEAD, *rows)))

    LOOPBACK, ANY = ("0100007F:1F90", "00000000:1F90") if sys.byteorder == "little" else ("7F000001:1F90", "0:1F90")
    ANY6 = "0" * 32 + ":1F90"

    @pytest.mark.parametrize(
        ("rows", "served"),
        [
            ([(LOOPBACK, 77)], True),
            ([(LOOPBACK, 79)], True),
            ([(LOOPBACK, 78)], False),  # this one is a pipe
            ([(LOOPBACK, 5)], False),
            ([(ANY, 77)], True),
            ([(ANY, 77), (LOOPBACK, 5)], False),  # the kernel takes the socket of the very address
            ([(ANY, 5), (LOOPBACK, 77)], True),
            ([], False),
        ],
    )
    def test_a_target_is_served_by_the_socket_that_gets_its_connections(
        self, proc: Path, rows: list[tuple[str, int]], served: bool
    ) -> None:
        self.table(proc, *(row(local, inode=inode) for local, inode in rows))
        assert ports_served_here([("127.0.0.1", 8080)], proc) == [8080] * served
        assert ports_served_here([("127.0.0.1", 8081)], proc) == []

    def test_a_socket_for_all_ipv6_addresses_takes_ipv4_too_and_not_the_other_way_round(self, proc: Path) -> None:
        self.table(proc)
        self.table(proc, row(self.ANY6), name="tcp6")
        assert ports_served_here([("127.0.0.1", 8080)], proc) == [8080]
        assert ports_served_here([("::1", 8080)], proc) == [8080]
        self.table(proc, row(self.ANY))
        (proc / "net" / "tcp6").unlink()
        assert ports_served_here([("::1", 8080)], proc) == []

    def test_each_port_is_named_once(self, proc: Path) -> None:
        self.table(proc, row(self.ANY), row(self.ANY.replace("1F90", "0050"), inode=79))
        targets = [("127.0.0.2", 8080), ("127.0.0.1", 80), ("127.0.0.1", 8080), ("127.0.0.1", 9)]
        assert ports_served_here(targets, proc) == [80, 8080]

    @pytest.mark.parametrize("text", ["1: x 2 0A\n", "1: 0100007F:1F90 0:0 0A\n", "1: zz:zz 0:0 0A 0 0 0 0 0 1\n"])
    def test_a_table_in_another_form_says_nothing(self, proc: Path, text: str) -> None:
        (proc / "net" / "tcp").write_text(text)
        assert ports_served_here([("127.0.0.1", 8080)], proc) == []

    def test_where_the_system_does_not_say_nobody_knows(self, tmp_path: Path) -> None:
        assert ports_served_here([("127.0.0.1", 8080)], tmp_path / "none") == []

    def test_without_targets_nothing_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "listdir", None)
        assert ports_served_here([], tmp_path) == []


@linux_only
class TestForReal:
    @pytest.mark.parametrize(
        ("bound", "asked"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("", "127.0.0.1"),
            ("127.0.0.5", "127.0.0.5"),
            ("::1", "::1"),
            ("::", "127.0.0.1"),
        ],
    )
    def test_an_own_server_is_found_and_is_gone_when_it_is_closed(self, bound: str, asked: str) -> None:
        family = socket.AF_INET6 if ":" in bound else socket.AF_INET
        server = socket.socket(family)
        try:
            if bound == "::":
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.bind((bound, 0))
        except OSError as error:
            server.close()
            pytest.skip(f"no IPv6 here: {error}")
        server.listen()
        port = server.getsockname()[1]
        assert ports_served_here([(asked, port)]) == [port]
        assert ports_served_here([("127.0.0.77", port)]) == ([port] if bound in ("", "::") else [])
        server.close()
        assert ports_served_here([(asked, port)]) == []

    def test_it_is_found_from_another_thread(self) -> None:
        found: list[int] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            target = [("127.0.0.1", server.getsockname()[1])]
            thread = threading.Thread(target=lambda: found.extend(ports_served_here(target)))
            thread.start()
            thread.join()
            assert found == [target[0][1]]

    def test_a_server_of_another_process_is_not_ours(self) -> None:
        code = (
            "import socket, sys; server = socket.create_server(('127.0.0.1', 0)); "
            "print(server.getsockname()[1], flush=True); sys.stdin.read()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            port = int(other.stdout.readline())
            assert ports_served_here([("127.0.0.1", port)]) == []
            other.stdin.close()


class TestTargets:
    def test_loopback_targets_are_kept_once(self) -> None:
        targets = Targets()
        for address in ("127.0.0.1", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.1", "fe80::1%1"):
            targets.add(address, 80)
        assert targets.all() == [("127.0.0.1", 80), ("127.9.9.9", 80), ("::1", 80), ("::ffff:127.0.0.1", 80)]

    def test_a_hundred_at_most(self) -> None:
        targets = Targets()
        for port in range(1, 1000):
            targets.add("127.0.0.1", port)
        assert targets.all() == [("127.0.0.1", port) for port in range(1, 101)]
