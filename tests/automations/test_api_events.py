"""`/api/events/{key}`: the whole decision about one event, wherever the event is."""

from __future__ import annotations

import pytest
from django.utils import timezone

from automations.events import Message
from queueops import connections, dispatch
from queueops.jobs import Batch, Job, Lane
from queueops.models import DeadLetter
from tests.automations.rows import ACCOUNT, delivery, event
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LOOK = {
    "automation": "a1",
    "name": "Comment link",
    "matched": False,
    "failed": {"condition": "keyword", "expected": ["link", "price"], "seen": "nice pic"},
}


@pytest.fixture
def reader(client):
    client.force_login(person("automations.view_event", "queueops.see_text"))
    return client


def letter(key, status):
    DeadLetter.objects.create(event=key, func="x", payload={}, lane="low", error="e", status=status)


def waiting(status: str = "queued") -> Message:
    message = Message(account=ACCOUNT, person="1", source_id="m_1", at_ms=None, text="hello")
    job = Job(id=message.key, lane=Lane.HIGH, func="x", payload=message.as_payload())
    dispatch.dispatch_sync(Batch(jobs=(job,)))
    connections.client().hset(f"rq:job:{message.key}", "status", status)
    return message


def test_it_tells_the_whole_decision(reader):
    at = timezone.now()
    row = event(
        outcome="sent", rules=[LOOK], attempts=[{"at": "t", "result": "Meta is away"}], received_at=at, finished_at=at
    )
    delivery(row, step=2, kind="public_reply", status="failed", error={"title": "Deleted", "code": 100})
    delivery(row, step=1, status="sent", message_id="mid_1")

    answer = reader.get("/api/events/k1")

    assert answer.status_code == 200
    assert answer.json() == {
        "key": "k1",
        "kind": "comment",
        "account": ACCOUNT,
        "person": "8422491661125971",
        "source_id": "c_k1",
        "lane": "low",
        "outcome": "sent",
        "reason": None,
        "received_at": at.isoformat(),
        "finished_at": at.isoformat(),
        "rules": [LOOK],
        "deliveries": [
            {"step": 1, "kind": "private_reply", "status": "sent", "message_id": "mid_1", "error": None},
            {
                "step": 2,
                "kind": "public_reply",
                "status": "failed",
                "message_id": None,
                "error": {"title": "Deleted", "code": 100},
            },
        ],
        "attempts": [{"at": "t", "result": "Meta is away"}],
    }


def test_it_is_found_by_metas_id_and_the_newest_wins(reader):
    event("k1", source_id="c_1")
    event("k2", source_id="c_1", account="other")

    assert reader.get("/api/events/c_1/").json()["key"] == "k2"


def test_an_id_of_metas_may_hold_any_character(reader):
    event("k1", source_id="aWdf/ZA+G1=")

    assert reader.get("/api/events/aWdf%2FZA+G1=").json()["key"] == "k1"
    assert reader.get("/api/events/aWdf%2FZA+G1=/").json()["key"] == "k1"


def test_why_it_was_skipped_is_said(reader):
    event(outcome="skipped", reason="Outside the 24-hour window")
    assert reader.get("/api/events/k1").json()["reason"] == "Outside the 24-hour window"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("queued", "waiting"), ("started", "processing"), ("scheduled", "retrying"), ("failed", "dead")],
)
def test_an_event_without_a_row_is_where_its_job_is(reader, status, outcome):
    message = waiting(status)

    answer = reader.get(f"/api/events/{message.key}").json()

    assert (answer["outcome"], answer["lane"], answer["source_id"]) == (outcome, "high", "m_1")
    assert answer["received_at"] is not None
    assert answer["rules"] == answer["deliveries"] == answer["attempts"] == []


@pytest.mark.parametrize("key", ["nobody", "x" * 3000, "%00"])
def test_an_event_that_nobody_knows_is_404(reader, key):
    answer = reader.get(f"/api/events/{key}")

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_a_job_of_somebody_elses_is_no_event(reader):
    connections.client().hset("rq:job:foreign", mapping={"data": b"x\x9c", "origin": "low", "status": "queued"})

    assert reader.get("/api/events/foreign").status_code == 404


def test_a_written_event_is_told_while_redis_is_away_and_an_unwritten_one_is_503(reader, settings, monkeypatch):
    event()
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    assert reader.get("/api/events/k1").status_code == 200
    assert reader.get("/api/events/k2").status_code == 503


def test_it_takes_credentials_and_the_permission(client):
    assert client.get("/api/events/k1").status_code == 401
    client.force_login(person())
    assert client.get("/api/events/k1").status_code == 403


def test_it_takes_few_queries(reader, django_assert_max_num_queries):
    row = event()
    for step in range(10):
        delivery(row, step=step)
    with django_assert_max_num_queries(7):  # session, user, two for the permission, event, deliveries, limited accounts
        reader.get("/api/events/k1")
