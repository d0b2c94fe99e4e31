"""What a worker does beside its jobs: say that it is alive, bring back what dead ones held, log how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError
from rq.worker import BaseWorker, WorkerStatus

from queueops import (
    alerting,
    cause_counts,
    connections,
    database,
    inspection,
    ledger,
    metrics,
    outage,
    recovery,
    rollups,
    slices,
)
from queueops.claims import Claims
from queueops.rq_jobs import rq_now
from queueops.slots import Slots

logger = logging.getLogger("rq.worker")

RECOVER_SECONDS = 10.0
INSPECT_SECONDS = 60.0
METRICS_LINE_SECONDS = 60.0
SHOW_SECONDS = 1.0
OPERATIONS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Since the worker's birth. at: on the monotonic clock."""

    at: float
    done: int
    failed: int
    hits: int
    misses: int

    def since(self, before: Counts) -> str:
        """The difference, in words for the log."""
        done, failed = self.done - before.done, self.failed - before.failed
        hits, misses = self.hits - before.hits, self.misses - before.misses
        rate = (done + failed) / max(self.at - before.at, 0.001)
        hit_rate = f"{hits / (hits + misses):.3f}" if hits + misses else "-"
        return f"done={done} failed={failed} rate={rate:.1f}/s cache_hit_rate={hit_rate}"


def _memory_bytes() -> int:
    """What this process has in memory now, as Linux counts it; 0 where nobody says."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


class Upkeep:
    """One worker's."""

    def __init__(self, worker: BaseWorker, claims: Claims, slots: Slots) -> None:
        self._worker = worker
        self._claims = claims
        self._slots = slots
        self._counted = self._count()

    async def heartbeats(self) -> None:
        """Vouch for the worker and for every job in flight; others take silence for death (`recovery`)."""
        while True:
            with contextlib.suppress(RedisError, OSError):
                await self._beat()
            until = time.monotonic() + recovery.HEARTBEAT_SECONDS
            while time.monotonic() < until:
                await asyncio.sleep(SHOW_SECONDS)
                with contextlib.suppress(RedisError, OSError):
                    await self._show()

    async def _show(self) -> None:
        """Jobs that have been in flight for a while get their execution's hash, for django-rq's page of started jobs.

        Not all of them at once: most are over before anybody could look.
        """
        since = time.time() - SHOW_SECONDS
        await self._claims.vouch(
            [job for job in self._slots.running.values() if not job.vouched and job.claimed_at <= since]
        )

    async def _beat(self) -> None:
        jobs = list(self._slots.running.values())
        at_work = WorkerStatus.BUSY if jobs else WorkerStatus.IDLE
        self._claims.state = (WorkerStatus.SUSPENDED if self._claims.suspended else at_work).value
        # Written whole: a worker that was cut off for longer than its hash lived comes back complete.
        state: dict[Any, Any] = {
            **self._worker.serialize(),
            "last_heartbeat": rq_now(),
            "alive_at": f"{time.time():.3f}",
            "in_flight": len(jobs),
            "concurrency": self._slots.room.number,
            "state": self._claims.state,
            "database": "away" if outage.watch().is_away else "",
            "release": settings.VERSION,
            "memory_bytes": _memory_bytes(),
        }
        await self._claims.beat(state, self._worker.worker_ttl + 60)
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
        redis = connections.client()
        back = recovery.recover(redis).back
        if any(back.values()):
            logger.warning("action=jobs_recovered %s", " ".join(f"{lane}={n}" for lane, n in back.items()))
        self._keep_scheduler()
        if self._worker.should_run_maintenance_tasks:
            self._worker.run_maintenance_tasks()

    def _keep_scheduler(self) -> None:
        """RQ's own looks after it every ten minutes, for which no retry would come."""
        scheduler = self._worker.scheduler
        if scheduler is not None and scheduler.keep_alive():
            logger.warning("action=scheduler_started worker=%s", self._worker.name)

    async def inspections(self) -> None:
        """Look whether every job is where it says it is, a part each time; one worker at a time does."""
        await self._repeat(
            "inspection",
            lambda: INSPECT_SECONDS,
            lambda: database.run(inspection.turn, connections.client(), self._worker.name),
        )

    async def rollups(self) -> None:
        """Soon after each minute's end have it kept in the database; whichever worker is the first does."""
        await self._repeat(
            "rollup",
            lambda: rollups.seconds_to_next(time.time()),
            lambda: database.run(rollups.keep, connections.client(), time.time()),
        )

    async def causes(self) -> None:
        """Count the open letters by cause while they are too many to be counted by who looks; one worker does."""
        await self._repeat(
            "cause_count",
            lambda: cause_counts.EVERY_SECONDS,
            lambda: asyncio.to_thread(cause_counts.turn_of_thread),
        )

    async def operations(self) -> None:
        """Go on with what operators ordered for many dead letters, a slice at a time."""
        await self._repeat("operations", lambda: OPERATIONS_SECONDS, self._carry_out)

    async def _carry_out(self) -> None:
        while await database.run(slices.turn):
            pass  # one that is due again only later is none

    async def _repeat(self, name: str, pause: Callable[[], float], step: Callable[[], Awaitable[object]]) -> None:
        """The step after each pause (s), for ever; what Redis or the database being away does to it is said."""
        while True:
            await asyncio.sleep(pause())
            try:
                await step()
            except (RedisError, OSError, DatabaseError, InterfaceError) as error:
                logger.warning("action=%s_failed worker=%s error=%s", name, self._worker.name, error)

    async def alerts(self) -> None:
        """Look for what is wrong, and tell whoever is to know; one process at a time does."""
        while True:
            await asyncio.sleep(alerting.LOOK_SECONDS)
            await asyncio.to_thread(alerting.turn_of_thread, f"worker {self._worker.name}", alerting.TAKE_SECONDS)

    async def metrics_lines(self) -> None:
        """Once a minute one line that says how it goes."""
        while True:
            await asyncio.sleep(METRICS_LINE_SECONDS)
            await self.metrics_line()

    async def metrics_line(self) -> None:
        """What happened since the last one."""
        if not settings.QUEUE_ENABLE_METRICS:
            return
        before, self._counted = self._counted, self._count()
        with contextlib.suppress(RedisError, OSError):
            lanes = (await asyncio.to_thread(ledger.read, connections.client())).lanes
            waiting = " ".join(f"{lane}={counts.waiting}" for lane, counts in lanes.items())
            line = "QUEUE METRICS %s in_flight=%d waiting: %s"
            logger.info(line, self._counted.since(before), len(self._slots.running), waiting)

    def _count(self) -> Counts:
        hits, misses = (metrics.here(name) for name in ("cache_hit", "cache_miss"))
        return Counts(time.monotonic(), self._slots.done, self._slots.failed, hits, misses)
