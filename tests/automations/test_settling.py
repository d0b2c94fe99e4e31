"""What became of a call that nobody heard the end of: the echo of its message says so."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta

import pytest
from aiohttp import web
from django.conf import settings
from django.test import override_settings
from django.utils import timezone

from automations import settling, tasks
from automations.events import Comment, Echo, Message
from automations.fake_graph import FakeGraph
from automations.fake_graph.echoes import Echoes
from automations.models import Delivery, Event
from queueops import awaited, database, direct, dispatch, fallback, leases, runner
from queueops.errors import RetryLater
from queueops.jobs import Batch, Lane, Receipt
from tests.automations.conftest import answer
from webhooks import intake

SHOP = "17841456778752687"
PERSON = "8422491661125971"
OFFER = "Here you go: https://example.com/offer"
LINK = "Here is the link you asked for: https://example.com/offer"
MINUTE_MS = 60_000


def now_ms() -> int:
    return int(time.time() * 1000)


def message(source_id: str = "mid.1") -> Message:
    return Message(account=SHOP, person=PERSON, source_id=source_id, at_ms=now_ms(), text="LINK")


def comment() -> Comment:
    return Comment(account=SHOP, person=PERSON, source_id="1001", at_ms=now_ms(), text="LINK", username="maria.example")


def echo(**fields) -> Echo:
    defaults = {"account": SHOP, "person": PERSON, "source_id": "echo.1", "at_ms": now_ms(), "text": OFFER}
    return Echo(**{**defaults, **fields})


async def hear(one: Echo) -> None:
    await tasks.settle_by_echo(one.as_payload(), {})


def body(one: Echo) -> bytes:
    event = {
        "sender": {"id": one.account},
        "recipient": {"id": one.person},
        "timestamp": one.at_ms,
        "message": {"mid": one.source_id, "text": one.text, "is_echo": True},
    }
    entry = {"id": one.account, "time": one.at_ms, "messaging": [event]}
    return json.dumps({"object": "instagram", "entry": [entry]}).encode()


@pytest.fixture
def unconfirmed(play):
    """Have an event answered by a call that is sent and never heard of again; then go on."""

    def unconfirmed(event, *echoes: Echo, fault: dict[str, str] | None = None):
        async def scenario(graph, answer):
            graph.script("reset_after_recording", times=1, **(fault or {}))
            await answer(event)
            for one in echoes:
                await hear(one)

        return play(scenario)

    return unconfirmed


def test_its_echo_settles_an_unconfirmed_delivery(unconfirmed):
    unconfirmed(message(), echo(text=f" {OFFER} "))

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.message_id, delivery.error) == ("sent", "echo.1", None)
    event = Event.objects.get()
    assert (event.outcome, event.reason) == ("sent", "")


def test_a_private_reply_is_settled_by_the_echo_to_the_person_who_commented(unconfirmed):
    unconfirmed(comment(), echo(text=LINK), fault={"kind": "private_reply"})

    assert list(Delivery.objects.order_by("step").values_list("status", flat=True)) == ["sent", "sent"]
    assert Event.objects.get().outcome == "sent"


def test_an_echo_that_came_before_anybody_knew_settles_it_at_once(unconfirmed, demo_data, redis):
    dispatch.dispatch_sync(intake.read(body(echo())))
    assert redis.hget("cad:ignored", "echo") == b"1"

    unconfirmed(message())

    assert Delivery.objects.get().message_id == "echo.1"
    assert Event.objects.get().outcome == "sent"


def test_an_echo_that_comes_later_becomes_a_job(unconfirmed, redis):
    unconfirmed(message())
    dispatch.dispatch_sync(intake.read(body(echo())))

    assert redis.lrange("rq:queue:default", 0, -1) == [echo().key.encode()]


@pytest.mark.parametrize(
    "other",
    [
        {"text": "Something typed by hand"},
        {"person": "8422491661125972"},
        {"account": "17841405726653026"},
        {"at_ms": now_ms() - 5 * MINUTE_MS},
        {"at_ms": now_ms() + 60 * MINUTE_MS},
    ],
    ids=["text", "person", "account", "earlier", "later"],
)
def test_an_echo_of_something_else_settles_nothing(unconfirmed, other):
    unconfirmed(message(), echo(**other))

    assert Delivery.objects.get().status == "unconfirmed"
    assert Event.objects.get().outcome == "unconfirmed"


def test_the_fakes_own_echoes_settle_it_once_they_are_taken(demo_data, run, rows):
    taken: list[Batch] = []

    async def webhook(request: web.BaseRequest) -> web.Response:
        taken.append(intake.admit(await request.read(), request.headers["X-Hub-Signature-256"].encode()))
        return web.Response(status=503 if len(taken) == 1 else 200)  # the first is posted again

    async def scenario() -> None:
        server = web.ServerRunner(web.Server(webhook))
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0).start()
        url = "http://127.0.0.1:{1}/".format(*server.addresses[0])
        graph = FakeGraph(echoes=Echoes(url, settings.INSTAGRAM_APP_SECRET[0]))
        graph.commenters["1001"] = PERSON
        graph.script("reset_after_recording", times=1, kind="private_reply")
        with override_settings(GRAPH_API_URL=await graph.start()):
            await answer(comment())
        async with asyncio.timeout(60):
            while len(taken) < 2:
                await asyncio.sleep(0.01)
        await graph.stop()
        await server.cleanup()

    run(scenario())

    assert taken[0] == taken[1]
    [heard] = taken[0].heard
    run(tasks.settle_by_echo(heard.job.payload, {}))
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}


@pytest.mark.parametrize("take", [fallback.take, direct.take])
def test_an_echo_that_comes_through_another_tier_settles_it_though_nobody_awaits_it(play, redis, take):
    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        await answer(message())
        redis.flushall()
        await take(intake.read(body(echo())))
        await understudy_of_one_job()

    play(scenario)

    assert Delivery.objects.get().message_id == "echo.1"
    assert Event.objects.get().outcome == "sent"


async def understudy_of_one_job() -> None:
    """Work from the database what is there."""
    ended = [await runner.run(job) for job in await database.run(leases.claim, list(Lane), 10)]
    await database.run(leases.settle, ended)


def test_an_echo_of_a_call_that_is_under_way_is_looked_at_when_that_is_over(play, rows):
    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        await answer(message())
        await rows(lambda: Delivery.objects.update(status="sending", finished_at=None))
        with pytest.raises(RetryLater):
            await hear(echo())
        await rows(lambda: Delivery.objects.update(status="unconfirmed", finished_at=timezone.now()))
        await hear(echo())

    play(scenario)

    assert Delivery.objects.get().message_id == "echo.1"


@pytest.mark.parametrize(
    "other",
    [{"text": "Something typed by hand"}, {"person": "8422491661125972"}, {"at_ms": now_ms() - 60 * MINUTE_MS}],
    ids=["text", "person", "long ago"],
)
def test_an_echo_of_something_else_waits_for_no_call(play, rows, other):
    async def scenario(graph, answer):
        await answer(message())
        await rows(lambda: Delivery.objects.update(status="sending", message_id=""))
        await hear(echo(**other))

    play(scenario)

    assert Delivery.objects.get().status == "sending"


def test_a_run_that_is_killed_before_it_awaits_the_echo_leaves_that_to_the_next(play, redis, monkeypatch):
    class Killed(BaseException):
        """The process ends here."""

    async def killed(key: str) -> None:
        raise Killed

    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        with monkeypatch.context() as patch:
            patch.setattr(awaited, "expect", killed)
            with pytest.raises(Killed):
                await answer(message())
        assert await dispatch.dispatch(intake.read(body(echo()))) == Receipt(accepted=0, duplicate=0, ignored=1)
        await answer(message())

    graph = play(scenario)

    assert len(graph.received) == 1
    assert Delivery.objects.get().message_id == "echo.1"
    assert Event.objects.get().outcome == "sent"


def test_what_is_left_unconfirmed_while_redis_is_away_is_awaited_when_it_is_back(play, redis, monkeypatch):
    async def away(key: str) -> None:
        raise awaited.NotAwaited

    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        with monkeypatch.context() as patch:
            patch.setattr(awaited, "expect", away)
            with pytest.raises(RetryLater):
                await answer(message())
        await answer(message())
        assert await dispatch.dispatch(intake.read(body(echo()))) == Receipt(accepted=1, duplicate=0, ignored=0)

    graph = play(scenario)

    assert len(graph.received) == 1
    assert Event.objects.get().outcome == "unconfirmed"


def test_nobody_waits_for_ever_for_redis(play, rows, monkeypatch):
    async def away(key: str) -> None:
        raise awaited.NotAwaited

    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=1)
        monkeypatch.setattr(awaited, "expect", away)
        with pytest.raises(RetryLater):
            await answer(message())
        long_ago = timezone.now() - timedelta(hours=1)
        await rows(lambda: Delivery.objects.update(finished_at=long_ago))
        await answer(message())

    play(scenario)

    assert Event.objects.get().outcome == "unconfirmed"


def test_an_echo_of_a_delivery_that_is_known_to_be_sent_settles_no_other(play):
    async def scenario(graph, answer):
        await answer(message("mid.1"))
        graph.script("reset_after_recording", times=1)
        await answer(message("mid.2"))
        await hear(echo(source_id=graph.received[0].message_id))

    play(scenario)

    assert Event.objects.get(source_id="mid.2").outcome == "unconfirmed"


def test_the_same_echo_twice_settles_one_delivery_and_two_echoes_settle_two(play, rows):
    seen = []

    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=2)
        await answer(message("mid.1"))
        await answer(message("mid.2"))
        for name in ("echo.1", "echo.1", "echo.2", "echo.3"):
            await hear(echo(source_id=name))
            seen.append(await rows(lambda: sorted(Delivery.objects.values_list("message_id", flat=True))))

    play(scenario)

    assert seen == [["", "echo.1"], ["", "echo.1"], ["echo.1", "echo.2"], ["echo.1", "echo.2"]]
    assert set(Event.objects.values_list("outcome", flat=True)) == {"sent"}


def test_what_an_earlier_attempt_was_refused_is_settled_by_the_time_of_its_last(unconfirmed, rows):
    unconfirmed(message())
    Delivery.objects.update(created_at=timezone.now() - timedelta(hours=3))

    assert settling.settle(echo()) == Delivery.objects.get().pk


def test_an_echo_that_comes_while_later_steps_are_sent_counts_at_the_end(unconfirmed, monkeypatch):
    expect = settling.expect

    async def expect_and_hear(*args):
        is_settled = await expect(*args)
        await hear(echo(text=LINK))
        return is_settled

    monkeypatch.setattr(settling, "expect", expect_and_hear)
    unconfirmed(comment(), fault={"kind": "private_reply"})

    assert list(Delivery.objects.order_by("step").values_list("status", flat=True)) == ["sent", "sent"]
    event = Event.objects.get()
    assert (event.outcome, event.reason) == ("sent", "")


def test_of_two_unconfirmed_steps_one_echo_leaves_the_event_unconfirmed(play):
    async def scenario(graph, answer):
        graph.script("reset_after_recording", times=2)
        await answer(comment())
        await hear(echo(text=LINK))

    play(scenario)

    assert list(Delivery.objects.order_by("step").values_list("status", flat=True)) == ["sent", "unconfirmed"]
    assert Event.objects.get().outcome == "unconfirmed"


def test_a_public_reply_has_no_echo_and_is_not_awaited(unconfirmed, redis):
    unconfirmed(comment(), fault={"kind": "public_reply"})

    assert Event.objects.get().outcome == "unconfirmed"
    assert redis.keys("cad:await:*") == []


def test_what_was_cut_off_by_a_kill_is_settled_by_the_echo_that_was_heard(play, rows, redis):
    async def scenario(graph, answer):
        await answer(comment(), receipt="r")
        await rows(lambda: Delivery.objects.filter(step=1).update(status="sending", message_id="", finished_at=None))
        await rows(lambda: Delivery.objects.filter(step=2).delete())
        await rows(lambda: Event.objects.update(outcome="processing"))
        dispatch.dispatch_sync(intake.read(body(echo(text=LINK))))
        await answer(comment(), receipt="r")

    play(scenario)

    assert Delivery.objects.get(step=1).message_id == "echo.1"
    assert Event.objects.get().outcome == "sent"
