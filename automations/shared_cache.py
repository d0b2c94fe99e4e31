"""The look-ups' second level: what one process asked the database, kept for an hour in Redis for all the others.

`account:{instagram_id}` and `automation:{workspace}:{type}:{account}` (a decision needs the rules of all posts, so one
value holds them). Each value begins with the tag it was written under: the shape of our JSON, the generation of
everything, and the generation of its account. Who reads a value whose tag is not today's has read nothing.

An eviction begins a new generation. So it needs no list of what it evicts, and a reader that asked the database before
the change cannot keep its answer: it writes it under the generation that it saw before it asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from automations.lookups import ACCOUNT_FIELDS, RULE_FIELDS
from automations.models import Automation
from queueops import connections
from queueops.keys import new_id

logger = logging.getLogger(__name__)

CHANNEL = "cad:evict"
EVERYTHING = "*"
KEEP_SECONDS = 3600
# A generation outlives every value that was written under the one before it.
GENERATION_SECONDS = 2 * KEEP_SECONDS
ANSWER_SECONDS = 1.0
OWED_SECONDS = 1.0

# A deploy that keeps other fields reads nothing of what the one before it kept.
SHAPE = hashlib.blake2b(repr((1, ACCOUNT_FIELDS, RULE_FIELDS)).encode(), digest_size=4).hexdigest()

_owing = threading.Lock()
_owed = 0  # evictions that Redis has yet to take


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis answered: `tag` to write under, None while it does not answer; `value` when somebody kept it."""

    tag: bytes | None = None
    value: bytes | None = None


def account_key(instagram_id: str) -> str:
    return f"account:{instagram_id}"


def rules_key(workspace: str, trigger: str, instagram_id: str) -> str:
    return f"automation:{workspace}:{trigger}:{instagram_id}"


def generation_key(instagram_id: str) -> str:
    return f"cad:generation:{instagram_id}"


async def get(redis: AsyncRedis, asked: Sequence[tuple[str, str]]) -> list[Found]:
    """What is kept of each: (the Instagram id it is about, its key). Never raises: without Redis nothing is found."""
    keys = [generation_key(EVERYTHING)]
    for instagram_id, key in asked:
        keys += generation_key(instagram_id), key
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            answers: list[Any] = await redis.mget(keys)
    except (RedisError, OSError) as error:
        logger.warning("action=cache_unread n=%d error=%s", len(asked), error)
        return [Found()] * len(asked)
    everything = answers.pop(0)
    return [_found(everything, account, kept) for account, kept in zip(answers[::2], answers[1::2], strict=True)]


def _found(everything: bytes | None, account: bytes | None, kept: bytes | None) -> Found:
    tag = b"%b:%b:%b" % (SHAPE.encode(), everything or b"", account or b"")
    written_under, _, value = (kept or b"").partition(b"\n")
    return Found(tag, value if written_under == tag else None)


async def put(redis: AsyncRedis, kept: Sequence[tuple[str, bytes, bytes]]) -> None:
    """Keep each value for the other processes: (key, the tag that was read before the value was, value)."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS), redis.pipeline(transaction=False) as pipeline:
            for key, tag, value in kept:
                pipeline.set(key, tag + b"\n" + value, ex=KEEP_SECONDS)
            await pipeline.execute()
    except (RedisError, OSError) as error:
        logger.warning("action=cache_unwritten n=%d error=%s", len(kept), error)


async def distrust(redis: AsyncRedis) -> None:
    """Nothing that was kept until now is read again. Raises RedisError."""
    await redis.set(generation_key(EVERYTHING), new_id().hex, ex=GENERATION_SECONDS)


def publish_eviction(instagram_id: str = EVERYTHING) -> None:
    """Make every process forget this account and its rules, or everything; after the commit that changed it.

    Never raises. While Redis does not take it a thread tries on, and whoever lost Redis caches nothing meanwhile.
    """
    try:
        _evict(connections.client(), instagram_id)
    except (RedisError, OSError) as error:
        logger.warning("action=eviction_owed account=%s error=%s", instagram_id, error)
        _owe()


def _evict(redis: Redis, instagram_id: str) -> None:
    with redis.pipeline(transaction=False) as pipeline:
        # In this order: whoever reads between the steps reads either what nobody accepts any more or what is true.
        pipeline.set(generation_key(instagram_id), new_id().hex, ex=GENERATION_SECONDS)
        if instagram_id != EVERYTHING:
            pipeline.unlink(account_key(instagram_id), *_keys_of_rules(redis, instagram_id))
        pipeline.publish(CHANNEL, instagram_id)
        pipeline.execute()


def _keys_of_rules(redis: Redis, instagram_id: str) -> list[str]:
    """The keys of the account's rules; none when its workspace is not known here, and then they end by themselves."""
    kept: Any = redis.get(account_key(instagram_id)) or b"null"
    row = json.loads(kept.rpartition(b"\n")[2])
    return [rules_key(row["workspace_id"], trigger, instagram_id) for trigger in Automation.Trigger] if row else []


def _owe() -> None:
    global _owed
    with _owing:
        _owed += 1
        if _owed == 1:
            threading.Thread(target=_pay, name="evictions", daemon=True).start()


def _pay() -> None:
    """Evict everything, as soon as that can be done, for what could not be evicted when it changed."""
    global _owed
    while True:
        time.sleep(OWED_SECONDS)
        seen = _owed
        try:
            _evict(connections.client(), EVERYTHING)
        except (RedisError, OSError):
            continue
        with _owing:
            _owed -= seen
            if not _owed:
                return
