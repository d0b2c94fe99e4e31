"""Meta's usage headers: nearer to the limit the account goes slower, at the limit it stops."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web
from django.test import override_settings
from django.utils import timezone

from automations import usage
from automations.events import Comment, Message
from automations.models import Account, Event
from automations.usage import APP_HEADER, BUSINESS_HEADER, Usage
from queueops.errors import RetryLater
from tests.automations.conftest import answer

SHOP = "17841456778752687"


def business(percent: int, minutes: int = 0, kind: str = "instagram") -> str:
    return (
        f'{{"1784140000000000":[{{"type":"{kind}","call_count":{percent},"total_cputime":2,"total_time":5,'
        f'"estimated_time_to_regain_access":{minutes}}}]}}'
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Usage(0, None)),
        ("nonsense", Usage(0, None)),
        ('{"call_count":28,"total_time":25,"total_cputime":81}', Usage(81, None)),
        (business(79), Usage(79, None)),
        (business(100, minutes=19), Usage(100, 19 * 60)),
        (business(100, minutes=99_999), Usage(100, 24 * 3600)),
        (business(100, 19, kind="ads_management"), Usage(0, None)),
        (business(97, 3, kind="leadgen") + " " + business(12), Usage(12, None)),
        # Meta's own sample repeats a key.
        ('{"1":[{"type":"instagram","call_count":7,"total_time":5,"call_count": 90}]}', Usage(90, None)),
    ],
)
def test_it_reads_what_concerns_sending(text, found):
    assert usage.read(text) == found


def play(run, headers: dict[str, str], *groups: list[Any]) -> list[list[float]]:
    """Answer the events, group after group, each call with these headers; how many hours each has to wait."""

    async def send(request: web.Request) -> web.Response:
        return web.json_response({"recipient_id": "842", "message_id": f"mid.{time.time_ns()}"}, headers=headers)

    async def scenario() -> list[list[float]]:
        app = web.Application()
        app.router.add_post("/{path:.*}", send)
        serving = web.AppRunner(app)
        await serving.setup()
        site = web.TCPSite(serving, "127.0.0.1", 0)
        await site.start()
        try:
            with override_settings(GRAPH_API_URL=f"http://127.0.0.1:{serving.addresses[0][1]}"):
                return [[await wait_of(event) for event in group] for group in groups]
        finally:
            await serving.cleanup()

    found: list[list[float]] = run(scenario())
    return found


async def wait_of(event: Any) -> float:
    try:
        await asyncio.create_task(answer(event))
    except RetryLater as later:
        return round(later.after / 3600, 1)
    return 0


def comments(n: int, since: int = 0) -> list[Comment]:
    at_ms = int(time.time() * 1000)
    return [
        Comment(account=SHOP, person="842", source_id=f"c{i}", at_ms=at_ms, text="LINK")
        for i in range(since, since + n)
    ]


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({}, [0] * 19),
        ({BUSINESS_HEADER: business(79)}, [0] * 19),
        ({BUSINESS_HEADER: business(80)}, [0] * 9 + [1] * 10),
        ({APP_HEADER: '{"call_count":28,"total_time":85,"total_cputime":25}'}, [0] * 9 + [1] * 10),
        ({BUSINESS_HEADER: business(12), APP_HEADER: '{"call_count":96}'}, [0, 1, 1, 2, 2]),
        ({BUSINESS_HEADER: business(100)}, [0, 1, 1, 2, 2]),
    ],
)
@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=20)
def test_nearer_to_the_limit_it_goes_slower(demo_data, run, headers, waits):
    first, rest = play(run, headers, comments(1), comments(len(waits), since=1))

    assert first == [0]
    assert rest == waits


def test_at_the_limit_it_stops_for_as_long_as_meta_says_and_what_was_sent_is_sent(demo_data, run):
    message = Message(account=SHOP, person="842", source_id="m1", at_ms=None, text="LINK")

    first, rest = play(run, {BUSINESS_HEADER: business(100, minutes=30)}, [message], comments(1))

    assert (first, rest) == ([0], [0.5])
    assert Event.objects.get(kind="message").outcome == "sent"
    account = Account.objects.get(instagram_id=SHOP)
    assert account.status == "active"
    assert 1700 < (account.paused_until - timezone.now()).total_seconds() <= 1800
