"""Accounts and rules in memory: the worker's look-ups reach the database once per key, and again after a change.

Misses are remembered too; of many jobs that ask for one key at once, one queries. Every change (see `receivers`) is
published on `cad:evict`; a process whose subscription is interrupted forgets everything and asks the database each
time until it listens again, so that a stale rule is never used for longer than the message takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError

from automations.matching import Rule, RuleSet
from automations.models import Account, Automation
from automations.replies import ActionError, parse_action
from queueops import connections, database, dispatch, loops, metrics
from queueops.loops import PerLoop

logger = logging.getLogger(__name__)

CHANNEL = "cad:evict"
EVERYTHING = "*"
KEEP_SECONDS = 3600.0
AWAY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """What sending and deciding need of an account. `token` is the decrypted access token: never log it."""

    id: str
    instagram_id: str
    username: str
    token: str
    status: str
    status_reason: str
    paused_until: datetime | None

    def __repr__(self) -> str:
        return f"AccountInfo({self.instagram_id})"


def load_account(instagram_id: str) -> AccountInfo | None:
    """The account, None when nobody connected it here. One query."""
    account = Account.objects.select_related("workspace").filter(instagram_id=instagram_id).first()
    if account is None:
        return None
    with contextlib.suppress(RedisError, OSError):
        # The intake looks only in Redis, which may have lost it since the workspace was saved.
        dispatch.set_vip(instagram_id, account.workspace.is_vip)
    return AccountInfo(
        id=str(account.pk),
        instagram_id=account.instagram_id,
        username=account.username,
        token=account.token,
        status=account.status,
        status_reason=account.status_reason,
        paused_until=account.paused_until,
    )


def load_rules(instagram_id: str, trigger: str) -> RuleSet:
    """The account's active rules for one trigger, compiled. One query."""
    rows = Automation.objects.filter(account__instagram_id=instagram_id, trigger=trigger, is_active=True)
    return RuleSet(rule for rule in map(_rule, rows) if rule is not None)


def _rule(row: Automation) -> Rule | None:
    """The row as matching needs it; None for one whose actions were written past the console and cannot be read."""
    try:
        actions = tuple(parse_action(action) for action in row.actions)
    except ActionError as error:
        logger.error("action=automation_unreadable automation=%s error=%s", row.pk, error)
        return None
    return Rule(
        id=str(row.pk),
        name=row.name,
        trigger=row.trigger,
        media_id=row.media_id,
        match=row.match,
        keywords=tuple(str(keyword) for keyword in row.keywords),
        actions=actions,
        priority=row.priority,
    )


class Cache:
    """One event loop's memory of accounts and rules."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}
        self._asked: dict[tuple[str, str], asyncio.Future[Any]] = {}
        self._evictions = 0
        self._listening = False
        self._redis = connections.async_client()  # made before us, so closed after us
        self._listener = asyncio.create_task(self._listen())

    async def account(self, instagram_id: str) -> AccountInfo | None:
        """The account of this Instagram id, None when it is unknown here."""
        found: AccountInfo | None = await self._get(
            (instagram_id, ""), lambda: database.run(load_account, instagram_id)
        )
        return found

    async def rules(self, instagram_id: str, trigger: str) -> RuleSet:
        """The compiled rules of the account for this trigger."""
        found: RuleSet = await self._get(
            (instagram_id, trigger), lambda: database.run(load_rules, instagram_id, trigger)
        )
        return found

    def evict(self, instagram_id: str) -> None:
        """Forget one account and its rules, or everything."""
        self._evictions += 1
        if instagram_id == EVERYTHING:
            self._known.clear()
        for key in [key for key in self._known if key[0] == instagram_id]:
            del self._known[key]

    async def close(self) -> None:
        """Stop listening."""
        await loops.cancel(self._listener)

    async def _get(self, key: tuple[str, str], load: Callable[[], Awaitable[Any]]) -> Any:
        known = self._known.get(key)
        if known and known[0] > time.monotonic():
            metrics.count("cache_hit")
            return known[1]
        if key in self._asked:
            return await asyncio.shield(self._asked[key])
        metrics.count("cache_miss")
        asked = asyncio.ensure_future(self._load(key, load))
        self._asked[key] = asked
        asked.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(asked)

    async def _load(self, key: tuple[str, str], load: Callable[[], Awaitable[Any]]) -> Any:
        before = self._evictions
        value = await load()
        # A change that was published while we were reading may not be in what we read: use it once, do not keep it.
        if self._listening and before == self._evictions:
            self._known[key] = (time.monotonic() + KEEP_SECONDS, value)
        return value

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    self.evict(EVERYTHING)
                    await self._follow(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("action=cache_deaf error=%s", error)
            self._listening = False
            self.evict(EVERYTHING)
            await asyncio.sleep(AWAY_SECONDS)

    async def _follow(self, pubsub: Any) -> None:
        while True:
            message = await pubsub.get_message(timeout=connections.ANSWER_SECONDS / 2)
            if message is None:
                await pubsub.ping()
            elif message["type"] == "subscribe":
                # Keep only what is read from now on: whatever changed before is in the database already.
                self._listening = True
            elif message["type"] == "message":
                self.evict(message["data"].decode())


cache = PerLoop(Cache, Cache.close)


def publish_eviction(instagram_id: str = EVERYTHING) -> None:
    """Tell every process to forget this account. While Redis is away nobody listens, and so nobody caches."""
    with contextlib.suppress(RedisError, OSError):
        connections.client().publish(CHANNEL, instagram_id)
