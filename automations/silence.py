"""Accounts of which nothing has come for hours, although in these hours it usually does.

Measured in rows of events, by the index on account and key, whose keys grow with time: for each account one look for
anything in the last hours, and for those that are silent one look for each of the last weeks, in one statement. No look
reads more than BUSY_EVENTS rows, however many events there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef

from automations.models import Account, Event

HOURS = 3
WEEKS = 4
# An account is usually busy when in these hours of so many of the last weeks at least so many events came.
BUSY_WEEKS = 3
BUSY_EVENTS = 10
MOST_ACCOUNTS = 500


@dataclass(frozen=True, slots=True)
class Silent:
    """An active account that is usually busy by now. name: as the console shows it."""

    instagram_id: str
    name: str


def first_key(at: datetime) -> UUID:
    """The lowest key that a row made at this instant can have (RFC 9562, version 7: 48 bits of milliseconds first)."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def silent_accounts(now: datetime) -> Sequence[Silent]:
    """Those that are silent now and usually are not. Raises DatabaseError."""
    weeks = {f"week_{week}": _came(now - timedelta(weeks=week), BUSY_EVENTS) for week in range(1, WEEKS + 1)}
    silent = Account.objects.filter(~_came(now, 1), status=Account.Status.ACTIVE).order_by("pk")
    rows = silent.annotate(**weeks).values("instagram_id", "username", *weeks)
    return [
        Silent(row["instagram_id"], f"@{row['username']}" if row["username"] else row["instagram_id"])
        for row in rows
        if sum(row[week] for week in weeks) >= BUSY_WEEKS
    ][:MOST_ACCOUNTS]


def _came(until: datetime, at_least: int) -> Exists:
    """Whether so many events of the account came in the HOURS before."""
    since, until_key = first_key(until - timedelta(hours=HOURS)), first_key(until)
    events = Event.objects.filter(account=OuterRef("instagram_id"), id__gte=since, id__lt=until_key)
    return Exists(events.order_by("id")[at_least - 1 : at_least])
