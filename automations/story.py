"""One event's way through us, station by station: what each decided, when, and what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from automations import windows
from automations.answer import next_attempt, stamp
from automations.events import Kind
from automations.models import Account, Conversation, Delivery, Event
from automations.people import contact_id
from automations.turns import LIVE_REPLIES, MESSAGES, PRIVATE_REPLIES
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.switches import Mode, Switches
from queueops.whereabouts import FALLBACK, Whereabouts

GOOD, BAD, WARN, PLAIN = "good", "bad", "warn", ""

# Where events of a kind wait, unless their workspace is a VIP or a flood is on; `webhooks.routing` decides it.
USUAL_LANES = {
    **dict.fromkeys((Kind.MESSAGE, Kind.QUICK_REPLY, Kind.POSTBACK, Kind.REFERRAL), Lane.HIGH),
    **dict.fromkeys((Kind.STORY_REPLY, Kind.STORY_MENTION, Kind.MENTION), Lane.DEFAULT),
    **dict.fromkeys((Kind.COMMENT, Kind.LIVE_COMMENT), Lane.LOW),
}
COMMENTS = frozenset({Kind.COMMENT, Kind.LIVE_COMMENT})
LONG_WAIT = timedelta(minutes=5)
PLACES = {
    "queued": "waits",
    "started": "is with a worker",
    "scheduled": "is put off",
    "failed": "was given up",
    FALLBACK: "waits in the database, which took it while Redis was away,",
}


@dataclass(frozen=True, slots=True)
class Station:
    """One step on the way. state: good, bad, warn, or "" where there is nothing to judge."""

    name: str
    words: str
    at: datetime | None = None
    state: str = PLAIN


def until_the_rules(event: Event, account: Account | None) -> list[Station]:
    """Received, duplicate or not, lane, account."""
    signed = "Meta's signature was good; what is not signed by our secret is refused before it is read."
    twice = f"No. Later deliveries of it by Meta are recognised by its key, {event.key}, and answered only once."
    return [
        Station("Received", signed, event.received_at, GOOD),
        Station("Duplicate?", twice, event.received_at, GOOD),
        lane(event.kind, event.lane, event.received_at, event.started_at),
        of_account(account, event.account, event.received_at),
    ]


def lane(kind: str, name: str, received_at: datetime | None, started_at: datetime | None) -> Station:
    """In which lane it waited, why there, and for how long."""
    waited = started_at - received_at if started_at and received_at else None
    words = f"{name or 'Not known'}. {_why_lane(kind, name)}"
    if waited is not None:
        words += f" It waited there for {max(waited.total_seconds(), 0):.1f} s."
    is_long = waited is not None and waited > LONG_WAIT
    return Station("Lane", words.strip(), started_at, WARN if is_long else PLAIN)


def _why_lane(kind: str, name: str) -> str:
    if name not in set(Lane) or kind not in set(Kind):
        return ""
    usual = USUAL_LANES[Kind(kind)]
    if name == usual:
        return f"Where every {kind.replace('_', ' ')} waits."
    if name == usual.raised:
        return "One lane up: its workspace is a VIP."
    also = ", then one lane up for its VIP workspace" if name != Lane.LOW else ""
    return f"Put off into the lowest lane by the flood limit (QUEUE_MAX_WEBHOOKS_PER_MINUTE){also}."


def of_account(account: Account | None, instagram_id: str, received_at: datetime | None) -> Station:
    """Whether we know the account, and how it stands now: that is the time of it, but for what has one of its own."""
    now = timezone.now()
    if account is None:
        return Station("Account", f"{instagram_id} is not connected here.", now, BAD)
    if account.status == Account.Status.NEEDS_OWNER:
        return Station("Account", f"{account} needs its owner: {account.status_reason or 'no reason given'}", now, BAD)
    if account.status == Account.Status.PAUSED:
        return Station("Account", f"{account} is paused: {account.status_reason or 'no reason given'}", now, WARN)
    if account.paused_until and account.paused_until > now:
        why = account.status_reason or "paused"
        return Station("Account", f"{account} waits until {stamp(account.paused_until)}: {why}", now, WARN)
    if received_at and account.created_at > received_at:
        return Station("Account", f"{account} was connected only afterwards.", account.created_at, WARN)
    return Station("Account", f"{account} is connected and active.", now, GOOD)


def until_the_call(event: Event, account: Account | None, deliveries: Sequence[Delivery]) -> list[Station]:
    """Meta's windows, and the account's limits."""
    if account is None:
        return []
    return [*_windows(event, account, deliveries), _limits(event, deliveries)]


def closes(event: Event, account: Account, kind: str) -> datetime | None:
    """When the window for a delivery of this kind closes, None when it is closed for want of a message of theirs."""
    happened = event.happened_at or event.received_at
    return windows.closes_at(kind, Kind(event.kind), happened, _last_inbound(event, account))


def _last_inbound(event: Event, account: Account) -> datetime | None:
    if not event.person:
        return None
    conversation = Conversation.objects.filter(pk=contact_id(str(account.pk), event.person))
    return conversation.values_list("last_inbound_at", flat=True).first()


def kinds_of_delivery(event: Event, deliveries: Iterable[Delivery]) -> list[str]:
    """What was tried, or what would answer an event of this kind."""
    tried = list(dict.fromkeys(delivery.kind for delivery in deliveries))
    return tried or [Delivery.Kind.PRIVATE_REPLY.value if event.kind in COMMENTS else Delivery.Kind.DM.value]


def _windows(event: Event, account: Account, deliveries: Sequence[Delivery]) -> list[Station]:
    asked_at = max((delivery.created_at for delivery in deliveries), default=timezone.now())
    stations = []
    for kind in kinds_of_delivery(event, deliveries):
        end = closes(event, account, kind)
        name = f"Window for a {Delivery.Kind(kind).label}"
        if end is None or end < asked_at:
            stations.append(Station(name, windows.closed_reason(kind, end), end, BAD))
        elif end < timezone.now():
            stations.append(Station(name, f"Open then; it closed at {stamp(end)}.", end, GOOD))
        else:
            stations.append(Station(name, f"Open until {stamp(end)}.", end, GOOD))
    return stations


def _limits(event: Event, deliveries: Sequence[Delivery]) -> Station:
    waits = [attempt for attempt in event.attempts if "limit" in attempt.get("result", "") and attempt.get("retry_at")]
    if waits:
        at = datetime.fromisoformat(waits[-1]["at"])
        return Station("Limits", f"{waits[-1]['result']} (put off {len(waits)} times)", at, WARN)
    if not deliveries:
        return Station("Limits", "Not asked: nothing was to be sent.", event.finished_at)
    begun_at = min(delivery.created_at for delivery in deliveries)
    held = [limit for limit in (MESSAGES, PRIVATE_REPLIES, LIVE_REPLIES) if limit.count]
    return Station("Limits", f"No wait was needed ({'; '.join(map(str, held)) or 'none is set'}).", begun_at, GOOD)


def next_steps(
    event: Event, account: Account | None, letters: Sequence[DeadLetter], where: Whereabouts | None, held: Switches
) -> list[str]:
    """What happens now, by itself or by whom; the first is the next."""
    steps = _by_outcome(event, letters)
    if where is not None and not event.is_final:
        steps += waiting(where, held)
    if account is not None and not event.is_final and event.outcome != Event.Outcome.DEAD:
        steps += _expiry(event, account)
    return steps


def _by_outcome(event: Event, letters: Sequence[DeadLetter]) -> list[str]:
    at = next_attempt(event)
    when = f"at {stamp(at)}, or at once when its account is released" if at else "soon"
    said: dict[str, list[str]] = {
        Event.Outcome.NO_MATCH: [
            "Nothing by itself: the event is over. Once the rules are right, it can be answered after all."
        ],
        Event.Outcome.SENT: ["Nothing: the event is over."],
        Event.Outcome.SKIPPED: ["Nothing: the event is over."],
        Event.Outcome.DISCARDED: ["Nothing: the event is over."],
        Event.Outcome.UNKNOWN_ACCOUNT: [
            "Nothing by itself: the event is over. Once its account is connected, it can be answered after all."
        ],
        Event.Outcome.UNCONFIRMED: ["Meta's echo settles it when it comes; else an operator must decide (see below)."],
        Event.Outcome.RETRYING: [f"It is tried again {when}."],
        Event.Outcome.WAITING: [],
        Event.Outcome.PROCESSING: ["A worker ends it. If its process was killed, it is taken up again by itself."],
        Event.Outcome.DEAD: ["An operator must retry or discard its dead letter."],
    }
    steps = list(said[Event.Outcome(event.outcome)])
    if event.outcome == Event.Outcome.DEAD and not any(one.status == DeadLetter.Status.DEAD for one in letters):
        return ["Its dead letter was taken up: it waits in its lane again."]
    return steps


def waiting(where: Whereabouts, held: Switches) -> list[str]:
    """Where a job is now, and what holds its lane up."""
    name, status = where.held.lane, where.held.status
    steps = [f"It {PLACES.get(status, 'is')} in lane {name}{_place_in_line(where)}."]
    if status not in ("queued", FALLBACK):
        return steps
    pause = held.pause_of(name)
    if held.mode is Mode.PAUSED:
        steps.append("All lanes are paused by the mode: nothing is taken up until it is switched back.")
    elif held.suspended:
        steps.append("All workers are suspended: manage.py rqresume ends it.")
    elif pause is not None:
        steps.append(f"The lane is paused {pause.story()}")
    return steps


def _place_in_line(where: Whereabouts) -> str:
    if where.held.status == "queued":
        if where.ahead is None:
            return ", far back"
        return f", behind {where.ahead:,} others" if where.ahead else ", and is the next of it"
    return f" until {stamp(where.due)}" if where.due else ""


def _expiry(event: Event, account: Account) -> list[str]:
    kinds = kinds_of_delivery(event, event.deliveries.all())
    ends = [end for kind in kinds if (end := closes(event, account, kind)) is not None]
    return [f"At {stamp(min(ends))} its window closes: then it is skipped, visibly."] if ends else []


def of_held(where: Whereabouts, account: Account | None) -> list[Station]:
    """The stations of an event that has no row yet."""
    payload, receipt = where.held.payload, where.held.receipt
    received_at = received(receipt)
    return [
        Station("Received", "Meta's signature was good.", received_at, GOOD),
        Station("Duplicate?", f"No. Its key is {where.id}.", received_at, GOOD),
        lane(str(payload.get("kind")), where.held.lane, None, None),
        of_account(account, str(payload.get("account", "")), received_at),
        Station("Rules", "Not asked yet: a worker asks when it takes it up."),
    ]


def received(receipt: dict[str, Any]) -> datetime | None:
    """When it was taken, as the job says."""
    try:
        return datetime.fromisoformat(str(receipt.get("at")))
    except ValueError:
        return None
