"""Events that nothing answered, answered after all: by the rules and accounts as they are now.

Their rule came too late or had a slip of the pen, or their account was not connected yet. Each goes through the queue
once more as the event that it was, with the same key: rows, windows, limits and "one private reply per comment" guard
it as ever, and one that matches nothing after all is over again.
docs/adr/0037-replay.md has the reasons.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from automations import events, lookups, planning, story, windows
from automations.backtest import Sample, Stored, sample
from automations.decisions import StillQueued, job_of
from automations.matching import Rule, RuleSet
from automations.models import Account, Event
from automations.replies import Call, Refused
from queueops import again, audit
from queueops.audit import By
from queueops.keys import first_id_of

__all__ = ["MOST", "REACH", "UNANSWERED", "Plan", "StillQueued", "plan", "replay"]

UNANSWERED = (Event.Outcome.NO_MATCH, Event.Outcome.UNKNOWN_ACCOUNT)
# Whatever is older, Meta lets nobody answer any more.
REACH = max(windows.PRIVATE_REPLY_WINDOW, windows.MESSAGE_WINDOW)
MOST = 500
MOST_SECONDS = 8.0
SAMPLES = 5
ROWS_AT_ONCE = 500
COLUMNS = ("key", "kind", "account", "person", "payload", "happened_at", "received_at")

NO_RULE = "no rule answers it"
NOT_CONNECTED = "its account is not connected"
OWN = "it is the account's own comment"
TOO_LATE = "the window for its answer has closed"
UNFIT = "nothing of its answer can be sent"
UNREADABLE = "it was written by an older version, and cannot be read"


@dataclass(slots=True)
class Plan:
    """What would be answered. chosen: the events' keys, newest first; by_rule: how many by which.

    left_out: how many not, by the reason. since: how far back it looked; stopped: why no further, "" when to the end.
    """

    since: datetime
    chosen: list[UUID] = field(default_factory=list)
    by_rule: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    stopped: str = ""


def plan(rows: QuerySet[Event], *, with_text: bool) -> Plan:
    """Decide those of these events that nothing answered once more; nothing is sent or written.

    The newest first, until MOST would be answered or for MOST_SECONDS. with_text: whether what people wrote may be in
    the samples.
    """
    ends_at = time.monotonic() + MOST_SECONDS
    found = Plan(timezone.now() - REACH)
    ask = _Now()
    unanswered = rows.filter(outcome__in=UNANSWERED, pk__gte=first_id_of(found.since)).order_by("-pk")
    for row in unanswered.only(*COLUMNS).iterator(chunk_size=ROWS_AT_ONCE):
        found.stopped = _why_not_further(found, ends_at)
        if found.stopped:
            found.since = row.received_at
            break
        _add(found, ask, row, with_text=with_text)
    return found


def _why_not_further(found: Plan, ends_at: float) -> str:
    if len(found.chosen) == MOST:
        return f"at most {MOST} are answered at a time"
    return f"it would have taken over {MOST_SECONDS:.0f} seconds" if time.monotonic() > ends_at else ""


class _Now:
    """Accounts and rules as they are now, each asked for once."""

    def __init__(self) -> None:
        self.account = cache(self._account)
        self.rules = cache(self._rules)

    def _account(self, instagram_id: str) -> Account | None:
        return Account.objects.defer("token").filter(instagram_id=instagram_id).first()

    def _rules(self, instagram_id: str, trigger: str) -> RuleSet:
        return lookups.rules_from(lookups.load_rules([instagram_id], trigger)[instagram_id])


def _add(found: Plan, ask: _Now, row: Event, *, with_text: bool) -> None:
    try:
        event = events.from_payload(row.payload)
    except (KeyError, TypeError, ValueError):
        found.left_out[UNREADABLE] += 1
        return
    account = ask.account(row.account)
    rule = _rule(ask, event) if account else None
    calls = planning.calls(event, rule, account.instagram_id, account.username) if account and rule else []
    why_not = _why_not(row, event, account, rule, calls)
    if rule is None or why_not:
        found.left_out[why_not] += 1
        return
    found.chosen.append(row.pk)
    found.by_rule[rule.name] += 1
    if len(found.samples) < SAMPLES:
        found.samples.append(sample(Stored(row.pk, event, None, row.received_at), calls, with_text=with_text))


def _rule(ask: _Now, event: events.Event) -> Rule | None:
    trigger = planning.TRIGGERS.get(event.kind)
    return ask.rules(event.account, trigger).decide(planning.subject(event)).rule if trigger else None


def _why_not(
    row: Event, event: events.Event, account: Account | None, rule: Rule | None, calls: Sequence[Call | Refused]
) -> str:
    if account is None:
        return NOT_CONNECTED
    if planning.is_own(event, account.username):
        return OWN
    if rule is None:
        return NO_RULE
    first = next((call for call in calls if isinstance(call, Call)), None)
    if first is None:
        return UNFIT
    return "" if _is_in_time(row, event, account, first) else TOO_LATE


def _is_in_time(row: Event, event: events.Event, account: Account, call: Call) -> bool:
    now = timezone.now()
    end = windows.closes_at(call.kind, event.kind, row.happened_at or row.received_at, None)
    if call.kind == "dm" and (end is None or end < now):
        end = story.closes(row, account, call.kind)  # they may have written since
    return end is not None and end >= now


def replay(chosen: Sequence[UUID], by: By) -> int:
    """Send these through the queue once more, together with an entry in the audit log; how many.

    Left alone is what somebody else has taken up meanwhile, or the queue still holds. Raises StillQueued when that
    happens in this very moment: then nothing was done.
    """
    with transaction.atomic():
        rows = list(Event.objects.select_for_update().filter(pk__in=chosen, outcome__in=UNANSWERED).order_by("pk"))
        free = again.free([row.key for row in rows])
        taken = [row for row in rows if row.key in free]
        if not taken:
            return 0
        reopened = Event.objects.filter(pk__in=[row.pk for row in taken])
        reopened.update(outcome=Event.Outcome.WAITING, reason="", finished_at=None)
        targets = [(str(row.pk), str(row)) for row in taken]
        audit.record(audit.Act(by=by, action="replay", kind=audit.kind_of(Event), targets=targets))
        again.run_again([job_of(row) for row in taken])
    return len(taken)
