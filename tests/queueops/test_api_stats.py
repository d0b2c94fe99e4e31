"""`/api/queue-stats`, for monitors."""

from __future__ import annotations

import pytest

from queueops import connections
from queueops.serializers import SnapshotSerializer
from tests.people import api_key, person, superuser

pytestmark = pytest.mark.django_db

PATHS = ["/api/queue-stats", "/api/queue-stats/", "/api/webhooks/queue-stats", "/api/webhooks/queue-stats/"]


@pytest.mark.parametrize("path", PATHS)
def test_a_token_gets_the_snapshot(client, path, put):
    put("note", "a")
    key = api_key(person("queueops.view_console"))

    answer = client.get(path, headers={"Authorization": f"Token {key}"})

    assert answer.status_code == 200
    assert answer.json()["queues"]["high"]["waiting"] == 1


@pytest.mark.parametrize("path", PATHS)
def test_without_credentials_the_answer_is_401(client, path):
    answer = client.get(path)

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == 401


def test_a_wrong_token_is_401(client):
    assert client.get(PATHS[0], headers={"Authorization": "Token none"}).status_code == 401


def test_an_admin_session_is_as_good_as_a_token(client):
    client.force_login(superuser())
    assert client.get(PATHS[0]).status_code == 200


def test_without_the_permission_the_answer_is_403(client):
    client.force_login(person())
    assert client.get(PATHS[0]).status_code == 403


def test_while_redis_is_away_the_answer_says_so(client, settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)
    client.force_login(superuser())

    answer = client.get(PATHS[0])

    assert answer.status_code == 200
    assert answer.json()["redis"]["connected"] is False


def test_the_schema_knows_every_key(client):
    client.force_login(superuser())

    snapshot = client.get(PATHS[0]).json()

    assert SnapshotSerializer(snapshot).data.keys() == snapshot.keys()
    for name, field in SnapshotSerializer().fields.items():
        if hasattr(field, "fields"):
            assert field.fields.keys() == snapshot[name].keys()


def test_nothing_new_is_304_and_news_are_not(client, put):
    client.force_login(superuser())
    first = client.get(PATHS[0])
    etag = first["ETag"]
    assert etag.startswith('W/"')
    assert first["Cache-Control"] == "private, no-cache"

    for known in (etag, f'"x", {etag}', etag.removeprefix("W/")):
        again = client.get(PATHS[0], headers={"If-None-Match": known})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)

    put("note", "a")
    news = client.get(PATHS[0], headers={"If-None-Match": etag})
    assert news.status_code == 200
    assert news["ETag"] != etag


def test_the_validator_holds_everything_but_what_moves_at_rest(client, monkeypatch):
    def snapshot(beat=1.0, used=5_000_000, oldest=0.0, state="idle"):
        worker = {"name": "w1", "state": state, "heartbeat_age_seconds": beat}
        redis = {"connected": True, "used_memory_bytes": used}
        return {"queues": {"high": {"oldest_waiting_seconds": oldest}}, "workers": [worker], "redis": redis}

    client.force_login(superuser())

    def etag(**changes):
        monkeypatch.setattr("queueops.stats.snapshot", lambda: snapshot(**changes))
        return client.get(PATHS[0])["ETag"]

    at_rest = etag()
    assert etag(beat=4.2) == etag(used=5_000_001) == at_rest
    assert at_rest not in {etag(oldest=0.1), etag(state="silent"), etag(used=9_000_000), etag(used=None)}
