"""Dead letters by cause: what many have in common, how it develops, and whether operators are done with it.

How often, since when and for whom is counted from the open letters (`queueops.cause_counts`), not kept with each: that
would be one row on which everything that dies at the same moment waits. See docs/adr/0029-causes.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from queueops import audit, verdicts
from queueops.audit import Act, By
from queueops.cause_counts import HOURS_SHOWN, Counted
from queueops.models import Cause, DeadLetter, DeadLetterQuerySet
from queueops.verdicts import Said


@dataclass(slots=True, kw_only=True)
class Seen:
    """A cause with what its open letters say. hours: dead in each of the last 24 hours, the oldest first.

    expired: a retry sends nothing any more; expire_1h, expire_24h: how many more join those in that time.
    until: when the last of its accounts may call again, where that is known.
    """

    cause: Cause
    n: int = 0
    accounts: int = 0
    first: datetime | None = None
    last: datetime | None = None
    expired: int = 0
    expire_1h: int = 0
    expire_24h: int = 0
    until: datetime | None = None
    hours: list[int] = field(default_factory=lambda: [0] * HOURS_SHOWN)

    @property
    def verdict(self) -> Said:
        """What an operator does next."""
        return verdicts.said(self.cause.verdict, is_closed=0 < self.n == self.expired, until=self.until)

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


def seen(counted: Counted, causes: Iterable[Cause]) -> list[Seen]:
    """The causes with what was counted of them, the most frequent first."""
    found = [Seen(cause=cause, **counted.by_cause.get(cause.pk, {})) for cause in causes]
    return sorted(found, key=lambda one: (-one.n, one.cause.title))


def look_at_waits(seen: Iterable[Seen], letters: DeadLetterQuerySet) -> None:
    """Say of each until when it waits. letters: the open ones that the person who asks may see."""
    found = list(seen)
    until = verdicts.until_of_causes(letters, [one.cause for one in found])
    for one in found:
        one.until = until.get(one.cause.pk)
