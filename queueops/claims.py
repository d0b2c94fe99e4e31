"""A worker's exchange with the lanes: what ended is settled and free slots are filled, in one round trip."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE

from queueops import moves
from queueops.deadletters import rq_now
from queueops.keys import new_id
from queueops.recovery import VOUCH_SECONDS
from queueops.runner import Claimed, Settled

logger = logging.getLogger(__name__)

SETTLE_SHA = hashlib.sha1(moves.SETTLE.encode(), usedforsecurity=False).hexdigest()
CLAIM_SHA = hashlib.sha1(moves.CLAIM.encode(), usedforsecurity=False).hexdigest()


class Claims:
    """One worker's claims; every execution gets an id of its own."""

    def __init__(self, redis: AsyncRedis, worker: str, lanes: Sequence[str]) -> None:
        self._redis = redis
        self._worker = worker
        self._lanes = lanes
        self._execution_prefix = new_id().hex
        self.total = 0

    async def exchange(self, ended: Sequence[Settled], free: int) -> list[Claimed]:
        """Settle `ended`, claim up to `free` jobs. Raises RedisError; then all of it may be done once more.

        Settling again does nothing to a job that is no longer this execution's.
        """
        if not ended and free <= 0:
            return []
        try:
            answers = await self._round_trip(ended, free)
        except NoScriptError:  # the first time, or the server was restarted: then neither script has run
            for script in (moves.SETTLE, moves.CLAIM):
                await self._redis.script_load(script)
            answers = await self._round_trip(ended, free)
        if ended and answers[0]:
            logger.warning("action=executions_lost worker=%s n=%d", self._worker, answers[0])
        claimed = [_claimed(row) for row in answers[bool(ended)]] if free > 0 else []
        self.total += len(claimed)
        return claimed

    async def _round_trip(self, ended: Sequence[Settled], free: int) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            if ended:
                pipeline.evalsha(SETTLE_SHA, 0, *self._settle_args(ended))
            if free > 0:
                pipeline.evalsha(CLAIM_SHA, 0, *self._claim_args(free))
            return list(await pipeline.execute())

    async def vouch(self, jobs: Iterable[Claimed]) -> None:
        """Say that these are still running."""
        now = time.time()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for job in jobs:
                member = f"{job.id}:{job.execution}"
                execution: dict[Any, Any] = {
                    "id": job.execution,
                    "job_id": job.id,
                    "worker_name": self._worker,
                    "created_at": f"{job.claimed_at:.3f}",
                    "last_heartbeat": f"{now:.3f}",
                }
                pipeline.zadd(f"rq:wip:{job.lane}", {member: now + VOUCH_SECONDS}, xx=True)
                pipeline.hset(f"rq:execution:{member}", mapping=execution)
                pipeline.expire(f"rq:execution:{member}", int(VOUCH_SECONDS) + 60)
                pipeline.sadd(WORKER_EXECUTIONS_KEY_TEMPLATE.format(self._worker), member)
            await pipeline.execute()

    def _settle_args(self, ended: Sequence[Settled]) -> list[Any]:
        rows = [(one.how, one.job.lane, one.job.id, one.job.execution, one.detail, one.attempts) for one in ended]
        return [self._worker, rq_now(), orjson.dumps(rows)]

    def _claim_args(self, free: int) -> list[Any]:
        head = [free, rq_now(), f"{time.time() + VOUCH_SECONDS:.3f}", self._worker]
        return [*head, self._execution_prefix, self.total + 1, *self._lanes]


def _claimed(row: list[bytes]) -> Claimed:
    lane, job_id, execution, data, timeout, attempts, dispatched = row
    seconds = float(timeout or settings.QUEUE_JOB_TIMEOUT_SECONDS)
    if not data.startswith(b"["):  # RQ's scheduler compresses the data of what it enqueues
        with contextlib.suppress(zlib.error):
            data = zlib.decompress(data)
    return Claimed(lane.decode(), job_id.decode(), execution.decode(), data, seconds, int(attempts), bool(dispatched))
