"""Accounts of which nothing has come for hours, although in these hours it usually does.

Measured in rows of events, by the index on account and key, whose keys grow with time: for each account one look for
anything in the last hours, and for those that are silent one look for each of the last weeks, in one statement. No look
reads more than BUSY_EVENTS rows, however many events there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from automations.models import Account, Event
from queueops.keys import first_id_of

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
    first, last = first_id_of(until - timedelta(hours=HOURS)), first_id_of(until)
    events = Event.objects.filter(account=OuterRef("instagram_id"), id__gte=first, id__lt=last)
    return Exists(events.order_by("id")[at_least - 1 : at_least])
