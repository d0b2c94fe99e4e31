"""Jobs that somebody enqueued with RQ itself: RQ's own way, in a thread, with its results, callbacks and time-outs."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from typing import Any

from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job as RQJob
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.worker import BaseWorker

from queueops.runner import Claimed, Settled

logger = logging.getLogger("rq.worker")


class StoppedByOperator(BaseException):
    """Raised inside the function of a job that is told to stop. No Exception: a job must not take it for its own."""


class Penalty(TimerDeathPenalty):  # type: ignore[misc] # RQ's is not typed
    """RQ's time-out for threads, which also lets somebody else end the function that runs under it.

    Like the time-out, it takes effect when the function next executes Python, and not in the middle of a wait.
    """

    _lock = threading.Lock()
    _running: dict[str, Penalty] = {}  # one for the process: RQ makes the penalties itself

    def __init__(self, timeout: float, exception: type[BaseException], job_id: str = "", **kwargs: Any) -> None:
        super().__init__(timeout, exception, **kwargs)
        self._job_id = job_id

    def setup_death_penalty(self) -> None:
        with self._lock:
            self._running[self._job_id] = self
        super().setup_death_penalty()

    def cancel_death_penalty(self) -> None:
        with self._lock:
            self._running.pop(self._job_id, None)
        super().cancel_death_penalty()

    @classmethod
    def stop(cls, job_id: str) -> bool:
        """Raise StoppedByOperator in the job's function; whether it was running."""
        with cls._lock:  # so that it does not end meanwhile
            penalty = cls._running.get(job_id)
            if penalty is None:
                return False
            thread = ctypes.c_long(penalty._target_thread_id)
            return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(StoppedByOperator)))


class Foreign:
    """A worker's way to run them."""

    def __init__(self, worker: BaseWorker) -> None:
        self._worker = worker
        self._at_work: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a thread is still at it."""
        return bool(self._at_work)

    async def run(self, job: Claimed) -> Settled | bool:
        """A bool: RQ has settled it, and whether it succeeded.

        Raises RedisError; RQ's clean-up then finds it abandoned, because nobody vouches for it any more.
        """
        return await asyncio.to_thread(self._run, job)

    def _run(self, job: Claimed) -> Settled | bool:
        self._at_work.add(job.execution)
        try:
            return self._perform(job)
        finally:
            self._at_work.discard(job.execution)

    def _perform(self, job: Claimed) -> Settled | bool:
        worker = self._worker
        try:
            rq_job = RQJob.fetch(job.id, connection=worker.connection, serializer=JSONSerializer)
        except NoSuchJobError:  # deleted since it was claimed: nobody else would take its execution out
            logger.warning("action=job_gone job=%s lane=%s", job.id, job.lane)
            return Settled(job, "gone")
        execution = Execution(id=job.execution, job_id=job.id, connection=worker.connection, worker_name=worker.name)
        queue = next(queue for queue in worker.queues if queue.name == job.lane)
        return bool(worker.perform_job(rq_job, queue, execution))
