"""The sample webhook of `make run`: one signed direct message, and what came out of it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from automations import demo, events
from automations.models import Delivery, Event
from queueops.keys import new_id
from webhooks import signature

TEXT = "I want the LINK \N{FIRE}"
PERSON = "8422491661125971"
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Sample:
    """The body as Meta would post it, and the key of the event in it."""

    body: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Story:
    """How the sample went: milliseconds for each stage, the outcome, and the text that was sent ("" if none)."""

    ack_ms: float
    wait_ms: float
    process_ms: float
    outcome: str
    reason: str
    text: str


def build() -> Sample:
    account = next(iter(demo.ACCOUNTS))
    now = int(time.time() * 1000)
    mid = f"aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE{new_id().hex}ZD"
    message = {
        "sender": {"id": PERSON},
        "recipient": {"id": account},
        "timestamp": now,
        "message": {"mid": mid, "text": TEXT},
    }
    body = {"object": "instagram", "entry": [{"id": account, "time": now, "messaging": [message]}]}
    event = events.Message(account=account, person=PERSON, source_id=mid, at_ms=now, text=TEXT)
    return Sample(json.dumps(body, separators=(",", ":")).encode(), event.key)


def post(url: str, sample: Sample, secret: str) -> float:
    """Deliver it as Meta does; milliseconds until the 200. Raises urllib.error.URLError."""
    request = urllib.request.Request(  # noqa: S310 - our own server on loopback
        f"{url}/api/webhooks/instagram",
        data=sample.body,
        headers={"Content-Type": "application/json", "X-Hub-Signature-256": signature.sign(sample.body, secret)},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
        return (time.perf_counter() - started) * 1000


def wait_for(sample: Sample, ack_ms: float, seconds: float = 20.0) -> Story | None:
    """What became of it, None when nothing final did within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        event = Event.objects.filter(key=sample.key).first()
        if event is not None and (event.is_final or event.outcome == Event.Outcome.DEAD):
            return _story(event, ack_ms)
        time.sleep(POLL_SECONDS)
    return None


def _story(event: Event, ack_ms: float) -> Story:
    sent = event.deliveries.filter(status=Delivery.Status.SENT).first()
    started = event.started_at or event.received_at
    finished = event.finished_at or started
    return Story(
        ack_ms=ack_ms,
        wait_ms=(started - event.received_at).total_seconds() * 1000,
        process_ms=(finished - started).total_seconds() * 1000,
        outcome=event.outcome,
        reason=event.reason,
        text=sent.body["message"]["text"] if sent else "",
    )
