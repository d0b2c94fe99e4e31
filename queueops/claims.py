"""A worker's exchange with the lanes: what ended is settled and free slots are filled, in one round trip."""

from __future__ import annotations

import contextlib
import logging
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings
from redis.asyncio import Redis as AsyncRedis

from queueops import moves
from queueops.deadletters import rq_now
from queueops.keys import new_id
from queueops.runner import Claimed, Settled

logger = logging.getLogger(__name__)

# Until when a claim or a heartbeat vouches for a job. Nobody vouches for one whose claim was never heard of, because
# the connection broke: `recovery` brings it back after this time.
VOUCH_SECONDS = 60.0


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
        async with self._redis.pipeline(transaction=False) as pipeline:
            if ended:
                pipeline.eval(moves.SETTLE, 0, *self._settle_args(ended))
            if free > 0:
                pipeline.eval(moves.CLAIM, 0, *self._claim_args(free))
            answers = await pipeline.execute()
        if ended and answers[0]:
            logger.warning("action=executions_lost worker=%s n=%d", self._worker, answers[0])
        claimed = [_claimed(row) for row in answers[bool(ended)]] if free > 0 else []
        self.total += len(claimed)
        return claimed

    async def vouch(self, jobs: Iterable[Claimed]) -> None:
        """Say that these are still running."""
        now = time.time()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for job in jobs:
                member = f"{job.id}:{job.execution}"
                pipeline.zadd(f"rq:wip:{job.lane}", {member: now + VOUCH_SECONDS}, xx=True)
                pipeline.hset(f"rq:execution:{member}", "last_heartbeat", f"{now:.3f}")
                pipeline.expire(f"rq:execution:{member}", int(VOUCH_SECONDS) + 60)
            await pipeline.execute()

    def _settle_args(self, ended: Sequence[Settled]) -> list[Any]:
        args: list[Any] = [self._worker, rq_now(), len(ended)]
        for one in ended:
            args += (one.how, one.job.lane, one.job.id, one.job.execution, one.detail, one.attempts)
        return args

    def _claim_args(self, free: int) -> list[Any]:
        now = time.time()
        head = [free, rq_now(), f"{now:.3f}", f"{now + VOUCH_SECONDS:.3f}", self._worker]
        return [*head, self._execution_prefix, self.total + 1, *self._lanes]


def _claimed(row: list[bytes]) -> Claimed:
    lane, job_id, execution, data, timeout, attempts, dispatched = row
    seconds = float(timeout or settings.QUEUE_JOB_TIMEOUT_SECONDS)
    with contextlib.suppress(zlib.error):
        data = zlib.decompress(data)  # RQ's scheduler compresses the data of what it enqueues
    return Claimed(lane.decode(), job_id.decode(), execution.decode(), data, seconds, int(attempts), bool(dispatched))
