"""What the open letters say of each cause: counted when somebody looks while they are few, once a minute when many.

Few are AT_ONCE, which takes some milliseconds. Of many more, one worker counts all, and writes that down in one row;
whoever may see only some accounts is told of the newest AT_ONCE instead, and so is everybody of a cause that is newer
than the last count. See docs/adr/0029-causes.md.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import close_old_connections, connection
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import TruncHour
from django.utils import timezone

from queueops.models import CauseCount, DeadLetter, DeadLetterQuerySet
from queueops.searching import key_of_last

AT_ONCE = 10_000
HOURS_SHOWN = 24

EVERY_SECONDS = 60.0
# Counting may take this share of one's time: of ten million letters it takes a while, and is done less often.
MOST_SHARE = 0.05
# A worker that dies while it counts is taken for dead after that.
LEASE = timedelta(minutes=5)
THE_ROW = 1
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

# n, accounts, first, last, expired, expire_1h, expire_24h, hours: as `causes.Seen` has them.
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Counted:
    """By fingerprint. at: when. of_newest: 0 when all letters were counted, else among how many of the newest."""

    by_cause: dict[str, Fields]
    at: datetime
    of_newest: int = 0


def look(letters: DeadLetterQuerySet, *, are_all: bool) -> Counted:
    """Of these letters. are_all: whether nobody's open ones are missing from them, but those of other causes."""
    now = timezone.now()
    newest = _newest(letters)
    if newest is None:
        return Counted(count(letters, now), now)
    among_newest = count(letters.filter(newest), now)
    kept = _kept() if are_all else None
    if kept is None:
        return Counted(among_newest, now, AT_ONCE)
    return Counted({**among_newest, **kept.by_cause}, kept.at)


def turn() -> bool:
    """Count all if that is due and nobody is at it; whether it was. Raises DatabaseError, InterfaceError."""
    now = timezone.now()
    if not _take(now):
        return False
    started = time.monotonic()
    letters = DeadLetter.objects.dead()
    are_many = _newest(letters) is not None
    counts = {name: _as_json(fields) for name, fields in count(letters, now).items()} if are_many else {}
    rest = max(EVERY_SECONDS, (time.monotonic() - started) / MOST_SHARE)
    CauseCount.objects.filter(pk=THE_ROW).update(
        counts=counts, counted_at=now if are_many else None, due_at=timezone.now() + timedelta(seconds=rest)
    )
    return True


def turn_of_thread() -> None:
    """The same in a thread of its own, which keeps no connection: of a million it takes a second, and jobs wait not."""
    try:
        close_old_connections()
        turn()
    finally:
        connection.close()


def count(letters: DeadLetterQuerySet, now: datetime) -> dict[str, Fields]:
    """Two grouped queries over all of them, along two indexes."""
    found = {row.pop("fingerprint"): row for row in _grouped(letters, now)}
    hours = _by_hour(letters, now)
    return {name: {**fields, "hours": hours[name]} for name, fields in found.items()}


def _newest(letters: DeadLetterQuerySet) -> Q | None:
    """The condition that leaves the newest AT_ONCE of them; None when there are no others."""
    oldest = key_of_last(letters.order_by("-pk"), AT_ONCE)
    return None if oldest is None else Q(pk__gte=oldest)


def _grouped(letters: DeadLetterQuerySet, now: datetime) -> Any:
    hour, day = now + timedelta(hours=1), now + timedelta(days=1)
    return (
        letters.order_by()
        .values("fingerprint")
        .annotate(
            n=Count("*"),
            accounts=Count("account", distinct=True),
            first=Min("created_at"),
            last=Max("created_at"),
            expired=Count("expires_at", filter=Q(expires_at__lte=now)),
            expire_1h=Count("expires_at", filter=Q(expires_at__gt=now, expires_at__lte=hour)),
            expire_24h=Count("expires_at", filter=Q(expires_at__gt=now, expires_at__lte=day)),
        )
    )


def _by_hour(letters: DeadLetterQuerySet, now: datetime) -> dict[str, list[int]]:
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since = this_hour - timedelta(hours=HOURS_SHOWN - 1)
    rows = letters.filter(created_at__gte=since).order_by().annotate(hour=TruncHour("created_at", tzinfo=UTC))
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS_SHOWN)
    for name, hour, n in rows.values_list("fingerprint", "hour").annotate(n=Count("*")):
        place = int((hour - since).total_seconds() // 3600)
        if place < HOURS_SHOWN:  # a clock that is ahead of ours
            counts[name][place] = n
    return counts


def _take(now: datetime) -> bool:
    due = CauseCount.objects.filter(pk=THE_ROW, due_at__lte=now)
    if due.update(due_at=now + LEASE):
        return True
    if CauseCount.objects.filter(pk=THE_ROW).exists():
        return False
    CauseCount.objects.bulk_create([CauseCount(pk=THE_ROW, due_at=NEVER)], ignore_conflicts=True)
    return bool(due.update(due_at=now + LEASE))


def _kept() -> Counted | None:
    row = CauseCount.objects.filter(pk=THE_ROW, counted_at__isnull=False).first()
    if row is None or row.counted_at is None:
        return None
    return Counted({name: _from_json(fields) for name, fields in row.counts.items()}, row.counted_at)


def _as_json(fields: Fields) -> Fields:
    return {**fields, "first": fields["first"].isoformat(), "last": fields["last"].isoformat()}


def _from_json(fields: Fields) -> Fields:
    return {**fields, "first": datetime.fromisoformat(fields["first"]), "last": datetime.fromisoformat(fields["last"])}
