"""Telling an account's waiting events that it may send again, so that they need not find out by themselves."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from datetime import datetime

from redis.exceptions import RedisError

from automations.models import Account, Event
from queueops import due

logger = logging.getLogger(__name__)

BATCH = 1000


def is_held(status: str, paused_until: datetime | None, now: datetime) -> bool:
    """Whether an account with these columns has its events wait."""
    return status != Account.Status.ACTIVE or (paused_until is not None and paused_until > now)


def release(instagram_id: str) -> int:
    """Have everything that waits for this account run now; how many. Its pace still holds: each asks for its turn.

    While Redis is away nobody can be told: then the events look by themselves (`pacing.check`).
    """
    try:
        n = sum(due.make_due(keys) for keys in _waiting(instagram_id))
    except (RedisError, OSError) as error:
        logger.warning("action=release_untold account=%s error=%s", instagram_id, error)
        n = 0
    n += due.make_due_in_database(instagram_id)
    logger.info("action=account_released account=%s n=%d", instagram_id, n)
    return n


def _waiting(instagram_id: str) -> Iterator[list[str]]:
    """The keys of its events that wait, BATCH at a time."""
    waiting = Event.objects.filter(account=instagram_id, outcome=Event.Outcome.RETRYING).order_by("pk")
    last = uuid.UUID(int=0)
    while rows := list(waiting.filter(pk__gt=last).values_list("pk", "key")[:BATCH]):
        last = rows[-1][0]
        yield [key for _, key in rows]
