"""`Idempotency-Key`: a call whose answer was lost is made again, and nothing is done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django import db
from django.test import Client

from queueops import connections, idempotency, operators
from queueops.models import AuditEntry, DeadLetter
from tests.people import api_key, person
from tests.queueops.letters import dead

pytestmark = pytest.mark.django_db

PERMISSIONS = ("queueops.view_deadletter", "queueops.retry_deadletter", "queueops.bulk_retry_deadletter")
MANY = "/api/dead-letters/retry"
K = {"Idempotency-Key": "7c1d-night-shift"}


@pytest.fixture
def operator(client):
    client.force_login(person(*PERMISSIONS))
    return client


def retry(client, path, body=None, **headers):
    return client.post(path, body or {}, content_type="application/json", headers={**K, **headers})


def one(letter) -> str:
    return f"/api/dead-letters/{letter.pk}/retry"


def test_the_same_call_again_gives_the_same_answer_and_does_nothing(operator, redis):
    letter = dead("e1")
    first = retry(operator, one(letter))
    second = retry(operator, f"{one(letter)}/")

    assert [first.status_code, second.status_code] == [200, 200]
    assert first.json() == second.json() == {"retried": 1}
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert AuditEntry.objects.filter(action="retry").count() == 1
    assert redis.llen("rq:queue:high") == 1


def test_without_a_key_the_second_call_is_told_that_it_is_done(operator, redis):
    letter = dead("e1")

    assert [operator.post(one(letter)).status_code for _ in range(2)] == [200, 409]


def test_retrying_many_again_leaves_those_alone_that_died_meanwhile(operator, redis):
    dead("e1")
    body = {"lane": "high", "reason": "after the outage"}
    first = retry(operator, MANY, body)
    dead("e2")

    second = retry(operator, MANY, dict(reversed(body.items())))

    assert first.json() == second.json() == {"retried": 1, "remaining": 0}
    assert DeadLetter.objects.dead().get().event == "e2"


@pytest.mark.parametrize(("path", "body"), [(MANY, {"lane": "high"}), (f"{MANY}?lane=low", {})])
def test_another_request_with_the_same_key_is_refused(operator, redis, path, body):
    dead("e1", lane="low")
    assert retry(operator, MANY, {"lane": "low"}).status_code == 200
    dead("e2", lane="low")

    answer = retry(operator, path, body)

    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert DeadLetter.objects.dead().count() == 1


def test_the_same_key_of_somebody_else_is_another_key(redis):
    dead("e1")
    ada, tom = (Client(headers={"Authorization": f"Token {api_key(person(*PERMISSIONS, name=name))}"}) for name in "at")
    assert retry(ada, MANY).json() == {"retried": 1, "remaining": 0}

    assert retry(tom, MANY).json() == {"retried": 0, "remaining": 0}


def test_a_refusal_is_not_kept_for_nothing_was_done(operator, redis):
    letter = dead("e1", status="discarded")
    assert retry(operator, one(letter)).status_code == 409
    DeadLetter.objects.update(status="dead")

    assert retry(operator, one(letter)).json() == {"retried": 1}


@pytest.mark.parametrize("key", ["", "two words", "x" * 201, "t\xe9"])
def test_a_key_that_is_none_is_named(operator, redis, key):
    dead("e1")

    answer = retry(operator, MANY, **{"Idempotency-Key": key})

    assert answer.status_code == 400
    assert set(answer.json()["invalid"]) == {"Idempotency-Key"}
    assert DeadLetter.objects.dead().count() == 1


def test_answers_are_kept_for_a_day(operator, redis):
    dead("e1")
    retry(operator, MANY)

    (key,) = redis.scan_iter("cad:idempotency:*")
    assert idempotency.KEPT_SECONDS - 60 < redis.ttl(key) <= 24 * 3600


def test_of_two_at_once_one_does_it_and_the_other_is_told_to_ask_again(threads, redis, monkeypatch):
    letter = dead("e1")
    key = api_key(person(*PERMISSIONS))
    begun, go_on = Event(), Event()
    really = operators.retry

    def slowly(*args, **kwargs):
        begun.set()
        assert go_on.wait(60)
        return really(*args, **kwargs)

    def call():
        try:
            return retry(Client(headers={"Authorization": f"Token {key}"}), one(letter))
        finally:
            db.connections.close_all()

    monkeypatch.setattr(operators, "retry", slowly)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(call)
        assert begun.wait(60)
        second = retry(Client(headers={"Authorization": f"Token {key}"}), one(letter))
        go_on.set()
        assert first.result().json() == {"retried": 1}

    assert second.status_code == 409
    assert "under way" in second.json()["detail"]


def test_while_redis_is_away_nothing_is_done(operator, settings, monkeypatch):
    letter = dead("e1")
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    assert retry(operator, one(letter)).status_code == 503
    assert DeadLetter.objects.dead().count() == 1
