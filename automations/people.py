"""Whom an account talks to: contacts and conversations, kept up to date for many events in a few statements."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from uuid_utils import compat

from automations.events import Event
from automations.models import Contact, Conversation
from automations.windows import OPENS_WINDOW

NAMESPACE = uuid.UUID("6f6e9f52-3a7c-5b1e-9d55-2f0c6f4f6a10")
USERNAME_CHARACTERS = 64


Row = dict[str, Any]
# When each contact's person last wrote to us, by the contact's key; None: never.
Latest = dict[uuid.UUID, datetime | None]


@dataclass(frozen=True, slots=True)
class Note:
    """What an event says about the person it is from. account: our account's key."""

    account: str
    event: Event
    happened_at: datetime

    @property
    def contact(self) -> uuid.UUID:
        """The key of the person's contact."""
        return contact_id(self.account, self.event.person)


def contact_id(account_id: str, person: str) -> uuid.UUID:
    """A contact's key, made of what is unique about it: it can be written without being read first."""
    return compat.uuid5(NAMESPACE, f"{account_id}:{person}")


def rows(notes: Iterable[Note]) -> list[Row]:
    """What the events say about people: one row for each person, in their keys' order.

    A row is a contact's columns, and the conversation's `last_inbound_at`: None unless these events have it.
    """
    people: dict[uuid.UUID, Row] = {}
    now = timezone.now()
    for note in notes:
        event, key = note.event, note.contact
        row = people.get(key)
        if row is None:
            row = people[key] = {
                "id": key,
                "account_id": note.account,
                "instagram_scoped_id": event.person,
                "username": "",
                "first_seen_at": now,
                "last_inbound_at": None,
            }
        row["username"] = getattr(event, "username", "")[:USERNAME_CHARACTERS] or row["username"]
        if event.kind in OPENS_WINDOW:
            row["last_inbound_at"] = _later(row["last_inbound_at"], note.happened_at)
    # Sorted: two processes that write some of the same people take the rows in the same order, and no deadlock comes.
    return sorted(people.values(), key=lambda row: row["id"])


def write(notes: Sequence[Note]) -> list[datetime | None]:
    """Write the people of these events down, in one transaction; for each event when its person last wrote to us."""
    people = rows(notes)
    with transaction.atomic():
        _write_contacts(people)
        latest = _write_conversations({row["id"]: row["last_inbound_at"] for row in people})
    return of_each(notes, latest)


def of_each(notes: Sequence[Note], latest: Latest) -> list[datetime | None]:
    """When each event's person last wrote to us."""
    return [latest[note.contact] for note in notes]


def _write_contacts(people: Sequence[Row]) -> None:
    contacts = [Contact(**{name: value for name, value in row.items() if name != "last_inbound_at"}) for row in people]
    named = [contact for contact in contacts if contact.username]
    Contact.objects.bulk_create([contact for contact in contacts if not contact.username], ignore_conflicts=True)
    Contact.objects.bulk_create(named, update_conflicts=True, unique_fields=["id"], update_fields=["username"])


def _write_conversations(inbound: Latest) -> Latest:
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
