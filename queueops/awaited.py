"""Waiting for news that may have come already: `Batch.heard` brings it, and mostly nobody waits.

Each batch's script looks whether the key is awaited and otherwise keeps the note for some minutes (`queueops.taking`);
here one call says that it is awaited from now on and reads what was heard before. So nothing falls between the two.
What comes through the other tiers, which cannot know what is awaited, runs its job in any case.
"""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from queueops import connections
from queueops.embedded import EmbeddedValkeyError

logger = logging.getLogger(__name__)

AWAIT_SECONDS = 86_400


class NotAwaited(Exception):
    """Redis is away: nobody awaits the news yet."""


async def expect(key: str) -> str | None:
    """From now on, for a day, news of this key run their job; the note of what was heard already, None for nothing.

    Raises NotAwaited.
    """
    try:
        async with connections.async_client().pipeline(transaction=True) as pipeline:
            pipeline.set(f"cad:await:{key}", "1", ex=AWAIT_SECONDS)
            pipeline.get(f"cad:heard:{key}")
            _, note = await pipeline.execute()
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        logger.warning("action=not_awaited key=%s error=%s", key, error)
        raise NotAwaited from error
    return note.decode() if note is not None else None
