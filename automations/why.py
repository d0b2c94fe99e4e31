"""Why did this message (not) go out? Finding the event that somebody asks about, wherever it may be.

Looked for in this order, each by an index: an event's key, Meta's message or comment id, a person, an account. What has
no row yet may wait in a lane or in the database tier: there a job is found by its id, which is made of account, kind
and Meta's id, so it is tried for every account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from redis.exceptions import RedisError

from automations import access, addresses
from automations.addresses import Asked
from automations.events import EVENT_TYPES
from automations.models import Account, Contact, Event
from queueops import connections, ledger, whereabouts
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane
from queueops.keys import bounds_of
from queueops.models import DeadLetter, FallbackJob
from queueops.taking import KEPT_KEY
from queueops.whereabouts import Whereabouts

MOST_EVENTS = 50
MOST_NAMED = 50
# For each of these, nine kinds: some thousand look-ups in Redis, in one round trip.
MOST_ACCOUNTS = 500
KEY_CHARACTERS = 64

AWAY = "Redis cannot be reached, so it is not known."


@dataclass(frozen=True, slots=True)
class Period:
    """When the event was received, about."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that was looked, and what that tells."""

    name: str
    found: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the one who asks may see. hidden: Instagram ids of the accounts that they may not."""

    events: QuerySet[Event]
    accounts: QuerySet[Account]
    hidden: frozenset[str]

    @classmethod
    def by(cls, user: Any) -> Seen:
        accounts = access.visible(Account.objects.defer("token"), user, "pk")
        return cls(access.visible_events(user), accounts, access.hidden_tenants(user))


@dataclass(frozen=True, slots=True)
class Found:
    """events: newest first, at most MOST_EVENTS; is_capped when there are more. looked: empty unless nothing is."""

    asked: Asked
    events: list[Event] = field(default_factory=list)
    is_capped: bool = False
    held: list[Whereabouts] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    looked: list[Place] = field(default_factory=list)


def find(text: str, period: Period | None, seen: Seen) -> Found:
    """What is known about whatever the text names; of a person, an account or nobody at all, in this period."""
    asked = addresses.read(text)
    events = _events(asked, period, seen)
    if events:
        return Found(asked, events[:MOST_EVENTS], len(events) > MOST_EVENTS)
    keys = _keys(asked.id, seen) if asked.id else []
    held, is_known = _held(keys, seen)
    letters = list(DeadLetter.objects.filter(event__in=keys).defer("payload", "traceback")[:MOST_EVENTS])
    letters = [letter for letter in letters if letter.account not in seen.hidden]
    if held or letters:
        return Found(asked, held=held, letters=letters)
    return Found(asked, looked=_looked(asked, period, seen, is_known))


def _events(asked: Asked, period: Period | None, seen: Seen) -> list[Event]:
    for events in _ways(asked, period, seen):
        found = list(events.order_by("-id").prefetch_related("deliveries")[: MOST_EVENTS + 1])
        if found:
            return found
    return []


def _ways(asked: Asked, period: Period | None, seen: Seen) -> Iterator[QuerySet[Event]]:
    """One query after the other, each of which an index answers: all at once, none would."""
    if asked.id:
        if len(asked.id) <= KEY_CHARACTERS:
            yield seen.events.filter(key=asked.id)
        yield seen.events.filter(source_id=asked.id)
        yield _within(seen.events.filter(person=asked.id), period)
        yield _within(seen.events.filter(account=asked.id), period)
    elif asked.username:
        accounts = seen.accounts.filter(username__iexact=asked.username).values_list("instagram_id", flat=True)
        yield _within(seen.events.filter(account__in=list(accounts[:MOST_NAMED])), period)
        yield _within(seen.events.filter(person__in=_people(asked.username)), period)
    elif period is not None and not asked.post and not asked.understood:
        yield _within(seen.events, period)


def _people(username: str) -> list[str]:
    """The Instagram-scoped ids of everybody of this name: one for each account that they wrote to."""
    # The second condition is the index's own (`contact_username`), without which SQLite would not use it.
    named = Contact.objects.filter(username=username).exclude(username="")
    return list(named.values_list("instagram_scoped_id", flat=True)[:MOST_NAMED])


def _within(events: QuerySet[Event], period: Period | None) -> QuerySet[Event]:
    if period is None:
        return events
    # Rows are read in the order of their keys.
    bounds = bounds_of(period.since, period.until)
    return events.filter(received_at__gte=period.since, received_at__lte=period.until, **bounds)


def _keys(some_id: str, seen: Seen) -> list[str]:
    """The keys that an event may have whose own key, or Meta's id, this is."""
    accounts = seen.accounts.order_by("-created_at").values_list("instagram_id", flat=True)[:MOST_ACCOUNTS]
    keys = [
        kind(account=account, person="", source_id=some_id, at_ms=None).key
        for account in accounts
        for kind in EVENT_TYPES.values()
    ]
    return [some_id, *keys] if len(some_id) <= KEY_CHARACTERS else keys


