"""What the outside sees (CONTRACT section 3), asked of both doors; the server behind them is a real Valkey."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings
from redis import Redis

from queueops import metrics
from tests.queueops import outages
from tests.servers import VERIFY_TOKEN
from tests.webhooks import strategies
from tests.webhooks.bodies import PAYLOADS, body, comment, entry, message, payload
from tests.webhooks.doors import Door, signed
from webhooks.signature import sign

pytestmark = [
    pytest.mark.urls("webhooks.urls"),
]

SUBSCRIBE = "hub.mode=subscribe&hub.verify_token={}&hub.challenge={}"


def measured(redis: Redis) -> Counter[str]:
    """Every count and duration that this process has made so far."""
    with redis.pipeline() as pipeline:
        metrics.write(pipeline)
        pipeline.execute()
    return metrics.merge(redis.hgetall(key) for key in redis.keys("cad:minute:*"))  # type: ignore[misc]


# The handshake


def test_it_answers_the_handshake_with_the_challenge_as_plain_text(door: Door):
    reply = door.request("GET", query=SUBSCRIBE.format(VERIFY_TOKEN, "1158201444"))
    assert (reply.status, reply.body) == (200, b"1158201444")
    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_challenge_comes_back_as_text_whatever_it_holds(door: Door):
    reply = door.request("GET", query=SUBSCRIBE.format(VERIFY_TOKEN, "%3Cscript%3E%C3%A4%FF+1"))
    assert (reply.status, reply.body) == (200, "<script>ä\ufffd 1".encode())
    assert reply.headers["content-type"].startswith("text/plain")


def test_of_a_parameter_that_comes_twice_the_last_counts(door: Door):
    query = SUBSCRIBE.format(VERIFY_TOKEN, "1")
    assert door.request("GET", query=query + "&hub.challenge=2").body == b"2"
    assert door.request("GET", query=query + "&hub.verify_token=wrong").status == 403


@pytest.mark.parametrize(
    "query",
    [
        SUBSCRIBE.format("wrong", "1"),
        SUBSCRIBE.format("", "1"),
        SUBSCRIBE.format("%C3%A4", "1"),
        SUBSCRIBE.format(VERIFY_TOKEN, "1").replace("subscribe", "unsubscribe"),
    ],
)
def test_it_refuses_a_wrong_token_or_mode(door: Door, query: str):
    reply = door.request("GET", query=query)
    assert reply.status == 403
    assert b"1158" not in reply.body


@pytest.mark.parametrize("missing", ["hub.mode", "hub.verify_token", "hub.challenge"])
def test_it_asks_for_missing_parameters(door: Door, missing: str):
    query = "&".join(part for part in SUBSCRIBE.format(VERIFY_TOKEN, "1").split("&") if not part.startswith(missing))
    assert door.request("GET", query=query).status == 400
    assert door.request("GET", query="").status == 400


@pytest.mark.parametrize("token", ["", "None"])
def test_a_token_that_is_not_set_matches_nothing(door: Door, token: str, settings: Settings):
    settings.INSTAGRAM_VERIFY_TOKEN = ""
    assert door.request("GET", query=SUBSCRIBE.format(token, "1")).status == 403


# The body


def test_it_keeps_every_event_before_it_says_200(door: Door, redis: Redis):
    reply = door.request("POST", body=payload("batch_mixed.json"), headers=signed(payload("batch_mixed.json")))
    assert (reply.status, json.loads(reply.body)) == (200, {"accepted": 5, "duplicate": 0, "ignored": 4})
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert [redis.llen(f"rq:queue:{lane}") for lane in ("high", "default", "low")] == [1, 1, 3]
    assert redis.hgetall("cad:ignored") == {b"read": b"1", b"echo": b"1", b"reaction": b"1", b"standby": b"1"}


def test_it_counts_duplicates_inside_a_body_and_over_deliveries(door: Door, redis: Redis):
    twice = payload("batch_duplicates.json")
    first = door.request("POST", body=twice, headers=signed(twice))
    assert json.loads(first.body) == {"accepted": 2, "duplicate": 2, "ignored": 0}
    second = door.request("POST", body=twice, headers=signed(twice))
    assert json.loads(second.body) == {"accepted": 0, "duplicate": 4, "ignored": 0}


def test_a_signed_body_that_nobody_can_use_is_200_and_kept(door: Door, redis: Redis):
    for name in ("truncated.txt", "object_page.json", "empty_body.txt"):
        reply = door.request("POST", body=payload(name), headers=signed(payload(name)))
        assert (reply.status, json.loads(reply.body)) == (200, {"accepted": 0, "duplicate": 0, "ignored": 1})
    assert redis.xlen("cad:kept") == 3
    assert redis.hgetall("cad:ignored") == {b"unusable": b"3"}


@pytest.mark.parametrize("name", sorted(path.name for path in PAYLOADS.iterdir()))
def test_every_known_body_is_answered_with_200(door: Door, name: str):
    assert door.request("POST", body=payload(name), headers=signed(payload(name))).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": sign(b"another body", "test_app_secret")},
        {"X-Hub-Signature-256": "sha256=äöå"},
        {"X-Hub-Signature": "sha1=0"},
    ],
)
def test_it_takes_nothing_that_was_signed_by_nobody(door: Door, redis: Redis, headers: dict[str, str]):
    before = measured(redis)
    reply = door.request("POST", body=body(entry(messaging=[message(text="link")])), headers=headers)
    assert reply.status == 401
    assert json.loads(reply.body)["error"]
    assert redis.keys("rq:*") == []
    assert not redis.exists("cad:ledger", "cad:kept", "cad:ignored")
    assert measured(redis) - before == {"n:unsigned": 1}


def test_it_takes_nothing_while_no_secret_is_set(door: Door, settings: Settings):
    settings.INSTAGRAM_APP_SECRET = []
    assert door.request("POST", body=b"{}", headers={"X-Hub-Signature-256": sign(b"{}", "")}).status == 401


def test_it_takes_a_body_of_the_largest_size_and_not_one_byte_more(door: Door, redis: Redis, settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = 1000
    largest = body(entry()).ljust(1000)
    assert door.request("POST", body=largest, headers=signed(largest)).status == 200
    before = measured(redis)
    reply = door.request("POST", body=largest + b" ", headers=signed(largest + b" "))
    assert reply.status == 413
    assert json.loads(reply.body)["error"]
    assert measured(redis) - before == {"n:oversized": 1}


def test_it_asks_meta_to_come_again_when_nothing_can_be_kept(door: Door, redis: Redis, threads: None):
    post = body(entry(changes=[comment(id="c_full")]))
    redis.config_set("maxmemory", 1)
    try:
        with outages.no_database():
            reply = door.request("POST", body=post, headers=signed(post))
    finally:
        redis.config_set("maxmemory", 0)
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) > 0
    again = door.request("POST", body=post, headers=signed(post))
    assert json.loads(again.body) == {"accepted": 1, "duplicate": 0, "ignored": 0}


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_it_serves_no_other_method(door: Door, method: str):
    reply = door.request(method)
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, POST"


def test_it_measures_how_soon_it_answers(door: Door, redis: Redis):
    before = measured(redis)
    door.request("POST", body=b"{}", headers=signed(b"{}"))
    assert 0 < metrics.percentiles(measured(redis) - before, "ack")["p50"] < 5000


@hypothesis_settings(max_examples=60)
@given(anything=strategies.BODIES)
def test_no_signed_body_is_answered_with_an_error(door: Door, anything: bytes):
    assert door.request("POST", body=anything, headers=signed(anything)).status == 200
