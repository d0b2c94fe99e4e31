"""Accounts and rules in memory: a worker's look-ups reach the database once per key, and again after a change.

Three levels: this loop's memory, Redis for all processes (`shared_cache`), one query. Misses are remembered too; of
many jobs that ask for one key at once, one asks on, and what is asked for many keys at once is asked together. Every
change (see `receivers`, `table_changes`) is published on `cad:evict`; a process whose subscription is interrupted
forgets everything and asks the database each time until it listens again, so that a stale rule is never used for longer
than the message takes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from redis.exceptions import RedisError

from automations import lookups, shared_cache
from automations.lookups import AccountInfo
from automations.matching import RuleSet
from automations.shared_cache import CHANNEL, EVERYTHING, KEEP_SECONDS, publish_eviction
from queueops import connections, database, loops, metrics
from queueops.gathering import Gathered
from queueops.loops import PerLoop

__all__ = ["CHANNEL", "EVERYTHING", "AccountInfo", "cache", "publish_eviction"]

logger = logging.getLogger(__name__)

AWAY_SECONDS = 1.0

# Counted by name: look-ups that reached the database, all others, and which of those Redis answered.
MISS, HIT, SHARED_HIT = "cache_miss", "cache_hit", "cache_hit_shared"


# (an account's Instagram id, a trigger of its rules, or "" for the account itself)
Key = tuple[str, str]
KEYS_AT_ONCE = 500
# Rules of so many bytes are compiled in some milliseconds; more, not on the loop.
QUICKLY_MADE_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value that is not in memory comes from: its key in Redis, and what is made of what is kept."""

    key: str
    make: Callable[[bytes], Any]


def load(keys: Sequence[Key]) -> Sequence[bytes]:
    """What the database has under these keys. One query for all accounts, and one for each trigger."""
    asked: dict[str, list[str]] = {}
    for instagram_id, trigger in keys:
        asked.setdefault(trigger, []).append(instagram_id)
    found = {
        trigger: lookups.load_rules(ids, trigger) if trigger else lookups.load_accounts(ids)
        for trigger, ids in asked.items()
    }
    return [found[trigger][instagram_id] for instagram_id, trigger in keys]


class Cache:
    """One event loop's memory of accounts and rules."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[float, Any]] = {}
        self._asked: dict[Key, asyncio.Future[Any]] = {}
        self._evictions = 0
        self._listening = False
        # Set by a gap in the subscription: what Redis holds may have been changed while nobody could say so.
        self._distrustful = False
        self._redis = connections.async_client()  # made before us, so closed after us
        self._read = Gathered(partial(shared_cache.get, self._redis), KEYS_AT_ONCE)
        self._load: Gathered[Key, bytes] = Gathered(partial(database.write_in_thread, load), KEYS_AT_ONCE)
        self._keep = Gathered(self._keep_all, KEYS_AT_ONCE)
        self._listener = asyncio.create_task(self._listen())

    async def account(self, instagram_id: str) -> AccountInfo | None:
        """The account of this Instagram id, None when it is unknown here."""
        known = self._known.get((instagram_id, ""))
        if known is not None and known[0] > time.monotonic():
            metrics.count(HIT)
            found: AccountInfo | None = known[1]
            return found
        source = Source(shared_cache.account_key(instagram_id), lookups.account_from)
        found = await self._ask((instagram_id, ""), source)
        return found

    async def rules(self, account: AccountInfo, trigger: str) -> RuleSet:
        """The compiled rules of the account for this trigger."""
        known = self._known.get((account.instagram_id, trigger))
        if known is not None and known[0] > time.monotonic():
            metrics.count(HIT)
            found: RuleSet = known[1]
            return found
        source = Source(shared_cache.rules_key(account.workspace, trigger, account.instagram_id), lookups.rules_from)
        found = await self._ask((account.instagram_id, trigger), source)
        return found

    def evict(self, instagram_id: str) -> None:
        """Forget one account and its rules, or everything; who asks from now on is not given what was asked before."""
        self._evictions += 1
        for remembered in (self._known, self._asked):
            for key in [key for key in remembered if instagram_id in (key[0], EVERYTHING)]:
                del remembered[key]

    async def close(self) -> None:
        """Stop listening."""
        await loops.cancel(self._listener)

    async def _ask(self, key: Key, source: Source) -> Any:
        asked = self._asked.get(key)
        if asked is not None:
            value = await asyncio.shield(asked)
            metrics.count(HIT)
            return value
        asked = asyncio.ensure_future(self._find(key, source))
        self._asked[key] = asked
        asked.add_done_callback(partial(self._answered, key))
        return await asyncio.shield(asked)

    def _answered(self, key: Key, asked: asyncio.Future[Any]) -> None:
        if self._asked.get(key) is asked:
            del self._asked[key]

    async def _find(self, key: Key, source: Source) -> Any:
        before = self._evictions
        found = shared_cache.Found() if self._distrustful else await self._read.submit((key[0], source.key))
        try:
            value = await self._value(key, found, source)
        except ImproperlyConfigured as error:
            # Kept before the keys were changed: the database may have it under today's.
            logger.warning("action=cache_unreadable key=%s error=%s", source.key, error)
            value = await self._value(key, shared_cache.Found(found.tag), source)
        # A change that was published while we were reading may not be in what we read: use it once, do not keep it.
        if self._listening and before == self._evictions:
            self._known[key] = (time.monotonic() + KEEP_SECONDS, value)
        return value

    async def _value(self, key: Key, found: shared_cache.Found, source: Source) -> Any:
        if found.value is not None:
            value = await _made(source, found.value)
            metrics.count(HIT)
            metrics.count(SHARED_HIT)
            return value
        metrics.count(MISS)
        kept = await self._load.submit(key)
        if found.tag is not None:
            await self._keep.submit((source.key, found.tag, kept))
        return await _made(source, kept)

    async def _keep_all(self, values: list[tuple[str, bytes, bytes]]) -> list[None]:
        await shared_cache.put(self._redis, values)
        return [None] * len(values)

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    await self._follow(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("action=cache_deaf error=%s", error)
            self._listening = False
            self._distrustful = True
            self.evict(EVERYTHING)
            await asyncio.sleep(AWAY_SECONDS)

    async def _follow(self, pubsub: Any) -> None:
        while True:
            message = await pubsub.get_message(timeout=connections.ANSWER_SECONDS / 2)
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                await self._heard_again()
            elif message["type"] == "message":
                self.evict(message["data"].decode())

    async def _heard_again(self) -> None:
        if self._distrustful:
            await shared_cache.distrust(self._redis)
            self._distrustful = False
        # Keep only what is read from now on: whatever changed before is in the database already.
        self.evict(EVERYTHING)
        self._listening = True


async def _made(source: Source, kept: bytes) -> Any:
    if len(kept) <= QUICKLY_MADE_BYTES:
        return source.make(kept)
    return await asyncio.to_thread(source.make, kept)


cache = PerLoop(Cache, Cache.close)
