"""Waiting for news that may have come already: `Batch.heard` brings it, and mostly nobody waits.

Each batch's script looks whether the key is awaited and otherwise keeps the note for some minutes (`queueops.taking`);
here one call says that it is awaited from now on and reads what was heard before. So nothing falls between the two.
"""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from queueops import connections
from queueops.embedded import EmbeddedValkeyError

logger = logging.getLogger(__name__)

AWAIT_SECONDS = 86_400


async def expect(key: str) -> str | None:
    """From now on, for a day, news of this key run their job; the note of what was heard already, None for nothing.

    While Redis is away nobody waits, which is logged: None.
    """
    try:
        async with connections.async_client().pipeline(transaction=True) as pipeline:
            pipeline.set(f"cad:await:{key}", "1", ex=AWAIT_SECONDS)
            pipeline.get(f"cad:heard:{key}")
            _, note = await pipeline.execute()
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        logger.warning("action=not_awaited key=%s error=%s", key, error)
        return None
    return note.decode() if note is not None else None
