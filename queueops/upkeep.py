"""What a worker does beside its jobs: say that it is alive, bring back what dead ones held, log how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE
from rq.worker import BaseWorker, WorkerStatus

from queueops import connections, ledger, recovery
from queueops.claims import Claims
from queueops.deadletters import rq_now
from queueops.runner import Claimed

logger = logging.getLogger("rq.worker")

RECOVER_SECONDS = 10.0
METRICS_LINE_SECONDS = 60.0


class Upkeep:
    """One worker's; `running` answers the jobs in flight, `done` how many have ended since its birth."""

    def __init__(
        self,
        worker: BaseWorker,
        claims: Claims,
        redis: AsyncRedis,
        running: Callable[[], list[Claimed]],
        done: Callable[[], int],
    ) -> None:
        self._worker = worker
        self._claims = claims
        self._redis = redis
        self._running = running
        self._done = done

    async def heartbeats(self) -> None:
        """Vouch for the worker and for every job in flight; others take silence for death (`recovery`)."""
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._beat()
            await asyncio.sleep(recovery.HEARTBEAT_SECONDS)

    async def _beat(self) -> None:
        jobs = self._running()
        # Written whole: a worker that was cut off for longer than its hash lived comes back complete.
        state: dict[Any, Any] = {
            **self._worker.serialize(),
            "last_heartbeat": rq_now(),
            "alive_at": f"{time.time():.3f}",
            "in_flight": len(jobs),
            "concurrency": settings.QUEUE_CONCURRENCY,
            "state": (WorkerStatus.BUSY if jobs else WorkerStatus.IDLE).value,
        }
        ttl = self._worker.worker_ttl + 60
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._worker.key, mapping=state)
            pipeline.expire(self._worker.key, ttl)
            pipeline.expire(WORKER_EXECUTIONS_KEY_TEMPLATE.format(self._worker.name), ttl)
            pipeline.sadd(self._worker.redis_workers_keys, self._worker.key)
            await pipeline.execute()
        await self._claims.vouch(jobs)

    async def maintenance(self) -> None:
        """Bring back what dead workers held, and see to RQ's own registries."""
        while True:
            try:
                await asyncio.to_thread(self._maintain)
            except (RedisError, OSError) as error:
                logger.warning("action=upkeep_failed worker=%s error=%s", self._worker.name, error)
            await asyncio.sleep(RECOVER_SECONDS)

    def _maintain(self) -> None:
        back = recovery.recover(connections.client())
        if any(back.values()):
            logger.warning("action=jobs_recovered %s", " ".join(f"{lane}={n}" for lane, n in back.items()))
        if self._worker.should_run_maintenance_tasks:
            self._worker.run_maintenance_tasks()

    async def metrics_lines(self) -> None:
        """Once a minute one line that says how it goes."""
        before = self._done()
        while settings.QUEUE_ENABLE_METRICS:
            await asyncio.sleep(METRICS_LINE_SECONDS)
            done, before = self._done() - before, self._done()
            with contextlib.suppress(RedisError, OSError):
                lanes = (await asyncio.to_thread(ledger.read, connections.client())).lanes
                waiting = " ".join(f"{lane}={counts.waiting}" for lane, counts in lanes.items())
                line = "QUEUE METRICS done=%d rate=%.1f/s in_flight=%d waiting: %s"
                logger.info(line, done, done / METRICS_LINE_SECONDS, len(self._running()), waiting)
