"""A connection to Redis on which commands go out and answers come back in order: no pool, lock or task for a call.

redis-py opens it, so that it knows every address, password and certificate that redis-py knows. From then on the
socket is ours: redis-py's own calls cost several times as much processor time (docs/adr/0017-the-lean-edge.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import hiredis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import (
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from queueops import loops
from queueops.connections import ANSWER_SECONDS
from queueops.replicas import WAIT_MS, Pair

Answered = Callable[[Any], None]  # with the answer, or with the RedisError that came instead of it

MOMENT_SECONDS = 0.01

_INCOMPLETE = object()


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name by which the server knows it once it was sent whole."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Wire(asyncio.Protocol):
    """One connection. `is_open` is False for good once it is lost, or leads to a replica: then open another.

    Nothing is ever sent a second time by itself: of a call whose answer did not come nobody knows whether it ran.
    """

    def __init__(self, writer: asyncio.StreamWriter, answer_seconds: float) -> None:
        self.is_open = True
        self._writer = writer  # kept for as long as we are: it would close its transport when it is forgotten
        self._transport = writer.transport
        self._loop = asyncio.get_running_loop()
        self._answer_seconds = answer_seconds
        self._reader = hiredis.Reader(replyError=_refusal, notEnoughData=_INCOMPLETE)
        self._pending: deque[Answered] = deque()
        self._timer: asyncio.TimerHandle | None = None  # of the oldest
        self._lost: RedisError = ConnectionError("Redis closed the connection before it answered")
        self._transport.set_protocol(self)

    @property
    def under_way(self) -> int:
        """How many answers are yet to come: one a call, two when it waits for replicas."""
        return len(self._pending)

    def run(self, script: Script, args: Sequence[Any], answered: Answered, replicas: int = 0) -> None:
        """Run the script, which names its keys itself; `answered` is called once, whatever happens.

        replicas: how many must have what it wrote; when they have not in time, the answer is TooFewReplicas.
        """
        again = partial(self._send_whole, script, args, answered, replicas)
        self._call(
            ("EVALSHA", script.sha, 0, *args),
            lambda answer: again() if _is_unknown(answer) else answered(answer),
            replicas,
        )

    def send(self, command: tuple[Any, ...], answered: Answered) -> None:
        """Any other command; `answered` is called once, whatever happens."""
        self._call(command, answered)

    def _send_whole(self, script: Script, args: Sequence[Any], answered: Answered, replicas: int) -> None:
        if self.is_open:
            self._call(("EVAL", script.text, 0, *args), answered, replicas)
        else:
            answered(self._lost)

    def _call(self, command: tuple[Any, ...], answered: Answered, replicas: int = 0) -> None:
        packed = hiredis.pack_command(command)
        if replicas:
            pair = Pair(replicas, answered)
            wait: tuple[Any, ...] = ("WAIT", replicas, WAIT_MS)
            packed += hiredis.pack_command(wait)
            self._pending += (pair.script, pair.wait)
        else:
            self._pending.append(answered)
        self._transport.write(packed)
        if self._timer is None:
            self._wait(self._answer_seconds, self._overdue)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, then)

    def _overdue(self) -> None:
        # The loop itself may have been busy all the time: then the answer is read before the next timer.
        self._wait(MOMENT_SECONDS, self._late)

    def _late(self) -> None:
        self._lost = TimeoutError(f"Redis did not answer within {self._answer_seconds:g} s")
        self.close()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not _INCOMPLETE:
            if type(answer) is not hiredis.PushNotification:
                self._wait_no_more()
                answered = self._pending.popleft()
                if type(answer) is ReadOnlyError:
                    self.close()  # its master has become a replica: the next connection goes to the new master
                elif self._pending:
                    self._wait(self._answer_seconds, self._overdue)
                answered(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._wait_no_more()
        pending, self._pending = self._pending, deque()
        for answered in pending:
            answered(self._lost)

    def close(self) -> None:
        """Whoever still waits is told so."""
        self.is_open = False
        self._transport.abort()


_REFUSALS: dict[str, type[ResponseError]] = {
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
}


def _refusal(words: str) -> ResponseError:
    return _REFUSALS.get(words.partition(" ")[0], ResponseError)(words)


def _is_unknown(answer: Any) -> bool:
    """Whether the server has never seen the script, or forgot it: then it did not run."""
    return isinstance(answer, NoScriptError)


async def open_wire(client: AsyncRedis, answer_seconds: float = ANSWER_SECONDS) -> Wire:
    """A connection of its own to where the client's go, ready for commands. Raises RedisError."""
    connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()
    writer = connection._writer
    # redis-py's object is done with: it would close the socket when it is forgotten.
    connection._reader = connection._writer = None
    return Wire(writer, answer_seconds)


class Line:
    """A wire for coroutines: each call waits for its own answer, and opens a connection when there is none.

    It ends with its loop. answer_seconds: without an answer for so long the connection is given up.
    """

    def __init__(self, client: AsyncRedis, answer_seconds: float) -> None:
        self._client = client
        self._answer_seconds = answer_seconds
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        loops.end_with_loop(self._close)

    async def run(self, script: Script, *args: Any) -> Any:
        """The script's answer. Raises RedisError, OSError."""
        wire = await self._opened()
        return await _answer_of(partial(wire.run, script, args))

    async def send(self, *command: Any) -> Any:
        """The command's answer. Raises RedisError, OSError."""
        wire = await self._opened()
        return await _answer_of(partial(wire.send, command))

    async def run_behind(self, command: tuple[Any, ...], script: Script, *args: Any) -> tuple[Any, Any]:
        """The answers of the command, or its RedisError, and of the script, which runs the moment the command is over.

        The command may block. Raises RedisError, OSError: the script's, or what kept both from being sent.
        """
        wire = await self._opened()
        first: list[Any] = []
        wire.send(command, first.append)
        second = await _answer_of(partial(wire.run, script, args))
        return first[0], second

    @property
    def is_open(self) -> bool:
        return self._wire is not None and self._wire.is_open

    async def _opened(self) -> Wire:
        if self._wire is None or not self._wire.is_open:
            async with self._opening:
                if self._wire is None or not self._wire.is_open:
                    self._wire = await open_wire(self._client, self._answer_seconds)
        return self._wire

    async def _close(self) -> None:
        if self._wire is not None:
            self._wire.close()


async def _answer_of(ask: Callable[[Answered], None]) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ask(partial(_tell, future))
    return await future


def _tell(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(answer, RedisError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
