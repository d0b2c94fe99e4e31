"""Whether an account may send now: stopped or slowed down by Meta, stopped by an operator, or in need of its owner.

How fast it may send while nothing stops it is `automations.turns`.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from automations import turns, usage
from automations.app_pause import app_pause
from automations.cache import AccountInfo, publish_eviction
from automations.graph import GraphError
from automations.graph_errors import Scope, Verdict
from automations.models import Account
from automations.usage import Usage
from queueops import database, quotas
from queueops.errors import RetryLater

logger = logging.getLogger(__name__)

# How soon an event of a stopped account looks by itself whether it was released, which nearly always it has been told
# (`automations.release`): after as long as it has waited already, within these.
LOOK_FIRST_SECONDS, LOOK_LAST_SECONDS = 300.0, 3600.0

# From so many per cent of Meta's limit on, this share of our pace, for a while: the limits are of a rolling hour.
SLOWER = ((95, 0.1), (80, 0.5))
SLOWER_SECONDS = 600

APP_WAITS = "Meta has asked the whole app to make no calls"
STANDING = {Account.Status.PAUSED: "is paused", Account.Status.NEEDS_OWNER: "needs its owner"}


async def is_free(account: AccountInfo, now: datetime) -> bool:
    """Whether the account may send."""
    return await _held_until(account, now) <= now and account.status == Account.Status.ACTIVE


async def check(account: AccountInfo, now: datetime, since: datetime, closes: datetime) -> None:
    """Raises RetryLater while the account may not send, never for longer than until the window closes.

    since: how long the event has been waiting.
    """
    rest = (closes - now).total_seconds() + 1  # then it is over, visibly
    until = await _held_until(account, now)
    if until > now:
        who = f"The account waits: {account.status_reason or 'paused'}" if account.paused_until == until else APP_WAITS
        raise RetryLater(f"{who}. Until {until:%Y-%m-%d %H:%M:%S} UTC.", min((until - now).total_seconds(), rest))
    if account.status != Account.Status.ACTIVE:
        waited = (now - since).total_seconds()
        raise RetryLater(standing(account), min(max(waited, LOOK_FIRST_SECONDS), LOOK_LAST_SECONDS, rest))


def standing(account: AccountInfo) -> str:
    """Why the account sends nothing until somebody does something, "" while it is active."""
    if account.status == Account.Status.ACTIVE:
        return ""
    return f"The account {STANDING[Account.Status(account.status)]}: {account.status_reason or 'set by an operator'}"


async def _held_until(account: AccountInfo, now: datetime) -> datetime:
    """When a pause ends that ends by itself, the account's or the app's; `now` when there is none."""
    return max(await app_pause().until(now), account.paused_until or now)


async def pause(account: AccountInfo, error: GraphError, now: datetime) -> None:
    """Stop calling for the account (or, when the app is throttled, for everybody), as Meta's answer demands."""
    if error.scope is Scope.APP:
        await app_pause().begin(now, error.wait_seconds or 0)
        logger.warning("action=app_paused seconds=%.0f", error.wait_seconds or 0)
        return
    changes: dict[str, object] = {"status_reason": error.title[:300]}
    if error.verdict is Verdict.NEEDS_OWNER:
        changes["status"] = Account.Status.NEEDS_OWNER
    elif error.wait_seconds:
        changes["paused_until"] = now + timedelta(seconds=error.wait_seconds)
    else:
        changes["status"] = Account.Status.PAUSED
    await database.run(_stop, account, changes)
    logger.warning("action=account_paused account=%s verdict=%s", account.instagram_id, error.verdict)


async def heed(account: AccountInfo, headers: str, now: datetime) -> None:
    """Go slower, or stop, as an answer's usage headers ask. Never raises: what was sent is sent."""
    used = usage.read(headers)
    if used.percent < SLOWER[-1][0]:
        return
    try:
        await database.run(_heed, account, used, now)
    except (DatabaseError, InterfaceError, RedisError, OSError) as error:
        logger.warning("action=usage_unheeded account=%s error=%s", account.instagram_id, error)


def _heed(account: AccountInfo, used: Usage, now: datetime) -> None:
    if used.percent >= 100 and used.wait_seconds:
        until = now + timedelta(seconds=used.wait_seconds)
        _stop(account, {"status_reason": "Meta's limit for the account is used up", "paused_until": until})
        logger.warning("action=account_paused account=%s usage=%d", account.instagram_id, used.percent)
        return
    share = next(share for percent, share in SLOWER if used.percent >= percent)
    quotas.slow_down(turns.names(account.instagram_id), share, SLOWER_SECONDS)
    logger.info("action=account_slowed account=%s usage=%d share=%.1f", account.instagram_id, used.percent, share)


def _stop(account: AccountInfo, changes: dict[str, object]) -> None:
    Account.objects.filter(pk=account.id).update(**changes)
    publish_eviction(account.instagram_id)
    # What was counted until now says nothing about the time after the pause.
    with contextlib.suppress(RedisError, OSError):
        quotas.forget(turns.names(account.instagram_id))
