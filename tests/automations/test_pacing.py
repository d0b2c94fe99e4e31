"""Pacing: each account sends as fast as Meta lets it, whoever must wait is put off once, and no other account is."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.test import override_settings
from django.utils import timezone

from automations.events import Comment, LiveComment, Message
from automations.models import Account, Automation, Delivery, Event
from queueops import connections, metrics, runner
from queueops.errors import RetryLater
from queueops.jobs import Done
from queueops.keys import new_id

SHOP = "17841456778752687"
STUDIO = "17841405726653026"
HOUR = 3600


def comment(number: int, account: str = SHOP, hours_ago: float = 0, kind: type[Comment] = Comment) -> Comment:
    at_ms = int((time.time() - hours_ago * HOUR) * 1000)
    return kind(
        account=account,
        person="8422491661125971",
        source_id=f"c{number}" if account == SHOP else f"other{number}",
        at_ms=at_ms,
        text="LINK",
    )


def message(number: int) -> Message:
    return Message(account=SHOP, person="8422491661125971", source_id=f"m{number}", at_ms=None, text="LINK")


async def all_at_once(answer, *events) -> list[Any]:
    return await asyncio.gather(*(answer(event, receipt="r") for event in events), return_exceptions=True)


async def one_by_one(answer, *events) -> list[Any]:
    return [(await all_at_once(answer, event))[0] for event in events]


def waits(results: list[Any]) -> list[int]:
    """In hours; 0 for what was done."""
    return sorted(round(one.after / HOUR) if isinstance(one, RetryLater) else 0 for one in results)


def sent(graph, kind: str = "private_reply") -> Counter[str]:
    return Counter(call.account for call in graph.received if call.kind == kind and call.status == 200)


def bring_forward(event: Comment | Message, name: str) -> None:
    """As if the time of the event's turn had come."""
    ticket = f"cad:ticket:{event.account}:{name}:{event.key}"
    held: Any = connections.client().get(ticket)
    made = held.split()[0]
    connections.client().set(ticket, made + b" " + made)


# --- Who goes, and who waits -----------------------------------------------------------------------------------------


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=3)
def test_of_a_flood_exactly_the_quota_goes_and_the_rest_is_put_off_once_each(play):
    async def scenario(graph, answer):
        results = await all_at_once(answer, *(comment(n) for n in range(11)))
        assert waits(results) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]

    graph = play(scenario)

    assert sent(graph) == {SHOP: 3}
    assert Delivery.objects.filter(kind="private_reply").count() == 3  # nothing is recorded for what waits


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=2)
def test_the_flood_of_one_account_slows_no_other(play):
    async def scenario(graph, answer):
        events = [comment(n) for n in range(6)] + [comment(n, STUDIO) for n in range(2)]
        await all_at_once(answer, *events)

    assert sent(play(scenario)) == {SHOP: 2, STUDIO: 2}


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_a_class_of_calls_that_has_reached_its_limit_stops_no_other_class(play):
    async def scenario(graph, answer):
        results = await all_at_once(answer, comment(1), comment(2), comment(3, kind=LiveComment), message(1))
        assert waits(results) == [0, 0, 0, 1]

    graph = play(scenario)

    assert (sent(graph), sent(graph, "dm")) == ({SHOP: 2}, {SHOP: 1})


@override_settings(PACING_MESSAGES_PER_SECOND=0, PACING_PRIVATE_REPLIES_PER_HOUR=0)
def test_without_a_limit_everything_goes_and_nobody_counts(play, redis):
    async def scenario(graph, answer):
        await all_at_once(answer, *(comment(n) for n in range(6)), message(1))

    assert sent(play(scenario)) == {SHOP: 6}
    assert redis.keys("cad:quota:*") == []


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_while_redis_is_away_metas_own_answers_pace(play):
    async def scenario(graph, answer):
        with override_settings(QUEUE_REDIS_URL="unix:///nowhere/valkey.sock"):
            await all_at_once(answer, *(comment(n) for n in range(3)))

    assert sent(play(scenario)) == {SHOP: 3}


# --- What waiting means ----------------------------------------------------------------------------------------------


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_who_waits_uses_no_attempt_and_its_event_says_in_words_why_and_until_when(play):
    async def scenario(graph, answer):
        await answer(comment(1))
        event = comment(2)
        receipt = {"id": str(new_id()), "at": datetime.now(UTC).isoformat()}
        data = orjson.dumps(["automations.tasks.process_event", None, [event.as_payload(), receipt], {}])
        settled = await asyncio.create_task(runner.run(runner.Claimed("low", event.key, "x", data, 30.0, 0)))
        assert (settled.how, settled.attempts) == ("retry", 0)
        assert HOUR - 60 < float(settled.detail) - time.time() <= HOUR

    play(scenario)

    event = Event.objects.get(source_id="c2")
    assert event.outcome == "retrying"
    assert event.reason.startswith("The account's limit of 1 private replies an hour is reached; its turn is at ")
    assert event.happened_at is not None  # its row was opened as that of any other


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_who_comes_back_in_its_turn_goes_before_those_that_came_later(play):
    async def scenario(graph, answer):
        waiting = comment(2)
        await one_by_one(answer, comment(1), waiting)
        bring_forward(waiting, "private_replies")
        assert waits(await all_at_once(answer, comment(3), waiting)) == [0, 2]

    graph = play(scenario)

    assert [call.recipient for call in graph.received if call.kind == "private_reply"] == ["c1", "c2"]


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_who_comes_back_too_early_waits_on_for_the_same_turn(play):
    async def scenario(graph, answer):
        await answer(comment(1))
        for _ in range(3):
            assert waits(await all_at_once(answer, comment(2))) == [1]
        assert waits(await all_at_once(answer, comment(3))) == [2]

    play(scenario)


