"""The fake Graph API itself: answers Meta's paths, keeps what it received, and takes orders under /_fake."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson
from aiohttp import web

from automations.fake_graph.calls import Call, Refused, read_call
from automations.fake_graph.conversations import Conversations, seconds
from automations.fake_graph.echoes import Echoes
from automations.fake_graph.faults import Effect, Script, pick
from automations.fake_graph.page import render

KEPT = 100_000


@dataclass(frozen=True, slots=True)
class _Reply:
    effect: Effect
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class FakeGraph:
    """Runs on the loop that `start` is awaited on.

    received: the newest 100,000 calls, oldest first. counts: all of them, by status and kind, as in `200 dm`.
    echoes: what posts echoes of the messages that were sent. commenters: who wrote a comment, by its id, as far as the
    fake was told; it makes up the others.
    """

    def __init__(
        self,
        latency_ms: float = 0,
        strict_window: bool = False,
        seed: int | None = None,
        echoes: Echoes | None = None,
    ) -> None:
        self.url = ""
        self.latency_seconds = latency_ms / 1000
        self.received: deque[Call] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self.scripts: list[Script] = []
        self.conversations = Conversations(strict_window)
        self.commenters: dict[str, str] = {}
        self._echoes = echoes
        self._random = Random(seed)  # noqa: S311 - chance for faults, not for secrets
        self._runner: web.ServerRunner | None = None
        # Ids stay unique when the fake starts again against the same database.
        self._next_id = time.time_ns() // 1000

    async def start(self, port: int = 0) -> str:
        """Listen on loopback, on any free port for 0, and return the URL. Raises OSError when the port is taken."""
        # Without a router: this is measured against, and its paths are few. A client that gives up ends its handler.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024).start()
        except OSError:
            await self.stop()
            raise
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Close the port and every connection, answered or not."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()
        if self._echoes is not None:
            await self._echoes.close()

    def script(
        self, fault: str, times: int | None = None, probability: float = 1.0, minutes: int = 1, **match: str
    ) -> None:
        """Let calls that match (account, recipient, kind, text_contains) meet `fault`; `minutes` is for `throttle`.

        The first script that concerns a call wins. Raises ValueError for an unknown fault or match.
        """
        self.scripts.append(Script(fault, match, times, probability, minutes))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST" and not request.path.startswith("/_fake/"):
            return await self._graph_call(request)
        control = {
            ("GET", "/"): self._page,
            ("GET", "/_fake/received"): self._list_received,
            ("DELETE", "/_fake/received"): self._forget_received,
            ("GET", "/_fake/stats"): self._stats,
            ("GET", "/_fake/faults"): self._list_faults,
            ("POST", "/_fake/faults"): self._add_faults,
            ("DELETE", "/_fake/faults"): self._forget_faults,
            ("POST", "/_fake/inbound"): self._note_inbound,
        }.get((request.method, request.path))
        if control is None:
            return _json({"error": {"message": "Unsupported request", "type": "OAuthException", "code": 100}}, 400)
        try:
            return await control(request)
        except (ValueError, TypeError, KeyError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    async def _graph_call(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(time.time(), request.path)
        reply = self._decide(call, request, await request.read())
        if reply.effect is Effect.CLOSE_UNRECORDED:
            return _close(request)
        self._record(call)
        if self._echoes is not None and call.message_id and "text" in call.body.get("message", {}):
            self._echoes.send(call, self._person(call))
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        if reply.effect is Effect.CLOSE_RECORDED:
            return _close(request)
        if reply.effect is Effect.HANG_RECORDED:
            await asyncio.Event().wait()  # until the client gives up or `stop`
        return web.Response(
            body=reply.content, status=call.status, headers=reply.headers, content_type="application/json"
        )

    def _decide(self, call: Call, request: web.BaseRequest, content: bytes) -> _Reply:
        """Fill in `call` and settle what the caller will see."""
        effect = Effect.ANSWER
        try:
            read_call(call, request.headers.get("Authorization", ""), content)
            if self.scripts and (script := pick(self.scripts, call, self._random)):
                call.fault, effect = script.name, script.fault.effect
                script.fault.refuse(script.minutes)
            if effect is Effect.CLOSE_UNRECORDED:
                return _Reply(effect)
            return _Reply(effect, self._accept(call, request.query_string))
        except Refused as refusal:
            call.status = refusal.status
            return _Reply(effect, refusal.content, refusal.headers)

    def _accept(self, call: Call, query: str) -> bytes:
        """Meta's own rules, then its answer. Raises Refused."""
        if query and call.kind != "public_reply":
            raise Refused(f"(#100) Unknown parameters: {query[:80]}", 100)
        self.conversations.admit(call)
        call.status = 200
        if call.kind == "sender_action":
            return orjson.dumps({"recipient_id": call.recipient})
        self._next_id += 1
        if call.kind == "public_reply":
            call.message_id = f"{self._next_id:017d}"
            if query:
                # As Meta does it: the comment is there, and the answer says that something is wrong (FACTS section 5).
                raise Refused("(#20) The response format is not supported", 20, 1772107)
            return orjson.dumps({"id": call.message_id})
        call.message_id = f"aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlEOjE3ODQx{self._next_id:020d}{'N' * 90}ZD"
        # The answer to a private reply names the person behind the comment.
        return orjson.dumps({"recipient_id": self._person(call), "message_id": call.message_id})

    def _person(self, call: Call) -> str:
        """Whom a message goes to."""
        if call.kind == "dm":
            return call.recipient
        return self.commenters.get(call.recipient) or f"9{call.recipient[-15:]}"

    def _record(self, call: Call) -> None:
        self.received.append(call)
        self.counts[f"{call.status} {call.kind}"] += 1

    async def _page(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=render(self.received, self.counts, self.scripts), content_type="text/html")

    async def _list_received(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json(list(self.received))

    async def _forget_received(self, request: web.BaseRequest) -> web.StreamResponse:
        self.received.clear()
        self.counts.clear()
        return web.Response(status=204)

    async def _stats(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json({"received": self.counts.total(), "by_status_and_kind": dict(self.counts)})

    async def _list_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        return _json([script.as_json() for script in self.scripts])

    async def _add_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        items = orjson.loads(await request.read())
        if not isinstance(items, list):
            raise ValueError('the body must be a list such as [{"fault": "throttle", "times": 3}]')
        self.scripts += [Script.from_json(item) for item in items]
        return await self._list_faults(request)

    async def _forget_faults(self, request: web.BaseRequest) -> web.StreamResponse:
        self.scripts.clear()
        return web.Response(status=204)

    async def _note_inbound(self, request: web.BaseRequest) -> web.StreamResponse:
        told = orjson.loads(await request.read())
        if "comment" in told:
            self.commenters[str(told["comment"])] = str(told["person"])
        self.conversations.note_inbound(
            str(told["account"]), str(told["person"]), seconds(told.get("at"), now=time.time())
        )
        return web.Response(status=204)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _close(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # never leaves: the connection is gone
