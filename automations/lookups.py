"""What the worker looks up, as the database has it: JSON that any process can keep, and the values made from it.

The access token is in that JSON as it is at rest, encrypted; only `account_from`, in memory, decrypts it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, TextField
from django.db.models.functions import Cast
from redis.exceptions import RedisError

from automations.matching import Rule, RuleSet
from automations.models import Account, Automation
from automations.replies import ActionError, parse_action
from automations.secrets import decrypt
from queueops import dispatch

logger = logging.getLogger(__name__)

ACCOUNT_FIELDS = ("id", "workspace_id", "instagram_id", "username", "status", "status_reason", "paused_until")
RULE_FIELDS = ("id", "name", "trigger", "media_id", "match", "keywords", "actions", "priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """What sending and deciding need of an account. `token` is the decrypted access token: never log it."""

    id: str
    workspace: str
    instagram_id: str
    username: str
    token: str
    status: str
    status_reason: str
    paused_until: datetime | None

    def __repr__(self) -> str:
        return f"AccountInfo({self.instagram_id})"


def load_accounts(instagram_ids: Collection[str]) -> dict[str, bytes]:
    """Each account as JSON, `null` when nobody connected it here. One query."""
    # Cast: as it is at rest, whatever the field makes of it.
    rows = Account.objects.annotate(encrypted=Cast("token", TextField()), is_vip=F("workspace__is_vip"))
    found = rows.filter(instagram_id__in=instagram_ids).values(*ACCOUNT_FIELDS, "encrypted", "is_vip")
    accounts = {row["instagram_id"]: row for row in found}
    for instagram_id, row in accounts.items():
        with contextlib.suppress(RedisError, OSError):
            # The intake looks only in Redis, which may have lost it since the workspace was saved.
            dispatch.set_vip(instagram_id, row["is_vip"])
    return {instagram_id: _json(accounts.get(instagram_id)) for instagram_id in instagram_ids}


def account_from(kept: bytes) -> AccountInfo | None:
    """Raises ImproperlyConfigured when none of our keys decrypts the token."""
    row = json.loads(kept)
    if row is None:
        return None
    return AccountInfo(
        id=row["id"],
        workspace=row["workspace_id"],
        instagram_id=row["instagram_id"],
        username=row["username"],
        token=decrypt(row["encrypted"], f"The access token of @{row['username']}") if row["encrypted"] else "",
        status=row["status"],
        status_reason=row["status_reason"],
        paused_until=datetime.fromisoformat(row["paused_until"]) if row["paused_until"] else None,
    )


def load_rules(instagram_ids: Collection[str], trigger: str) -> dict[str, bytes]:
    """Each account's active rules for one trigger as JSON, those for any post and those for single ones. One query."""
    active = Automation.objects.filter(account__instagram_id__in=instagram_ids, trigger=trigger, is_active=True)
    rules: dict[str, list[Any]] = {instagram_id: [] for instagram_id in instagram_ids}
    for instagram_id, *fields in active.order_by("id").values_list("account__instagram_id", *RULE_FIELDS):
        rules[instagram_id].append(fields)
    return {instagram_id: _json(rows) for instagram_id, rows in rules.items()}


def rules_from(kept: bytes) -> RuleSet:
    """Compiled: 10,000 rules take a good part of a second, so not on an event loop."""
    rules = (_rule(**dict(zip(RULE_FIELDS, row, strict=True))) for row in json.loads(kept))
    return RuleSet(rule for rule in rules if rule is not None)


def _rule(**fields: Any) -> Rule | None:
    """The row as matching needs it; None for one whose actions were written past the console and cannot be read."""
    try:
        actions = tuple(parse_action(action) for action in fields["actions"])
        keywords = tuple(str(keyword) for keyword in fields["keywords"])
    except (ActionError, TypeError) as error:
        logger.error("action=automation_unreadable automation=%s error=%s", fields["id"], error)
        return None
    return Rule(**{**fields, "actions": actions, "keywords": keywords})


def _json(value: Any) -> bytes:
    # Not orjson: a rule that was written past the console may hold what only Python's own JSON takes back and forth.
    return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
