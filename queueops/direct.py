"""The direct tier: process inside the request, bounded in time and in how much at once.

Nothing is said to be kept before it is written down: what has ended is counted, and what must run again becomes a row
of the database tier, in one transaction. Without the database that is impossible, and so is sending, which needs its
delivery recorded first: the answer is then Unavailable, and Meta delivers again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from django.conf import settings

from queueops import fallback, leases, switches
from queueops.dispatch import Unavailable
from queueops.jobs import Batch, Done, Receipt
from queueops.loops import PerLoop
from queueops.models import FallbackJob
from queueops.runner import Claimed, Settled, run

SECONDS = 4.0  # of the 5 that Meta waits for an answer
JOBS_AT_ONCE = 50
BATCHES_AT_ONCE = 50


class Overdue(Unavailable):
    """It took too long and goes on all the same: nobody else may begin with the same jobs meanwhile."""


class Desk:
    """One loop's work in progress."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(JOBS_AT_ONCE)
        self._batches: set[asyncio.Task[Receipt]] = set()

    async def process(self, batch: Batch) -> Receipt:
        """Run the batch's jobs. Raises Unavailable: no room, or it could not be written down; Overdue."""
        if len(self._batches) >= BATCHES_AT_ONCE:
            raise Unavailable(f"{BATCHES_AT_ONCE} batches are being processed directly")
        task = asyncio.create_task(self._process(batch.all_awaited()))
        self._batches.add(task)
        task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(SECONDS):
                # Goes on after the time is up: a call cut off in the middle would leave a message that nobody knows of.
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise Overdue(f"direct processing took more than {SECONDS:.0f} s") from error

    def _ended(self, task: asyncio.Task[Receipt]) -> None:
        self._batches.discard(task)
        if not task.cancelled():
            task.exception()  # the one who asked may be gone: then nobody else looks at it

    async def _process(self, batch: Batch) -> Receipt:
        rows = fallback.rows(batch.jobs)
        first: dict[str, FallbackJob] = {}
        for row in rows:
            first.setdefault(row.job, row)
        held = switches.current()
        settled = await asyncio.gather(*(self._run(row) for row in first.values() if not held.is_paused(row.lane)))
        ended = Counter(one.how for one in settled if one.how in set(Done))
        ended["duplicate"] += len(rows) - len(first)
        return await fallback.keep(fallback.Intake(batch=batch, rows=_left_over(first, settled), ended=ended))

    async def _run(self, row: FallbackJob) -> Settled:
        timeout = float(settings.QUEUE_JOB_TIMEOUT_SECONDS)
        async with self._slots:
            return await run(Claimed(row.lane, row.job, "", bytes(row.data), timeout, row.attempts))


def _left_over(rows: dict[str, FallbackJob], settled: Sequence[Settled]) -> list[FallbackJob]:
    """Rows for the jobs that are not over: also for those of a paused lane, which were not begun."""
    unfinished = dict(rows)
    for one in settled:
        if one.how in set(Done):
            del unfinished[one.job.id]
        else:
            for name, value in leases.outcome(one).items():
                setattr(unfinished[one.job.id], name, value)
    return list(unfinished.values())


_desk = PerLoop(Desk)


async def take(batch: Batch) -> Receipt:
    """Process the batch now. Raises Unavailable, or TypeError when a payload is not JSON."""
    return await _desk().process(batch)
