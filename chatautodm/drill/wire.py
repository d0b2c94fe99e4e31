"""The line between the product and its PostgreSQL, which can be cut or held: to the product the database is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def opener(address: str) -> Callable[[], Awaitable[Streams]]:
    """How to reach `HOST:PORT`, or the socket of a path that begins with a slash."""
    if address.startswith("/"):
        return lambda: asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return lambda: asyncio.open_connection(host, int(port))


class Wire:
    """Listens on loopback and passes on, both ways, to the server behind it."""

    def __init__(self, port: int, behind: str) -> None:
        self._port = port
        self._open = opener(behind)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def connect(self) -> None:
        """Listen, at first and again after `cut`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=256)

    def cut(self) -> None:
        """End every connection, in the middle of whatever it is at, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Take everything, pass on nothing: a server that hangs."""
        self._flowing.clear()

    def let_go(self) -> None:
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._open()
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._writers |= both
        ways = [self._pass_on(reader, server_writer), self._pass_on(server_reader, writer)]
        try:
            await asyncio.wait([asyncio.create_task(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
