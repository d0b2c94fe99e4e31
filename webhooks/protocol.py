"""The webhook's fastest door: answered inside the web server's own protocol, without an ASGI task for each request.

uvicorn keeps everything that is its own: connections, parsing, keep-alive, pipelining, shutdown, limits. A plain POST
on the webhook's paths is an `Exchange`, which stands where uvicorn would have the cycle of an ASGI application, so all
of that finds it. Any other request, and one that comes while another of its connection is unanswered, takes the ASGI
door, which answers the same (docs/adr/0017-the-lean-edge.md says what of uvicorn this relies on).
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from queueops import metrics
from queueops.dispatch import Unavailable
from queueops.jobs import Receipt
from queueops.tiers import dispatch_soon
from webhooks import answers, intake
from webhooks.answers import Answer
from webhooks.asgi import PATHS, header

URLS = frozenset(path.encode() for path in PATHS)
# For a whole request to come, or a client to take its answer: less than the 30 s that a stopping server waits.
PATIENCE_SECONDS = 20.0


class Exchange:
    """One request and its answer, with what uvicorn looks for in a cycle."""

    __slots__ = (
        "body",
        "declared",
        "disconnected",
        "keep_alive",
        "read_at",
        "received",
        "refusal",
        "response_complete",
        "signature",
    )

    message_event = asyncio.Event()  # uvicorn sets it when the client goes; nobody here waits for it

    def __init__(self, keep_alive: bool, signature: bytes | None, declared: bytes | None) -> None:
        self.keep_alive = keep_alive
        self.signature = signature
        self.declared = declared
        self.body: list[bytes] = []
        self.received = 0
        self.read_at = 0.0
        self.refusal: Answer | None = None
        self.response_complete = False
        self.disconnected = False


class WebhookProtocol(HttpToolsProtocol):
    """One connection of the web server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ready: Exchange | None = None  # whole, or refused before it was
        self._is_reading = False  # a request has begun and is not whole
        self._patience: asyncio.TimerHandle | None = None

    # What the transport tells

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn would wait for a first request for ever.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        exchange, self._ready = self._ready, None
        if exchange is not None and not self.transport.is_closing():
            self._take(exchange)
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._be_patient_no_more()

    # What the parser tells

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_reading = True

    def on_headers_complete(self) -> None:
        if self.url in URLS and self._is_plain_post():
            keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
            signature = header(self.headers, b"x-hub-signature-256")
            exchange = Exchange(keep_alive, signature, header(self.headers, b"content-length"))
            self.cycle = exchange  # type: ignore[assignment]
            self._check_size(exchange)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        exchange: Any = self.cycle
        if type(exchange) is not Exchange:
            super().on_body(body)
        elif exchange.refusal is None:
            exchange.body.append(body)
            exchange.received += len(body)
            if exchange.declared is None:  # of what is announced the parser hands on no more than that
                self._check_size(exchange)

    def on_message_complete(self) -> None:
        self._is_reading = False
        exchange: Any = self.cycle
        if type(exchange) is not Exchange:
            super().on_message_complete()
        elif exchange.refusal is None:
            exchange.read_at = time.perf_counter()
            self._ready = exchange

    def _is_plain_post(self) -> bool:
        """One that nothing stands before on its connection, and that asks for nothing but an answer."""
        before: Any = self.cycle
        return (
            self.parser.get_method() == b"POST"
            and (before is None or before.response_complete)
            and not (self.expect_100_continue or self.parser.should_upgrade() or self.flow.write_paused)
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
        )

    def _check_size(self, exchange: Exchange) -> None:
        try:
            intake.check_size(exchange.declared, exchange.received)
        except intake.TooLarge as error:
            # What still comes of it is dropped.
            exchange.refusal = answers.refused(error)
            exchange.body.clear()
            self._ready = exchange

    # Taking and answering

    def _take(self, exchange: Exchange) -> None:
        if exchange.refusal is not None:
            self._answer(exchange, exchange.refusal)
            return
        try:
            batch = intake.admit(b"".join(exchange.body), exchange.signature)
        except intake.Unsigned as error:
            self._answer(exchange, answers.refused(error))
            return
        dispatch_soon(batch).add_done_callback(functools.partial(self._tell, exchange))

    def _tell(self, exchange: Exchange, receipt: asyncio.Future[Receipt]) -> None:
        try:
            self._answer(exchange, answers.kept(receipt.result()))
            metrics.observe("ack", (time.perf_counter() - exchange.read_at) * 1000)
        except Unavailable as error:
            self._answer(exchange, answers.refused(error))
        finally:
            if not exchange.response_complete:  # an error of ours, which the loop logs: nobody may wait for an answer
                self.transport.abort()

    def _answer(self, exchange: Exchange, answer: Answer) -> None:
        exchange.response_complete = True
        if not self.transport.is_closing():
            self.transport.write(self._encoded(answer, exchange.keep_alive))
            if not exchange.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def _encoded(self, answer: Answer, keep_alive: bool) -> bytes:
        parts = [_head(answer.status, answer.headers)]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        if not keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-length: %d\r\n\r\n" % len(answer.body))
        parts.append(answer.body)
        return b"".join(parts)

    # Being patient

    def _watch(self) -> None:
        """See to it that a client which keeps us waiting is waited for, but not for ever."""
        if self._is_reading or self.flow.write_paused:
            if self._patience is None:
                self._patience = self.loop.call_later(PATIENCE_SECONDS, self._give_up)
        elif self._patience is not None:
            self._be_patient_no_more()

    def _give_up(self) -> None:
        self._patience = None
        if self.flow.read_paused:  # it is us who keep the client waiting
            self._watch()
        else:
            self.transport.abort()

    def _be_patient_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


@functools.cache
def _head(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in headers)
    return STATUS_LINE[status] + lines.encode()
