"""What an operator decides about an unconfirmed delivery: once, with a reason, and never beside a run of the event."""

from __future__ import annotations

import time

import pytest

from automations import decisions
from automations.events import Message
from automations.models import Delivery, Event
from queueops import connections, drain, ledger
from queueops.audit import COMMAND, CONSOLE, By
from queueops.models import AuditEntry, FallbackJob
from tests.automations import rows as made
from tests.people import person, superuser

SHOP = "17841456778752687"
OFFER = "Here you go: https://example.com/offer"
BY = By(None, COMMAND, "looked into the inbox", "maria")
SETTLE = "automations.settle_delivery"


def message() -> Message:
    return Message(
        account=SHOP, person="8422491661125971", source_id="mid.1", at_ms=int(time.time() * 1000), text="LINK"
    )


@pytest.fixture
def delivery(db, redis) -> Delivery:
    return made.delivery(made.event("k1", outcome="unconfirmed"), status="unconfirmed", error={"title": "No answer"})


def audited() -> list[tuple[str, str, int]]:
    return list(AuditEntry.objects.exclude(number=0).values_list("action", "reason", "count"))


# --- Deciding --------------------------------------------------------------------------------------------------------


def test_marking_as_sent_settles_the_delivery_and_its_event_once(delivery):
    assert decisions.mark_sent(delivery.pk, BY)
    assert not decisions.mark_sent(delivery.pk, BY)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.error) == ("sent", None)
    assert Event.objects.get().outcome == "sent"
    assert audited() == [("mark as sent", "looked into the inbox", 1)]


def test_what_is_sent_again_goes_through_the_queue_once_and_is_the_same_delivery(play, redis, rows):
    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        await answer(message(), receipt="r")
        [key] = await rows(lambda: list(Delivery.objects.values_list("pk", flat=True)))
        redis.set(f"cad:seen:{message().key}", "1", ex=60)  # Meta has just delivered the event again
        assert await rows(decisions.send_again, key, BY)
        assert not await rows(decisions.send_again, key, BY)
        assert await rows(lambda: Event.objects.get().outcome) == "waiting"
        assert await rows(lambda: drain.drain(connections.client())) == 1
        assert redis.lrange("rq:queue:default", 0, -1) == [message().key.encode()]
        await answer(message(), receipt="another")

    graph = play(scenario)

    assert [call.text for call in graph.received] == [OFFER, OFFER]
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.message_id) == ("sent", graph.received[1].message_id)
    assert Event.objects.get().outcome == "sent"
    assert audited() == [("send again", "looked into the inbox", 1)]
    counts = ledger.whole(redis)
    assert (counts.received, counts.total("waiting"), counts.unexplained) == (1, 1, 0)


@pytest.mark.parametrize("outcome", ["processing", "retrying", "waiting", "dead"])
def test_nothing_is_sent_again_beside_a_run_of_its_event(delivery, outcome):
    Event.objects.update(outcome=outcome)

    assert not decisions.send_again(delivery.pk, BY)

    delivery.refresh_from_db()
    assert delivery.status == "unconfirmed"
    assert not FallbackJob.objects.exists()
    assert audited() == []


@pytest.mark.parametrize("tier", ["redis", "database"])
def test_nothing_is_sent_again_while_the_queue_holds_the_event(delivery, redis, tier):
    if tier == "redis":
        redis.hset("rq:job:k1", "status", "started")
    else:
        FallbackJob.objects.create(job="k1", lane="low", func="f", data=b"")

    with pytest.raises(decisions.StillQueued):
        decisions.send_again(delivery.pk, BY)

    delivery.refresh_from_db()
    assert (delivery.status, Event.objects.get().outcome) == ("unconfirmed", "unconfirmed")
    assert audited() == []


# --- In the console --------------------------------------------------------------------------------------------------


def address(delivery: Delivery, name: str) -> str:
    return f"/admin/automations/delivery/{delivery.pk}/{name}/"


@pytest.mark.parametrize(("name", "status"), [("mark-sent", "sent"), ("send-again", "failed")])
def test_each_decision_is_a_page_and_a_post_with_a_reason(client, delivery, name, status):
    client.force_login(superuser())
    page = client.get(f"/admin/automations/delivery/{delivery.pk}/change/").content.decode()
    assert address(delivery, name) in page

    assert client.get(address(delivery, name)).status_code == 200
    assert "This field is required" in client.post(address(delivery, name), {"reason": " "}).content.decode()
    delivery.refresh_from_db()
    assert delivery.status == "unconfirmed"

    done = client.post(address(delivery, name), {"reason": "looked"}, follow=True)
    assert done.redirect_chain[-1][0] == f"/admin/automations/event/{delivery.event_id}/change/"
    assert "looked" in done.content.decode()  # the audit log's entry, on the event's page
    delivery.refresh_from_db()
    assert delivery.status == status
    assert AuditEntry.objects.exclude(number=0).get().through == CONSOLE

    again = client.post(address(delivery, name), {"reason": "looked"}, follow=True)
    assert "Nothing was done" in again.content.decode()
    assert "There is nothing to decide" in client.get(address(delivery, name)).content.decode()
    assert len(audited()) == 1


def test_the_console_says_when_the_event_is_still_in_the_queue(client, delivery, redis):
    redis.hset("rq:job:k1", "status", "started")
    client.force_login(superuser())

    answer = client.post(address(delivery, "send-again"), {"reason": "looked"}, follow=True)

    assert "still in the queue" in answer.content.decode()


@pytest.mark.parametrize("name", ["mark-sent", "send-again"])
def test_deciding_takes_its_permission(client, delivery, name):
    view = ("automations.view_delivery", "automations.view_event")
    client.force_login(person(*view))
    assert (
        address(delivery, name) not in client.get(f"/admin/automations/delivery/{delivery.pk}/change/").content.decode()
    )
    assert client.get(address(delivery, name)).status_code == 403
    assert client.post(address(delivery, name), {"reason": "mine"}).status_code == 403
    delivery.refresh_from_db()
    assert delivery.status == "unconfirmed"

    client.force_login(person(*view, SETTLE, name="tom"))
    client.post(address(delivery, name), {"reason": "mine"})
    delivery.refresh_from_db()
    assert delivery.status != "unconfirmed"