def _held(keys: Sequence[str], seen: Seen) -> tuple[list[Whereabouts], bool]:
    """Jobs of these ids that wait somewhere; and whether Redis could be asked."""
    found = whereabouts.find_in_fallback(keys) if keys else []
    is_known = True
    try:
        found += whereabouts.find(connections.client(), keys) if keys else []
    except (RedisError, OSError, EmbeddedValkeyError):
        is_known = False
    return [one for one in found if _account_of(one) not in seen.hidden], is_known


def _account_of(where: Whereabouts) -> str:
    return str(where.held.payload.get("account", ""))


def _looked(asked: Asked, period: Period | None, seen: Seen, is_known: bool) -> list[Place]:
    """Where nothing was found."""
    return [Place("Events written down", _nowhere(asked, period)), *_queue(asked, seen, is_known)]


def _nowhere(asked: Asked, period: Period | None) -> str:
    when = " in this time" if period else ""
    if asked.post:
        return (
            f"A post's address stands for Instagram's own number {asked.post}, and webhooks carry another one for the "
            "same post: no event can be found by it. Open the comment's own address (its time, under the comment, is "
            "the link), or search for who wrote it."
        )
    if asked.username:
        return f"No account and nobody who wrote or commented is known as @{asked.username}{when}."
    if asked.id:
        return f"None has this key, message id or comment id, and none is of such a person or account{when}."
    return f"None was received{when}." if period else "Nothing was asked for."


def _queue(asked: Asked, seen: Seen, is_known: bool) -> list[Place]:
    redis = connections.client() if is_known else None
    try:
        counts = ledger.whole(redis) if redis else None
        ignored: Any = redis.hgetall(ledger.IGNORED_KEY) if redis else {}
        kept: Any = redis.xlen(KEPT_KEY) if redis else 0
    except (RedisError, OSError):
        counts = None
    fallback = Place("The database tier", f"{FallbackJob.objects.count():,} wait there; {_by_id_only(asked, seen)}")
    letters = Place("Dead letters", "None is of such an event." if asked.id else "They are found in their own list.")
    if counts is None:
        return [Place("Lanes, duplicates, ignored, unusable bodies", AWAY), fallback, letters]
    waiting = sum(counts.lanes[lane].waiting + counts.lanes[lane].retrying for lane in Lane)
    names = ", ".join(f"{name.decode().replace('_', ' ')} {int(n):,}" for name, n in sorted(ignored.items()))
    return [
        Place("Waiting in lanes", f"{waiting:,} wait there; {_by_id_only(asked, seen)}"),
        fallback,
        letters,
        Place("Duplicates", f"{counts.duplicate:,} were counted. Each has the row of its first delivery."),
        Place(
            "Recognised and not answered",
            f"{counts.ignored:,}: {names}. They are counted and have no row." if names else "None so far.",
        ),
        Place("Unusable bodies", f"{kept:,} are kept, with what was in them, on the overview."),
    ]


def _by_id_only(asked: Asked, seen: Seen) -> str:
    if not asked.id:
        return "what waits is found only by its message or comment id, or by the event's key."
    n = seen.accounts.count()
    if n > MOST_ACCOUNTS:
        return f"none has this id on the {MOST_ACCOUNTS} newest accounts; the other {n - MOST_ACCOUNTS} were not tried."
    return "none has this id."
