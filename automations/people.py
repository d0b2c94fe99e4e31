"""Whom an account talks to: contacts and conversations, kept up to date for many events in a few statements."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from uuid_utils import compat

from automations.events import Event
from automations.models import Contact, Conversation
from automations.windows import OPENS_WINDOW

NAMESPACE = uuid.UUID("6f6e9f52-3a7c-5b1e-9d55-2f0c6f4f6a10")
USERNAME_CHARACTERS = 64


def contact_id(account_id: str, person: str) -> uuid.UUID:
    """A contact's key, made of what is unique about it: it can be written without being read first."""
    return compat.uuid5(NAMESPACE, f"{account_id}:{person}")


def rows(notes: Iterable[tuple[str, Event, datetime]]) -> list[dict[str, Any]]:
    """What the events (account id, event, when it happened) say about people: one row for each, in their keys' order.

    A row is a contact's columns, and the conversation's `last_inbound_at`: None unless these events have it.
    """
    people: dict[tuple[str, str], dict[str, Any]] = {}
    now = timezone.now()
    for account_id, event, happened_at in notes:
        row = people.get((account_id, event.person))
        if row is None:
            row = people[account_id, event.person] = {
                "id": contact_id(account_id, event.person),
                "account_id": account_id,
                "instagram_scoped_id": event.person,
                "username": "",
                "first_seen_at": now,
                "last_inbound_at": None,
            }
        row["username"] = getattr(event, "username", "")[:USERNAME_CHARACTERS] or row["username"]
        if event.kind in OPENS_WINDOW:
            row["last_inbound_at"] = _later(row["last_inbound_at"], happened_at)
    # Sorted: two processes that write some of the same people take the rows in the same order, and no deadlock comes.
    return sorted(people.values(), key=lambda row: row["id"])


def note(people: Sequence[dict[str, Any]]) -> dict[uuid.UUID, datetime | None]:
    """Write these rows; when each of them last wrote to us, None if never."""
    if not people:
        return {}
    contacts = [Contact(**{name: value for name, value in row.items() if name != "last_inbound_at"}) for row in people]
    named = [contact for contact in contacts if contact.username]
    Contact.objects.bulk_create([contact for contact in contacts if not contact.username], ignore_conflicts=True)
    Contact.objects.bulk_create(named, update_conflicts=True, unique_fields=["id"], update_fields=["username"])
    return _write_conversations({row["id"]: row["last_inbound_at"] for row in people})


def _write_conversations(inbound: dict[uuid.UUID, datetime | None]) -> dict[uuid.UUID, datetime | None]:
    known = dict(Conversation.objects.filter(contact_id__in=inbound).values_list("contact_id", "last_inbound_at"))
    latest = {key: _later(known.get(key), at) for key, at in inbound.items()}
    Conversation.objects.bulk_create(
        [
            Conversation(contact_id=key, last_inbound_at=at)
            for key, at in latest.items()
            if key not in known or at != known[key]
        ],
        update_conflicts=True,
        unique_fields=["contact"],
        update_fields=["last_inbound_at"],
    )
    return latest


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other
