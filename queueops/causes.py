"""Dead letters by cause: what many have in common, how it develops, and whether operators are done with it.

How often, since when and for whom is counted from the open letters when somebody looks: a count that is kept would be
one row on which everything that dies at the same moment waits. See docs/adr/0029-causes.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Min, Q
from django.db.models.functions import TruncHour
from django.utils import timezone

from queueops import audit
from queueops.audit import Act, By
from queueops.models import Cause, DeadLetter, DeadLetterQuerySet

HOURS_SHOWN = 24

# What an operator does next, by the verdicts of errors.Cause: in a word, and in a sentence.
VERDICTS = {
    "retry": ("safe to retry", "It failed for a time: retry it once that is over."),
    "wait": ("wait, then retry", "A limit of Meta's is reached: retry when it has passed."),
    "reject": ("never, as it is", "Meta refuses it for good: a retry helps only once its cause is gone."),
    "pause_account": ("wait, then retry", "Meta has paused the account: retry when that is over."),
    "needs_owner": ("needs the account's owner", "The account's owner must act; then retry."),
    "probably_sent": ("may have been sent", "Nobody knows whether it arrived: look before a retry."),
    "bug": ("a bug of ours", "Our own code failed: a developer must mend it; then retry."),
}
CLOSED = ("never: window closed", "Every window has closed: a retry would send nothing any more.")
# How each looks (the classes of console.css).
TONES = {"retry": "cad-good", "bug": "cad-bad", "reject": "cad-bad", "needs_owner": "cad-warn", "wait": "cad-warn"}


@dataclass(slots=True, kw_only=True)
class Seen:
    """A cause with what its open letters say. hours: dead in each of the last 24 hours, the oldest first.

    expired: a retry sends nothing any more; expire_1h, expire_24h: how many more join those in that time.
    """

    cause: Cause
    n: int = 0
    accounts: int = 0
    first: datetime | None = None
    last: datetime | None = None
    expired: int = 0
    expire_1h: int = 0
    expire_24h: int = 0
    hours: list[int] = field(default_factory=lambda: [0] * HOURS_SHOWN)

    @property
    def verdict(self) -> tuple[str, str]:
        """In a word, and in a sentence."""
        if self.n and self.expired == self.n:
            return CLOSED
        return VERDICTS.get(self.cause.verdict, (self.cause.verdict.replace("_", " "), ""))

    @property
    def tone(self) -> str:
        return "" if self.n and self.expired == self.n else TONES.get(self.cause.verdict, "")

    @property
    def bars(self) -> list[tuple[int, float, float, int]]:
        """(hour, top, height, how many) of each hour in a picture that is 24 high; an hour with any shows a pixel."""
        most = max(self.hours) or 1
        heights = [max(24 * n / most, 1.0) if n else 0.0 for n in self.hours]
        return [(i * 4, round(24 - h, 1), round(h, 1), self.hours[i]) for i, h in enumerate(heights)]


def note(letter: DeadLetter) -> None:
    """Know the cause of a letter that is being written, and reopen it when it had been resolved before the letter.

    In the letter's transaction. Nearly always neither statement changes a row, and so nobody waits for anybody.
    """
    cause = Cause(
        fingerprint=letter.fingerprint,
        title=letter.cause_title or letter.error[:200],
        func=letter.func,
        code=letter.cause_code,
        subcode=letter.cause_subcode,
        verdict=letter.cause_verdict,
        first_seen=letter.created_at,
    )
    Cause.objects.bulk_create([cause], ignore_conflicts=True)
    resolved = Cause.objects.filter(pk=letter.fingerprint, state=Cause.State.RESOLVED)
    resolved.filter(resolved_at__lt=letter.created_at).update(state=Cause.State.OPEN, reopened_at=letter.created_at)


def resolve(cause: Cause, by: By) -> bool:
    """Say that it is over, with the reason as its note; it reopens when it is seen again. Whether it was still open."""
    fields = {"resolved_at": timezone.now(), "resolved_by": by.who[:150], "note": by.reason}
    return _change(cause, by, "resolve", Cause.State.OPEN, state=Cause.State.RESOLVED, reopened_at=None, **fields)


def reopen(cause: Cause, by: By) -> bool:
    """Take the resolution back; whether it was resolved."""
    return _change(cause, by, "reopen", Cause.State.RESOLVED, state=Cause.State.OPEN, reopened_at=timezone.now())


def _change(cause: Cause, by: By, action: str, now: Cause.State, /, **to: Any) -> bool:
    with transaction.atomic():
        if not Cause.objects.filter(pk=cause.pk, state=now).update(**to):
            return False
        target = (cause.pk, cause.title)
        audit.record(Act(by=by, action=action, kind=audit.kind_of(Cause), targets=[target]))
    return True


def seen(letters: DeadLetterQuerySet, causes: Iterable[Cause]) -> list[Seen]:
    """The causes with what these letters say of them, the most frequent first: two queries, however many letters.

    letters: the open ones that the person who asks may see.
    """
    now = timezone.now()
    by_name = {cause.pk: Seen(cause=cause) for cause in causes}
    for row in _counted(letters, now):
        name = row.pop("fingerprint")
        if name in by_name:
            for key, value in row.items():
                setattr(by_name[name], key, value)
    for name, hours in _by_hour(letters, now).items():
        if name in by_name:
            by_name[name].hours = hours
    return sorted(by_name.values(), key=lambda one: (-one.n, one.cause.title))


def _counted(letters: DeadLetterQuerySet, now: datetime) -> Any:
    """Along the index `letter_causes`, without a look at the letters."""
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
