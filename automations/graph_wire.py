"""HTTP/1.1 as far as the Graph API's calls need it: a POST on a kept connection, and its answer.

Ours, because a general client costs three times as much of a worker's processor, and because of one question that it
does not answer: whether any of the request can have gone out (docs/adr/0036-a-wire-to-the-graph-api.md).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass
from socket import SOCK_STREAM
from typing import cast
from urllib.parse import urlsplit

import httptools
from aiohappyeyeballs import start_connection

HEAD_BYTES = 65_536
CONTENT_BYTES = 65_536
# A server that closes an idle connection just as we write on it leaves us not knowing; the less idle, the rarer.
IDLE_SECONDS = 15.0
# After which the next of a name's addresses is tried beside the one that does not answer (RFC 8305).
NEXT_ADDRESS_SECONDS = 0.25
CLOSE_SECONDS = 1.0


class NotSent(Exception):
    """There was no connection: not a byte of the request went out."""


class NoAnswer(Exception):
    """The request may have arrived, and nobody said what became of it."""


@dataclass(slots=True)
class HTTPAnswer:
    """headers: their names in lower case. content: as far as it came; at most CONTENT_BYTES and one packet."""

    status: int
    headers: dict[str, str]
    content: bytes


class Connection(asyncio.Protocol):
    """One connection, for one exchange at a time. `is_open` is False for good once it is lost: then open another.

    lost: done when the socket is closed. idle_since: on the monotonic clock.
    """

    def __init__(self, pool: deque[Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[HTTPAnswer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.is_open = False
        self.idle_since = 0.0
        self._start()

    def _start(self) -> None:
        self._status = 0
        self._read = 0
        self._headers: dict[str, str] = {}
        self._content = b""

    async def exchange(self, request: bytes, seconds: float) -> HTTPAnswer:
        """Send, and wait for the answer; once its status is known, what is cut short changes nothing about it.

        Raises NoAnswer when nothing came within that time, when the connection was lost, and when it is not HTTP.
        """
        waiting: asyncio.Future[HTTPAnswer] = self._loop.create_future()
        self._waiting = waiting
        self._timer = self._loop.call_later(seconds, self._overdue, seconds)
        self._transport.write(request)
        try:
            return await waiting
        except asyncio.CancelledError:
            self.close()  # the answer would be taken for the next one's
            raise

    def _overdue(self, seconds: float) -> None:
        self._break_off(f"no answer within {seconds:g} s")

    def _break_off(self, why: str) -> None:
        """Nothing more is read. Whoever waits gets the answer as far as it came."""
        waiting, self._waiting = self._waiting, None
        self._wait_no_more()
        if waiting is not None and not waiting.done():
            if self._status:
                waiting.set_result(HTTPAnswer(self._status, self._headers, self._content))
            else:
                waiting.set_exception(NoAnswer(why))
        self.close()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        self.is_open = False
        self._transport.abort()

    # --- What the loop calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no asyncio.Transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.close()  # nobody asked
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break_off(f"what came back is not HTTP: {error}")
            return
        if len(self._content) > CONTENT_BYTES:
            self._break_off("too long an answer")
        elif not self._status and self._read > HEAD_BYTES:
            self._break_off(f"no end of the headers within {HEAD_BYTES} bytes")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._break_off(f"the connection was closed: {error}" if error else "the connection was closed")
        self.lost.set_result(None)

    # --- What the parser calls ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._waiting is None:
            self.close()  # nobody asked: the next one must not take it for its answer

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:
            self._headers = {}  # "100 Continue" and the like: the answer is yet to come

    def on_body(self, data: bytes) -> None:
        self._content = self._content + data if self._content else data

    def on_message_complete(self) -> None:
        if not self._status:
            return
        waiting, self._waiting = self._waiting, None
        self._wait_no_more()
        if waiting is not None and not waiting.done():
            waiting.set_result(HTTPAnswer(self._status, self._headers, self._content))
        self._start()
        if self._parser.should_keep_alive():
            self.idle_since = time.monotonic()
            self._pool.append(self)
        else:
            self.close()


class Host:
    """The connections of one event loop to one address; as many as there are exchanges at a time.

    No limit: the worker bounds what is in flight; a second bound would only turn queueing into time-outs.
    """

    def __init__(self, url: str, connect_seconds: float, read_seconds: float) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._tls = ssl.create_default_context() if secure else None
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._path = parts.path.rstrip("/")
        self._headers = (
            f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            "User-Agent: ChatAutoDM\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        )
        self._idle: deque[Connection] = deque()  # the longest idle first
        self._connections: set[Connection] = set()
        self._is_closed = False

    async def post(self, path: str, token: str, content: bytes) -> HTTPAnswer:
        """POST JSON. path and token are ASCII without spaces or control characters; the caller has seen to that.

        Never repeats, never follows a redirect: a POST could be done twice, and would carry the token elsewhere. Raises
        NotSent and NoAnswer.
        """
        head = f"POST {self._path}/{path}{self._headers}{token}\r\nContent-Length: {len(content)}\r\n\r\n"
        connection = self._take() or await self._connect()
        return await connection.exchange(head.encode("ascii") + content, self._read_seconds)

    def _take(self) -> Connection | None:
        """The one used last, so that those which are not needed grow old."""
        oldest = time.monotonic() - IDLE_SECONDS
        while self._idle and (self._idle[0].idle_since < oldest or not self._idle[0].is_open):
            self._idle.popleft().close()
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                found = await loop.getaddrinfo(self._name, self._port, type=SOCK_STREAM)
                # uvloop tries a name's addresses one after the other, and waits for each.
                socket = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS)
                _, connection = await loop.create_connection(
                    lambda: Connection(self._idle),
                    sock=socket,
                    ssl=self._tls,
                    server_hostname=self._name if self._tls else None,
                )
        except TimeoutError:
            raise NotSent(f"no connection to {self._name} within {self._connect_seconds:g} s") from None
        except OSError as error:
            raise NotSent(f"no connection to {self._name}: {error}") from None
        if self._is_closed:
            connection.close()
            raise NotSent("the client was closed before there was a connection")
        self._connections.add(connection)
        connection.lost.add_done_callback(lambda _: self._connections.discard(connection))
        return connection

    async def close(self) -> None:
        """Close every connection, for good; whoever still waits on one gets NoAnswer."""
        self._is_closed = True
        losing = [connection.lost for connection in self._connections]
        for connection in list(self._connections):
            connection.close()
        if losing:
            await asyncio.wait(losing, timeout=CLOSE_SECONDS)
