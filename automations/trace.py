"""What became of one event: found by its key or by Meta's id, in the database or while it still waits in a lane."""

from __future__ import annotations

from typing import Any

from automations.models import Event
from queueops import connections, lookup

KEY_CHARACTERS = 64

# What RQ calls the place where a job is, in our words.
OUTCOMES = {
    "queued": Event.Outcome.WAITING,
    "started": Event.Outcome.PROCESSING,
    "scheduled": Event.Outcome.RETRYING,
    "failed": Event.Outcome.DEAD,
}


def find(key: str) -> dict[str, Any] | None:
    """The JSON of `GET /api/events/{key}`, None when nobody knows the event.

    key: the event's own, or Meta's message or comment id (then the newest event with it). One that has no row yet is
    found by its own key only. Raises RedisError when it has no row and Redis cannot be asked.
    """
    event = find_event(key)
    if event is not None:
        return _written(event)
    held = lookup.find(connections.client(), key) if len(key) <= KEY_CHARACTERS else None
    return None if held is None else _held(key, held)


def find_event(key: str) -> Event | None:
    """The row of this key, or the newest one with this message or comment id."""
    if "\0" in key:  # PostgreSQL refuses to be asked
        return None
    events = Event.objects.prefetch_related("deliveries")
    by_key = events.filter(key=key).first() if len(key) <= KEY_CHARACTERS else None
    return by_key or events.filter(source_id=key).order_by("-id").first()


def _written(event: Event) -> dict[str, Any]:
    deliveries = sorted(event.deliveries.all(), key=lambda delivery: (delivery.step, delivery.pk))
    return {
        "key": event.key,
        "kind": event.kind,
        "account": event.account,
        "person": event.person,
        "source_id": event.source_id,
        "lane": event.lane,
        "outcome": event.outcome,
        "reason": event.reason or None,
        "received_at": event.received_at.isoformat(),
        "finished_at": event.finished_at.isoformat() if event.finished_at else None,
        "rules": event.rules,
        "deliveries": [delivery.as_trace() for delivery in deliveries],
        "attempts": event.attempts,
    }


def _held(key: str, held: lookup.Held) -> dict[str, Any]:
    payload = held.payload
    return {
        "key": key,
        **{name: payload.get(name, "") for name in ("kind", "account", "person", "source_id")},
        "lane": held.lane,
        "outcome": str(OUTCOMES.get(held.status, Event.Outcome.WAITING)),
        "reason": None,
        "received_at": held.receipt.get("at"),
        "finished_at": None,
        "rules": [],
        "deliveries": [],
        "attempts": [],
    }
