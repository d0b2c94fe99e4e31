"""`/healthz` and `/readyz`, for load balancers."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError

from chatautodm import health


@pytest.mark.parametrize("path", ["/healthz", "/healthz/"])
def test_it_is_alive_without_database_and_redis(client, settings, path):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"

    answer = client.get(path)

    assert (answer.status_code, answer.content) == (200, b"ok")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/readyz", "/readyz/"])
def test_it_is_ready_when_both_answer(client, path):
    answer = client.get(path)

    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "failing": {}}


@pytest.mark.django_db
def test_it_names_redis_when_redis_does_not_answer(client, settings):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["failing"] == {"redis": "unreachable"}


@pytest.mark.django_db
def test_it_names_the_database_but_stays_ready_since_webhooks_are_kept_without_it(client, monkeypatch):
    def refuse() -> None:
        raise OperationalError("connection to server at db.internal failed")

    monkeypatch.setattr(health, "_database_answers", refuse)

    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["failing"] == {"database": "unreachable"}
    assert b"db.internal" not in answer.content


@pytest.mark.django_db
def test_it_does_not_wait_for_a_part_that_hangs(client, monkeypatch):
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(health, "_redis_answers", lambda: time.sleep(0.5))

    began = time.monotonic()
    answer = client.get("/readyz")

    assert time.monotonic() - began < 0.4
    assert answer.json()["failing"] == {"redis": "unreachable"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz/"])
@pytest.mark.django_db
def test_a_probe_by_address_is_answered_whatever_host_it_names(client, path):
    assert client.get(path, headers={"Host": "10.0.0.7:8000"}).status_code == 200