@override_settings(PACING_MESSAGES_PER_SECOND=1)
def test_a_later_step_that_waited_goes_alone(play, demo_data):
    account = Account.objects.get(instagram_id=SHOP)
    steps = [{"type": "dm", "text": "one"}, {"type": "dm", "text": "two"}]
    Automation.objects.create(account=account, name="Two", trigger="dm", match="any", priority=50, actions=steps)
    event = Message(account=SHOP, person="842", source_id="m", at_ms=None, text="anything")

    async def scenario(graph, answer):
        with pytest.raises(RetryLater):
            await answer(event, receipt="r")
        bring_forward(event, "messages")
        assert await answer(event, receipt="r") is Done.COMPLETED

    assert [call.text for call in play(scenario).received] == ["one", "two"]
    assert Event.objects.get().outcome == "sent"


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_what_would_get_its_turn_after_its_window_has_closed_is_skipped_and_says_so(play):
    async def scenario(graph, answer):
        week = 7 * 24
        assert waits(await one_by_one(answer, comment(1), comment(2, hours_ago=week - 0.5))) == [0, 0]
        assert waits(await all_at_once(answer, comment(3))) == [1]  # it took no turn from anybody

    graph = play(scenario)

    assert [call.recipient for call in graph.received if call.kind == "private_reply"] == ["c1"]
    event = Event.objects.get(source_id="c2")
    assert event.outcome == "skipped"
    assert "limit of 1 private replies an hour" in event.reason
    assert "window" in event.reason


# --- What Meta says --------------------------------------------------------------------------------------------------


@override_settings(PACING_PRIVATE_REPLIES_PER_HOUR=1)
def test_throttling_voids_the_turns_that_were_given_out(play, rows):
    async def scenario(graph, answer):
        waiting = comment(2)
        await one_by_one(answer, comment(1), waiting)
        graph.script("throttle", times=1, minutes=5, kind="dm")
        await all_at_once(answer, message(1))
        await rows(free_the_shop)
        assert waits(await all_at_once(answer, comment(3))) == [0]
        assert waits(await all_at_once(answer, waiting)) == [1]

    def free_the_shop():
        account = Account.objects.get(instagram_id=SHOP)
        assert account.paused_until > timezone.now()
        account.paused_until = None
        account.save()

    play(scenario)


def test_one_process_that_is_told_of_the_apps_limit_stops_all_others(play, redis):
    async def told(graph, answer):
        graph.script("app_throttle", times=1)
        with pytest.raises(RetryLater):
            await answer(message(1))

    async def another_process(graph, answer):
        with pytest.raises(RetryLater, match=r"Meta has asked the whole app to make no calls\. Until "):
            await answer(comment(1, STUDIO))

    assert len(play(told).received) == 1
    assert not play(another_process).received
    assert 0 < redis.ttl("cad:app_paused") <= 15 * 60 + 1


def test_without_redis_the_process_that_was_told_stops_by_itself(play):
    async def scenario(graph, answer):
        graph.script("app_throttle", times=1)
        with override_settings(QUEUE_REDIS_URL="unix:///nowhere/valkey.sock"):
            assert len(await one_by_one(answer, message(1), comment(1, STUDIO))) == 2

    assert len(play(scenario).received) == 1


def test_calls_and_outcomes_are_counted_once_each(play):
    names = ("graph_call:ok", "graph_call:551", "outcome:sent", "outcome:no_match")
    before = [metrics.here(name) for name in names]

    async def scenario(graph, answer):
        graph.script("blocked", times=1, kind="dm")
        await all_at_once(answer, message(1))
        for _ in range(2):
            await answer(comment(1), receipt="r")  # a private reply and a public one, and then nothing more
        await answer(Message(account=SHOP, person="842", source_id="m2", at_ms=None, text="nice"))

    play(scenario)

    assert [metrics.here(name) - was for name, was in zip(names, before, strict=True)] == [2, 1, 1, 1]


# --- An account that may not send ------------------------------------------------------------------------------------


def stop(status: str = "active", paused_until: datetime | None = None) -> None:
    account = Account.objects.get(instagram_id=SHOP)
    account.status, account.status_reason, account.paused_until = status, "The token has expired", paused_until
    account.save()


@pytest.mark.parametrize(
    ("hours_ago", "after"), [(0, 300), (0.5, 1800), (24, HOUR), (7 * 24 - 0.01, 37), (7 * 24 - 0.5, 1801)]
)
def test_its_events_look_now_and_then_never_later_than_their_window_closes(play, rows, hours_ago, after):
    async def scenario(graph, answer):
        await rows(lambda: stop("needs_owner"))
        with pytest.raises(RetryLater, match="The account needs its owner: The token has expired") as later:
            await answer(comment(1, hours_ago=hours_ago))
        assert after - 30 < later.value.after <= after + 30

    play(scenario)


def test_a_pause_that_ends_after_the_window_closes_is_not_waited_for(play, rows):
    async def scenario(graph, answer):
        await rows(lambda: stop(paused_until=timezone.now() + timedelta(hours=20)))
        with pytest.raises(RetryLater, match=r"The account waits: The token has expired\. Until ") as later:
            await answer(comment(1, hours_ago=3, kind=LiveComment))
        assert HOUR - 30 < later.value.after <= HOUR + 1

    play(scenario)


def test_its_events_expire_visibly_when_their_window_closes(play, rows):
    async def scenario(graph, answer):
        await rows(lambda: stop("paused"))
        assert await answer(comment(1, hours_ago=7 * 24 + 0.1)) is Done.COMPLETED

    play(scenario)
    event = Event.objects.get()
    assert event.outcome == "skipped"
    assert "closed at" in event.reason
    assert "The account is paused: The token has expired" in event.reason
