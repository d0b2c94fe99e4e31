"""Whether an account may send now: paused by Meta's throttling, by an operator, or because it needs its owner."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from automations.cache import AccountInfo, publish_eviction
from automations.graph import GraphError
from automations.graph_errors import Scope, Verdict
from automations.models import Account
from queueops.errors import RetryLater

logger = logging.getLogger(__name__)

# How often an event of a paused account looks whether it was released.
PAUSED_SECONDS = 300.0

# Code 4 throttles the whole app: no account may call until then. Each process learns it from its own first refusal.
_app_paused_until = datetime.min.replace(tzinfo=UTC)


def is_free(account: AccountInfo, now: datetime) -> bool:
    """Whether the account may send."""
    until = max(_app_paused_until, account.paused_until or now)
    return until <= now and account.status == Account.Status.ACTIVE


def check(account: AccountInfo, now: datetime) -> None:
    """Raises RetryLater while the account may not send."""
    until = max(_app_paused_until, account.paused_until or now)
    if until > now:
        raise RetryLater(f"Meta asked to wait until {until:%H:%M:%S} UTC.", (until - now).total_seconds())
    if account.status != Account.Status.ACTIVE:
        why = account.status_reason or "paused by an operator"
        raise RetryLater(f"The account is {Account.Status(account.status).label}: {why}", PAUSED_SECONDS)


def pause(account: AccountInfo, error: GraphError, now: datetime) -> None:
    """Stop calling for the account (or, when the app is throttled, for everybody), as Meta's answer demands."""
    global _app_paused_until
    until = now + timedelta(seconds=error.wait_seconds or 0)
    if error.scope is Scope.APP:
        _app_paused_until = max(_app_paused_until, until)
        return
    changes: dict[str, object] = {"status_reason": error.title[:300]}
    if error.verdict is Verdict.NEEDS_OWNER:
        changes["status"] = Account.Status.NEEDS_OWNER
    elif error.wait_seconds:
        changes["paused_until"] = until
    else:
        changes["status"] = Account.Status.PAUSED
    Account.objects.filter(pk=account.id).update(**changes)
    publish_eviction(account.instagram_id)
    logger.warning("action=account_paused account=%s verdict=%s", account.instagram_id, error.verdict)
