"""What a worker does for the database tier: work from it while Redis is away, and move the rest over when it is back.

Beside the worker's own loop, which knows nothing of it but how many slots it uses. Rows are run as jobs of Redis are
(`runner.run`); a claim is a lease, so that the rows of a worker that was killed come back by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence

import uvloop
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from queueops import breaker, connections, database, drain, leases, loops, switches
from queueops.runner import Claimed, Settled, run
from queueops.slots import Room

logger = logging.getLogger("rq.worker")

ASK_SECONDS = 1.0  # how often Redis is asked whether it answers
LOOK_SECONDS = 5.0  # how often the database is asked, while all is well, whether anything is to be moved
STOP_SECONDS = 30.0


class Understudy:
    """One worker's. room: what it shares with the worker itself; lanes: those it listens to, in their order.

    asks: what says whether Redis is there. With too few replicas it is not, as far as webhooks are concerned: they come
    to the database, and are worked from there, while the worker itself goes on with what Redis has.
    """

    def __init__(self, name: str, lanes: Sequence[str], room: Room, asks: Callable[[], bool] = breaker.answers) -> None:
        self._name = name
        self._asks = asks
        self._lanes = lanes
        self._room = room
        self._running: dict[asyncio.Task[Settled], Claimed] = {}
        self._ended: list[Settled] = []
        self._exchanging = asyncio.Lock()
        self._is_finishing = False
        self._served = 0
        self._wake = asyncio.Event()
        self._asked_at = self._looked_at = self._renewed_at = -LOOK_SECONDS
        self._database_is_away = False
        self.redis_is_away = False

    async def attend(self) -> None:
        """Until cancelled."""
        # The first look, while Redis still answers: what it says holds when Redis is away as well.
        await asyncio.to_thread(switches.current)
        while True:
            self._wake.clear()
            await self._ask()
            more = await self._step()
            if not more:
                await self._rest()

    async def finish(self, give_up: Callable[[], bool]) -> None:
        """Let what is in flight end, until `give_up` says otherwise; give the rest back."""
        async with self._exchanging:  # after a claim under way: what it holds is in flight as well
            self._is_finishing = True
        while self._running and not give_up():
            self._wake.clear()
            await self._rest()
        await loops.cancel(*self._running)
        if self._ended or self._exchanging.locked():
            await self._guarded(self._settle)

    async def _ask(self) -> None:
        """See whether Redis answers; a change is said once, and what waits is looked at without delay."""
        if time.monotonic() - self._asked_at < ASK_SECONDS:
            return
        away = not await asyncio.to_thread(self._asks)
        if away != self.redis_is_away:
            self.redis_is_away, self._looked_at = away, -LOOK_SECONDS
            if away:
                logger.error("action=redis_away worker=%s working_from=database", self._name)
            else:
                logger.warning("action=redis_back worker=%s", self._name)
        self._asked_at = time.monotonic()

    async def _step(self) -> bool:
        """One exchange with the database; whether there may be more to do at once."""
        if self._ended:
            await self._guarded(self._settle)
        if self._running and time.monotonic() - self._renewed_at > leases.RENEW_SECONDS:
            await self._guarded(self._renew)
        if self.redis_is_away:
            return self._room.free > 0 and await self._guarded(self._claim)
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return False
        return await self._guarded(self._move)

    async def _rest(self) -> None:
        """Until a job ends, or it is time to ask again."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _guarded(self, step: Callable[[], Awaitable[int | None]]) -> bool:
        """Do the step; False as well when the database, or Redis, is away. Said once."""
        try:
            found = bool(await step())
        except (DatabaseError, InterfaceError, RedisError, OSError) as error:
            if not self._database_is_away:
                logger.warning("action=database_tier_failed worker=%s error=%s", self._name, error)
            self._database_is_away = True
            return False
        self._database_is_away = False
        return found

    async def _settle(self) -> None:
        async with self._exchanging:
            ended, self._ended = self._ended, []
            try:
                lost = await database.run(leases.settle, ended)
            except (DatabaseError, InterfaceError):
                self._ended = ended + self._ended
                raise
        if lost:
            logger.warning("action=leases_lost worker=%s n=%d", self._name, lost)

    async def _renew(self) -> None:
        self._renewed_at = time.monotonic()
        await database.run(leases.renew, list(self._running.values()))

    async def _claim(self) -> int:
        held = switches.current()
        open_lanes = [lane for lane in self._lanes if not held.is_paused(lane)]
        async with self._exchanging:
            wanted = 0 if self._is_finishing else self._room.take(self._room.free)
            claimed: list[Claimed] = []
            try:
                claimed = await database.run(leases.claim, open_lanes, wanted, self._served)
            finally:
                self._room.give_back(wanted - len(claimed))
            for job in claimed:
                task = asyncio.create_task(run(job))
                self._running[task] = job
                task.add_done_callback(self._job_ended)
        self._served += len(claimed)
        return len(claimed)

    def _job_ended(self, task: asyncio.Task[Settled]) -> None:
        job = self._running.pop(task)
        self._room.give_back()
        self._ended.append(Settled(job, "back") if task.cancelled() else task.result())
        self._wake.set()

    async def _move(self) -> int:
        self._looked_at = time.monotonic()
        if not await database.run(drain.is_needed):
            return 0
        moved = await database.run(drain.drain, connections.client())
        if moved:
            self._looked_at = -LOOK_SECONDS  # there may be more
        return moved


def stand_in(name: str, lanes: Sequence[str]) -> bool:
    """Work from the database until Redis answers, for a worker that cannot be born without it.

    False: told to stop meanwhile.
    """
    return uvloop.run(_stand_in(name, lanes))


async def _stand_in(name: str, lanes: Sequence[str]) -> bool:
    stopping = asyncio.Event()
    signals: list[float] = []

    room = Room(settings.QUEUE_CONCURRENCY, lambda: None)

    def told_to_stop() -> None:
        signals.append(time.monotonic())
        room.close()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop)

    def must_go() -> bool:
        """A second signal a second later, or STOP_SECONDS after the first."""
        return bool(signals) and (signals[-1] - signals[0] >= 1 or time.monotonic() - signals[0] >= STOP_SECONDS)

    understudy = Understudy(name, lanes, room, breaker.is_writable)
    understudy.redis_is_away = True
    attending = asyncio.create_task(understudy.attend())
    stopped = asyncio.create_task(stopping.wait())
    while understudy.redis_is_away and not stopped.done() and not attending.done():
        await asyncio.wait({attending, stopped}, timeout=ASK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    await understudy.finish(must_go)
    await loops.cancel(attending, stopped)
    await loops.close_all()
    return not stopping.is_set()
