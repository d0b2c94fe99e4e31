"""A draft of an automation against what really came: the account's stored events of the last days, decided once more.

Nothing is sent or written. Windows and limits are not applied: this is about which rule answers. Five queries and one
for each limit, however many events; the rows are streamed, newest first, at most MOST_EVENTS of the account and for at
most MOST_SECONDS.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from automations import events, planning, turns
from automations.looks import shown
from automations.matching import Decision
from automations.models import Automation, Delivery, Event
from automations.rehearsal import KINDS, in_words, rules_with
from automations.replies import Call, Refused
from automations.turns import Limit
from queueops.keys import first_id_of
from queueops.privacy import masked

DAYS = (1, 7, 30)
MOST_EVENTS = 20_000
MOST_SECONDS = 8.0
SAMPLES = 5
ROWS_AT_ONCE = 2000
NO_RULE = "no rule"
_LIVE = Q(event__kind=events.Kind.LIVE_COMMENT)
# Of each limit the deliveries that count against it.
COUNTED: dict[str, Q] = {
    turns.MESSAGES.name: Q(kind=Delivery.Kind.DM),
    turns.MEDIA.name: Q(kind=Delivery.Kind.DM, body__message__attachment__type__in=sorted(turns.MEDIA_TYPES)),
    turns.PRIVATE_REPLIES.name: Q(kind=Delivery.Kind.PRIVATE_REPLY) & ~_LIVE,
    turns.LIVE_REPLIES.name: Q(kind=Delivery.Kind.PRIVATE_REPLY) & _LIVE,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One event that the draft would answer, and what it would send."""

    event: UUID
    received_at: datetime
    text: str
    sends: list[str]


@dataclass(frozen=True, slots=True)
class Load:
    """The busiest stretch of one limit: how many calls this rule would have made in it, and other rules really did."""

    limit: Limit
    peak: int
    others: int
    at: datetime

    @property
    def total(self) -> int:
        return self.peak + self.others

    @property
    def is_over(self) -> bool:
        return self.total > self.limit.count

    @property
    def longest_wait(self) -> timedelta:
        """How long the last of them would have waited for its turn."""
        return timedelta(seconds=max(self.total / self.limit.count - 1, 0) * self.limit.seconds)


