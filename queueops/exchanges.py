"""When a worker talks to the lanes: so that its slots are full, Redis and the loop work at the same time, and an idle
worker notices a new job at once.

Two exchanges may be under way, each for at most half of the slots: while Redis works on one, the loop runs the jobs of
the other. The second goes out only when it has half of the slots to settle or to fill, so that a trickle shares
its round trips; and so that it does, what has ended waits a moment for the next claim to take it along.

A worker without work has a claim waiting in Redis for each lane, behind a command that blocks until there is a job: a
job that comes alone is on its way to the worker without being asked for. Nothing else needs to look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from queueops import outage
from queueops.claims import ANSWER_SECONDS, JOBS_AN_EXCHANGE, Claims
from queueops.runner import Claimed, Settled
from queueops.slots import Slots
from queueops.wire import Line

logger = logging.getLogger("rq.worker")

AT_ONCE = 2
SETTLE_WITHIN_SECONDS = 0.01
AWAY_SECONDS = 1.0
LOOK_SECONDS = 1.0
LISTEN_SECONDS = 1  # a claim behind a wait has the time at which the wait began
JOBS_BEHIND = 4  # that it may bring: places that are taken for as long as the wait takes
LEAVES = 6  # a wait takes one in so many of the places that are free: none of a few
SETTLE_SECONDS = 3.0


class Exchanges:
    """One worker's; `begin` starts those that are worth while, and `changed` is set when one is over.

    limit: how many jobs may be claimed in all. idle_since: when a job was last in flight, on the monotonic clock and to
    the second.
    """

    def __init__(
        self, redis: AsyncRedis, claims: Claims, slots: Slots, changed: asyncio.Event, limit: int | None
    ) -> None:
        self._redis = redis
        self._claims = claims
        self._slots = slots
        self._room = slots.room
        self._changed = changed
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = 0  # jobs that exchanges under way may bring
        self._more = True  # the lanes may hold something
        self._news = 0
        self._is_away = False  # Redis did not answer the last exchange
        self._settling: asyncio.TimerHandle | None = None  # when what has ended waits no longer
        self._is_due = False
        self._closing = False
        self._resting = asyncio.Event()  # nothing waits, and slots are free: the listeners' time
        self._waits: set[str] = set()  # the lanes of which a listener waits for a job just now
        self._connections: dict[str, int] = {}  # the server's numbers of the listeners' connections, by lane
        self._database = outage.watch()
        self.idle_since = time.monotonic()

    @property
    def _refuses(self) -> bool:
        """Whether nothing may be begun: the worker stops, or nobody could write down what would be done."""
        return self._closing or self._database.is_away

    @property
    def suspended(self) -> bool:
        return self._claims.suspended

    @property
    def exhausted(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and self._claims.total >= self._limit

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight and, as of the last look, nothing waits."""
        return not (self._more or self._tasks or self._slots.running or self._slots.ended)

    def begin(self) -> None:
        """Start what is worth while."""
        while self._is_worth_while():
            ended = self._slots.ended[:JOBS_AN_EXCHANGE]
            del self._slots.ended[:JOBS_AN_EXCHANGE]
            free = self._room.take(self._free())
            quiet = not (self._tasks or self._slots.running)
            self._asked += free
            self._wait_no_more()
            task = asyncio.create_task(self._exchange(ended, free, quiet))
            self._tasks.add(task)
            task.add_done_callback(self._end)
        if self._more or not self._free():
            self._resting.clear()
        else:
            self._resting.set()

    def _is_worth_while(self) -> bool:
        ended, free = len(self._slots.ended), self._free()
        if not self._tasks and ((free and self._more) or (self._is_away and not self._closing)):
            return True
        enough = ended + (free if self._more else 0) >= max(self._room.number // AT_ONCE, 1)
        if self._tasks:
            return enough and len(self._tasks) < AT_ONCE
        return enough or (ended > 0 and self._is_time_to_settle())

    def _is_time_to_settle(self) -> bool:
        """Whether what has ended must not wait for a claim any longer; asked only while something has."""
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(SETTLE_WITHIN_SECONDS, self._settle_now)
        return self._is_due or self._closing

    def _settle_now(self) -> None:
        self._is_due = True
        self._changed.set()

    def _wait_no_more(self) -> None:
        """An exchange goes out: it takes along what has ended."""
        if self._settling is not None:
            self._settling.cancel()
        self._settling, self._is_due = None, False

    def _free(self) -> int:
        """For how many jobs the next exchange may ask."""
        # While Redis is away exchanges only ask for it, so that the room is there for what the database holds.
        if self._refuses or self._is_away:
            return 0
        free = min(self._room.free, max(self._room.number // AT_ONCE, 1), JOBS_AN_EXCHANGE)
        if self._limit is not None:
            free = min(free, self._limit - self._claims.total - self._asked)
        return max(free, 0)

    async def _exchange(self, ended: Sequence[Settled], free: int, quiet: bool) -> None:
        news = self._news
        try:
            claimed = await self._claims.exchange(ended, free, quiet)
        except (RedisError, OSError) as error:
            self._is_away = True
            self._slots.ended[:0] = ended
            self._give_back(free, 0)
            logger.error("action=redis_away error=%s retry_in=%.0f", error, AWAY_SECONDS)
            await asyncio.sleep(AWAY_SECONDS)
            return
        self._is_away = False
        self._give_back(free, len(claimed))
        for job in claimed:
            self._begin_job(job)
        if free:
            # What a listener heard meanwhile may have come after the look.
            self._more = len(claimed) == free or news != self._news

    def _give_back(self, asked: int, claimed: int) -> None:
        """An exchange is over that asked for so many jobs: the others' places are free again."""
        self._asked -= asked
        self._room.give_back(asked - claimed)

    def _begin_job(self, job: Claimed) -> None:
        if self._refuses:
            self._room.give_back()
            self._slots.give_back(job)
        else:
            self._slots.start(job)
        self.idle_since = time.monotonic()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def look(self) -> None:
        """Once a second: lanes may have been closed or opened, and the worker looks at its clock."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._more = True
            if self._slots.running:
                self.idle_since = time.monotonic()
            self._changed.set()

    async def listen(self, lane: str) -> None:
        """While nothing waits: claim at once what comes into this lane, whoever put it there.

        Moving a list's head onto its own head changes nothing, and blocks while the list is empty. The claim is sent
        along with it, and made by the server the moment that this is over.
        """
        key = f"rq:queue:{lane}"
        wait = ("BLMOVE", key, key, "LEFT", "LEFT", LISTEN_SECONDS)
        line = Line(self._redis, LISTEN_SECONDS + ANSWER_SECONDS)
        while True:
            await self._resting.wait()
            if lane in self._claims.closed:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                if not line.is_open:
                    self._connections[lane] = int(await line.send("CLIENT", "ID"))
                    continue  # it took a while
                found = await self._claim_behind(wait, line, lane)
            except (RedisError, OSError) as error:
                found = error
            if isinstance(found, Exception):
                await asyncio.sleep(AWAY_SECONDS)

    async def _claim_behind(self, wait: tuple[Any, ...], line: Line, lane: str) -> Any:
        """What the wait for a job answered, or its RedisError; begins what was claimed behind it. Raises RedisError."""
        free = self._room.take(min(JOBS_BEHIND, self._free() // LEAVES) if self._limit is None else 0)
        self._asked += free
        claimed: list[Claimed] = []
        self._waits.add(lane)
        try:
            found, claimed = await self._claims.behind(wait, line, free)
        finally:
            self._waits.discard(lane)
            self._give_back(free, len(claimed))
            self._changed.set()
        for job in claimed:
            self._begin_job(job)
        if len(claimed) == free and (found or claimed):
            self._more = True
            self._news += 1
            self._resting.clear()
            self.begin()
        if claimed:
            await _let_begin()
        return found

    def close(self) -> None:
        """Claim nothing more; what was claimed and has not begun goes back."""
        self._closing = True
        self._resting.clear()

    async def settle(self) -> None:
        """Settle everything that has ended; gives up after SETTLE_SECONDS without Redis."""
        deadline = time.monotonic() + SETTLE_SECONDS
        await self._end_waits()
        self.begin()
        while self._tasks and time.monotonic() < deadline:
            await asyncio.wait(self._tasks, timeout=SETTLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # the done callbacks
            self.begin()
        if self._slots.ended:
            logger.error("action=unsettled n=%d", len(self._slots.ended))

    async def _end_waits(self) -> None:
        """Have no claim waiting any more: one that is made after we are gone is nobody's for a minute."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                for lane in list(self._waits):
                    with contextlib.suppress(RedisError, OSError):  # then it ends by itself, a little later
                        await self._claims.end_wait(self._connections[lane])
                while self._waits:
                    self._changed.clear()
                    await self._changed.wait()


async def _let_begin() -> None:
    """What has come goes before the next wait: in its first turn a job decides, in the second its row is on its way."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
