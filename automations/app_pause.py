"""Code 4 throttles the whole app: no account may call until then, in whichever process the refusal arrived.

One key in Redis that ends by itself, looked at once a second. While Redis is away each process knows its own refusals.
"""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.exceptions import RedisError

from queueops import connections
from queueops.embedded import EmbeddedValkeyError
from queueops.loops import PerLoop

KEY = "cad:app_paused"  # until when, in Unix seconds
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 0.25


def paused_until() -> datetime | None:
    """For pages, which have no loop: until when nobody calls. None when calls go, or Redis cannot be asked."""
    try:
        value: Any = connections.client().get(KEY)
    except (RedisError, OSError, EmbeddedValkeyError):
        return None
    until = float(value or 0)
    return datetime.fromtimestamp(until, UTC) if until > time.time() else None


class AppPause:
    """What one loop knows of it."""

    def __init__(self) -> None:
        self._redis = connections.async_client()
        self._until = 0.0
        self._look_at = 0.0  # on the monotonic clock

    async def until(self, now: datetime) -> datetime:
        """When calls are let through again; `now` when they are."""
        if time.monotonic() >= self._look_at:
            await self._look()
        return max(now, datetime.fromtimestamp(self._until, UTC))

    async def begin(self, now: datetime, seconds: float) -> None:
        """Nobody calls for so long."""
        self._until = (now + timedelta(seconds=seconds)).timestamp()
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._redis.set(KEY, f"{self._until:.3f}", ex=math.ceil(seconds) + 1)
        except (RedisError, OSError):
            # This process knows it, and the others will be refused in their turn.
            self._look_at = time.monotonic() + seconds

    async def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS  # before it is answered: one of many jobs asks
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._until = float(await self._redis.get(KEY) or 0)
        except (RedisError, OSError):
            return  # what was seen last goes on holding


app_pause = PerLoop(AppPause)
