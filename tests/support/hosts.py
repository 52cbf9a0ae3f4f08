"""Hosts for a load that several machines run together: two with workers, one with the target, one that controls.

::

    controller --control-- host a --eth0-- target        the controller reaches a and b by ssh only,
    controller --control-- host b --eth0-- target        the target sees each of them by its own addresses

Each host is a network namespace with an sshd of its own; keys and settings are made for one test and go with it.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from support.namespace import PATIENCE_S, Namespace, network
from support.plugins import OTHER_PLUGINS

TARGET, PORT = "10.77.0.1", 8080
URL = f"http://{TARGET}:{PORT}"
ADDRESSES = {"a": ["10.77.1.11", "10.77.1.12"], "b": ["10.77.2.21", "10.77.2.22"]}
"""The source addresses of each host; they are those of its interface ``eth0``."""
CLIENT_ALIVE_S = 2
GIVES_UP_AFTER_S = 3 * CLIENT_ALIVE_S
"""After so long sshd ends the session of a client that is gone; execnet then takes up to 15 s to end the workers."""


# Programs: what runs on the hosts.


@contextlib.contextmanager
def answering(host: str, port: int, log: str, delay_s: float) -> Iterator[None]:
    """A target that answers after a while, and logs each request when it comes: the time and the peer's address."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                while self.rfile.readline():
                    while self.rfile.readline().strip():
                        pass
                    print(time.monotonic(), self.client_address[0], file=file, flush=True)
                    time.sleep(delay_s)
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

    with Path(log).open("w", encoding="ascii") as file, Server((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def ssh_server(sshd: str, settings: str, log: str) -> Iterator[None]:
    """An sshd in the foreground."""
    if not Path("/run/sshd").is_dir():  # which it asks for; "ip netns exec" gave this program mounts of its own
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        Path("/run/sshd").mkdir(mode=0o755)
    with subprocess.Popen([sshd, "-D", "-f", settings, "-E", log]) as process:
        try:
            deadline = time.monotonic() + 30
            while "Server listening on" not in (Path(log).read_text() if Path(log).exists() else ""):
                assert process.poll() is None, Path(log).read_text()
                assert time.monotonic() < deadline, "sshd does not listen"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


# The bench.


@dataclass(frozen=True)
class Outcome:
    """What came out of a session."""

    code: int
    output: str
    tests: list[dict[str, Any]]
    """The results in the JSON report."""
    cases: list[tuple[str, list[str]]]
    """The test cases of the JUnit report: the name, and the names of the children but for the properties."""
    ended_at: float
    """When the session was over, by ``time.monotonic``."""


@dataclass(frozen=True)
class Session:
    """A pytest session that runs on a host of the bench."""

    process: subprocess.Popen[str]
    folder: Path
    name: str

    def outcome(self) -> Outcome:
        """Wait for its end."""
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        ended_at = time.monotonic()
        report, junit = self.folder / f"{self.name}.json", self.folder / f"{self.name}.xml"
        assert report.exists(), output
        assert junit.exists(), output
        cases = [
            (str(case.get("name")), [child.tag for child in case if child.tag != "properties"])
            for case in ElementTree.parse(junit).getroot().iter("testcase")
        ]
        return Outcome(self.process.returncode, output, json.loads(report.read_text())["tests"], cases, ended_at)


@dataclass(frozen=True)
class Bench:
    """The hosts, and the folder that they all see."""

    folder: Path
    controller: Namespace
    hosts: dict[str, Namespace]
    ssh_config: Path
    log: Path
    """The target's: a line for each request."""
    earlier: int = 0
    """How many of its lines are those of tests before."""

    def for_a_test(self, folder: Path) -> Bench:
        """The same hosts, with a folder and hits of another test's own."""
        return replace(self, folder=folder, earlier=len(self.log.read_text().splitlines()))

    @contextlib.contextmanager
    def session(self, host: Namespace, *options: str, name: str = "out") -> Iterator[Session]:
        """Start pytest on a host, in the folder; at the end it is killed, if it still runs."""
        reports = (f"--junit-xml={name}.xml", f"--ipload-json={name}.json", f"--ipload-base-url={URL}")
        without = (f"-pno:{plugin}" for plugin in ("cacheprovider", *OTHER_PLUGINS))
        pytest = (*host.enter, sys.executable, "-m", "pytest", f"--rootdir={self.folder}")
        command = [*pytest, *without, *reports, *options]
        with subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield Session(process, self.folder, name)
            finally:
                process.kill()

    def run(self, *options: str) -> Outcome:
        """Run pytest on the controller, with two workers on each host, to its end."""
        with self.session(self.controller, *self.two_workers_each(), *options) as session:
            return session.outcome()

    def two_workers_each(self) -> list[str]:
        """The options for two workers on each host."""
        options = ["--dist=load"]
        for name in self.hosts:
            ssh = f"ssh=host-{name}//ssh_config={self.ssh_config}"
            place = f"python={sys.executable}//chdir={self.folder}"
            options += ["--px", f"id={name}//execmodel=thread//{ssh}//{place}", "--tx", f"2*popen//via={name}"]
        return options

    def hits(self) -> list[tuple[float, str]]:
        """When, by ``time.monotonic``, and from which address a request came to the target."""
        lines = self.log.read_text().splitlines()[self.earlier :]
        return [(float(line.split()[0]), line.split()[1]) for line in lines if line.count(" ") == 1]

    def wait_for_no_worker(self, name: str) -> None:
        """Wait until execnet's processes on a host have ended."""
        deadline = time.monotonic() + PATIENCE_S / 2
        while left := [line for line in self.hosts[name].processes().values() if "sys.stdin.readline" in line]:
            assert time.monotonic() < deadline, f"workers are left on host {name}: {left}"
            time.sleep(0.1)

    def wait_for_hits(self, count: int) -> None:
        """Wait until each source address has been seen so often."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            seen = [peer for _, peer in self.hits()]
            if all(seen.count(address) >= count for addresses in ADDRESSES.values() for address in addresses):
                return
            assert time.monotonic() < deadline, "the load does not begin"
            time.sleep(0.05)


@contextlib.contextmanager
def two_hosts(folder: Path, sshd: str | None, *, delay_s: float = 0.005) -> Iterator[Bench]:
    """Two hosts for workers, a target that both reach and a controller.

    Without ``sshd`` nobody can log in. ``delay_s`` is how long an answer takes.
    """
    with network() as net, tempfile.TemporaryDirectory(dir=folder, prefix="ssh-") as keys:
        controller, target = net.add("ctl"), net.add("target")
        target.ip(f"addr add {TARGET}/32 dev lo")
        hosts = {name: net.add(name) for name in ADDRESSES}
        for number, (name, host) in enumerate(hosts.items(), start=1):
            ends = (host, [f"10.78.{number}.2/24"]), (controller, [f"10.78.{number}.1/24"])
            net.link("control", *ends, far_name=f"to-{name}")
            addresses = [f"{address}/24" for address in ADDRESSES[name]]
            net.link("eth0", (host, addresses), (target, [f"10.77.{number}.1/24"]), far_name=f"from-{name}")
            host.ip(f"route add {TARGET}/32 via 10.77.{number}.1")
        config = Path(keys) / "config"
        if sshd is not None:
            _ssh_files(config, {name: f"10.78.{number}.2" for number, name in enumerate(hosts, start=1)})
        with contextlib.ExitStack() as programs:
            programs.enter_context(target.running(answering, TARGET, PORT, str(folder / "hits"), delay_s))
            for name, host in hosts.items() if sshd is not None else ():
                settings, log = f"{keys}/sshd-{name}", f"{folder}/sshd-{name}.log"
                programs.enter_context(host.running(ssh_server, sshd, settings, log))
            yield Bench(folder, controller, hosts, config, folder / "hits")


def _ssh_files(config: Path, addresses: dict[str, str]) -> None:
    """Write the settings of the client, and beside them keys and the settings of the servers."""
    folder = config.parent
    for name in ("user", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    public = (folder / "host.pub").read_text()
    (folder / "known").write_text("".join(f"{address} {public}" for address in addresses.values()))
    client = []
    for name, address in addresses.items():
        server = {
            "ListenAddress": f"{address}:22",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PidFile": "none",
            "ClientAliveInterval": CLIENT_ALIVE_S,
            "ClientAliveCountMax": 1,  # it is looked at before the next question is sent
        }
        (folder / f"sshd-{name}").write_text(_lines(server))
        client.append(f"Host host-{name}\n" + _lines({"HostName": address}))
    everywhere = {
        "User": getpass.getuser(),
        "IdentityFile": folder / "user",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": folder / "known",
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 20,
        "ServerAliveInterval": 2,
    }
    config.write_text("".join(client) + "Host *\n" + _lines(everywhere))


def _lines(settings: dict[str, Any]) -> str:
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def total(shards: Sequence[dict[str, Any]], key: str) -> int:
    """The sum of one number of all shards."""
    return sum(shard[key] for shard in shards)
