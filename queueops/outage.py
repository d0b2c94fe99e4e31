"""The database away: a worker notices it by the first job that fails, claims nothing until it is back, says so once.

Jobs that fail meanwhile go back to their lanes as they were: no attempt is used, and nothing was sent whose delivery
could not be recorded first.
"""

from __future__ import annotations

import asyncio
import logging

from django.db import DatabaseError, InterfaceError, OperationalError

from queueops import database
from queueops.loops import PerLoop

logger = logging.getLogger("rq.worker")

ERRORS = (OperationalError, InterfaceError)  # how a database that is away, or goes away, is told from a wrong statement
PROBE_SECONDS = 1.0
ASK_SECONDS = 5.0  # one that does not even refuse is away as well


class Watch:
    """One loop's. is_away: as of the last look."""

    def __init__(self) -> None:
        self.is_away = False
        self._asking: asyncio.Task[bool] | None = None
        self._back: asyncio.Task[None] | None = None

    async def ask(self) -> bool:
        """Whether the database is away now; whoever wonders at the same time shares the look."""
        if self.is_away:
            return True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._look())
        return await asyncio.shield(self._asking)

    async def _look(self) -> bool:
        reason = await _what_is_wrong()
        if reason and not self.is_away:
            self.is_away = True
            logger.error("action=database_away claiming=stopped error=%s", reason)
            self._back = asyncio.create_task(self._until_back())
        return bool(reason)

    async def _until_back(self) -> None:
        while await _what_is_wrong():
            await asyncio.sleep(PROBE_SECONDS)
        self.is_away = False
        logger.warning("action=database_back claiming=resumed")

    async def close(self) -> None:
        """Ask no more."""
        for task in (self._asking, self._back):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])


async def _what_is_wrong() -> str:
    """In one line; "" when the database answers."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await database.run(database.ping)
    except TimeoutError:
        return f"no answer within {ASK_SECONDS:.0f} s"
    except (DatabaseError, InterfaceError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return ""


watch = PerLoop(Watch, Watch.close)
