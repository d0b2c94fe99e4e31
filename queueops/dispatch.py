"""Taking work in: duplicate mark, enqueue and count in one atomic step, on disk before anybody is told "kept".

The step is one Lua script over all jobs of all batches that are waiting at that moment (group commit): with
`appendfsync always` one fsync then serves every request that came in meanwhile. Two doors, one script: `dispatch` for
an event loop (`dispatch_soon` for callers that are no coroutine), `dispatch_sync` for a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from redis.exceptions import OutOfMemoryError, RedisError

from queueops import connections, replicas
from queueops.connections import PATIENCE_SECONDS
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Batch, Receipt
from queueops.loops import PerLoop, cancel
from queueops.taking import (
    TAKE,
    VIP_KEY,
    Prepared,
    prepare,
    receipts,
    script_args,
)
from queueops.wire import Wire, open_wire

JOBS_A_CALL = 2000  # keeps one script call at some 20 ms
FLUSH_LOOK_SECONDS = 0.002
CALLS_UNDER_WAY = 2  # Redis works on one while the next is made; more would only make smaller groups


class Unavailable(Exception):
    """No tier could take the batch; whether a part of it was kept is unknown, so the sender must send it again."""


class Full(Unavailable):
    """Redis works, and has no room: out of memory, or QUEUE_MAX_DEPTH jobs wait. Nothing of the batch was kept."""


class Waiting(NamedTuple):
    """A batch, and whom to tell."""

    prepared: Prepared
    receipt: asyncio.Future[Receipt]


class GroupCommit:
    """Gathers what comes while CALLS_UNDER_WAY script calls are under way into the next one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Waiting] = []
        self._wire: Wire | None = None
        self._opening: asyncio.Task[None] | None = None

    def submit(self, batch: Batch) -> asyncio.Future[Receipt]:
        """Keep the batch; the future fails with Unavailable. Raises TypeError when a payload is not JSON."""
        waiting = Waiting(prepare(batch), self._loop.create_future())
        self._waiting.append(waiting)
        self._send()
        return waiting.receipt

    def _send(self) -> None:
        if self._wire is None or not self._wire.is_open:
            if self._opening is None:
                self._opening = self._loop.create_task(self._open())
            return
        while self._waiting and self._wire.under_way < CALLS_UNDER_WAY:
            group = self._next_group()
            args = script_args([waiting.prepared for waiting in group])
            self._wire.run(TAKE, args, partial(self._answered, group), replicas.wanted())

    def _answered(self, group: list[Waiting], answer: Any) -> None:
        if isinstance(answer, RedisError):
            _fail(group, answer)
            self._fail_waiting_too(answer)
        else:
            found = receipts([waiting.prepared for waiting in group], answer)
            for (_, future), receipt in zip(group, found, strict=True):
                if not future.done():  # the client may have gone away; its batch is kept all the same
                    future.set_result(receipt)
        if self._waiting:
            self._send()

    def _fail_waiting_too(self, error: RedisError) -> None:
        """With the connection lost, those that gathered meanwhile need not wait for a second time-out."""
        if self._wire is None or not self._wire.is_open:
            waiting, self._waiting = self._waiting, []
            _fail(waiting, error)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self._wire = await open_wire(connections.async_client(), PATIENCE_SECONDS)
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            waiting, self._waiting = self._waiting, []
            _fail(waiting, error)
            return
        finally:
            self._opening = None
        self._send()

    def _next_group(self) -> list[Waiting]:
        size = n = 0
        while n < len(self._waiting) and (n == 0 or size + self._size(n) <= JOBS_A_CALL):
            size += self._size(n)
            n += 1
        group, self._waiting = self._waiting[:n], self._waiting[n:]
        return group

    def _size(self, n: int) -> int:
        batch = self._waiting[n].prepared.batch
        return len(batch.jobs) + len(batch.heard)

    async def _flush(self) -> None:
        deadline = self._loop.time() + PATIENCE_SECONDS
        while (self._waiting or (self._wire is not None and self._wire.under_way)) and self._loop.time() < deadline:
            await asyncio.sleep(FLUSH_LOOK_SECONDS)

    async def close(self) -> None:
        """Have what was submitted answered first; whoever waits longer than PATIENCE_SECONDS is told Unavailable."""
        await self._flush()
        if self._opening is not None:
            await cancel(self._opening)
        waiting, self._waiting = self._waiting, []
        _fail(waiting, RedisError("this process is ending"))
        if self._wire is not None:
            self._wire.close()


def _fail(group: Iterable[Waiting], error: Exception) -> None:
    for waiting in group:
        if not waiting.receipt.done():
            waiting.receipt.set_exception(_unavailable(error))


def _unavailable(error: Exception) -> Unavailable:
    words = str(error)
    return Full(words) if isinstance(error, OutOfMemoryError) or words.startswith("FULL") else Unavailable(words)


_group_commit = PerLoop(GroupCommit, GroupCommit.close)


def dispatch_soon(batch: Batch) -> asyncio.Future[Receipt]:
    """Keep the batch together with those of concurrent callers on this loop; the future may fail with Unavailable.

    Raises TypeError when a payload is not JSON.
    """
    return _group_commit().submit(batch)


async def dispatch(batch: Batch) -> Receipt:
    """Keep the batch together with those of concurrent callers on this loop.

    Raises Unavailable, or TypeError when a payload is not JSON.
    """
    return await dispatch_soon(batch)


def dispatch_sync(batch: Batch) -> Receipt:
    """Keep the batch, from a thread. Raises Unavailable, or TypeError when a payload is not JSON."""
    group = [prepare(batch)]
    try:
        answers = replicas.run(connections.client(), TAKE.text, script_args(group))
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        raise _unavailable(error) from error
    return receipts(group, answers)[0]


def set_vip(tenant: str, is_vip: bool) -> None:
    """Have this tenant's jobs go one lane up, or no longer. Raises RedisError."""
    if is_vip:
        connections.client().sadd(VIP_KEY, tenant)
    else:
        connections.client().srem(VIP_KEY, tenant)
