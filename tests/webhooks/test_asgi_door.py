"""What only the fast door can be given: a body in pieces, one that never ends, headers that come twice."""

from __future__ import annotations

import json
from typing import Any

from pytest_django import Settings

from tests.servers import APP_SECRET
from tests.webhooks.bodies import body, entry, message
from tests.webhooks.doors import AsgiDoor
from webhooks.signature import sign

BODY = body(entry(messaging=[message(is_echo=True)]))
SIGNATURE = (b"x-hub-signature-256", sign(BODY, APP_SECRET).encode())


def post(door: AsgiDoor, messages: list[dict[str, Any]], *headers: tuple[bytes, bytes]) -> list[Any]:
    scope = {"method": "POST", "query_string": b"", "headers": list(headers)}
    return door.call(scope, [{"type": "http.request", **message} for message in messages])


def test_it_puts_a_body_together_byte_by_byte(asgi_door: AsgiDoor):
    pieces: list[dict[str, Any]] = [{"body": bytes([byte]), "more_body": True} for byte in BODY]
    start, answer = post(asgi_door, [*pieces, {}], SIGNATURE)
    assert start["status"] == 200
    assert json.loads(answer["body"]) == {"accepted": 0, "duplicate": 0, "ignored": 1}
    assert (b"content-length", str(len(answer["body"])).encode()) in start["headers"]


def test_it_answers_nobody_when_the_client_goes_away(asgi_door: AsgiDoor):
    assert post(asgi_door, [{"body": BODY[:9], "more_body": True}, {"type": "http.disconnect"}], SIGNATURE) == []


def test_it_reads_nothing_of_a_body_that_announces_too_much(asgi_door: AsgiDoor):
    start, _ = post(asgi_door, [], (b"content-length", b"8388609"))
    assert start["status"] == 413


def test_it_stops_reading_when_more_has_come_than_it_takes(asgi_door: AsgiDoor, settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = 100
    chunk = {"body": b"x" * 60, "more_body": True}
    start, _ = post(asgi_door, [chunk, chunk], (b"content-length", b"60"))
    assert start["status"] == 413


def test_two_signatures_are_none(asgi_door: AsgiDoor):
    start, _ = post(asgi_door, [{"body": BODY}], SIGNATURE, SIGNATURE)
    assert start["status"] == 401
