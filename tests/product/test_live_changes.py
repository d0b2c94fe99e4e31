"""What is saved in one process is live in all the others: rules, accounts, who comes first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from automations.models import Account, Automation, Event, Workspace
from tests.product.test_payload_calls import OFFER, PERSON, SHOP


def message(mid: str, text: str) -> bytes:
    event = {
        "sender": {"id": PERSON},
        "recipient": {"id": SHOP},
        "timestamp": 1,
        "message": {"mid": mid, "text": text},
    }
    return json.dumps({"object": "instagram", "entry": [{"id": SHOP, "time": 1, "messaging": [event]}]}).encode()


def texts(stack) -> list[str]:
    return [body["message"]["text"] for _, body in stack.calls()]


@pytest.fixture
def offer(stack) -> Iterator[Automation]:
    """The shop's demo rule, put back as it was afterwards."""
    rule = Automation.objects.get(account__instagram_id=SHOP, name="Offer")
    before: dict[str, Any] = {"keywords": rule.keywords, "is_active": rule.is_active}
    yield rule
    for name, value in before.items():
        setattr(rule, name, value)
    rule.save()


def test_a_rule_that_was_changed_answers_the_next_event(stack, offer):
    stack.post(message("mid.1", "link"))  # the worker now has the rule in memory
    stack.settle()

    offer.keywords = ["discount"]
    offer.save()
    stack.post(message("mid.2", "link"))
    stack.post(message("mid.3", "discount"))
    stack.settle()

    assert texts(stack) == [OFFER, OFFER]
    assert Event.objects.get(source_id="mid.2").outcome == "no_match"


def test_a_rule_that_was_switched_off_or_on_counts_from_the_next_event(stack, offer):
    stack.post(message("mid.1", "link"))
    stack.settle()
    for mid, is_active in (("mid.2", False), ("mid.3", True)):
        offer.is_active = is_active
        offer.save()
        stack.post(message(mid, "link"))
        stack.settle()

    assert [event.outcome for event in Event.objects.order_by("source_id")] == ["sent", "no_match", "sent"]


def test_an_account_that_is_connected_later_is_known_from_the_next_event(stack):
    newcomer = "17841499999999999"
    body = message("mid.1", "link").replace(SHOP.encode(), newcomer.encode())
    stack.post(body)
    stack.settle()
    assert Event.objects.get().outcome == "unknown_account"

    account = Account.objects.create(workspace=Workspace.objects.get(), instagram_id=newcomer, token="demo-token")
    try:
        stack.post(body.replace(b"mid.1", b"mid.2"))
        stack.settle()
        assert Event.objects.get(source_id="mid.2").outcome == "no_match"
    finally:
        account.delete()


def test_a_vip_workspaces_events_go_one_lane_up(stack):
    workspace = Workspace.objects.get()
    workspace.is_vip = True
    workspace.save()
    try:
        stack.post(comment())
        stack.settle()
    finally:
        workspace.is_vip = False
        workspace.save()

    assert Event.objects.get().lane == "default"


def comment() -> bytes:
    value = {"id": "1001", "from": {"id": PERSON, "username": "maria.example"}, "text": "nice"}
    entry = {"id": SHOP, "time": 1, "changes": [{"field": "comments", "value": value}]}
    return json.dumps({"object": "instagram", "entry": [entry]}).encode()
