"""The worker that `manage.py rqworker` runs: RQ's in everything that others see, our own in claim, run and settle.

The loop, in steps:
1. Settle what has ended and claim as many jobs as there are free slots, over all lanes, in one round trip
   (`exchanges`). It is one Lua call (`moves.EXCHANGE`): a job is popped and registered as started in the same instant,
   so that a kill at any moment loses nothing.
2. Start the claimed jobs as tasks on the loop (`slots`), while the next exchange is under way.
3. When there is nothing to settle or to claim, wait for the end of a job, a new one in a lane, or a signal.

RQ's own, unchanged: birth and death, names, heartbeat hash, suspend and resume, the scheduler, the registries' upkeep,
commands over pub/sub, `--burst`, `--max-jobs`, `--max-idle-time`. RQ's own claim is not crash-safe on several queues
(rq#2236), and its workers run one job at a time; see docs/adr/0006-our-rq-worker.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import uvloop
from django.conf import settings
from django.utils.module_loading import import_string
from redis.exceptions import RedisError
from rq.command import parse_payload
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from queueops import connections, database, garbage, loops, metrics, runner
from queueops.claims import Claims
from queueops.exchanges import Exchanges
from queueops.foreign import Foreign, Penalty
from queueops.scheduler import LaneScheduler
from queueops.slots import Room, Slots
from queueops.understudy import Understudy
from queueops.upkeep import Upkeep

STOP_SECONDS = 30.0
STOP_COMMANDS = frozenset({"stop-job", "stop-execution"})


class LaneWorker(BaseWorker):
    """Claims from several lanes at once and runs up to QUEUE_CONCURRENCY jobs on one event loop."""

    # Foreign jobs run in threads, where RQ's usual time-out, a signal, does not work.
    death_penalty_class = Penalty

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        # The serializer must be the same on queue and worker, or every job fails: it is not left to the caller.
        kwargs["serializer"] = JSONSerializer
        super().__init__(queues, *args, **kwargs)
        for queue in self.queues:
            queue.serializer = JSONSerializer
        self.log_result_lifespan = False
        self.concurrency: int = settings.QUEUE_CONCURRENCY
        self._foreign = Foreign(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._stop_requested_at: float | None = None
        self._stop_now = False
        self._stopped_jobs: set[str] = set()
        self._stopped_lock = threading.Lock()

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
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._told_too_soon)
        for path in settings.QUEUE_PRELOAD:
            import_string(path)
        self.bootstrap(logging_level)
        garbage.collect_rarely()
        loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        try:
            if with_scheduler:
                self._start_scheduler(burst, logging_level)
            worked = loop.run(self._main(burst, max_jobs, max_idle_time))
        finally:
            with _deaf_to_signals():
                self.teardown()
                if self._left_behind():
                    self._leave()
                loop.close()
                database.close()
        return worked

    def _start_scheduler(
        self, burst: bool = False, logging_level: str | None = "INFO", *args: Any, **kwargs: Any
    ) -> None:
        """As RQ's, with our scheduler."""
        level = self.log.level if logging_level is None else logging_level
        scheduler = LaneScheduler(
            self.queues, connection=self.connection, logging_level=level, serializer=self.serializer
        )
        if not burst:
            self.scheduler = scheduler  # `queueops.upkeep` keeps it alive
            scheduler.keep_alive()
            return
        if not scheduler.acquire_locks():
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

    def stop_scheduler(self) -> None:
        if isinstance(self.scheduler, LaneScheduler):
            self.scheduler.end()

    def handle_payload(self, message: Any) -> None:
        """A command over pub/sub, in RQ's thread: a job is stopped on our loop, the rest is RQ's."""
        payload = parse_payload(message)
        if payload["command"] not in STOP_COMMANDS:
            super().handle_payload(message)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop_job, str(payload.get("job_id", "")))

    def _stop_job(self, job_id: str) -> None:
        self._stopped_jobs.add(job_id)  # first: a thread that is told looks at it at once
        foreign = Penalty.stop(job_id)
        if not foreign:
            self._stopped_jobs.discard(job_id)
        if foreign or self._slots.stop(job_id):
            self.log.warning("action=job_stopped worker=%s job=%s", self.name, job_id)
        else:
            self.log.warning("action=job_not_running worker=%s job=%s", self.name, job_id)

    def handle_job_failure(self, job: RQJob, *args: Any, **kwargs: Any) -> None:
        """RQ's own, which knows of one stopped job at a time."""
        if job.id not in self._stopped_jobs:
            super().handle_job_failure(job, *args, **kwargs)
            return
        with self._stopped_lock:
            self._stopped_jobs.discard(job.id)
            self._stopped_job_id = job.id
            super().handle_job_failure(job, *args, **kwargs)

    # --- The loop ----------------------------------------------------------------------------------------------------

    async def _main(self, burst: bool, max_jobs: int | None, max_idle_time: int | None) -> bool:
        """Whether any job was claimed."""
        redis = connections.async_client()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._claims = Claims(redis, self.name, self.queue_names())
        self._room = Room(self.concurrency, self._changed.set)
        self._slots = Slots(self._room, self._foreign.run)
        exchanges = Exchanges(redis, self._claims, self._slots, self._changed, max_jobs)
        upkeep = Upkeep(self, self._claims, self._slots)
        understudy = Understudy(self.name, self.queue_names(), self._room)
        self._install_loop_signals()
        keeping = (
            upkeep.heartbeats(),
            upkeep.maintenance(),
            upkeep.inspections(),
            upkeep.metrics_lines(),
            upkeep.alerts(),
            upkeep.rollups(),
            upkeep.causes(),
            upkeep.operations(),
        )
        listeners = (exchanges.listen(lane) for lane in self.queue_names())
        async with _beside(*keeping, self._slots.sweep(), exchanges.look(), understudy.attend(), *listeners):
            while not (self._stopping or self._has_finished(exchanges, burst, max_idle_time)):
                self._changed.clear()
                exchanges.begin()
                await self._changed.wait()
            await asyncio.gather(self._finish_running(exchanges), understudy.finish(self._must_go))
        await upkeep.metrics_line()
        await loops.close_all()
        return self._claims.total > 0

    def _has_finished(self, exchanges: Exchanges, burst: bool, max_idle_time: int | None) -> bool:
        if exchanges.exhausted or (burst and (exchanges.quiet or exchanges.suspended)):
            return True
        return max_idle_time is not None and time.monotonic() - exchanges.idle_since >= max_idle_time

    # --- Stopping ----------------------------------------------------------------------------------------------------

    def _install_loop_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)

    def _told_too_soon(self, *signal_and_frame: Any) -> None:
        """Before there is a loop: it will end as soon as it has begun, and the worker's birth be undone in order."""
        self._stop_requested_at = time.monotonic()
        self._stopping = True

    def _told_to_stop(self) -> None:
        """First signal: take nothing new and finish what is in flight. Second, a second later or more: now."""
        now = time.monotonic()
        if self._stop_requested_at is None:
            self._stop_requested_at = now
            self.log.info("action=stopping worker=%s in_flight=%d", self.name, len(self._slots.running))
        elif now - self._stop_requested_at >= 1:
            # A pool and a terminal both send Ctrl-C to a worker: two at once are one.
            self._stop_now = True
        self._stopping = True
        self._room.close()
        self._changed.set()

    async def _finish_running(self, exchanges: Exchanges) -> None:
        """Let the jobs in flight end, at most STOP_SECONDS when told to stop; give the rest back to their lanes."""
        exchanges.close()
        while self._slots.running and not self._must_go():
            self._changed.clear()
            exchanges.begin()
            await self._changed.wait()
        await self._slots.clear()
        await exchanges.settle()

    def _must_go(self) -> bool:
        if self._stop_requested_at is None:
            return False
        return self._stop_now or time.monotonic() - self._stop_requested_at >= STOP_SECONDS

    def _left_behind(self) -> bool:
        """Whether something still runs that could not be ended, and that the process would wait for."""
        return self._loop is not None and (bool(self._slots.running) or self._foreign.busy or runner.is_in_threads())

    def _leave(self) -> None:
        """End the process without waiting for it. Everything is settled: what still ran is back in its lane."""
        self.log.error("action=left_behind worker=%s", self.name)
        metrics.flush()
        logging.shutdown()
        os._exit(1)


@contextlib.asynccontextmanager
async def _beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await loops.cancel(*tasks)


@contextlib.contextmanager
def _deaf_to_signals() -> Iterator[None]:
    """Nothing is in flight any more: a further signal must not cut off the registration of the worker's death."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
