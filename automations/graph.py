"""The Graph API's sending calls: exactly the requests of FACTS section 5, one pool of connections an event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from django.conf import settings

from automations.graph_errors import NO_ANSWER, NOT_SENT, TABLE, Ruling, Scope, Verdict, number, rule_on
from automations.graph_wire import Host, NoAnswer, NotSent
from automations.usage import APP_HEADER, BUSINESS_HEADER, stated_wait
from queueops.errors import Cause

USAGE_HEADERS = (BUSINESS_HEADER.lower(), APP_HEADER.lower())
PATH = re.compile(r"[A-Za-z0-9_]+/[a-z_]+")
TOKEN_LIKE = re.compile(r"\b(?:IG|EAA)[A-Za-z0-9_-]{20,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Sent. Both ids are "" when Meta answered 200 with a body nobody can read: it is sent all the same.

    usage: the usage headers as they came (`automations.usage`), "" as long as Meta sends none.
    """

    message_id: str
    recipient_id: str
    usage: str = ""


class GraphError(Exception):
    """A call that was refused, or whose outcome is unknown; `verdict` says what to do (see `Verdict`).

    status: HTTP's, 0 without an answer. code, subcode: Meta's, 0 when it gave none. message: Meta's own words, at most
    300 characters, never with a token in it. wait_seconds: Meta's stated wait, else the table's, else None.
    """

    def __init__(self, ruling: Ruling, status: int = 0, error: dict[str, Any] | None = None, message: str = "") -> None:
        error = error or {}
        self.status = status
        self.code = number(error.get("code"))
        self.subcode = number(error.get("error_subcode"))
        self.trace_id = _without("", str(error.get("fbtrace_id") or ""))[:64]
        self.title = ruling.title
        self.message = message
        self.verdict = ruling.verdict
        self.who = ruling.who
        self.scope = ruling.scope
        self.wait_seconds = ruling.wait_seconds
        super().__init__(f"{ruling.title}: {message}" if message else ruling.title)

    def as_json(self) -> dict[str, Any]:
        """As it is kept on the delivery and shown by the API."""
        return {
            "title": self.title,
            "verdict": self.verdict.value,
            "who": self.who.value,
            "scope": self.scope.value,
            "status": self.status,
            "code": self.code,
            "subcode": self.subcode,
            "message": self.message,
            "wait_seconds": self.wait_seconds,
            "trace_id": self.trace_id,
        }

    def cause(self) -> Cause:
        return Cause(title=self.title, verdict=self.verdict.value, code=self.code, subcode=self.subcode)


class GraphClient:
    """Sends; belongs to the event loop that it is first used on, and closes with it."""

    def __init__(self) -> None:
        url = f"{settings.GRAPH_API_URL}/{settings.GRAPH_API_VERSION}"
        self._to = url, settings.GRAPH_CONNECT_TIMEOUT_SECONDS, settings.GRAPH_READ_TIMEOUT_SECONDS
        self._host: Host | None = None
        self._closer: AsyncGenerator[None, None] | None = None

    async def send(self, path: str, body: dict[str, Any], token: str) -> Answer:
        """POST `body` to `<account id>/messages` or `<comment id>/replies`. Raises GraphError."""
        _check(path, token)
        host = self._host or await self._open()
        try:
            answered = await host.post(path, token, orjson.dumps(body))
        # `from None`: nobody who reads the traceback is to find the request, and so the token, in it.
        except NotSent as error:
            raise GraphError(NOT_SENT, message=_without(token, str(error))) from None
        except NoAnswer as error:
            raise GraphError(NO_ANSWER, message=_without(token, str(error))) from None
        answer = _as_object(answered.content)
        usage = _usage(answered.headers)
        if answered.status >= 300 or answer.get("error"):
            raise _refusal(answered.status, answer, usage, body, token)
        return Answer(
            message_id=str(answer.get("message_id") or answer.get("id") or ""),
            recipient_id=str(answer.get("recipient_id") or ""),
            usage=usage,
        )

    async def _open(self) -> Host:
        host = self._host = Host(*self._to)
        # A started async generator is finished by its loop's shutdown (`asyncio.run` does it), so nobody has to
        # remember closing where each job has a loop of its own.
        self._closer = self._close_at_the_end()
        await anext(self._closer)
        return host

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            host, self._host = self._host, None
            _clients.pop(asyncio.get_running_loop(), None)
            if host is not None:
                await host.close()

    async def close(self) -> None:
        """Close the pooled connections; the next `send` opens new ones."""
        if self._closer is not None:
            await self._closer.aclose()


# Weak, and emptied by `close`: a loop that ended leaves nothing behind.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, GraphClient] = WeakKeyDictionary()


def client() -> GraphClient:
    """The running loop's own client."""
    loop = asyncio.get_running_loop()
    found = _clients.get(loop)
    if found is None:
        found = _clients[loop] = GraphClient()
    return found


def _check(path: str, token: str) -> None:
    if not PATH.fullmatch(path):
        ruling = Ruling("The id is not one that Meta gives out", Verdict.REJECT)
        raise GraphError(ruling, message=f"path {path[:80]!r} must be <id>/messages or <id>/replies")
    if not (token.isascii() and token.isprintable() and token):
        raise GraphError(TABLE[190, None], message="the stored access token is empty or holds control characters")


def _as_object(content: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(status: int, answer: dict[str, Any], usage: str, body: dict[str, Any], token: str) -> GraphError:
    found = answer.get("error")
    # A plain string on some endpoints (FACTS section 8).
    error = found if isinstance(found, dict) else {"message": found}
    recipient = body.get("recipient")
    private_reply = isinstance(recipient, dict) and "comment_id" in recipient
    refusal = GraphError(
        rule_on(status, error, private_reply), status, error, _without(token, str(error.get("message") or ""))
    )
    if refusal.scope is not Scope.CALL and refusal.verdict is Verdict.WAIT:
        refusal.wait_seconds = stated_wait(usage) or refusal.wait_seconds
    return refusal


def _usage(headers: Mapping[str, str]) -> str:
    return " ".join(headers[name] for name in USAGE_HEADERS if name in headers)


def _without(token: str, text: str) -> str:
    """At most 300 storable characters of `text`, with no token in it: Meta repeats a malformed one in its message."""
    text = text.replace("\0", "")  # PostgreSQL keeps no NUL
    return TOKEN_LIKE.sub("[token]", text.replace(token, "[token]") if token else text)[:300]
