"""A worker's slots: the jobs in flight on its loop, each cut off when it takes too long or somebody stops it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from queueops import loops
from queueops.runner import Claimed, Overdue, Settled, Stopped, cut_off, run_untimed

logger = logging.getLogger("rq.worker")

DONE = frozenset({"completed", "duplicate"})
FAILED = frozenset({"retry", "dead", "stopped"})

SWEEP_SECONDS = 1.0
# A cancelled job that goes on is cancelled at every sweep, and complained about so often.
COMPLAIN_SECONDS = 10.0
# For how long a worker that stops asks the jobs in flight to end before it leaves without them.
CANCEL_SECONDS = 2.0

# What a job's task answers: where the job goes, or, when RQ has settled it itself, whether it succeeded.
Result = Settled | bool
Task = asyncio.Task[Result]
RunForeign = Callable[[Claimed], Coroutine[Any, Any, Result]]


class Room:
    """For how many jobs a worker has room, whichever tier they come from: `number` in all.

    A place is taken before a job is claimed for it, and given back when the job has ended or none came; then `changed`
    is called.
    """

    def __init__(self, number: int, changed: Callable[[], None]) -> None:
        self.number = number
        self._changed = changed
        self._taken = 0
        self._is_closed = False

    @property
    def free(self) -> int:
        return 0 if self._is_closed else self.number - self._taken

    def take(self, wanted: int) -> int:
        """How many of the wanted places were free; they are taken."""
        taken = min(wanted, self.free)
        self._taken += taken
        return taken

    def give_back(self, places: int = 1) -> None:
        self._taken -= places
        self._changed()

    def close(self) -> None:
        """Nothing is taken from now on."""
        self._is_closed = True


class Slots:
    """What runs of the lanes' jobs, in places that were taken of the worker's `room`.

    running: the job of each task. ended: what waits to be settled. done, failed: since birth.
    """

    def __init__(self, room: Room, run_foreign: RunForeign) -> None:
        self.room = room
        self._run_foreign = run_foreign
        self.running: dict[Task, Claimed] = {}
        self.ended: list[Settled] = []
        self.done = 0
        self.failed = 0

    def start(self, job: Claimed) -> None:
        """Run the job, in a place that was taken for it."""
        coroutine = run_untimed(job) if job.dispatched else self._run_foreign(job)
        task: Task = asyncio.create_task(coroutine)
        self.running[task] = job
        task.add_done_callback(self._end)

    def give_back(self, job: Claimed) -> None:
        """Let the job go back to its lane: the worker takes nothing new any more."""
        self.ended.append(Settled(job, "back"))

    def _end(self, task: Task) -> None:
        job = self.running.pop(task)
        self.room.give_back()  # first: a slot is free even if what follows raises
        if task.cancelled():
            self.give_back(job)
        elif error := task.exception():
            logger.error("action=job_unsettled job=%s lane=%s", job.id, job.lane, exc_info=error)
        else:
            self._count(task.result())

    def _count(self, result: Result) -> None:
        if isinstance(result, Settled):
            self.ended.append(result)
            how = result.how
        else:
            how = "completed" if result else "dead"
        if how in DONE:
            self.done += 1
        elif how in FAILED:
            self.failed += 1

    async def sweep(self) -> None:
        """Once a second: cut off what takes longer than it may."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for task, job in list(self.running.items()):
                late = now - (job.recording_since or job.started) - job.timeout
                if job.dispatched and job.timeout > 0 and late >= 0:
                    self._cut_off(task, job, late)

    def _cut_off(self, task: Task, job: Claimed, late: float) -> None:
        if job.cut_off is None or late % COMPLAIN_SECONDS < SWEEP_SECONDS:
            message = "action=job_overdue job=%s lane=%s time_out=%.0f late=%.0f"
            logger.error(message, job.id, job.lane, job.timeout, late)
        cut_off(task, job, job.cut_off or Overdue(job.timeout))

    def stop(self, job_id: str) -> bool:
        """Cut off a dispatched job, as a failure that is not tried again; whether it was in flight."""
        for task, job in self.running.items():
            if job.id == job_id and job.dispatched:
                cut_off(task, job, Stopped())
                return True
        return False

    async def clear(self) -> None:
        """Cancel everything in flight. What has not ended after CANCEL_SECONDS is given back and left behind."""
        for task in await loops.cancel(*self.running, seconds=CANCEL_SECONDS):
            job = self.running[task]
            logger.error("action=job_ignores_cancellation job=%s lane=%s", job.id, job.lane)
            task.remove_done_callback(self._end)
            self.give_back(job)
        # In the order of their claims, so that they stand in their lanes as they did.
        self.ended.sort(key=lambda one: (len(one.job.execution), one.job.execution))
