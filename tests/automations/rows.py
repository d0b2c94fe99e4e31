"""A workspace with an account, a rule and events, as rows."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from automations.models import Account, Automation, Contact, Conversation, Delivery, Event, Workspace
from automations.people import contact_id
from queueops.keys import new_id, new_id_of

ACCOUNT = "17841456778752687"
REPLY = [{"type": "private_reply", "text": "Here is the link"}]


def account(**fields: Any) -> Account:
    workspace, _ = Workspace.objects.get_or_create(name="Shop")
    defaults = {"workspace": workspace, "instagram_id": ACCOUNT, "username": "demo.shop", "token": "IGsecret123"}
    return Account.objects.create(**{**defaults, **fields})


def automation(of: Account, **fields: Any) -> Automation:
    defaults = {"name": "Comment link", "trigger": "comment", "keywords": ["link"], "actions": REPLY}
    return Automation.objects.create(account=of, **{**defaults, **fields})


def event(key: str = "k1", **fields: Any) -> Event:
    defaults = {
        "receipt": "r",
        "kind": "comment",
        "lane": "low",
        "account": ACCOUNT,
        "person": "8422491661125971",
        "source_id": f"c_{key}",
        "text": "nice <b>pic</b>",
        "payload": {"kind": "comment", "text": "nice pic"},
        "outcome": "no_match",
        "received_at": timezone.now(),
    }
    # As a worker does, but that without a time they come in the order in which they are made here.
    made = new_id_of(fields["received_at"]) if "received_at" in fields else new_id()
    return Event.objects.create(key=key, **{"id": made, **defaults, **fields})


def delivery(of: Event, **fields: Any) -> Delivery:
    defaults = {"automation_key": "a", "step": 1, "kind": "private_reply", "recipient": "c1", "body": {"message": {}}}
    return Delivery.objects.create(event=of, **{**defaults, **fields})


def conversation(of: Account, person: str) -> Conversation:
    contact = Contact.objects.create(pk=contact_id(str(of.pk), person), account=of, instagram_scoped_id=person)
    return Conversation.objects.create(contact=contact)
