"""What is wrong, as values; and how a thing that is wrong becomes an alert, and stops being one.

A condition looks at the state and finds what is wrong by its measure. What it finds is written down when it is first
seen, opens once it has held for as long as the condition says, and closes once it has not been seen for GONE_SECONDS:
so that what flickers is one alert, or none. A condition that cannot tell, because what it asks is away, changes
nothing. Conditions of the layers above are registered as their apps start; who is told is `queueops.alerting`'s part
(docs/adr/0033-alerts.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from redis.exceptions import RedisError

from queueops import scrubbing, visibility
from queueops.embedded import EmbeddedValkeyError
from queueops.models import Alert, AlertQuerySet

logger = logging.getLogger(__name__)

GONE_SECONDS = 300.0
# Of one condition at one look: more are no more to a person, and each is a row.
MOST_FOUND = 500


@dataclass(frozen=True, slots=True)
class Look:
    """What all conditions of one round judge by. snapshot: `stats.snapshot`'s, with None for what is not known."""

    now: datetime
    snapshot: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that is wrong. subject: which of several (a lane, an account). words: one sentence, no secret in it."""

    subject: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that may be wrong.

    find: what is wrong by this look; None when it cannot tell. It may raise DatabaseError, RedisError or OSError, which
    is the same. holds_seconds: for how long before anybody is told. advice: what to do. page: that explains it.
    """

    name: str
    title: str
    severity: Alert.Severity
    holds_seconds: float
    find: Callable[[Look], Sequence[Found] | None]
    advice: str
    page: str = "docs/operations/alerts.md"


_conditions: dict[str, Condition] = {}


def register(*conditions: Condition) -> None:
    """Have these looked at from now on. One of the same name takes the other's place."""
    _conditions.update({condition.name: condition for condition in conditions})


def registered() -> Mapping[str, Condition]:
    """All conditions by their names."""
    return _conditions


def visible(rows: AlertQuerySet, user: Any) -> AlertQuerySet:
    """Those that this user may see: an alert about an account is seen with it. user: None is somebody with a shell."""
    return visibility.narrowed(rows, user, "subject")


def open_now(user: Any = None, most: int = 20) -> list[Alert]:
    """What is wrong now that this user may see, the worst and oldest first. Raises DatabaseError, InterfaceError."""
    return list(visible(Alert.objects.open(), user).select_related("acknowledged_by")[:most])


def strip(user: Any, most: int = 5) -> tuple[list[Alert], bool]:
    """What stands at the top of a page for this user, and whether there is more; nothing without the permission."""
    if not user.has_perm("queueops.view_alert"):
        return [], False
    found = open_now(user, most + 1)
    return found[:most], len(found) > most


def find(look: Look, conditions: Iterable[Condition]) -> dict[str, Sequence[Found] | None]:
    """What each condition finds, by its name."""
    return {condition.name: _found(condition, look) for condition in conditions}


def _found(condition: Condition, look: Look) -> Sequence[Found] | None:
    try:
        found = condition.find(look)
    except (DatabaseError, InterfaceError, RedisError, EmbeddedValkeyError, OSError) as error:
        logger.warning("action=condition_unknown condition=%s error=%s", condition.name, error)
        return None
    return None if found is None else found[:MOST_FOUND]


def take_down(found: Mapping[str, Sequence[Found] | None], now: datetime) -> None:
    """Bring the alerts to what was found now. Raises DatabaseError, InterfaceError.

    1. What is found and stands already was seen again; it opens once it has held for long enough.
    2. What is found and does not stand is written down; it opens at once if its condition does not wait.
    3. What stands, and whose condition looked and did not find it, is gone: forgotten if it never opened, closed once
       it has been gone for GONE_SECONDS.
    """
    with transaction.atomic():
        standing = {(alert.name, alert.subject): alert for alert in Alert.objects.standing().select_for_update()}
        seen = {(name, one.subject[:128]): one for name, ones in found.items() for one in ones or ()}
        changed = [_seen(alert, seen[key], now) for key, alert in standing.items() if key in seen]
        gone = [alert for key, alert in standing.items() if key not in seen and found.get(key[0], ()) is not None]
        changed += [_gone(alert, now) for alert in gone if alert.opened_at is not None]
        Alert.objects.filter(pk__in=[alert.pk for alert in gone if alert.opened_at is None]).delete()
        Alert.objects.bulk_update(changed, ["words", "last_seen_at", "gone_since", "opened_at", "closed_at"], 200)
        # A round that was faster has made the row: it stands once.
        new = [_new(*key, one, now) for key, one in seen.items() if key not in standing]
        Alert.objects.bulk_create(new, 200, ignore_conflicts=True)
    _say([*changed, *new], now)


def _new(name: str, subject: str, found: Found, now: datetime) -> Alert:
    condition = _conditions[name]
    alert = Alert(name=name, subject=subject, severity=condition.severity, first_seen_at=now)
    return _seen(alert, found, now)


def _seen(alert: Alert, found: Found, now: datetime) -> Alert:
    alert.words = scrubbing.scrub(found.words)[:500]
    alert.last_seen_at, alert.gone_since = now, None
    held = now - alert.first_seen_at
    if alert.opened_at is None and held >= timedelta(seconds=_conditions[alert.name].holds_seconds):
        alert.opened_at = now
    return alert


def _gone(alert: Alert, now: datetime) -> Alert:
    alert.gone_since = alert.gone_since or now
    if now - alert.gone_since >= timedelta(seconds=GONE_SECONDS):
        alert.closed_at = now
    return alert


def _say(alerts: Iterable[Alert], now: datetime) -> None:
    for alert in alerts:
        if alert.opened_at == now:
            line = "action=alert_opened alert=%s subject=%s severity=%s words=%s"
            logger.warning(line, alert.name, alert.subject, alert.severity, alert.words)
        elif alert.closed_at == now:
            seconds = (alert.last_seen_at - alert.first_seen_at).total_seconds()
            logger.info("action=alert_closed alert=%s subject=%s lasted=%.0f", alert.name, alert.subject, seconds)


def acknowledge(alert: Alert, user: Any, now: datetime) -> bool:
    """Somebody looks after it: nobody is reminded any more. False when it is over, or somebody was quicker."""
    free = Alert.objects.open().filter(pk=alert.pk, acknowledged_at__isnull=True)
    return bool(free.order_by().update(acknowledged_at=now, acknowledged_by=user))
