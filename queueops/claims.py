"""A worker's exchange with the lanes: what ended is settled and free slots are filled, in one round trip."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from rq.worker import WorkerStatus

from queueops import moves, shares
from queueops.recovery import VOUCH_SECONDS
from queueops.rq_jobs import rq_now
from queueops.runner import Claimed, Settled
from queueops.wire import Line, Script

logger = logging.getLogger(__name__)

# Keeps one script at some 10 ms, and what it hands to one command below Lua's limit of some 8,000 values.
JOBS_AN_EXCHANGE = 1000
# A Redis that has not answered by then is away: what waits in the database is worked on meanwhile. What a claim took
# whose answer never came goes back to its lane when nobody vouches for it (`recovery`).
ANSWER_SECONDS = 5.0

EXCHANGE, BEAT, VOUCH = (Script.of(text) for text in (moves.EXCHANGE, moves.BEAT, moves.VOUCH))


class Claims:
    """One worker's claims; every execution gets an id of its own.

    total: how many jobs were claimed. state: what the worker's hash says, "" when that is not known. closed: the lanes
    of which nothing may be claimed, as the last exchange saw it.
    """

    def __init__(self, redis: AsyncRedis, worker: str, lanes: Sequence[str]) -> None:
        self._line = Line(redis, ANSWER_SECONDS)
        self._worker = worker
        self._lanes = lanes
        self._execution_prefix = secrets.token_hex(8)
        self._asked = 0
        self.state = ""
        self.total = 0
        self.closed: frozenset[str] = frozenset()

    @property
    def suspended(self) -> bool:
        """Whether nothing at all may be claimed."""
        return self.closed.issuperset(self._lanes)

    async def exchange(self, ended: Sequence[Settled], free: int, quiet: bool = False) -> list[Claimed]:
        """Settle `ended`, claim up to `free` jobs; at most JOBS_AN_EXCHANGE of either. Raises RedisError.

        quiet: nothing else of this worker is in flight. After an error all of it may be done once more: settling again
        does nothing to a job that is no longer this execution's. Exchanges may overlap.
        """
        states = [self._change(_state(claimed, quiet)) for claimed in (True, False)]
        if quiet:
            self.state = ""  # one that goes out before this one is back must not rely on it
        total = self.total
        answer = await self._line.run(EXCHANGE, *self._arguments(ended, free, states))
        is_latest = total == self.total  # otherwise a claim may have come after this one, and be back before it
        claimed = self._taken(answer)
        state = WorkerStatus.SUSPENDED.value if self.suspended else _state(bool(claimed), quiet)
        self.state = state if is_latest else ""
        return claimed

    async def behind(self, wait: tuple[Any, ...], line: Line, free: int) -> tuple[Any, list[Claimed]]:
        """A waiting command's answer, or its RedisError; and up to `free` claims, made the moment that it is over.

        line: one that nobody else uses meanwhile. Raises RedisError.
        """
        answer, taken = await line.run_behind(wait, EXCHANGE, *self._arguments((), free, [_state(True, False), ""]))
        self.state = ""  # other exchanges have come and gone meanwhile
        return answer, self._taken(taken)

    async def end_wait(self, connection: int) -> None:
        """Have what waits on this connection of ours wait no longer. Raises RedisError."""
        await self._line.send("CLIENT", "UNBLOCK", connection)

    def _taken(self, answer: list[Any]) -> list[Claimed]:
        lost, closed, rows = answer
        if lost:
            logger.warning("action=executions_lost worker=%s n=%d", self._worker, lost)
        self.closed = frozenset(map(bytes.decode, closed))
        self.total += len(rows)
        at, started = time.time(), time.monotonic()
        return [_claimed(row, at, started) for row in rows]

    def _arguments(self, ended: Sequence[Settled], free: int, states: Sequence[str]) -> list[Any]:
        now = time.time()
        first, reserved = self._asked + 1, shares.reserved(self._lanes, free, self._asked)
        self._asked += free  # at once: the next exchange may go out before this one is back
        return [
            self._worker,
            rq_now(),
            f"{now:.3f}",
            f"{now + VOUCH_SECONDS:.3f}",
            orjson.dumps([_row(one) for one in ended]) if ended else "",
            free,
            *states,
            self._execution_prefix,
            first,
            " ".join(map(str, reserved)),
            *self._lanes,
        ]

    def _change(self, state: str) -> str:
        """What is to be written so that the worker's hash says `state`: nothing when it does."""
        return "" if state == self.state else state

    async def beat(self, state: Mapping[str, Any], ttl: int) -> None:
        """Say that the worker lives, and what its hash is to say of it for so many seconds. Raises RedisError."""
        fields = [value for field in state.items() for value in field]
        await self._line.run(BEAT, self._worker, ttl, *fields)

    async def vouch(self, jobs: Collection[Claimed]) -> None:
        """Say that these are still running. Raises RedisError."""
        if not jobs:
            return
        now = time.time()
        until, ttl = now + VOUCH_SECONDS, int(VOUCH_SECONDS) + 60
        arguments: list[Any] = [self._worker, f"{now:.3f}", rq_now(), f"{until:.3f}", ttl]
        for job in jobs:
            job.vouched = True
            arguments += (job.lane, job.id, job.execution, f"{job.claimed_at:.3f}")
        await self._line.run(VOUCH, *arguments)


def _state(claimed: bool, quiet: bool) -> str:
    return str((WorkerStatus.IDLE if quiet and not claimed else WorkerStatus.BUSY).value)


def _row(one: Settled) -> tuple[Any, ...]:
    job = one.job
    return (one.how, job.lane, job.id, job.execution, int(job.vouched), one.detail, one.attempts)


def _claimed(row: list[bytes], at: float, started: float) -> Claimed:
    lane, job_id, execution, data, timeout, attempts, dispatched = row
    seconds = float(timeout or settings.QUEUE_JOB_TIMEOUT_SECONDS)
    if data[:1] != b"[":  # RQ's scheduler compresses the data of what it enqueues
        with contextlib.suppress(zlib.error):
            data = zlib.decompress(data)
    return Claimed(
        lane.decode(), job_id.decode(), execution.decode(), data, seconds, int(attempts), bool(dispatched), at, started
    )
