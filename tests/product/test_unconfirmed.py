"""A call that nobody heard the end of, with the real servers: settled by its echo, or by an operator."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from automations import decisions
from automations.models import Delivery, Event
from queueops import connections, ledger
from queueops.audit import COMMAND, By
from queueops.models import FallbackCount
from tests.product.stack import Stack
from tests.product.test_payload_calls import SHOP

OFFER = "Here you go: https://example.com/offer"
PERSON = "8422400000001"


def body(sender: str, recipient: str, **message: object) -> bytes:
    now = int(time.time() * 1000)
    event = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": now, "message": message}
    return json.dumps({"object": "instagram", "entry": [{"id": SHOP, "time": now, "messaging": [event]}]}).encode()


ECHO = {"mid": "mid.echo", "text": OFFER, "is_echo": True}


@pytest.fixture
def _counts() -> Iterator[None]:
    """The database's counts, of this test alone."""
    FallbackCount.objects.all().delete()
    yield
    FallbackCount.objects.all().delete()


def leave_unconfirmed(stack: Stack) -> Delivery:
    stack.fault(fault="reset_after_recording", times=1)
    stack.post(body(PERSON, SHOP, mid="mid.1", text="link"))
    stack.wait_until(lambda: Event.objects.filter(outcome="unconfirmed").exists())
    return Delivery.objects.get()


def test_an_unconfirmed_delivery_is_settled_by_its_echo(stack: Stack):
    delivery = leave_unconfirmed(stack)
    assert stack.post(body(SHOP, PERSON, **ECHO | {"text": "typed by hand"}))[1]["ignored"] == 1

    assert stack.post(body(SHOP, PERSON, **ECHO)) == (200, {"accepted": 1, "duplicate": 0, "ignored": 0})

    stack.wait_until(lambda: Event.objects.get().outcome == "sent")
    delivery.refresh_from_db()
    assert (delivery.status, delivery.message_id) == ("sent", "mid.echo")
    assert len(stack.calls()) == 1
    assert stack.settle().unexplained == 0


def test_an_echo_that_is_quicker_than_the_time_out_settles_it_as_well(stack: Stack):
    stack.post(body(SHOP, PERSON, **ECHO))

    stack.fault(fault="reset_after_recording", times=1)
    stack.post(body(PERSON, SHOP, mid="mid.1", text="link"))

    stack.wait_until(lambda: Event.objects.filter(outcome="sent").exists())
    assert Delivery.objects.get().message_id == "mid.echo"
    assert stack.settle().unexplained == 0


@pytest.mark.usefixtures("_counts")
def test_what_an_operator_sends_again_is_sent_once_more(stack: Stack):
    delivery = leave_unconfirmed(stack)
    stack.settle()

    assert decisions.send_again(delivery.pk, By(None, COMMAND, "it is not in the inbox", "maria"))

    stack.wait_until(lambda: Event.objects.get().outcome == "sent")
    assert len(stack.calls()) == 2
    assert Delivery.objects.get().status == "sent"
    stack.settle()
    counts = ledger.whole(connections.client())
    assert (counts.received, counts.completed, counts.unexplained) == (2, 2, 0)
