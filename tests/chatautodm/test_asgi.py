from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.servers import VERIFY_TOKEN

HANDSHAKE = f"hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=42".encode()


def call(scope: dict[str, Any], *messages: dict[str, Any]) -> list[Mapping[str, Any]]:
    """What the application sends when a server gives it these messages, and then nothing more."""
    from chatautodm.asgi import application  # noqa: PLC0415 - loads Django's middleware, under the filter above

    given = iter(messages)
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        for message in given:
            return message
        return await asyncio.Future()

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent


def get(path: str, query: bytes = b"", content_type: str = "") -> list[Mapping[str, Any]]:
    headers = [(b"host", b"localhost"), *([(b"content-type", content_type.encode())] if content_type else [])]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers}
    return call(scope, {"type": "http.request"})


@pytest.mark.parametrize("path", ["/api/webhooks/instagram", "/api/webhooks/instagram/"])
def test_the_webhooks_path_takes_the_fast_door(path: str):
    start, answer = get(path, HANDSHAKE)
    assert (start["status"], answer["body"]) == (200, b"42")
    # Django's middleware would have added a header of its own.
    assert b"x-frame-options" not in dict(start["headers"])


def test_every_other_path_goes_to_django():
    start, *_ = get("/api/webhooks/nothing-here")
    assert start["status"] == 404
    assert b"X-Frame-Options" in dict(start["headers"])


# All of these are codecs of Python's, and so charsets to Django.
@pytest.mark.parametrize("charset", ["hex", "zlib", "bz2", "base64", "quopri", "uu", "rot13", "undefined", "idna"])
@pytest.mark.parametrize("query", [b"x=1", b""])
def test_a_charset_that_no_text_can_be_in_is_a_bad_request(charset: str, query: bytes):
    start, answer = get("/api-is-not-here", query, f"multipart/form-data; boundary=x; charset={charset}")
    assert start["status"] == 400
    assert b"say utf-8" in answer["body"]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-16", "latin-1", "no-such-charset", "", '"utf-8"'])
def test_any_other_is_taken(charset: str):
    start, *_ = get("/nowhere", b"x=1", f"text/plain; charset={charset}")
    assert start["status"] == 404


def test_it_starts_and_stops_with_the_server():
    sent = call({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
