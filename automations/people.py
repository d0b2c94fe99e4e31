"""Whom an account talks to: contacts and conversations, kept up to date for many events in a few statements."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from automations.cache import AccountInfo
from automations.events import Event
from automations.models import Contact, Conversation
from automations.windows import OPENS_WINDOW

NAMESPACE = uuid.UUID("6f6e9f52-3a7c-5b1e-9d55-2f0c6f4f6a10")
USERNAME_CHARACTERS = 64

Note = tuple[str, Event, datetime]


def contact_id(account_id: str, person: str) -> uuid.UUID:
    """A contact's key, made of what is unique about it: it can be written without being read first."""
    return uuid.uuid5(NAMESPACE, f"{account_id}:{person}")


def last_inbound(noted: dict[uuid.UUID, datetime | None], account: AccountInfo | None, event: Event) -> datetime | None:
    """When the event's person last wrote, out of what `note` answered."""
    return noted.get(contact_id(account.id, event.person)) if account is not None and event.person else None


def note(notes: Iterable[Note]) -> dict[uuid.UUID, datetime | None]:
    """Keep what the events (account id, event, when it happened) say about people.

    Answers for each contact when the person last wrote, these events included; None if never.
    """
    people: dict[uuid.UUID, Note] = {}
    inbound: dict[uuid.UUID, datetime | None] = {}
    for account_id, event, happened_at in notes:
        key = contact_id(account_id, event.person)
        people[key] = (account_id, event, happened_at)
        if event.kind in OPENS_WINDOW:
            before = inbound.get(key)
            inbound[key] = max(before, happened_at) if before else happened_at
    if not people:
        return {}
    _write_contacts(people)
    return _write_conversations(people, inbound)


def _write_contacts(people: dict[uuid.UUID, Note]) -> None:
    rows = []
    for key, (account_id, event, _) in people.items():
        username = getattr(event, "username", "")[:USERNAME_CHARACTERS]
        rows.append(Contact(id=key, account_id=account_id, instagram_scoped_id=event.person, username=username))
    # Sorted: two processes that write some of the same people take the rows in the same order, and no deadlock comes.
    rows.sort(key=lambda row: row.id)
    named = [row for row in rows if row.username]
    Contact.objects.bulk_create([row for row in rows if not row.username], ignore_conflicts=True)
    Contact.objects.bulk_create(named, update_conflicts=True, unique_fields=["id"], update_fields=["username"])


def _write_conversations(
    people: dict[uuid.UUID, Note], inbound: dict[uuid.UUID, datetime | None]
) -> dict[uuid.UUID, datetime | None]:
    known = dict(Conversation.objects.filter(contact_id__in=people).values_list("contact_id", "last_inbound_at"))
    latest = {key: _later(known.get(key), inbound.get(key)) for key in people}
    changed = [key for key in people if key not in known or latest[key] != known[key]]
    Conversation.objects.bulk_create(
        [Conversation(contact_id=key, last_inbound_at=latest[key]) for key in sorted(changed, key=str)],
        update_conflicts=True,
        unique_fields=["contact"],
        update_fields=["last_inbound_at"],
    )
    return latest


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other
