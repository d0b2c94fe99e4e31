"""The webhook as plain ASGI, without Django's request (docs/adr/0002-the-asgi-edge.md).

`webhooks.protocol` answers the plain POST without even this; it is the door for the rest, and for other servers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from queueops import metrics
from queueops.dispatch import Unavailable
from queueops.tiers import dispatch
from webhooks import answers, intake
from webhooks.answers import Answer

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

PATHS = frozenset({"/api/webhooks/instagram", "/api/webhooks/instagram/"})


class Disconnected(Exception):
    """The client went away in the middle of its body: there is nobody to answer."""


async def instagram(scope: Scope, receive: Receive, send: Send) -> None:
    """GET: the handshake. POST: verify, parse, hand on, answer."""
    method = scope["method"]
    if method == "POST":
        try:
            answer = await _post(scope, receive)
        except Disconnected:
            return
    elif method == "GET":
        answer = answers.handshake(scope["query_string"].decode("latin-1"))
    else:
        answer = answers.NOT_ALLOWED
    await _send(answer, send)


async def _post(scope: Scope, receive: Receive) -> Answer:
    try:
        body = await _body(scope, receive)
        read_at = time.perf_counter()
        batch = intake.admit(body, header(scope["headers"], b"x-hub-signature-256"))
        receipt = await dispatch(batch)
    except (intake.Unsigned, intake.TooLarge, Unavailable) as error:
        return answers.refused(error)
    metrics.observe("ack", (time.perf_counter() - read_at) * 1000)
    return answers.kept(receipt)


async def _body(scope: Scope, receive: Receive) -> bytes:
    """The whole body. Raises TooLarge as soon as it is known to be, and Disconnected."""
    intake.check_size(header(scope["headers"], b"content-length"))
    chunks: list[bytes] = []
    received = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        chunks.append(chunk)
        received += len(chunk)
        intake.check_size(None, received)
        more = message.get("more_body", False)
    return b"".join(chunks)


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A header's value; one that came several times joined by commas, as WSGI servers do it."""
    values = [value for key, value in headers if key == name]
    return b",".join(values) if values else None


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
