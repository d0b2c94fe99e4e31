"""The worker that `manage.py rqworker` runs: RQ's in everything that others see, our own in claim, run and settle.

The loop, in steps:
1. Settle what has ended and claim as many jobs as there are free slots, over all lanes, in one round trip.
   Claiming is one Lua call (`moves.CLAIM`): popped and registered as started in the same instant, so that a kill at
   any moment loses nothing.
2. Start the claimed jobs as tasks on the loop.
3. If nothing was settled or claimed, wait for the end of a job, a new one in a lane, or a signal.

RQ's own, unchanged: birth and death, names, heartbeat hash, suspend and resume, the scheduler, the registries' upkeep,
commands over pub/sub, `--burst`, `--max-jobs`, `--max-idle-time`. RQ's own claim is not crash-safe on several queues
(rq#2236), and its workers run one job at a time; see docs/adr/0006-our-rq-worker.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import uvloop
from django.conf import settings
from django.utils.module_loading import import_string
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.queue import Queue
from rq.serializers import JSONSerializer
from rq.suspension import WORKERS_SUSPENDED
from rq.timeouts import TimerDeathPenalty
from rq.worker import BaseWorker, WorkerStatus

from queueops import connections, database, loops
from queueops.claims import Claims
from queueops.runner import Claimed, Settled, run
from queueops.scheduler import LaneScheduler
from queueops.upkeep import Upkeep

STOP_SECONDS = 30.0
IDLE_SECONDS = 5
AWAY_SECONDS = 1.0


class LaneWorker(BaseWorker):
    """Claims from several lanes at once and runs up to QUEUE_CONCURRENCY jobs on one event loop."""

    # Foreign jobs run in threads, where RQ's usual time-out, a signal, does not work.
    death_penalty_class = TimerDeathPenalty

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        # The serializer must be the same on queue and worker, or every job fails: it is not left to the caller.
        kwargs["serializer"] = JSONSerializer
        super().__init__(queues, *args, **kwargs)
        for queue in self.queues:
            queue.serializer = JSONSerializer
        self.log_result_lifespan = False
        self.concurrency: int = settings.QUEUE_CONCURRENCY
        self._running: dict[asyncio.Task[Settled | None], Claimed] = {}
        self._ended: list[Settled] = []
        self._ended_total = 0
        self._max_jobs: int | None = None
        self._burst = False
        self._max_idle_time: int | None = None
        self._stopping = False
        self._stop_now = asyncio.Event()
        self._stop_requested_at: float | None = None
        self._suspended = False
        self._suspension_seen_at = 0.0

    # --- RQ's interface ----------------------------------------------------------------------------------------------

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = True,
        **kwargs: Any,
    ) -> bool:
        """Work until stopped (or, with `burst`, until the lanes are empty); whether any job was run."""
        self._burst, self._max_jobs, self._max_idle_time = burst, max_jobs, max_idle_time
        for path in settings.QUEUE_PRELOAD:
            import_string(path)
        self.bootstrap(logging_level)
        try:
            if with_scheduler:
                self._start_scheduler(burst, logging_level)
            uvloop.run(self._main())
        finally:
            with _deaf_to_signals():
                self.teardown()
                database.close()
        return self._ended_total > 0

    def _start_scheduler(
        self, burst: bool = False, logging_level: str | None = "INFO", *args: Any, **kwargs: Any
    ) -> None:
        """As RQ's, with our scheduler."""
        level = self.log.level if logging_level is None else logging_level
        scheduler = LaneScheduler(
            self.queues, connection=self.connection, logging_level=level, serializer=self.serializer
        )
        self.scheduler = scheduler
        if not scheduler.acquire_locks():
            return
        if not burst:
            scheduler.start()
            return
        try:
            scheduler.register_birth()
            scheduler.enqueue_scheduled_jobs()
        finally:
            scheduler.release_locks()
            scheduler.register_death()

    def teardown(self) -> None:
        # RQ's own registers the death even when Redis is away, and then raises: there is nothing left to do about it.
        with contextlib.suppress(RedisError):
            super().teardown()

    # --- The loop ----------------------------------------------------------------------------------------------------

    async def _main(self) -> None:
        self._redis: AsyncRedis = connections.async_client()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle_since = time.monotonic()
        self._claims = Claims(self._redis, self.name, self.queue_names())
        self._install_loop_signals()
        upkeep = Upkeep(self, self._claims, self._redis, self._in_flight, lambda: self._ended_total)
        listeners = (self._listen(queue) for queue in self.queues)
        async with self._beside(upkeep.heartbeats(), upkeep.maintenance(), upkeep.metrics_lines(), *listeners):
            while not self._is_over():
                await self._step()
            await self._finish_running()
        await loops.close_all()

    def _in_flight(self) -> list[Claimed]:
        return list(self._running.values())

    def _is_over(self) -> bool:
        if self._stopping:
            return True
        if self._max_jobs is not None and self._claims.total >= self._max_jobs:
            return True
        idle_for = time.monotonic() - self._idle_since
        return self._max_idle_time is not None and not self._running and idle_for >= self._max_idle_time

    async def _step(self) -> None:
        self._wake.clear()
        if await self._is_suspended():
            await self._rest()
            return
        free = self.concurrency - len(self._running)
        if self._max_jobs is not None:
            free = min(free, self._max_jobs - self._claims.total)
        try:
            settled, claimed = await self._exchange(free)
        except (RedisError, OSError) as error:
            self.log.error("action=redis_away worker=%s error=%s retry_in=%.0f", self.name, error, AWAY_SECONDS)
            await asyncio.sleep(AWAY_SECONDS)
            return
        if claimed:
            self._idle_since = time.monotonic()
        elif self._burst and not self._running and not self._ended:
            self._stopping = True
        elif not settled:
            await self._rest(listen=free > 0)

    async def _rest(self, listen: bool = False) -> None:
        """Wait until a job ends, a lane has work (when `listen`), a signal comes, or some seconds have passed."""
        if listen:
            self._idle.set()
            if not self._running:
                with contextlib.suppress(RedisError, OSError):
                    await self._redis.hset(self.key, "state", WorkerStatus.IDLE.value)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(IDLE_SECONDS, self._max_idle_time or IDLE_SECONDS)):
                await self._wake.wait()
        self._idle.clear()

    async def _exchange(self, free: int) -> tuple[int, int]:
        """Settle what has ended and fill free slots; how many of each."""
        ended, self._ended = self._ended, []
        try:
            claimed = await self._claims.exchange(ended, free)
        except (RedisError, OSError):
            self._ended = ended + self._ended
            raise
        for job in claimed:
            self._start(job)
        return len(ended), len(claimed)

    def _start(self, job: Claimed) -> None:
        coroutine = run(job) if job.dispatched else self._run_foreign(job)
        task: asyncio.Task[Settled | None] = asyncio.create_task(coroutine)
        self._running[task] = job
        task.add_done_callback(self._job_ended)

    def _job_ended(self, task: asyncio.Task[Settled | None]) -> None:
        job = self._running.pop(task)
        self._ended_total += 1
        self._wake.set()  # first: a slot is free even if what follows raises
        settled = Settled(job, "back") if task.cancelled() else task.result()
        if settled is not None:
            self._ended.append(settled)

    async def _run_foreign(self, job: Claimed) -> None:
        """A job that somebody enqueued with RQ itself: RQ's own way, in a thread, with its results and callbacks."""
        await asyncio.to_thread(self._perform_as_rq_does, job)

    def _perform_as_rq_does(self, job: Claimed) -> None:
        rq_job = RQJob.fetch(job.id, connection=self.connection, serializer=JSONSerializer)
        execution = Execution(id=job.execution, job_id=job.id, connection=self.connection, worker_name=self.name)
        queue = next(queue for queue in self.queues if queue.name == job.lane)
        self.perform_job(rq_job, queue, execution)

    # --- Stopping ----------------------------------------------------------------------------------------------------

    def _install_loop_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)

    def _told_to_stop(self) -> None:
        """First signal: take nothing new and finish what is in flight. Second, a second later or more: now."""
        now = time.monotonic()
        if self._stop_requested_at is None:
            self._stop_requested_at = now
            self.log.info("action=stopping worker=%s in_flight=%d", self.name, len(self._running))
        elif now - self._stop_requested_at >= 1:
            # A pool and a terminal both send Ctrl-C to a worker: two at once are one.
            self._stop_now.set()
        self._stopping = True
        self._wake.set()

    async def _finish_running(self) -> None:
        """Let the jobs in flight end, within STOP_SECONDS; give the rest back to their lanes."""
        deadline = time.monotonic() + STOP_SECONDS
        while self._running and time.monotonic() < deadline and not self._stop_now.is_set():
            self._wake.clear()
            await self._rest()
            await self._settle_until_done()
        await loops.cancel(*self._running)
        await self._settle_until_done()

    async def _settle_until_done(self) -> None:
        for _ in range(3):
            with contextlib.suppress(RedisError, OSError):
                await self._exchange(0)
                return
            await asyncio.sleep(AWAY_SECONDS)
        self.log.error("action=unsettled worker=%s n=%d", self.name, len(self._ended))

    # --- Beside the loop ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _beside(self, *coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        try:
            yield
        finally:
            await loops.cancel(*tasks)

    async def _listen(self, queue: Queue) -> None:
        """While the worker rests: notice at once that this lane has a job, whoever put it there, without taking it.

        Moving a list's head onto its own head changes nothing, and blocks while the list is empty.
        """
        while True:
            await self._idle.wait()
            try:
                found = await self._redis.blmove(queue.key, queue.key, IDLE_SECONDS, "LEFT", "LEFT")
            except (RedisError, OSError):
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if found and self._idle.is_set():
                self._idle.clear()
                self._wake.set()

    async def _is_suspended(self) -> bool:
        now = time.monotonic()
        if now - self._suspension_seen_at >= 1:
            self._suspension_seen_at = now
            with contextlib.suppress(RedisError, OSError):
                self._suspended = bool(await self._redis.exists(WORKERS_SUSPENDED))
        if self._suspended and self._burst:
            self._stopping = True
        return self._suspended


@contextlib.contextmanager
def _deaf_to_signals() -> Iterator[None]:
    """Nothing is in flight any more: a further signal must not cut off the registration of the worker's death."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
