"""The two doors of the edge behind one face, so that every test can be asked of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from django.test import Client

from tests.servers import APP_SECRET
from webhooks.asgi import instagram
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
    """The fast door, called as a server calls it."""

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


def signed(body: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": sign(body, APP_SECRET)}