@dataclass(slots=True)
class Report:
    """What came of it. since: how far back it went; stopped: why not further, "" when to the end.

    looked: events that the draft's trigger is about. matched: of these the draft would answer so many; answered: so
    many the automation really did. gained: who had really answered those that come new; lost: who would answer those
    that go. outranks, outranked: rules that match the same events, before which this one comes, or they before it.
    """

    days: int
    since: datetime
    stopped: str = ""
    looked: int = 0
    matched: int = 0
    answered: int = 0
    gained: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    outranks: Counter[str] = field(default_factory=Counter)
    outranked: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as it was kept, and which automation really answered it."""

    pk: UUID
    event: events.Event
    answered_by: UUID | None
    received_at: datetime


def run(draft: Automation, days: int, *, with_text: bool) -> Report:
    """Decide the stored events of so many days with the draft in its place among the account's active rules.

    draft: need not be saved. with_text: whether what people wrote may be in the samples.
    """
    ends_at = time.monotonic() + MOST_SECONDS
    report = Report(days, timezone.now() - timedelta(days=days))
    first = _first(draft, report)
    rules = rules_with(draft)
    peaks: dict[Limit, Counter[int]] = {}
    taken_from: Counter[UUID | None] = Counter()
    for stored in _stored(draft, first):
        if time.monotonic() > ends_at:
            report.since, report.stopped = stored.received_at, f"it would have taken over {MOST_SECONDS:.0f} seconds"
            break
        decision = rules.decide(planning.subject(stored.event))
        _count(report, draft, stored, decision)
        if decision.rule is None or decision.rule.id != str(draft.pk):
            continue
        if stored.answered_by != draft.pk:
            taken_from[stored.answered_by] += 1
        planned = planning.calls(stored.event, decision.rule, draft.account.instagram_id, draft.account.username)
        _add_load(peaks, stored, planned)
        if len(report.samples) < SAMPLES:
            report.samples.append(sample(stored, planned, with_text=with_text))
    report.gained = _by_name(taken_from)
    report.loads = [_load(draft, limit, counts) for limit, counts in peaks.items()]
    return report


def _first(draft: Automation, report: Report) -> UUID:
    """The oldest key to look at: of those days, and among the newest MOST_EVENTS of the account, of whatever kind."""
    oldest = first_id_of(report.since)
    newest_first = Event.objects.filter(account=draft.account.instagram_id, pk__gte=oldest).order_by("-id")
    beyond = newest_first.values_list("pk", "received_at")[MOST_EVENTS : MOST_EVENTS + 1]
    for pk, received_at in beyond:
        report.since, report.stopped = received_at, f"only the account's newest {MOST_EVENTS:,} events are looked at"
        return UUID(int=pk.int + 1)
    return oldest


def _stored(draft: Automation, first: UUID) -> Iterator[Stored]:
    kinds = KINDS[draft.trigger]
    rows = Event.objects.filter(account=draft.account.instagram_id, pk__gte=first, kind__in=kinds).order_by("-id")
    columns = rows.values_list("pk", "payload", "automation_id", "received_at")
    for pk, payload, answered_by, received_at in columns.iterator(chunk_size=ROWS_AT_ONCE):
        try:
            event = events.from_payload(payload)
        except (KeyError, TypeError):
            continue  # written by an older version; there is nothing to decide by
        if not planning.is_own(event, draft.account.username):
            yield Stored(pk, event, answered_by, received_at)


def _count(report: Report, draft: Automation, stored: Stored, decision: Decision) -> None:
    winner = decision.rule.name if decision.rule else NO_RULE
    wins = decision.rule is not None and decision.rule.id == str(draft.pk)
    was_answered = stored.answered_by == draft.pk
    report.looked += 1
    report.matched += wins
    report.answered += was_answered
    if was_answered and not wins:
        report.lost[winner] += 1
    beaten = [look for look in decision.looks if look["failed"] and look["failed"]["condition"] == "outranked"]
    if wins:
        report.outranks.update(look["name"] for look in beaten)
    elif any(look["automation"] == str(draft.pk) for look in beaten):
        report.outranked[winner] += 1


def _add_load(peaks: dict[Limit, Counter[int]], stored: Stored, planned: Sequence[Call | Refused]) -> None:
    for call in planned:
        limit = turns.limit_on(stored.event.kind, call) if isinstance(call, Call) else None
        if limit is not None:
            peaks.setdefault(limit, Counter())[int(stored.received_at.timestamp() // limit.seconds)] += 1


def _load(draft: Automation, limit: Limit, counts: Counter[int]) -> Load:
    stretch, peak = counts.most_common(1)[0]
    at = datetime.fromtimestamp(stretch * limit.seconds, UTC)
    return Load(limit, peak, _by_others(draft, limit, at), at)


def _by_others(draft: Automation, limit: Limit, at: datetime) -> int:
    """How many calls of the account's other automations really counted against the limit in the stretch from then on.

    Read by the deliveries' keys, which grow with time: those of an hour at most. Events that the draft would take away
    from another automation count twice, here and for the draft: rather too many than too few.
    """
    ends = at + timedelta(seconds=limit.seconds)
    made = Delivery.objects.filter(pk__gte=first_id_of(at), pk__lt=first_id_of(ends)).filter(COUNTED[limit.name])
    theirs = made.filter(event__account=draft.account.instagram_id).exclude(automation_key=str(draft.pk))
    return theirs.exclude(status=Delivery.Status.SKIPPED).count()


def sample(stored: Stored, planned: Sequence[Call | Refused], *, with_text: bool) -> Sample:
    """The event and what it would be answered with, for a page. with_text: whether what they wrote may be shown."""
    said = getattr(stored.event, "text", "") or getattr(stored.event, "payload", "")
    if not with_text:  # what is sent may repeat what was written
        return Sample(stored.pk, stored.received_at, masked(said), [])
    return Sample(stored.pk, stored.received_at, shown(said), in_words(planned))


def _by_name(ids: Counter[UUID | None]) -> Counter[str]:
    names = dict(Automation.objects.filter(pk__in=[pk for pk in ids if pk]).values_list("pk", "name"))
    named: Counter[str] = Counter()
    for pk, n in ids.items():
        named[names.get(pk, "a rule that was deleted") if pk else NO_RULE] += n
    return named
