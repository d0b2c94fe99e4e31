"""The doors of the edge behind one face, so that every test can be asked of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.test import Client
from uvicorn import Config
from uvicorn.server import ServerState

from tests.servers import APP_SECRET
from webhooks.asgi import instagram
from webhooks.protocol import WebhookProtocol
from webhooks.signature import sign

PATH = "/api/webhooks/instagram"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


class Door(Protocol):
    def request(
        self, method: str, *, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply: ...


class DjangoDoor:
    """The view, reached through Django's URLs and middleware."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=True)

    def request(
        self, method: str, *, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        response = self.client.generic(
            method, PATH, body, content_type="application/json", query_params=None, headers=headers, QUERY_STRING=query
        )
        return Reply(response.status_code, {name.lower(): value for name, value in response.items()}, response.content)


class AsgiDoor:
    """The ASGI callable, called as a server calls it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner

    def request(
        self, method: str, *, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        raw += [(b"content-length", str(len(body)).encode())]
        half = len(body) // 2
        messages = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:], "more_body": False},
        ]
        sent = self.call({"method": method, "query_string": query.encode("latin-1"), "headers": raw}, messages)
        start, rest = sent
        assert start["type"] == "http.response.start"
        return Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, rest["body"])

    def call(self, scope: dict[str, Any], messages: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        """What the application sends when the server gives it these messages; asking for more fails."""
        given = iter(messages)
        sent: list[Mapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(given)

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        self.runner.run(instagram({"type": "http", "path": PATH, **scope}, receive, send))
        return sent


class ServerDoor:
    """The web server's protocol on a real socket, with the ASGI callable behind it; one connection for a request."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.web = runner.run(serve())

    def request(
        self, method: str, *, query: str = "", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        raw = request(body, method=method, query=query, headers=headers)
        return self.runner.run(self.web.ask(raw, method))

    def close(self) -> None:
        self.runner.run(self.web.close())


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = PATH,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    version: str = "1.1",
) -> bytes:
    """A whole request as it goes over the wire."""
    target = f"{path}?{query}" if query else path
    lines = [f"{method} {target} HTTP/{version}", "Host: testserver"]
    lines += [f"{name}: {value}" for name, value in {"Content-Length": len(body), **(headers or {})}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def read_reply(reader: asyncio.StreamReader, method: str = "POST") -> Reply:
    """The next answer. Raises asyncio.IncompleteReadError when the connection ends before it."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = 0 if method == "HEAD" else int(headers["content-length"])
    return Reply(int(first.split()[1]), headers, await reader.readexactly(length))


@dataclass(frozen=True)
class Web:
    """The protocol as uvicorn serves it, but for its clock and its signals."""

    server: asyncio.Server
    state: ServerState

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.server.sockets[0].getsockname())

    async def ask(self, raw: bytes, method: str = "POST") -> Reply:
        """The answer to one request on a connection of its own."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            return await read_reply(reader, method)
        finally:
            writer.close()
            await writer.wait_closed()

    async def close(self) -> None:
        self.server.close()
        for connection in list(self.state.connections):
            connection.transport.abort()
        await self.server.wait_closed()


async def serve(**options: Any) -> Web:
    """Serve on the running loop. `options` are uvicorn's."""
    config = Config(instagram, http=WebhookProtocol, ws="none", log_config=None, access_log=False, **options)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]
    server = await asyncio.get_running_loop().create_server(
        lambda: WebhookProtocol(config, state, {}), "127.0.0.1", backlog=1024
    )
    return Web(server, state)


def signed(body: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": sign(body, APP_SECRET)}
