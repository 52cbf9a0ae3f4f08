"""Real servers in processes of their own, on free ports of 127.0.0.1, ended when their context is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LONGEST_START = 30.0


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    log: Path


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running_redis(program: str) -> Iterator[Served]:
    """redis-server, which keeps nothing on disk."""
    with _folder() as folder:
        port = free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
        command += ["--protected-mode", "no"]  # users come from all over loopback
        with _running(command, port, folder) as served:
            yield served


@contextmanager
def running_mosquitto(program: str) -> Iterator[Served]:
    """mosquitto, whose log tells where connections come from."""
    with _folder() as folder:
        port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type all\nlog_dest stderr\n")
        config.chmod(0o644)
        with _running([program, "-c", str(config)], port, folder) as served:
            yield served


@contextmanager
def running_postgresql(initdb: str) -> Iterator[Served]:
    """PostgreSQL with a new database ``postgres`` and its user of the same name, without a password."""
    user = "postgres" if os.name == "posix" and os.geteuid() == 0 else None  # it refuses to run as root
    with _folder() as folder:
        if user is not None:
            shutil.chown(folder, user)
        port, data = free_port(), folder / "data"
        subprocess.run(
            [initdb, "--pgdata", data, "--username=postgres", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8"],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=_LONGEST_START,
        )
        with (data / "pg_hba.conf").open("a") as access:
            access.write("host all all 127.0.0.0/8 trust\n")  # users come from all over loopback
        settings = ("fsync=off", "shared_buffers=1MB", "autovacuum=off", "listen_addresses=127.0.0.1")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(Path(initdb).resolve().parent / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        # SIGINT is its "fast shutdown": SIGTERM waits for its clients.
        with _running([*command, *options], port, folder, user=user, stop=signal.SIGINT) as served:
            _wait_for_line("ready to accept connections", served.log)  # it listens a while before
            yield served


@contextmanager
def running_nginx(program: str, server: str) -> Iterator[Served]:
    """nginx in one process; ``server`` is what its only server has besides ``listen``, which is under TLS."""
    with _folder() as folder:
        port = free_port()
        kept = "".join(f"{name}_temp_path {folder}/{name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
            f"http {{ access_log off; client_body_temp_path {folder}/body; {kept}"
            f" server {{ listen 127.0.0.1:{port} ssl; {server} }} }}"
        )
        command = [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        with _running(command, port, folder) as served:
            yield served


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that a server's own user can get at, which it cannot with those of pytest."""
    with tempfile.TemporaryDirectory(prefix="ipload-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def _running(
    command: Sequence[str], port: int, folder: Path, user: str | None = None, stop: signal.Signals = signal.SIGTERM
) -> Iterator[Served]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        yield Served(port, log)
    finally:
        process.send_signal(stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait_for_line(text: str, log: Path) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)  # another process writes it; there is no event to wait for


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _LONGEST_START
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)  # another process opens the port; there is no event to wait for
    raise AssertionError(f"nothing listens on port {port}: {log.read_text()}")
